"""The runs of a study, and what identifies them."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from itertools import product
from typing import TYPE_CHECKING

from lrbench.errors import StudyError
from lrbench.policy.horizon import shared_iterations
from lrbench.study.horizons import longer
from lrbench.study.results import FINALISTS
from lrbench.study.schedule import computed_lrs
from lrbench.study.study import Study, StudyPolicy
from lrbench.study.variant import UNMODIFIED, Variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lrbench.engine import Watcher
    from lrbench.policy import Policy
    from lrbench.policy.budget import Budget
    from lrbench.study.race import Round
    from lrbench.study.schedule import Schedule
    from lrbench.tasks import AnyTask

NUMERICS = 1
"""Raised when a change of the engine changes the numbers that a run ends with, so that older runs are not reused."""


@dataclass(frozen=True)
class PlannedRow:
    """A policy at a base-LR scale with a variant, on a task: what its runs share, whatever their seeds.

    Attributes:
        scale: the factor on the policy's learning rates; 1 but for runs that measure robustness over base LRs.
    """

    task: AnyTask
    entry: StudyPolicy
    scale: float = 1.0
    variant: Variant = UNMODIFIED

    @cached_property
    def schedule(self) -> Schedule:
        """The policy bound to the task's budget."""
        return self.entry.schedule(self.task, self.scale * self.variant.lr_scale)

    @cached_property
    def modifiers(self) -> tuple[tuple[str, str], ...]:
        """The text of each modifier and the hash of its code."""
        return tuple(_identity(modifier) for modifier in self.variant.modifiers)

    @cached_property
    def is_alone(self) -> bool:
        """Whether its runs share no iterations with those of another row."""
        looks_ahead = any(modifier.looks_ahead for modifier in self.variant.modifiers)
        return self.entry.policy.reacts or looks_ahead or not self.task.forks

    @cached_property
    def kept_at(self) -> int:
        """The iterations after which a state is kept, since a longer horizon goes on from it; 0 for none."""
        if not self.entry.on_trunk or self.scale != 1 or self.variant.parts or not self.task.forks:
            return 0
        return min(_shared_with_longer(self.entry.policy, self.task.budget), self.task.steps - 1)

    def training_key(self, seed: int) -> str:
        """Hash all that determines the weights: task, seed, learning rates and modifiers.

        Policies with equal learning rates share their training. The text of a reactive policy stands for its learning
        rates.
        """
        return _hash([NUMERICS, self.task.key, seed, self.schedule.digest, [list(one) for one in self.modifiers]])


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study: a row of it with a seed.

    Attributes:
        stage: its purpose: "main", "scale" (the same seeds at other base LRs) or "confirm" (fresh seeds for the
            finalists, at other base LRs too where a goal needs them).
    """

    row: PlannedRow
    seed: int
    stage: str = "main"

    @property
    def task(self) -> AnyTask:
        return self.row.task

    @property
    def entry(self) -> StudyPolicy:
        return self.row.entry

    @property
    def scale(self) -> float:
        return self.row.scale

    @property
    def variant(self) -> Variant:
        return self.row.variant

    @property
    def policy(self) -> Policy:
        """The policy that is trained, bound to the task's budget."""
        return self.row.schedule.policy

    @property
    def lrs(self) -> NDArray[np.float64]:
        """The learning rates of all iterations; a reactive policy has none before it is trained."""
        return _lrs(self.policy, self.task.steps)

    @cached_property
    def training_key(self) -> str:
        """The hash of all that determines the weights."""
        return self.row.training_key(self.seed)

    @property
    def trunk(self) -> Hashable:
        """The identity of a trunk: runs that share it are trained together while their learning rates agree."""
        return (self.task.trunk, self.seed, self.row.modifiers, self.training_key if self.row.is_alone else None)

    def trunk_key(self, steps: int) -> str:
        """Hash all that determines the state after some of its iterations."""
        lrs = blake2b(computed_lrs(self.policy, self.task.steps)[:steps].data, digest_size=16).hexdigest()
        return _hash([NUMERICS, "trunk", self.task.trunk, self.seed, lrs])

    @property
    def key(self) -> str:
        """The hash of all that determines the run's numbers: its training and its watcher."""
        return self.training_key if self.variant.watcher is None else self._watched_key

    @cached_property
    def _watched_key(self) -> str:
        assert self.variant.watcher is not None
        return _hash([self.training_key, list(_identity(self.variant.watcher))])


@dataclass(frozen=True)
class Plan:
    """The runs of a study in the order of training: seed by seed, so that every policy has scores early."""

    study: Study
    runs: tuple[PlannedRun, ...]

    @cached_property
    def by_key(self) -> Mapping[str, PlannedRun]:
        """The first run of each key: all that is trained into an empty store."""
        unique: dict[str, PlannedRun] = {}
        for run in self.runs:
            unique.setdefault(run.key, run)
        return unique

    @property
    def first_round(self) -> Plan:
        """The runs of the first round of a race, or of a study with one number of seeds."""
        first = self.study.until_decided
        if first is None:
            return self
        return self.of_round({(run.task.name, run.entry.name, run.variant.name): first for run in self.runs})

    @property
    def is_within_budget(self) -> bool:
        """Whether the budget of the study has room for these runs and the confirmation."""
        return self.study.budget is None or self.cost <= int(self.study.budget.split()[0])

    @property
    def unit(self) -> str:
        """The unit of the budget, runs or steps."""
        return "runs" if self.study.budget is None else self.study.budget.split()[1]

    @property
    def cost(self) -> int:
        """The runs, or the iterations, of the plan with the confirmation that may follow, as the budget counts them."""
        fresh = FINALISTS * self.study.confirm * (1 + len(_judged_scales(self.study)))
        confirmed = [task.steps for task in self.study.tasks for _ in range(fresh)]
        steps = [*(run.task.steps for run in self.runs), *confirmed]
        return sum(steps) if self.unit == "steps" else len(steps)

    def check_budget(self) -> None:
        """Refuse a study whose budget has no room for its first runs.

        Raises:
            StudyError: it has none.
        """
        if not self.is_within_budget:
            study, first = self.study, self.study.until_decided
            what = "its plan takes" if first is None else f"{first} seeds of every policy take"
            confirmed = " with the confirmation" if study.confirm else ""
            raise StudyError(
                f"study '{study.name}': budget = \"{study.budget}\" is less than the {self.cost} {self.unit} that "
                f"{what}{confirmed}"
            )

    def of_round(self, seeds: Round) -> Plan:
        """Choose the runs of a round of a race, those at other base LRs included."""
        place = {seed: number for number, seed in enumerate(self.study.seeds)}
        return Plan(
            self.study,
            tuple(run for run in self.runs if place[run.seed] < seeds[run.task.name, run.entry.name, run.variant.name]),
        )


def plan(study: Study) -> Plan:
    """Plan all runs of a study but its confirmation, which depends on how these end.

    Raises:
        StudyError: the peak of a policy is not known yet.
    """
    if study.auto_peaks:
        raise StudyError(
            f"study '{study.name}': the peak of '{study.auto_peaks[0]}' comes from a range test, which `lrbench run` "
            "trains first: what the study takes is known after that"
        )
    first = study.seeds if _judged_scales(study) else study.seeds[: study.until_decided]
    return Plan(study, (*_runs(study, study.seeds), *_runs(study, first, "scale", _other_scales(study))))


def confirmation(study: Study, finalists: Mapping[str, Iterable[tuple[str, str]]]) -> Plan:
    """Plan the runs that score finalists again.

    Args:
        finalists: names of policy and variant, by the name of their task.
    """
    wanted = {(task, *names) for task, pairs in finalists.items() for names in pairs}
    runs = _runs(study, fresh_seeds(study.seeds, study.confirm), "confirm", (1.0, *_judged_scales(study)))
    return Plan(study, tuple(run for run in runs if (run.task.name, run.entry.name, run.variant.name) in wanted))


def fresh_seeds(seen: Iterable[int], count: int) -> tuple[int, ...]:
    """Return `count` seeds for a confirmation, none of which was seen before."""
    first = max(seen) + 1
    return tuple(range(first, first + count))


def _other_scales(study: Study) -> list[float]:
    """Return the factors on the base LR beside 1."""
    return [scale for scale in study.base_lr_scales if scale != 1]


def _judged_scales(study: Study) -> list[float]:
    """Return these factors where a goal needs the runs at them."""
    judged = any(goal.needs_base_lrs for task in study.tasks for goal in study.goals(task))
    return _other_scales(study) if judged else []


def _runs(
    study: Study, seeds: Iterable[int], stage: str = "main", scales: Iterable[float] = (1.0,)
) -> Iterator[PlannedRun]:
    scales = tuple(scales)
    for task in study.tasks:
        rows = [
            PlannedRow(study.trained[task.name, variant.name], entry, scale, variant)
            for scale, (entry, variant) in product(scales, study.rows)
        ]
        for seed, row in product(seeds, rows):
            yield PlannedRun(row, seed, stage)


@lru_cache(maxsize=4096)
def _lrs(policy: Policy, steps: int) -> NDArray[np.float64]:
    lrs = computed_lrs(policy, steps)
    lrs.flags.writeable = False
    return lrs


@lru_cache(maxsize=4096)
def _shared_with_longer(policy: Policy, budget: Budget) -> int:
    return shared_iterations(policy, budget, longer(budget))


def _identity(modifier: Watcher) -> tuple[str, str]:
    """Return a modifier's text and the hash of its code, so that it is another one after the user changes it."""
    from lrbench.tasks.fingerprint import fingerprint

    return str(modifier), fingerprint(type(modifier))


def _hash(what: list[object]) -> str:
    return blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()
