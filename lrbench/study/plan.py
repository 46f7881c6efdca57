"""From a study to the runs that answer it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from lrbench.study.study import Entry, Study

if TYPE_CHECKING:
    from lrbench.policy import Policy
    from lrbench.tasks import Task

NUMERICS = 1
"""Raised when a change of the engine changes the numbers that a run ends with, so that older runs are not reused."""


@dataclass(frozen=True)
class PlannedRun:
    """One training run: an entry's policy at a base-LR scale, on a task, with a seed.

    Attributes:
        stage: what the run is for: "main", "confirm" (fresh seeds for the finalists) or "scale" (base-LR robustness).
        scale: the factor on the policy's learning rates; 1 but for stage "scale".
    """

    task: Task
    entry: Entry
    seed: int
    stage: str = "main"
    scale: float = 1.0

    @cached_property
    def policy(self) -> Policy:
        """The policy that is trained, bound to the task's budget."""
        policy = self.entry.policy if self.scale == 1 else self.entry.policy.scaled(self.scale)
        return policy.bind(self.task.steps, self.task.steps_per_epoch)

    @cached_property
    def key(self) -> str:
        """The hash of all that determines the run's numbers: task, seed and learning rates.

        Two policies with equal learning rates share their runs. A policy that reacts to evaluations has no
        learning rates before it is trained; there its text stands for them.
        """
        if self.policy.reacts:
            lrs = str(self.policy).encode()
        else:
            lrs = np.ascontiguousarray(self.policy.lrs(0, self.task.steps), dtype="<f8").tobytes()
        what = json.dumps([NUMERICS, self.task.key, self.seed, blake2b(lrs, digest_size=16).hexdigest()])
        return blake2b(what.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Plan:
    """The runs of a study in the order of training: seed by seed, so that every policy is known early."""

    study: Study
    runs: tuple[PlannedRun, ...]

    @cached_property
    def by_key(self) -> Mapping[str, PlannedRun]:
        """One run of each key: what has to be trained if nothing is known yet."""
        unique: dict[str, PlannedRun] = {}
        for run in self.runs:
            unique.setdefault(run.key, run)
        return unique


def plan(study: Study) -> Plan:
    """All runs of a study but those that confirm its winner, which depend on how these end."""
    scales = [scale for scale in study.base_lr_scales if scale != 1]
    return Plan(study, (*_runs(study, study.seeds), *_runs(study, study.seeds, "scale", scales)))


def confirmation(study: Study, finalists: Mapping[str, Iterable[str]]) -> Plan:
    """The runs that score finalists again: `finalists` has the names of entries by the name of their task."""
    fresh = fresh_seeds(study)
    runs = [
        PlannedRun(task, entry, seed, "confirm")
        for task in study.tasks
        for seed in fresh
        for entry in study.entries
        if entry.name in set(finalists.get(task.name, ()))
    ]
    return Plan(study, tuple(runs))


def fresh_seeds(study: Study) -> tuple[int, ...]:
    """Seeds for a confirmation, none of which the study has looked at."""
    first = max(study.seeds) + 1
    return tuple(range(first, first + study.confirm))


def _runs(
    study: Study, seeds: Iterable[int], stage: str = "main", scales: Iterable[float] = (1.0,)
) -> Iterator[PlannedRun]:
    scales = tuple(scales)
    for task in study.tasks:
        for seed in seeds:
            for scale in scales:
                for entry in study.entries:
                    yield PlannedRun(task, entry, seed, stage, scale)
