"""A policy at another peak: the same shape, with another highest learning rate."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np

from lrbench.display.names import many
from lrbench.errors import PolicyError
from lrbench.policy.budget import Budget
from lrbench.policy.policy import Policy

SAME = 1e-4
"""Rates with a smaller relative difference are the same."""


def with_peak(
    policy: Policy,
    peak: float,
    *,
    steps: int,
    steps_per_epoch: int,
    tokens_per_step: int | None = None,
    parameters: int | None = None,
) -> Policy:
    """Multiply every LR of a policy by one number, so that the highest within a budget is `peak`.

    Where multiplying the range parameters of a function, to six digits, does the same, they are multiplied in place of
    `.scaled(...)`.

    Args:
        steps, steps_per_epoch, tokens_per_step, parameters: the budget, as for `Policy.bind`.

    Raises:
        PolicyError: the policy does not fit the budget, its LRs are all zero, or `peak` is not a positive number.
    """
    budget = Budget(steps, steps_per_epoch, tokens_per_step, parameters)
    highest = _highest(policy, budget)
    if not highest > 0:
        raise PolicyError(
            f"{policy} has no positive LR within {many(budget.steps, 'iteration')}, and so no peak to move"
        )
    if not 0 < peak < np.inf:
        raise PolicyError(f"a peak must be a positive LR, not {peak}")
    scaled = policy.scaled(peak / highest)
    rewritten = _with_rates(policy, peak / highest)
    if rewritten is None or policy.reacts:
        return scaled
    ours, exact = (one.bind(*astuple(budget)).lrs(0, budget.steps) for one in (rewritten, scaled))
    return rewritten if np.allclose(ours, exact, rtol=SAME, atol=0.0) else scaled


def _highest(policy: Policy, budget: Budget) -> float:
    bound = policy.bind(*astuple(budget))
    return float(bound.bounds[1] if bound.reacts else bound.lrs(0, budget.steps).max())


def _with_rates(policy: Policy, factor: float) -> Policy | None:
    """Multiply the range parameters of a policy; None where it has none, or parts that have."""
    if any(parameter.role == "part" for parameter in policy.parameters):
        return None
    rates = {
        parameter.name: float(f"{getattr(policy, parameter.name) * factor:.6g}")
        for parameter in policy.parameters
        if parameter.role == "range"
    }
    try:
        return type(policy)(**{**policy.__getstate__(), **rates}) if rates else None
    except PolicyError:
        return None
