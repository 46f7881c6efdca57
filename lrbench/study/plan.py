"""From a study to the runs that answer it, and to the training that these take."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from lrbench.study.study import Entry, Study
from lrbench.study.treatment import UNMODIFIED, Treatment
from lrbench.tasks.fingerprint import fingerprint

if TYPE_CHECKING:
    from lrbench.engine import Watcher
    from lrbench.policy import Policy
    from lrbench.tasks import Task

NUMERICS = 1
"""Raised when a change of the engine changes the numbers that a run ends with, so that older runs are not reused."""


@dataclass(frozen=True)
class PlannedRun:
    """One run: an entry's policy at a base-LR scale, on a task, with a seed, by a treatment.

    Attributes:
        stage: what the run is for: "main", "confirm" (fresh seeds for the finalists) or "scale" (base-LR robustness).
        scale: the factor on the policy's learning rates; 1 but for stage "scale".
    """

    task: Task
    entry: Entry
    seed: int
    stage: str = "main"
    scale: float = 1.0
    treatment: Treatment = UNMODIFIED

    @cached_property
    def policy(self) -> Policy:
        """The policy that is trained, bound to the task's budget."""
        scale = self.scale * self.treatment.lr_scale
        policy = self.entry.policy if scale == 1 else self.entry.policy.scaled(scale)
        return policy.bind(self.task.steps, self.task.steps_per_epoch)

    @cached_property
    def training_key(self) -> str:
        """The hash of all that determines how the weights move: task, seed, learning rates and modifiers.

        Two policies with equal learning rates share their training. A policy that reacts to evaluations has no
        learning rates before it is trained; there its text stands for them.
        """
        if self.policy.reacts:
            lrs = str(self.policy).encode()
        else:
            lrs = np.ascontiguousarray(self.policy.lrs(0, self.task.steps), dtype="<f8").tobytes()
        modifiers = [_identity(modifier) for modifier in self.treatment.modifiers]
        return _hash([NUMERICS, self.task.key, self.seed, blake2b(lrs, digest_size=16).hexdigest(), modifiers])

    @cached_property
    def key(self) -> str:
        """The hash of all that determines the run's numbers: its training, and what watches it."""
        if self.treatment.watcher is None:
            return self.training_key
        return _hash([self.training_key, _identity(self.treatment.watcher)])


@dataclass(frozen=True)
class Job:
    """Runs that one training answers: the same weights, watched in different ways, or not at all."""

    runs: tuple[PlannedRun, ...]

    @property
    def training(self) -> PlannedRun:
        """One of the runs, for what they share: task, seed, policy and modifiers."""
        return self.runs[0]


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


def confirmation(study: Study, finalists: Mapping[str, Iterable[tuple[str, str]]]) -> Plan:
    """The runs that score finalists again: `finalists` has names of entry and treatment by the name of their task."""
    wanted = {(task, *names) for task, pairs in finalists.items() for names in pairs}
    return Plan(
        study,
        tuple(
            run
            for run in _runs(study, fresh_seeds(study), "confirm")
            if (run.task.name, run.entry.name, run.treatment.name) in wanted
        ),
    )


def fresh_seeds(study: Study) -> tuple[int, ...]:
    """Seeds for a confirmation, none of which the study has looked at."""
    first = max(study.seeds) + 1
    return tuple(range(first, first + study.confirm))


def jobs(runs: Iterable[PlannedRun]) -> list[Job]:
    """The training that answers the runs, in their order; a run that only watches shares that of the run it watches."""
    together: dict[str, list[PlannedRun]] = {}
    for run in runs:
        together.setdefault(run.training_key, []).append(run)
    return [Job(tuple(shared)) for shared in together.values()]


def _runs(
    study: Study, seeds: Iterable[int], stage: str = "main", scales: Iterable[float] = (1.0,)
) -> Iterator[PlannedRun]:
    scales = tuple(scales)
    for task in study.tasks:
        for seed in seeds:
            for scale in scales:
                for entry in study.entries:
                    for arm in study.arms:
                        yield PlannedRun(task, entry, seed, stage, scale, arm)


def _identity(method: Watcher) -> list[object]:
    """A method's settings and its code, so that a changed method of the user's own is another one."""
    return [str(method), fingerprint(type(method))]


def _hash(what: list[object]) -> str:
    return blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()
