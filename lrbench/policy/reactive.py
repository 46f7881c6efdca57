"""Reactive policies: the LR as a pure function of the evaluations so far.

They hold no state: the same history gives the same LRs, so a run can be resumed, forked and replayed. An evaluation
after `step` iterations changes the LRs of iterations `step`, `step` + 1, ...
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np

from lrbench.errors import PolicyError
from lrbench.policy.budget import Length, iterations
from lrbench.policy.composition import PoliciesKind
from lrbench.policy.function import Named, register_function
from lrbench.policy.kind import Bounds
from lrbench.policy.parameter import count, declare, length, number, rate
from lrbench.policy.policy import FloatArray, History, IntArray, Policy

NOT_NEGATIVE = Bounds(low=0.0)


class Reactive(Named):
    """A policy whose LRs depend on the evaluations so far."""

    group: ClassVar[str] = "reactive"

    @property
    def reacts(self) -> bool:
        return True


def evaluations_before(t: IntArray, history: History) -> IntArray:
    """Count the evaluations of `history` at or before each iteration, [n].

    Raises:
        PolicyError: the evaluations are not in the order of their steps.
    """
    steps = np.array([step for step, _ in history], dtype=np.int64)
    if np.any(np.diff(steps) <= 0):
        raise PolicyError("a history needs evaluations at increasing steps")
    return np.asarray(np.searchsorted(steps, t, side="right"), dtype=np.int64)


@register_function
class REDUCEONPLATEAU(Reactive):
    """Decay on plateaus: falls by the factor gamma when over `patience` evaluations in a row bring no new best.

    >>> REDUCEONPLATEAU(k0=1, gamma=0.5, patience=0).lrs(20, 22, [(10, 0.6), (20, 0.6)])
    array([0.5, 0.5])
    """

    formula = "lr = max(k1, gamma*lr) when no value > best + threshold*|best| in more than patience evaluations"
    source = "torch.optim.lr_scheduler.ReduceLROnPlateau, mode 'max', and for values below 0 mode 'min' of minus them"
    k0: float = rate("LR at the start")
    k1: float = rate("the floor", default=0.0)
    gamma: float = number(
        "what each step multiplies the LR by", bounds=Bounds(0.0, 1.0, True, True), unit="factor", default=0.1
    )
    patience: int = count("how many without a new best are borne", low=0, unit="evaluations", default=10)
    threshold: float = number(
        "by which share a new best must be better", bounds=NOT_NEGATIVE, unit="share of the best", default=1e-4
    )
    cooldown: int = count("how many are ignored after a step", low=0, unit="evaluations", default=0)
    eps: float = number("steps no larger than this are left out", bounds=NOT_NEGATIVE, unit="LR", default=1e-8)

    def conflict(self) -> str | None:
        return f"k1, the floor, must be at most k0={self.k0}, not {self.k1}" if self.k1 > self.k0 else None

    @property
    def bounds(self) -> tuple[float, float]:
        return self.k1, self.k0

    def evaluate(self, t: IntArray, history: History) -> FloatArray:
        return self._lr_after_each(history)[evaluations_before(t, history)]

    def _lr_after_each(self, history: History) -> FloatArray:
        lr, best, bad, cooling = self.k0, -math.inf, 0, 0
        lrs = [lr]
        for _, value in history:
            if math.isfinite(value) and value > _beyond(best, self.threshold):
                best, bad = value, 0
            else:
                bad += 1
            if cooling > 0:
                cooling, bad = cooling - 1, 0
            if bad > self.patience:
                lower = max(lr * self.gamma, self.k1)
                lr = lower if lr - lower > self.eps else lr
                cooling, bad = self.cooldown, 0
            lrs.append(lr)
        return np.array(lrs, dtype=np.float64)


def _beyond(best: float, share: float) -> float:
    """Return the value that is better than the best by a share of the best."""
    if math.isinf(best):
        return best
    return best * (1.0 + share) if best >= 0 else best * (1.0 - share)


@register_function
class CHANGEONPLATEAU(Reactive):
    """Changes of policy on plateaus: the next higher of a list, near the end the next lower.

    A plateau: more than `window` evaluations exist, and the best improvement from one to the next within the last
    `window` of them is below `threshold`; a value that is not finite is no improvement. Every policy counts its
    iterations from the start of the run, from 0 as all policies do: the first iteration has the LR policies[first](0),
    where LRBench's callback, which counts from 1, asks for that of 1, and so one iteration later throughout.

    >>> from lrbench.policy import FIX
    >>> flat = [(10, 0.5), (20, 0.5), (30, 0.5)]
    >>> CHANGEONPLATEAU(policies=[FIX(k0=0.1), FIX(k0=0.01)], first=1, window=2, until=100).lrs(30, 31, flat)
    array([0.1])
    """

    formula = "lr = policies[i](t); i-1 on a plateau before until, i+1 on one after, at most once in cooldown + 1"
    source = "LRBench, LRBench/lr/ChangeLROnPlateau.py"
    policies: Sequence[Policy] = declare("part", "policies", PoliciesKind(), "what is chosen from, high to low")
    first: int = count("which of the policies begins, counted from 0", low=0, unit="index")
    window: int = count("how many make a plateau", low=2, unit="evaluations", default=5)
    threshold: float = number("the improvement that is none", bounds=NOT_NEGATIVE, unit="metric", default=0.05)
    cooldown: int = count("how many are ignored after a plateau", low=0, unit="evaluations", default=5)
    until: Length = length("before it a plateau raises the LR, from it on it lowers it", default="0.8dur")

    def conflict(self) -> str | None:
        if self.first >= len(self.policies):
            return f"first must be one of the policies, 0 to {len(self.policies) - 1}, not {self.first}"
        reactive = [policy.label for policy in self.policies if policy.reacts]
        return f"policies must be closed forms, not {reactive[0]}" if reactive else None

    @property
    def bounds(self) -> tuple[float, float]:
        lows, highs = zip(*(policy.bounds for policy in self.policies), strict=True)
        return min(lows), max(highs)

    def evaluate(self, t: IntArray, history: History) -> FloatArray:
        chosen = self._index_after_each(history)[evaluations_before(t, history)]
        lrs = np.empty(t.shape, dtype=np.float64)
        for index in np.unique(chosen):
            mine = chosen == index
            lrs[mine] = self.policies[index].evaluate(t[mine], ())
        return lrs

    def _index_after_each(self, history: History) -> IntArray:
        index, cooling, last = self.first, 0, len(self.policies) - 1
        values = [value for _, value in history]
        indices = [index]
        for seen, (step, _) in enumerate(history, start=1):
            if cooling > 0:
                cooling -= 1
            elif seen > self.window and self._is_plateau(values[seen - self.window : seen]):
                cooling = self.cooldown
                index = max(index - 1, 0) if step < iterations(self.until) else min(index + 1, last)
            indices.append(index)
        return np.array(indices, dtype=np.int64)

    def _is_plateau(self, values: list[float]) -> bool:
        return not any(later - earlier >= self.threshold for earlier, later in pairwise(values))
