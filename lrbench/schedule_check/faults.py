"""The known faults of a schedule, each as the learning rates that it makes of the policy's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrbench.display.names import many
from lrbench.errors import PolicyError
from lrbench.policy.composition import Piecewise, Warmup
from lrbench.policy.policy import FloatArray, IntArray, Policy

RELATIVE, ABSOLUTE = 5e-7, 1e-9
"""How far from each other equal LRs may be: relative to themselves, and to the highest; a float32 has 6e-8."""

MOST_TIMES = 64
"""The most times a step that a scheduler is taken to be stepped, and the most that a budget is off by."""

MENDS = {
    "never stepped": "Call scheduler.step() once after each optimizer.step().",
    "no learning rate": "Look where the schedule divides, and what it multiplies: torch takes a factor that is not "
    "finite without a word.",
    "stepped once an epoch": "Call scheduler.step() after each optimizer.step(); in Lightning, give the scheduler "
    '"interval": "step".',
    "stepped seldom": "Call scheduler.step() after each optimizer.step(), or build the schedule for the number of its "
    "calls.",
    "stepped several times": "Call scheduler.step() once an optimizer.step(), not once a micro-batch, from one place.",
    "stepped once a process": "accelerate steps a prepared scheduler once a process: do not prepare the scheduler, use "
    "split_batches=True, or build it for the number of processes times the iterations.",
    "early": "Call scheduler.step() after optimizer.step(), and begin with last_epoch=-1.",
    "late": "Call scheduler.step() after each optimizer.step(), the first one included, and look where the LR is set.",
    "budget too small": "Build the schedule for the optimizer's steps: batches an epoch times epochs, over the "
    "micro-batches a step.",
    "budget too large": "Build the schedule for the optimizer's steps: micro-batches that are accumulated, and batches "
    "that other processes train, are no steps.",
    "factor": "Give the optimizer the LR that the schedule multiplies: schedules of factors take the group's LR for "
    "1, and a rule that scales LRs by the batch or the processes may have been applied twice, or not.",
    "other floor": "Give the scheduler the final LR, such as eta_min, that the policy has.",
    "cut off": "Take out the limit of the LR, or put it into the policy.",
    "warmup one step early": "The ramp is (t+1)/length, as in many recipes, and the policy's is t/length: warm up from "
    "start=peak/length over length-1 iterations, or leave it and write it so in the policy.",
    "warmup missing": "Add the warmup to the scheduler, as in SequentialLR or a lambda of LambdaLR.",
    "decay after warmup": "The decay begins where the warmup ends, and the policy's runs beneath the warmup from the "
    "start: write it LINEAR(...).then(..., at=length), or change the schedule.",
    "restarted": "Load the scheduler's state_dict where the run resumes, after the optimizer's.",
    "warmed up again": "Load the scheduler's state_dict where the run resumes; warm up only where nothing is loaded.",
    "resumed elsewhere": "Save and load the scheduler's state_dict in the same checkpoint as the optimizer's.",
    "steps apart": "Step the scheduler where the optimizer steps: a GradScaler that skips a step, or a loop that "
    "continues early, leaves one of them out.",
    "over the peak": "SequentialLR with last_epoch, and chained schedulers, multiply the LR of the optimizer: build "
    "them with last_epoch=-1 and load their state_dict, and let the warmup end at its milestone.",
    "factor from a step": "Schedulers that multiply the optimizer's LR keep what another one left: hand over where the "
    "warmup has reached 1, or use one closed form, such as LambdaLR or PolicyLR.",
    "stopped being stepped": "Look which branch of the loop stops calling scheduler.step().",
    "not restored": "Load the scheduler's state_dict where the run resumes, in place of last_epoch=...",
    "ended early": "If these are all steps, build the schedule for that number; a run that still trains has more.",
    "ran past its end": "Build the schedule for the number of steps that are trained, or stop where it ends.",
    "another ratio": "Note the group's ratio as its lr_ratio, or give the group its LR before the scheduler is built.",
    "group not scheduled": "Add the parameter group before the scheduler is built.",
    "another policy": "Look which scheduler the loop builds, and what else sets the LR.",
}
"""What mends each fault, by its name."""


class Fault(NamedTuple):
    """What is off in a schedule.

    Attributes:
        name: one of `MENDS`.
        sentence: what happened, with the numbers.
    """

    name: str
    sentence: str

    @property
    def mend(self) -> str:
        """What mends it."""
        return MENDS[self.name]


class Hypothesis(NamedTuple):
    """A fault, and the LRs that the trace has if it happened; NaN where the fault says nothing."""

    fault: Fault
    lrs: FloatArray


@dataclass(frozen=True)
class Case:
    """The LRs of a trace beside those of a policy.

    Attributes:
        t, lrs: the iterations, increasing, and the LR at each, [n].
        given, policy: the policy as it was given, and bound to the budget.
        steps, steps_per_epoch: the budget.
        resumes: the iterations at which the run was resumed.
        world_size: the number of processes.
    """

    t: IntArray
    lrs: FloatArray
    given: Policy
    policy: Policy
    steps: int
    steps_per_epoch: int | None = None
    resumes: tuple[int, ...] = ()
    world_size: int = 1

    @cached_property
    def expected(self) -> FloatArray:
        """The policy's LRs, [n]."""
        return self.at(self.t)

    @cached_property
    def tolerance(self) -> float:
        """The distance within which LRs are equal, beside the relative one."""
        return ABSOLUTE * float(max(np.abs(self.lrs).max(), self.expected.max()))

    def at(self, t: IntArray, policy: Policy | None = None) -> FloatArray:
        """Return the LRs of a policy at iterations, of which none is before the first or after the last."""
        policy = policy or self.policy
        last = policy.ends - 1 if np.isfinite(policy.ends) else 2**53
        return np.asarray(policy(np.clip(t, 0, int(last))), dtype=np.float64)

    def misses(self, lrs: FloatArray) -> IntArray:
        """Return the places where the trace has other LRs than these; a NaN is none."""
        return np.flatnonzero(np.abs(self.lrs - lrs) > RELATIVE * np.abs(lrs) + self.tolerance)

    def explains(self, lrs: FloatArray) -> bool:
        """Return whether the trace has these LRs, and they say something of it."""
        said = ~np.isnan(lrs)
        return len(self.misses(lrs)) == 0 and len(np.unique(self.lrs[said])) > min(2, len(np.unique(self.lrs)) - 1)


def first_fault(case: Case) -> Fault | None:
    """Return the simplest fault that makes exactly the trace of the policy; None where none does."""
    return next((one.fault for one in hypotheses(case) if case.explains(one.lrs)), None)


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """List what each known fault makes of the policy, the simplest first."""
    for name, lrs, sentence in _all(case):
        yield Hypothesis(Fault(name, sentence), lrs)


_Made = Iterator[tuple[str, FloatArray, str]]


def _all(case: Case) -> _Made:
    for family in (_constant, _shifted, _scaled, _other_warmup, _other_pace, _other_budget):
        yield from family(case)
    wrong = case.misses(case.expected)
    first = int(case.t[wrong[0]]) if len(wrong) and wrong[0] > 0 else None
    if first is not None:
        yield from _stuck(case, first)
    yield from _other_range(case)
    if first is not None:
        resume = max((resume for resume in case.resumes if resume <= first), default=None)
        for start in dict.fromkeys([first] if resume is None else [resume, first]):
            since = replace(case, resumes=(start,) if start == resume else ())
            for later in (_restarted, _shifted_from, _scaled_from):
                yield from later(since, start)
        yield from _skipping(case)


def _constant(case: Case) -> _Made:
    if np.ptp(case.expected) > case.tolerance:
        lrs = np.full(case.lrs.shape, case.lrs[0])
        yield "never stepped", lrs, f"The LR is {case.lrs[0]:.6g} at every step: the scheduler was never stepped."


def _shifted(case: Case) -> _Made:
    for shift in _shifts(case, case.t, case.lrs):
        lrs = case.at(case.t + shift)
        yield _early_or_late(shift), lrs, f"The LR is {_steps(shift)} the policy's."


def _shifts(case: Case, t: IntArray, lrs: FloatArray) -> list[int]:
    """List the shifts in time that fit some LRs, the smallest first."""
    reach = max(case.steps, int(case.t[-1]) + 1)
    shifts = np.array([sign * k for k in range(1, reach) for sign in (1, -1)], dtype=np.int64)
    for place in dict.fromkeys(np.linspace(0, len(t) - 1, 9).astype(int).tolist()):
        fit = case.at(t[place] + shifts)
        shifts = shifts[np.abs(fit - lrs[place]) <= RELATIVE * np.abs(fit) + case.tolerance]
    return [int(shift) for shift in shifts[:4]]


def _early_or_late(shift: int) -> str:
    return "early" if shift > 0 else "late"


def _steps(shift: int) -> str:
    number = "one step" if abs(shift) == 1 else f"{abs(shift):,} steps"
    return f"{number} ahead of" if shift > 0 else f"{number} behind"


def _scaled(case: Case) -> _Made:
    factor = _factor(case.lrs, case.expected)
    processes = case.world_size > 1 and min(abs(factor - c) for c in (case.world_size, 1 / case.world_size)) < 1e-6
    why = f", which is by the number of processes, {case.world_size}" if processes else ""
    yield "factor", factor * case.expected, f"Every LR is {factor:.6g} times the policy's{why}."


def _factor(lrs: FloatArray, expected: FloatArray) -> float:
    square = float(expected @ expected)
    return float(lrs @ expected) / square if square > 0 else 1.0


def _other_warmup(case: Case) -> _Made:
    for start, stop in _warmups(case):
        ramp, after = case.at(case.t + 1), case.t >= stop
        lrs = np.where(after, case.expected, ramp)
        if start is None:
            sentence = f"The warmup of {many(stop, 'iteration')} is one step ahead of the policy's."
            yield "warmup one step early", lrs, sentence
            continue
        body = start.policy
        one = np.where(after, case.expected, start.start + (case.at(case.t, body) - start.start) * (case.t + 1) / stop)
        sentence = f"The warmup of {many(stop, 'iteration')} is one step ahead of the policy's."
        yield "warmup one step early", lrs, sentence
        yield "warmup one step early", one, sentence
        yield "warmup missing", case.at(case.t, body), f"There is no warmup of {many(stop, 'iteration')}."
        peak = float(body(0))
        for ahead in (0, 1):
            rise = start.start + (peak - start.start) * np.minimum((case.t + ahead) / stop, 1.0)
            for decay in _bodies(case, body, stop):
                delayed = np.where(after, case.at(case.t - stop, decay), rise)
                sentence = f"The decay begins at iteration {stop}, where the warmup ends, not beneath it."
                yield "decay after warmup", delayed, sentence


def _bodies(case: Case, body: Policy, warmup: int) -> Iterator[Policy]:
    """List a warmed-up policy as it is, and in what the warmup leaves of the budget."""
    yield body
    given = case.given.policy if isinstance(case.given, Warmup) else body
    if not given.is_bound and warmup < case.steps:
        yield given.bind(case.steps - warmup, case.steps_per_epoch or case.steps)


def _warmups(case: Case) -> Iterator[tuple[Warmup | None, int]]:
    """List the warmups of a policy, each with the iteration at which it ends."""
    if isinstance(case.policy, Warmup):
        yield case.policy, int(case.policy.length)
    elif isinstance(case.policy, Piecewise):
        yield None, int(case.policy.at[0])
    elif isinstance(up := getattr(case.policy, "up", None), int):
        yield None, up


def _other_pace(case: Case) -> _Made:
    for times in range(2, MOST_TIMES + 1):
        over = case.t * times >= case.steps
        by_process = times == case.world_size
        name = "stepped once a process" if by_process else "stepped several times"
        each = ", once for each process" if by_process else ""
        part = -(-case.steps // times)
        sentence = (
            f"The scheduler was stepped {times} times an optimizer step{each}, or built for {many(part, 'step')}: it "
            f"ends at iteration {part:,} of {case.steps:,}{_rises(case, over)}."
        )
        for ahead in (0, times - 1):  # a step of the optimizer is the first or the last of its micro-batches
            yield name, np.where(over, np.nan, case.at(case.t * times + ahead)), sentence
    changes = case.t[1:][np.abs(np.diff(case.lrs)) > case.tolerance]
    every = gcd(*changes.tolist()) if len(changes) else 1
    if every == 1:
        return
    name = "stepped once an epoch" if case.steps_per_epoch in (None, every) else "stepped seldom"
    for scale in (1, every):
        at = case.t // every * scale
        often = f"The LR changes only once every {every:,} optimizer steps"
        yield name, case.at(at), f"{often}, and the policy comes to its iteration {at[-1]:,} of {case.steps:,}."


def _rises(case: Case, over: NDArray[np.bool_]) -> str:
    """Say how high the LR rises again after the end of the schedule."""
    after = case.lrs[over]
    rises = len(after) > 0 and np.ptp(after) > RELATIVE * after.max() + case.tolerance
    return f", and the LR is up to {after.max():.6g} after it" if rises else ""


def _other_budget(case: Case) -> _Made:
    if case.given.is_bound:
        return
    epoch = case.steps_per_epoch or 1
    near = [case.steps + k * unit for unit in (1, epoch) for k in (1, -1)]
    shares = sorted(
        {Fraction(a, b) for a in range(1, 9) for b in range(1, 9)} | {Fraction(MOST_TIMES >> k) for k in range(3)}
    )
    budgets = [*near, *(round(case.steps * share) for share in shares)]
    for budget in dict.fromkeys(budget for budget in budgets if budget > 0 and budget != case.steps):
        try:
            policy = case.given.bind(budget, case.steps_per_epoch or budget)
        except PolicyError:
            continue
        over, is_less = case.t > budget, budget < case.steps
        end = f"it ends at iteration {budget:,}{_rises(case, over)}" if is_less else "it does not come to its end"
        sentence = f"The schedule is for {many(budget, 'iteration')}, not {case.steps:,}: {end}."
        yield f"budget too {'small' if is_less else 'large'}", np.where(over, np.nan, case.at(case.t, policy)), sentence


def _other_range(case: Case) -> _Made:
    ends = np.stack([case.expected, np.ones_like(case.expected)], axis=1)
    slope, offset = np.linalg.lstsq(ends, case.lrs, rcond=None)[0]
    low, ours = float(case.lrs.min()), float(case.expected.min())
    if abs(float(case.lrs.max() - case.expected.max())) <= RELATIVE * case.lrs.max() + case.tolerance:
        yield (
            "other floor",
            slope * case.expected + offset,
            f"The peak is reached, and the lowest LR is {low:.6g}, not {ours:.6g}.",
        )
    yield (
        "cut off",
        np.maximum(case.expected, low),
        f"The LR is never below {low:.6g}; the policy's lowest is {ours:.6g}.",
    )
    high, ours = float(case.lrs.max()), float(case.expected.max())
    sentence = f"The LR is never above {high:.6g}; the policy's highest is {ours:.6g}."
    yield "cut off", np.minimum(case.expected, high), sentence


def _where(case: Case, start: int) -> str:
    return f"the resume at iteration {start:,}" if start in case.resumes else f"iteration {start:,}"


def _restarted(case: Case, start: int) -> _Made:
    after, where = case.t >= start, _where(case, start)
    again = case.at(case.t - start)
    first = case.lrs[after][0] / again[after][0] if again[after][0] > 0 else 1.0
    for factor in dict.fromkeys((1.0, float(first), _factor(case.lrs[after], again[after]))):
        times = "" if factor == 1.0 else f", times {factor:.6g}"
        lrs = np.where(after, factor * again, case.expected)
        yield "restarted", lrs, f"At {where} the schedule began again from its start{times}."
    for warmup, stop in _warmups(case):
        share = np.minimum((case.t - start) / stop, 1.0)
        low, peak = 0.0 if warmup is None else warmup.start, max(case.policy(stop), case.tolerance)
        ramps = [low + (case.expected - low) * share, case.expected * np.where(share < 1, again / peak, 1.0)]
        for ramp in ramps:
            sentence = f"At {where} the LR was warmed up again, over {many(stop, 'iteration')}."
            yield "warmed up again", np.where(after, ramp, case.expected), sentence


def _shifted_from(case: Case, start: int) -> _Made:
    after = case.t >= start
    name = "resumed elsewhere" if start in case.resumes else "steps apart"
    for shift in _shifts(case, case.t[after], case.lrs[after]):
        sentence = f"From {_where(case, start)} on the LR is {_steps(shift)} the policy's."
        yield name, np.where(after, case.at(case.t + shift), case.expected), sentence


def _scaled_from(case: Case, start: int) -> _Made:
    after = case.t >= start
    place = int(after.argmax())
    if case.expected[place] <= 0:
        return
    factor = float(case.lrs[place] / case.expected[place])
    scaled = np.where(after, factor * case.expected, case.expected)
    misses = case.misses(scaled)
    stop = int(case.t[misses[0]]) if len(misses) else None
    lrs = scaled if stop is None else np.where(case.t < stop, scaled, case.expected)
    is_over = case.lrs.max() > case.expected.max() * (1 + RELATIVE) + case.tolerance
    until = "on" if stop is None else f"to {stop - 1:,}"
    peak = f", and goes over the peak: {case.lrs.max():.6g}, not {case.expected.max():.6g}" if is_over else ""
    sentence = f"From {_where(case, start)} {until} the LR is {factor:.6g} times the policy's{peak}."
    yield "over the peak" if is_over else "factor from a step", lrs, sentence


def _stuck(case: Case, start: int) -> _Made:
    before = case.t < start
    last = case.expected[before][-1]
    sentence = f"From {_where(case, start)} on the LR stays at {last:.6g}: the scheduler was not stepped any more."
    yield "stopped being stepped", np.where(before, case.expected, last), sentence


def _skipping(case: Case) -> _Made:
    """Follow the trace through a schedule of which some steps are left out or taken twice."""
    place, places, apart = 0, np.empty(len(case.t), dtype=np.int64), 0
    reach = np.array([1, 2, 0, 3, 4])
    expected = case.at(np.arange(case.steps + len(case.t) + 5))
    for index, lr in enumerate(case.lrs):
        ahead = place + (reach if index else reach - 1)
        fits = np.abs(expected[ahead] - lr) <= RELATIVE * expected[ahead] + case.tolerance
        if not fits.any():
            return
        place = int(ahead[int(fits.argmax())])
        places[index] = place
        apart += index > 0 and int(fits.argmax()) > 0
    if len(case.t) < 4 * apart:
        return
    sentence = f"At {many(apart, 'step')} one of optimizer and scheduler was stepped without the other."
    yield "steps apart", case.at(places), sentence
