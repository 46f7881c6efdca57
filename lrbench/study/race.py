"""The rounds of a study that adds seeds until its policies are decided, computed from its stored runs.

Rounds are not stored. Each depends only on the scores of the rounds before, so that a study that was cut off goes on as
if it had not been, whatever other runs the store has. The first goal of the study is what is to be decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from lrbench.metrics.racing import next_seeds
from lrbench.metrics.ranking import gain_table
from lrbench.metrics.runs import PolicyRuns

if TYPE_CHECKING:
    from lrbench.store import TaskRecord
    from lrbench.study.study_runs import Row, StudyRuns

Round = Mapping[tuple[str, str, str], int]
"""The number of seeds, from the first on, by task, policy and variant."""


def rounds(evidence: StudyRuns) -> Iterator[Round]:
    """Yield the rounds of a race up to the first that is not trained, or to the last."""
    going = [(task, _rounds(evidence, task)) for task in evidence.tasks]
    wanted: dict[tuple[str, str, str], int] = {}
    is_trained = True
    while is_trained:
        steps = [(task, step) for task, of_task in going if (step := next(of_task, None)) is not None]
        if not steps:
            return
        for task, (seeds, _) in steps:
            wanted |= {(task.name, *row): count for row, count in seeds.items()}
        yield dict(wanted)
        is_trained = all(trained for _, (_, trained) in steps)


def _rounds(evidence: StudyRuns, task: TaskRecord) -> Iterator[tuple[Mapping[Row, int], bool]]:
    """Yield the rounds of a task, each with whether all of its runs have ended or failed."""
    goals, looks = evidence.goals(task), evidence.looks
    over, goal = evidence.over(task, goals), goals[0]
    last = max(look for look in looks.seeds if look <= len(evidence.record.seeds))
    records = evidence.records(task, "main")
    rows = [PolicyRuns(name, "", tuple(records.get(row, ()))) for row, name in evidence.labels.items()]
    gains, diverged = gain_table(rows, goal.gain, evidence.record.seeds)
    done = np.zeros(len(rows), dtype=np.int64)
    while True:
        given = np.arange(gains.shape[1]) < done[:, None]
        wanted = next_seeds(
            np.where(given, gains, np.nan),
            done,
            goal.distance,
            looks,
            last,
            alpha=evidence.alpha,
            diverged=diverged & given,
            resolution=goal.resolution,
            test=goal.test,
            tolerated=evidence.record.tolerated_divergence,
        )
        if (wanted == done).all():
            return
        seeds = dict(zip(evidence.labels, wanted.tolist(), strict=True))
        yield seeds, all(over[row] >= count for row, count in seeds.items())
        done = wanted
