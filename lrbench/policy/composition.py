"""Policies made of policies: one after another, warmed up, scaled, repeated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from lrbench.policy.budget import Budget, Length, iterations, read_whole
from lrbench.policy.kind import Bounds, Kind
from lrbench.policy.parameter import declare, length, lengths, number, rate
from lrbench.policy.policy import FloatArray, History, IntArray, Policy, blend


class PolicyKind(Kind):
    """A policy."""

    allowed = "a policy"

    def read(self, value: object) -> Policy | None:
        return value if isinstance(value, Policy) else None

    def text(self, value: Policy) -> str:
        return value.text

    def bind(self, value: Policy, budget: Budget) -> Policy:
        return value.bind_to(budget)

    def parts(self, value: Policy) -> tuple[Policy, ...]:
        return (value,)


class PoliciesKind(Kind):
    """Several policies, in order."""

    allowed = "a list of at least 2 policies"

    def read(self, value: object) -> tuple[Policy, ...] | None:
        if not isinstance(value, list | tuple):
            return None
        policies = tuple(item for item in value if isinstance(item, Policy))
        return policies if 2 <= len(policies) == len(value) else None

    def text(self, value: tuple[Policy, ...]) -> str:
        return f"[{', '.join(policy.text for policy in value)}]"

    def bind(self, value: tuple[Policy, ...], budget: Budget) -> tuple[Policy, ...]:
        return tuple(policy.bind_to(budget) for policy in value)

    def parts(self, value: tuple[Policy, ...]) -> tuple[Policy, ...]:
        return value


class Piecewise(Policy):
    """One policy after another: `a.then(b, at=5000)`. Each counts its iterations from its own start.

    A part sees only the evaluations since its own start. Nested ones are flattened where that changes no LR, so that
    the same schedule is the same value. Source: piecewise policies of LRBench, arXiv 2210.12936.

    >>> from lrbench.policy import FIX, LINEAR
    >>> FIX(k0=0.3).then(LINEAR(k0=1, l=10), at=100)(105)
    0.5
    """

    label: ClassVar[str] = "then"
    code = "i = sum(t >= start for start in at)\npolicies[i](t - [0, *at][i])"
    policies: Sequence[Policy] = declare("part", "policies", PoliciesKind(), "the parts")
    at: Sequence[Length] = lengths("where the second and each further part starts, counted from the start")

    def __post_init__(self) -> None:
        rows = isinstance(self.policies, list | tuple) and isinstance(self.at, list | tuple)
        if rows and len(self.policies) == len(self.at) + 1:
            at, policies = _flattened(self.at, self.policies)
            object.__setattr__(self, "at", at)
            object.__setattr__(self, "policies", policies)
        super().__post_init__()

    def conflict(self) -> str | None:
        needed = len(self.policies) - 1
        return f"{needed + 1} policies need {needed} starts, not {len(self.at)}" if len(self.at) != needed else None

    def notation(self) -> str:
        first, *others = self.policies
        return first.text + "".join(
            f".then({part.text}, at={start})" for part, start in zip(others, self.at, strict=True)
        )

    @property
    def bounds(self) -> tuple[float, float]:
        lows, highs = zip(*(policy.bounds for policy in self.policies), strict=True)
        return min(lows), max(highs)

    def bind_to(self, budget: Budget) -> Self:
        ends = pairwise([0, *self.bound_value("at", budget), budget.own_steps])
        parts = [
            part.bind_to(budget.part(stop - start)) for part, (start, stop) in zip(self.policies, ends, strict=True)
        ]
        return super(Piecewise, replace(self, policies=parts)).bind_to(budget)

    @property
    def ends(self) -> float:
        starts = [0, *map(iterations, self.at), math.inf]
        ends = (
            start + policy.ends
            for policy, (start, stop) in zip(self.policies, pairwise(starts), strict=True)
            if start + policy.ends < stop
        )
        return next(ends, math.inf)

    def evaluate(self, t: IntArray, history: History) -> FloatArray:
        starts = [0, *map(iterations, self.at)]
        owner = np.searchsorted(starts, t, side="right") - 1
        lrs = np.empty(t.shape, dtype=np.float64)
        for index in np.unique(owner):
            start, mine = starts[index], owner == index
            since = [(step - start, value) for step, value in history if step > start] if start else history
            lrs[mine] = self.policies[index].evaluate(t[mine] - start, since)
        return lrs


class Warmup(Policy):
    """A policy led in by a linear ramp: `a.warmup(500, start=0.0)`.

    lr(t) = start + (policy(t) - start) * min(1, t/length): from `length` on it is the policy itself, whose steps stay
    where they were. Source: gradual warmup, Goyal et al. 2017, arXiv 1706.02677.

    >>> from lrbench.policy import FIX
    >>> FIX(k0=1).warmup(10)(5)
    0.5
    """

    label: ClassVar[str] = "warmup"
    code = "start + (policy(t) - start) * min(t / length, 1)"
    policy: Policy = declare("part", "policy", PolicyKind(), "what is warmed up")
    length: Length = length("the ramp")
    start: float = rate("LR at t = 0", default=0.0)

    def notation(self) -> str:
        start = f", start={self.start!r}" if self.start else ""
        return f"{self.policy.text}.warmup({self.length}{start})"

    @property
    def bounds(self) -> tuple[float, float]:
        low, high = self.policy.bounds
        return min(self.start, low), max(self.start, high)

    def evaluate(self, t: IntArray, history: History) -> FloatArray:
        ramp = iterations(self.length)
        return blend(self.start, self.policy.evaluate(t, history), np.minimum(t, ramp) / ramp)


class Scaled(Policy):
    """A policy with every LR times a factor: `0.1 * a`, `a.scaled(0.1)`.

    >>> from lrbench.policy import FIX
    >>> (0.5 * FIX(k0=1))(0)
    0.5
    """

    label: ClassVar[str] = "scaled"
    code = "policy(t) * factor"
    policy: Policy = declare("part", "policy", PolicyKind(), "what is scaled")
    factor: float = number("what every LR is multiplied by", bounds=Bounds(0.0, low_open=True), unit="factor")

    def conflict(self) -> str | None:
        finite = math.isfinite(self.bounds[1])
        return None if finite else f"factor must leave every LR finite, not {self.factor}"

    def notation(self) -> str:
        return f"{self.policy.text}.scaled({self.factor!r})"

    @property
    def bounds(self) -> tuple[float, float]:
        low, high = self.policy.bounds
        return low * self.factor, high * self.factor

    def evaluate(self, t: IntArray, history: History) -> FloatArray:
        return self.policy.evaluate(t, history) * self.factor


class Repeated(Policy):
    """The first iterations of a policy, over and over: `a.repeated(every=1000)`.

    >>> from lrbench.policy import LINEAR
    >>> LINEAR(k0=1, l=10).repeated(every=10)(15)
    0.5
    """

    label: ClassVar[str] = "repeated"
    code = "policy(t % every)"
    policy: Policy = declare("part", "policy", PolicyKind(), "what is repeated")
    every: Length = length("after which it starts again")

    def conflict(self) -> str | None:
        return f"policy must be a closed form, not {self.policy.label}" if self.policy.reacts else None

    def notation(self) -> str:
        return f"{self.policy.text}.repeated(every={self.every})"

    @property
    def bounds(self) -> tuple[float, float]:
        return self.policy.bounds

    def bind_to(self, budget: Budget) -> Self:
        part = self.policy.bind_to(budget.part(self.bound_value("every", budget)))
        return super(Repeated, replace(self, policy=part)).bind_to(budget)

    @property
    def ends(self) -> float:
        return math.inf if self.policy.ends >= iterations(self.every) else self.policy.ends

    def evaluate(self, t: IntArray, history: History) -> FloatArray:
        return self.policy.evaluate(t % iterations(self.every), ())


def _flattened(at: Sequence[Any], policies: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Flatten nested piecewise policies where their starts can be added without a budget."""
    starts: list[Any] = []
    row: list[Any] = []
    for start, policy in zip((0, *at), policies, strict=True):
        nested = isinstance(policy, Piecewise) and (start == 0 or None not in map(read_whole, (start, *policy.at)))
        inner = [0, *policy.at] if nested else [0]
        starts.extend(start if offset == 0 else offset if start == 0 else start + offset for offset in inner)
        row.extend(policy.policies if nested else [policy])
    return tuple(starts[1:]), tuple(row)
