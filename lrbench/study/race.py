"""The rounds of a study that adds seeds until its policies are decided, computed from its stored runs.

Rounds are not stored. Each depends only on the scores of the rounds before, so that a study that was cut off goes on as
if it had not been, whatever other runs the store has. The first goal of the study is what is to be decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lrbench.metrics.racing import next_seeds
from lrbench.metrics.ranking import PolicyRuns, gain_table

if TYPE_CHECKING:
    from lrbench.store import TaskRecord
    from lrbench.study.results import Row, StudyRuns

Round = Mapping[tuple[str, str, str], int]
"""The number of seeds, from the first on, by task, policy and variant."""


def last_round(evidence: StudyRuns) -> tuple[Round, bool]:
    """Return the last round that the runs allow, and whether the race is then over on every task."""
    wanted: dict[tuple[str, str, str], int] = {}
    is_over = True
    for task in evidence.tasks:
        seeds, ended = _last_round(evidence, task)
        wanted |= {(task.name, *row): count for row, count in seeds.items()}
        is_over &= ended
    return wanted, is_over


def _last_round(evidence: StudyRuns, task: TaskRecord) -> tuple[Mapping[Row, int], bool]:
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
        )
        plan = dict(zip(evidence.labels, wanted.tolist(), strict=True))
        if (wanted == done).all():
            return plan, True
        if any(over[row] < seeds for row, seeds in plan.items()):
            return plan, False
        done = wanted
