"""Policies at several budgets: which of their iterations two budgets have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lrbench.policy.budget import iterations
from lrbench.policy.composition import Piecewise, Scaled, Warmup
from lrbench.policy.kind import REST
from lrbench.policy.modern import WarmupStableDecay

if TYPE_CHECKING:
    from lrbench.policy.budget import Budget
    from lrbench.policy.policy import Policy

ROUNDED = 3
"""The iterations by which three lengths that fill a budget may miss it, each being rounded."""


def with_fixed_warmup(policy: Policy, budget: Budget) -> Policy:
    """Give a policy the warmup that it has in one budget in every budget, and leave the rest as it is.

    WSD, whose three lengths fill the budget, keeps its cooldown as it is written, and is stable until then.

    >>> from lrbench.policy import parse
    >>> from lrbench.policy.budget import Budget
    >>> with_fixed_warmup(parse("WSD(k0=0.1, up=0.05dur, stable=0.75dur, down=0.2dur)"), Budget(800, 100))
    WSD(k0=0.1, up=40, down=0.2dur)
    """
    if isinstance(policy, WarmupStableDecay):
        bound = policy.bind_to(budget)
        up, lengths = iterations(bound.up), (bound.up, bound.stable, bound.down)
        fills = abs(sum(map(iterations, lengths)) - budget.steps) < ROUNDED
        return replace(policy, up=up, stable=REST) if fills and policy.relative else policy
    if isinstance(policy, Warmup):
        length = policy.bind_to(budget).length
        return replace(policy, policy=with_fixed_warmup(policy.policy, budget), length=length)
    if isinstance(policy, Scaled):
        return replace(policy, policy=with_fixed_warmup(policy.policy, budget))
    if isinstance(policy, Piecewise):
        first, *others = policy.policies
        return replace(policy, policies=(with_fixed_warmup(first, budget), *others))
    return policy


def shared_iterations(policy: Policy, one: Budget, other: Budget) -> int:
    """Count the first iterations that have the same learning rates in two budgets; none of a policy that reacts.

    Raises:
        PolicyError: the policy does not fit a budget.
    """
    bound, longer = policy.for_run(one), policy.for_run(other)
    if policy.reacts:
        return 0
    steps = min(one.steps, other.steps)
    different = bound.lrs(0, steps) != longer.lrs(0, steps)
    return int(different.argmax()) if different.any() else steps
