"""Compare: any policies of any studies, their curves over one another, and their differences from the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from lrbench.errors import StudyError
from lrbench.metrics import METRICS
from lrbench.study.compare import differences_of
from lrbench.study.study_runs import StudyRuns

if TYPE_CHECKING:
    from lrbench.metrics import PolicyRuns
    from lrbench.store import Store, TaskRecord

MOST_COMPARED = 12
"""The most policies that are compared at once."""


class Pick(NamedTuple):
    """A row of a study: the study's id, the name of a task, and the label of a policy with its variant."""

    study: int
    task: str
    label: str


def choices(store: Store, study: int) -> list[dict[str, str]]:
    """List the rows of a study that have a run which has ended, task by task.

    Raises:
        StoreError: the store has no such study.
    """
    evidence = StudyRuns.of(study, store)
    return [
        {"task": task.name, "label": row.name}
        for task in evidence.tasks
        for row in evidence.contenders(evidence.records(task, "main"))
    ]


def compared(store: Store, picks: Sequence[Pick]) -> dict[str, Any]:
    """Return the curves of the rows, their scores, and the paired differences of each from the first.

    Raises:
        StoreError: the store has no such study.
        StudyError: a study has no such row with a run that has ended, or the rows are too many.
    """
    from lrbench.report.frames import study_frames
    from lrbench.report.page.content import curves_of

    if len(picks) > MOST_COMPARED:
        raise StudyError(f"at most {MOST_COMPARED} policies are compared at once, not {len(picks)}")
    curves, rows, found = [], [], []
    for pick in picks:
        evidence = StudyRuns.of(pick.study, store)
        task, runs = _row(evidence, pick)
        frames = study_frames(pick.study, store).on(pick.task)
        own = frames.policies[frames.policies["label"] == pick.label]
        name = f"{pick.label} ({evidence.name})"
        curves += curves_of(replace(frames, policies=own), {pick.label: name})
        (card,) = (one for one in frames.results.tasks[0].scorecards if one.name == pick.label)
        rows.append({"name": name, "task": pick.task, "policy": card.policy, "seeds": card.n})
        rows[-1] |= {"val": f"{card.val}", "test": f"{card.test}", "objective": task.objective}
        found.append((task, runs))
    return {"curves": curves, "rows": rows, "differences": [_differences(found[0], one) for one in found[1:]]}


def _row(evidence: StudyRuns, pick: Pick) -> tuple[TaskRecord, PolicyRuns]:
    for task in evidence.tasks:
        if task.name == pick.task:
            for row in evidence.contenders(evidence.records(task, "main")):
                if row.name == pick.label:
                    return task, row
    raise StudyError(f"study '{evidence.name}' has no policy '{pick.label}' on '{pick.task}' with a run that has ended")


def _differences(first: tuple[TaskRecord, PolicyRuns], other: tuple[TaskRecord, PolicyRuns]) -> dict[str, Any]:
    """Return the other's metrics minus the first's, over the seeds that both have where their runs are paired."""
    same = other[0].key == first[0].key
    is_imported = first[0].is_imported or other[0].is_imported
    paired = first[0].paired and other[0].paired and (same or not is_imported)
    gaps = differences_of(other[1], first[1], paired=paired)
    known = [(METRICS[name].title if name in METRICS else name, gap) for name, gap in gaps.items() if gap.n]
    return {
        "how": _how(paired, same, is_imported),
        "unit": "seeds" if paired else "runs",
        "rows": [
            {"metric": title, "mean": gap.mean, "low": gap.low, "high": gap.high, "seeds": gap.n}
            for title, gap in known
            if gap.mean is not None
        ],
    }


def _how(paired: bool, same: bool, is_imported: bool) -> str:
    """Say what the runs of one seed have in common."""
    if not paired:
        return "Unpaired: the runs have nothing in common."
    if is_imported:
        return "Paired by seed, as the runs that were imported are named."
    if same:
        return "Paired by seed: the same initial weights and batches."
    return "Paired by seed alone: the tasks differ, in data, network or optimizer."
