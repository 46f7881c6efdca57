"""A study in a store with its runs, and what metrics and verdicts take of them."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product, takewhile
from types import NoneType
from typing import Any

from lrbench.errors import StudyError
from lrbench.garbage import without_collection
from lrbench.metrics import Curve, PolicyRuns, RunRecord, divergence_rate, retained_fraction
from lrbench.metrics.direction import is_worthless
from lrbench.metrics.goal import By, Criterion, criteria, objective_criterion, texts_of
from lrbench.metrics.looks import Looks
from lrbench.metrics.runs import TOP1, measure
from lrbench.store import Store, StoredRun, StudyEntry, StudyRecord, StudySlot, TaskRecord

ALPHA = 0.05
"""The error rate of a study: the chance of a false "good", and as large a one of a false "avoid"."""

Row = tuple[str, str]
"""The identity of a row of results: the names of its policy and its variant, which is empty without modifiers."""

NUMBER = (int, float, NoneType)

Records = dict[Row, list[RunRecord]]
"""Ended runs by row."""


@dataclass(frozen=True)
class Failure:
    """A run that raised an error: the label of its row, its seed, and the last line of its traceback."""

    name: str
    seed: int
    error: str


@dataclass(frozen=True)
class StudyRuns:
    """A study in a store, with its runs by key."""

    entry: StudyEntry
    record: StudyRecord
    slots: tuple[StudySlot, ...]
    runs: Mapping[str, StoredRun]

    @classmethod
    @without_collection()
    def of(cls, study: int | str, store: Store) -> StudyRuns:
        """Read a study from a store: by its id, its name, or NAME@VERSION.

        Raises:
            StoreError: the store has no such study, or cannot be read.
        """
        entry = store.entry(study)
        record, slots = store.study(entry.id)
        return cls(entry, record, slots, store.study_runs(entry.id))

    @property
    def name(self) -> str:
        """The study's name, with its version where another one of its name was run after it."""
        return self.entry.address

    @property
    def tasks(self) -> tuple[TaskRecord, ...]:
        """The records of the tasks."""
        return self.record.tasks

    @property
    def looks(self) -> Looks:
        """The looks fixed when the study was first run, or by its number of seeds in an older store."""
        if self.record.looks is None:
            return Looks.planned(len(self.record.seeds))
        return Looks(*zip(*self.record.looks, strict=True))

    @property
    def alpha(self) -> float:
        """The error rate of each kind of verdict on one task, which makes `ALPHA` over all tasks."""
        return ALPHA / len(self.tasks)

    def over(self, task: TaskRecord, by: Iterable[Criterion] = ()) -> Mapping[Row, int]:
        """Count the first seeds of each row on a task whose runs have ended or failed, as far as goals need them."""
        if self.record.source is not None and not self.record.source.planned:
            return dict.fromkeys(self.labels, len(self.record.seeds))
        stages = ("main", "scale") if any(goal.needs_base_lrs for goal in by) else ("main",)
        over: dict[Row, dict[int, bool]] = {row: {} for row in self.labels}
        for slot in self.slots:
            if slot.task == task.name and slot.stage in stages:
                run, seeds = self.runs.get(slot.run), over[slot.policy, slot.variant]
                is_over = run is not None and (run.ended or run.error is not None)
                seeds[slot.seed] = seeds.get(slot.seed, True) and is_over
        return {
            row: leading(self.record.seeds, {seed for seed, is_over in seeds.items() if is_over})
            for row, seeds in over.items()
        }

    @cached_property
    def labels(self) -> Mapping[Row, str]:
        """The label of each row, no two of them equal."""
        policies = dict.fromkeys(policy.name for policy in self.record.policies)
        planned = {(slot.policy, slot.variant) for slot in self.slots}
        return labels(row for row in product(policies, self.record.variants) if row in planned)

    @cached_property
    def rows(self) -> Mapping[str, Row]:
        """The rows by label."""
        return {name: row for row, name in self.labels.items()}

    def contenders(self, records: Records) -> list[PolicyRuns]:
        """List the rows of the records, in the order of the study."""
        texts = {policy.name: policy.policy for policy in self.record.policies}
        return [
            PolicyRuns(name, texts[row[0]], tuple(records[row])) for row, name in self.labels.items() if row in records
        ]

    def goals(self, task: TaskRecord, by: By = ()) -> tuple[Criterion, ...]:
        """Return what ranks and judges on a task, in place of the study's own where goals are given.

        Raises:
            StudyError: a goal cannot be used.
        """
        record, objective = self.record, self._objective(task)
        goals = texts_of(by) or record.by
        try:
            return criteria(
                goals, objective, steps=task.steps, target=record.target, base_lr_scales=record.base_lr_scales
            )
        except StudyError as error:
            raise StudyError(f"study '{self.name}': {error}") from error

    def _objective(self, task: TaskRecord) -> Criterion:
        objective = objective_criterion(task.objective, task.better, self.record.margin, resolution(task))
        return replace(objective, paired=task.paired)

    def terms(
        self,
        task: TaskRecord,
        rows: Iterable[PolicyRuns],
        by: Sequence[Criterion] = (),
        over: Mapping[Row, int] | None = None,
    ) -> dict[str, Any]:
        """Return what `rank` takes besides the rows of a task, so that they are judged at the study's looks.

        Args:
            over: what `over` returns, where it is known.
        """
        over = self.over(task, by) if over is None else over
        return {
            "by": by or (self._objective(task),),
            "margin": self.record.margin,
            "alpha": self.alpha,
            "resolution": resolution(task),
            "looks": self.looks,
            "tolerated": self.record.tolerated_divergence,
            "seeds": self.record.seeds,
            "done": [over[self.rows[row.name]] for row in rows],
        }

    @cached_property
    @without_collection()
    def measured(self) -> Mapping[StudySlot, RunRecord]:
        """The ended runs as metrics see them, by the slots that they fill; their metrics are computed once."""
        found = {}
        for task in self.tasks:
            retention, is_tested = self.base_lr_robustness(task), self._is_tested(task)
            for slot, run in self._begun(task):
                if run.ended:
                    seed = slot.policy, slot.variant, slot.seed
                    extra = retention.get(seed, {}) if slot.scale == 1 else {}
                    found[slot] = record_of(run, task, slot.seed, extra, is_tested=is_tested)
        measure(found.values())
        return found

    def _is_tested(self, task: TaskRecord) -> bool:
        """Find whether runs of a task have a test score; a training function may report one or not."""
        if task.test_samples is not None:
            return True
        finished = [run for _, run in self._begun(task) if run.status == "finished"]
        return not finished or any(not math.isnan(run.scores[-1].test_score) for run in finished)

    def records(self, task: TaskRecord, stage: str) -> Records:
        """Collect the ended runs of a stage on a task at the policies' own base LRs."""
        records: Records = {}
        for slot, record in self.measured.items():
            if slot.task == task.name and slot.stage == stage and slot.scale == 1:
                records.setdefault((slot.policy, slot.variant), []).append(record)
        return records

    def did(self, task: TaskRecord) -> Mapping[str, Mapping[str, tuple[str | float, ...]]]:
        """Collect what each modifier did in the runs of a task, by variant and name of the fact."""
        did: dict[str, dict[str, tuple[str | float, ...]]] = {}
        for slot, run in self._begun(task, "main"):
            for fact, value in ((run.final or {}).get("did") or {}).items():
                of_variant = did.setdefault(slot.variant, {})
                of_variant[fact] = (*of_variant.get(fact, ()), value)
        return did

    def failures(self, task: TaskRecord) -> Iterable[Failure]:
        """Yield the runs of a task that failed, of all stages."""
        for slot, run in self._begun(task):
            if run.error is not None:
                yield Failure(self.labels[slot.policy, slot.variant], slot.seed, run.error.strip().splitlines()[-1])

    def _begun(self, task: TaskRecord, *stages: str) -> Iterator[tuple[StudySlot, StoredRun]]:
        """Yield the runs of a task (and of some stages) that were begun."""
        for slot in self.slots:
            run = self.runs.get(slot.run)
            if slot.task == task.name and (not stages or slot.stage in stages) and run is not None:
                yield slot, run

    def base_lr_robustness(self, task: TaskRecord) -> dict[tuple[str, str, int], dict[str, float | None]]:
        """Compute metrics of robustness over base LRs by policy, variant and seed, once all scales have run."""
        wanted = {1.0, *self.record.base_lr_scales}
        if len(wanted) == 1:
            return {}
        runs: dict[tuple[str, str, int], dict[float, StoredRun]] = {}
        for slot, run in self._begun(task):
            if run.ended:
                runs.setdefault((slot.policy, slot.variant, slot.seed), {})[slot.scale] = run
        chance = math.nan if task.chance is None else task.chance
        return {
            place: {
                "base_lr_retention": retained_fraction(
                    {scale: _final_score(run, task) for scale, run in scales.items()}, chance, task.better
                ),
                "base_lr_divergence_rate": divergence_rate([run.status == "diverged" for run in scales.values()]),
            }
            for place, scales in runs.items()
            if scales.keys() == wanted
        }


def leading(seeds: Iterable[int], known: Container[int]) -> int:
    """Count the seeds, from the first on, that are all known: those of a row that looks may take."""
    return sum(1 for _ in takewhile(known.__contains__, seeds))


def label_of(policy: str, variant: str) -> str:
    """Label a row by its policy and its variant."""
    return f"{policy} + {variant}" if variant else policy


def labels(rows: Iterable[Row]) -> dict[Row, str]:
    """Label each row by its policy and its variant, so that no two labels are equal."""
    known = list(dict.fromkeys(rows))
    called = {row: row[0] for row in known if not row[1]}
    taken = set(called.values())
    for policy, variant in known:
        if variant:
            name = label_of(policy, variant)
            while name in taken:
                name += f" (modifier {variant})"
            called[policy, variant] = name
            taken.add(name)
    return {row: called[row] for row in known}


def resolution(task: TaskRecord) -> float | None:
    """Return the step of the objective's scale; None where it is not known."""
    return 1 / task.val_samples if task.objective == TOP1 and task.val_samples else None


def _final_score(run: StoredRun, task: TaskRecord) -> float | None:
    """Return the last validation score; None where the run counts as chance."""
    score = run.scores[-1].val_score if run.status == "finished" else math.nan
    return None if is_worthless(score, task.better) else score


def curve_of(run: StoredRun) -> Curve:
    """Return a stored run's evaluations on the validation split."""
    return Curve(run.scores.column("step"), run.scores.column("val_score"))


def record_of(
    run: StoredRun, task: TaskRecord, seed: int, extra: Mapping[str, float | None], *, is_tested: bool = True
) -> RunRecord:
    """Make the record of an ended run for metrics, with `extra` ones that depend on other runs."""
    objective = task.objective
    final = {name: value for name, value in (run.final or {}).items() if isinstance(value, NUMBER)}
    if run.final is not None:
        last = run.scores[-1]
        val, test = last.val_score, last.test_score
        unmeasured = task.test_samples is None and math.isnan(test)
        final |= {f"val_{objective}": val, f"test_{objective}": None if unmeasured else test}
    return RunRecord(
        seed=seed,
        status="finished" if run.status == "finished" else "diverged",
        steps=run.step,
        curve=curve_of(run),
        final={**final, **extra},
        diverged_at=run.diverged_at,
        seconds=run.seconds or None,
        evaluating=run.evaluating,
        flops=run.flops or None,
        chance=task.chance,
        objective=objective,
        better=task.better,
        bounds=task.bounds,
        is_tested=is_tested,
    )
