"""Two policies of a study side by side, seed by seed where their runs are paired."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrbench.errors import StudyError, did_you_mean
from lrbench.metrics import Interval, PolicyRuns, paired_interval
from lrbench.metrics.goal import By, Criterion, texts_of
from lrbench.metrics.pairs import FloatArray
from lrbench.metrics.ranking import gain_table
from lrbench.metrics.statistics import unpaired_interval
from lrbench.store import Store
from lrbench.study.study_runs import StudyRuns


@dataclass(frozen=True)
class Comparison:
    """The differences between two policies on one task.

    Attributes:
        differences: by metric, the 95% t interval of the first policy's value minus the second's: over the seeds where
            both have one, or of the difference of two means where runs are not paired.
        ahead: by goal, the number of seeds on which the first policy is better, and on which the second is; a run that
            never reaches the target is worse than one that does. Empty where runs are not paired.
    """

    task: str
    first: str
    second: str
    differences: Mapping[str, Interval]
    ahead: Mapping[str, tuple[int, int]]
    paired: bool = True

    def to_json(self) -> dict[str, Any]:
        gaps = {name: gap.to_json() for name, gap in self.differences.items()}
        return {**vars(self), "differences": gaps}


def compare_two(study: str, first: str, second: str, store: Store, by: By = ()) -> tuple[Comparison, ...]:
    """Compare two policies of a study, each named as in the study or by its text; one comparison a task.

    Args:
        by: the goals, in place of the study's own; where some are given, they alone are compared.

    Raises:
        StudyError: the study has no such policy, one of the two has no run that has ended, or a goal cannot be used.
        StoreError: the store has no study of that name, or cannot be read.
    """
    evidence = StudyRuns.of(study, store)
    one, other = _name(evidence, first), _name(evidence, second)
    comparisons = []
    for task in evidence.tasks:
        contenders = {contender.name: contender for contender in evidence.contenders(evidence.records(task, "main"))}
        for name in (one, other):
            if name not in contenders:
                raise StudyError(f"policy '{name}' of study '{study}' has no run on '{task.name}' that has ended")
        pair, goals = (contenders[one], contenders[other]), evidence.goals(task, by)
        differences = _by_goal(pair, goals) if texts_of(by) else differences_of(*pair, paired=task.paired)
        ahead = {goal.name: _ahead(pair, goal) for goal in goals if goal.paired}
        comparisons.append(Comparison(task.name, one, other, differences, ahead, task.paired))
    return tuple(comparisons)


def _name(evidence: StudyRuns, wanted: str) -> str:
    """Return the label of a row, which is given by itself or by the text of its policy."""
    names = list(evidence.rows)
    plain, modified = (
        {name for name, variant in evidence.rows.values() if bool(variant) is has} for has in (False, True)
    )
    known = [policy for policy in evidence.record.policies if policy.name not in modified - plain]
    labels = {policy.policy: policy.name for policy in known}
    labels |= {name: name for name in names}
    if wanted in labels:
        return labels[wanted]
    raise StudyError(
        f"study '{evidence.name}' has no policy '{wanted}'{did_you_mean(wanted, names)}; "
        f"it has: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
    )


def differences_of(one: PolicyRuns, other: PolicyRuns, *, paired: bool = True) -> dict[str, Interval]:
    """Return by metric the 95% t interval of a policy's value minus another's, over the seeds where both have one.

    Args:
        paired: whether runs of one seed belong together; if not, that of the difference of the means of all runs.
    """
    both = [{run.seed: run.figures for run in contender.runs} for contender in (one, other)]
    shared = both[0].keys() & both[1].keys()
    seen = [own for runs in both for seed, own in runs.items() if not paired or seed in shared]
    return {
        name: _difference([{seed: own.get(name) for seed, own in runs.items()} for runs in both], paired)
        for name in dict.fromkeys(name for own in seen for name in own)
    }


def _by_goal(pair: Sequence[PolicyRuns], goals: Sequence[Criterion]) -> dict[str, Interval]:
    return {
        goal.name: _difference([{run.seed: goal.value(run) for run in one.runs} for one in pair], goal.paired)
        for goal in goals
    }


def _difference(pair: Sequence[Mapping[int, float | None]], paired: bool) -> Interval:
    """Return the interval of the first's values by seed minus the second's, of the seeds of both where paired."""
    one, other = pair
    if not paired:
        return unpaired_interval(_column(one, one), _column(other, other))
    shared = sorted(one.keys() & other.keys())
    return paired_interval(_column(one, shared), _column(other, shared))


def _ahead(pair: Sequence[PolicyRuns], goal: Criterion) -> tuple[int, int]:
    (one, other), _ = gain_table(pair, goal.gain)
    return int((one > other).sum()), int((other > one).sum())


def _column(values: Mapping[int, float | None], seeds: Iterable[int]) -> FloatArray:
    """Return the values that are known, nan in place of others."""
    return np.array([math.nan if (value := values[seed]) is None else value for seed in seeds], dtype=np.float64)
