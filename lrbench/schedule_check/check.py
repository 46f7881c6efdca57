"""Whether the schedule that really ran is the policy, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import PolicyError, TraceError
from lrbench.policy.kind import short_repr
from lrbench.policy.policy import FloatArray, Policy
from lrbench.policy.recognition import recognize
from lrbench.policy.table import PolicyLike, policy_of
from lrbench.schedule_check.faults import Case, Fault, first_fault
from lrbench.schedule_check.trace import Trace, read_trace


@dataclass(frozen=True, repr=False)
class ScheduleCheck(Readable):
    """What a trace has that its policy has not.

    Attributes:
        policy: the policy that was to run, bound.
        steps: the budget in iterations.
        seen: the steps of the trace within the budget.
        faults: what is off; none where the trace is the policy.
        deviation, at: the largest distance of an LR from the policy's, and at which iteration.
    """

    policy: Policy
    steps: int
    seen: int
    faults: tuple[Fault, ...]
    deviation: float
    at: int

    @property
    def ok(self) -> bool:
        """Whether the schedule that ran is the policy."""
        return not self.faults

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        if self.ok:
            yield f"The schedule that ran is {self.policy} at each of its {many(self.seen, 'step')}."
            return
        for fault in self.faults:
            yield f"{fault.name}: {fault.sentence}"
            yield f"  {fault.mend}"
        if self.deviation:
            yield f"The LR is furthest from {self.policy} at iteration {self.at:,}: by {self.deviation:.6g}."

    def to_json(self) -> dict[str, Any]:
        """Return the answer as a document."""
        return {
            "schema": 1,
            "ok": self.ok,
            "policy": str(self.policy),
            "steps": self.steps,
            "seen": self.seen,
            "faults": [{**fault._asdict(), "mend": fault.mend} for fault in self.faults],
            "deviation": self.deviation,
            "at": self.at,
        }


def check(
    trace: Trace | str | Path,
    policy: PolicyLike | None = None,
    *,
    steps: int | None = None,
    steps_per_epoch: int | None = None,
) -> ScheduleCheck:
    """Say what is off in the schedule that really ran.

    A fault is named where the trace equals, but for rounding, what the fault makes of the policy. Several parameter
    groups are compared by their ratios to the policy; the policy is judged by the first whose ratio is not 0.

    Args:
        trace: a trace or its file, as `lrbench.trace` writes it.
        policy: the policy that was to run; that of the first group's LRs, by `recognize`, where none is given.
        steps: the budget: how many times the optimizer was to step; those of the trace where it is not given.
        steps_per_epoch: optimizer steps an epoch; lengths in epochs need it.

    Raises:
        TraceError: the trace cannot be read.
        PolicyError: the policy is none, does not fit the budget, or reacts to evaluations.
    """
    if not isinstance(trace, Trace):
        trace = read_trace(trace)
    steps = int(trace.steps[-1]) + 1 if steps is None else steps
    judged = next((number for number, ratio in enumerate(trace.ratios) if ratio != 0), None)
    if judged is None:
        raise TraceError("every parameter group of the trace has lr_ratio 0, so that it shows nothing of the schedule")
    given = recognize(trace.steps, trace.lrs[:, judged]) if policy is None else policy_of(policy, steps)
    if given.reacts:
        raise PolicyError(f"{short_repr(given)} reacts to evaluations: its schedule is not known without them")
    if steps_per_epoch is None and any(text.endswith("ep") for text in given.relative):
        raise PolicyError(f"steps_per_epoch is needed for {', '.join(given.relative[:3])}")
    if in_tokens := [text for text in given.relative if text.endswith(("tok", "tok/param"))]:
        raise PolicyError(f"a trace knows no tokens: give {', '.join(in_tokens[:3])} in iterations")
    bound = given.bind(steps, steps_per_epoch or steps)
    within = trace.steps < steps
    if not within.any():
        raise TraceError(f"the trace begins at iteration {trace.steps[0]:,}, after a budget of {steps:,}")
    t, groups = trace.steps[within], trace.lrs[within]
    lrs = groups[:, judged] / (trace.ratios[judged] or 1.0)
    wrong = np.flatnonzero(~np.isfinite(lrs))
    if len(wrong):
        first, more = int(wrong[0]), "" if len(wrong) == 1 else f", and at {len(wrong) - 1:,} more"
        fault = Fault("no learning rate", f"The LR is {lrs[first]} at iteration {t[first]:,}{more}.")
        return ScheduleCheck(bound, steps, len(t), (fault,), 0.0, int(t[first]))
    case = Case(t, lrs, given, bound, steps, steps_per_epoch, trace.resumes, trace.world_size)
    gaps = np.abs(lrs - case.expected)
    at = int(gaps.argmax())
    is_off = policy is not None and len(case.misses(case.expected)) > 0
    found = [_fault(case)] if is_off else []
    if not is_off and t[-1] + 1 < steps and not trace.is_full:
        found.append(_ended_early(case))
    if not within.all():
        over = f"The run has {trace.steps[-1] + 1:,} steps, and the schedule {steps:,}"
        found.append(Fault("ran past its end", f"{over}: the last LR is {trace.lrs[-1, judged]:.6g}."))
    found += _faults_of_groups(trace.ratios, groups, case, judged)
    return ScheduleCheck(bound, steps, len(t), tuple(found), float(gaps[at]) if is_off else 0.0, int(t[at]))


def _fault(case: Case) -> Fault:
    fault = first_fault(case)
    if fault is not None:
        return fault
    wrong = int(case.t[case.misses(case.expected)[0]])
    if wrong in case.resumes and wrong > case.t[0]:
        return Fault(
            "not restored", f"The schedule is the policy's up to the resume at iteration {wrong:,}, not after it."
        )
    from_where = f"from iteration {wrong:,} on" if wrong > case.t[0] else "from the start"
    return Fault("another policy", f"The LR is not the policy's {from_where}, nor what a known fault makes of it.")


def _ended_early(case: Case) -> Fault:
    done, last = int(case.t[-1]) + 1, float(case.policy(case.steps - 1))
    sentence = (
        f"The trace has {done:,} of {many(case.steps, 'step')} and ends at an LR of {case.lrs[-1]:.6g}, not {last:.6g}."
    )
    return Fault("ended early", sentence)


def _faults_of_groups(ratios: tuple[float | None, ...], groups: FloatArray, case: Case, judged: int) -> Iterator[Fault]:
    """List the groups whose LR has not the noted ratio to the policy's, but for that by which it is judged."""
    to = "the first group's" if judged == 0 else f"group {judged}'s"
    for number, ratio in enumerate(ratios):
        lrs = groups[:, number]
        there = ~np.isnan(lrs) & (case.lrs > 0)
        if number == judged or ratio is None or not there.any():
            continue
        found = lrs[there] / case.lrs[there]
        if np.allclose(found, ratio, rtol=1e-6, atol=0.0):
            continue
        if np.ptp(lrs[there]) == 0.0 < np.ptp(case.lrs[there]):
            yield Fault("group not scheduled", f"Group {number} has an LR of {lrs[there][0]:.6g} at every step.")
        else:
            span = (
                f"{found.min():.6g}"
                if np.ptp(found) < 1e-6 * found.max()
                else f"{found.min():.4g} to {found.max():.4g}"
            )
            yield Fault("another ratio", f"Group {number} has {span} times {to} LR, not {ratio:.6g} times.")
