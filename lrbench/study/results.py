"""What a study says, computed from the store alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lrbench.metrics import (
    Confirmation,
    Contender,
    CurvePoint,
    RunRecord,
    Scorecard,
    confirm,
    divergence_rate,
    rank,
    retained_fraction,
)
from lrbench.metrics import finalists as choose_finalists
from lrbench.study.store import Member, Store, StoredRun

FINALISTS = 3
"""How many policies a confirmation scores again: the winner and its closest rivals."""


@dataclass(frozen=True)
class Failure:
    """A run that raised an error: the policy it belongs to, its seed, and the last line of its traceback."""

    name: str
    seed: int
    error: str


@dataclass(frozen=True)
class TaskResults:
    """A study's answer on one task.

    Attributes:
        objective: the name of what policies are ranked by, "top1" or the task's own metric.
        scorecards: every policy that has a run, best mean validation objective first.
        confirmed: the finalists on fresh seeds, best first; empty where none were asked for.
        failures: the runs that the rest had to do without.
    """

    task: str
    objective: str
    scorecards: tuple[Scorecard, ...]
    confirmed: tuple[Confirmation, ...] = ()
    failures: tuple[Failure, ...] = ()

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "task": self.task,
            "objective": self.objective,
            "policies": [card.to_json() for card in self.scorecards],
        }
        if self.confirmed:
            document["confirmed"] = [confirmation.to_json() for confirmation in self.confirmed]
        if self.failures:
            document["failures"] = [vars(failure) for failure in self.failures]
        return document


@dataclass(frozen=True)
class Results:
    """A study's answer on each of its tasks."""

    study: str
    margin: float
    target: float | None
    tasks: tuple[TaskResults, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `lrbench run --json`, but for `runs` and `steps`, which the call of `run` knows."""
        head: dict[str, Any] = {"study": self.study, "margin": self.margin, "target": self.target}
        if len(self.tasks) == 1:
            return head | self.tasks[0].to_json()
        return head | {"tasks": [task.to_json() for task in self.tasks]}


@dataclass(frozen=True)
class Evidence:
    """The runs of a study, by the place that they fill in it."""

    name: str
    definition: Mapping[str, Any]
    members: tuple[Member, ...]
    runs: Mapping[str, StoredRun]

    @classmethod
    def of(cls, study: str, store: Store) -> Evidence:
        """Read a study from a store.

        Raises:
            StoreError: the store has no study of that name, or cannot be read.
        """
        definition, members = store.study(study)
        return cls(study, definition, members, store.study_runs(study))

    @property
    def tasks(self) -> tuple[Mapping[str, Any], ...]:
        """Name, objective, chance and sizes of each task."""
        return tuple(self.definition["tasks"])

    def contenders(self, task: Mapping[str, Any], stage: str) -> list[Contender]:
        """The policies of a task with the ended runs of a stage, in the order of the study's file."""
        records: dict[str, list[RunRecord]] = {}
        retention = self._base_lr_robustness(task) if stage == "main" else {}
        for member in self._ended(task, stage):
            extra = retention.get((member.entry, member.seed), {})
            records.setdefault(member.entry, []).append(_record(self.runs[member.run], task, member.seed, extra))
        return [
            Contender(entry["name"], entry["policy"], tuple(records[entry["name"]]))
            for entry in self.definition["entries"]
            if entry["name"] in records
        ]

    def failures(self, task: Mapping[str, Any]) -> Iterable[Failure]:
        """The runs of a task that failed, whatever they were for."""
        for member in self.members:
            run = self.runs.get(member.run)
            if member.task == task["name"] and run is not None and run.error is not None:
                yield Failure(member.entry, member.seed, run.error.strip().splitlines()[-1])

    def _ended(self, task: Mapping[str, Any], stage: str) -> Iterable[Member]:
        for member in self.members:
            run = self.runs.get(member.run)
            if member.task == task["name"] and member.stage == stage and run is not None and run.ended:
                yield member

    def _base_lr_robustness(self, task: Mapping[str, Any]) -> dict[tuple[str, int], dict[str, float | None]]:
        """By policy and seed, what scaling the base LR leaves of the validation objective, once all scales have run."""
        runs: dict[tuple[str, int], dict[float, StoredRun]] = {}
        for stage in ("main", "scale"):
            for member in self._ended(task, stage):
                runs.setdefault((member.entry, member.seed), {})[member.scale] = self.runs[member.run]
        wanted = {1.0, *self.definition["base_lr_scales"]}
        return {
            place: {
                "base_lr_retention": retained_fraction(
                    {scale: _final_score(run) for scale, run in scales.items()}, task["chance"]
                ),
                "base_lr_divergence_rate": divergence_rate([run.status == "diverged" for run in scales.values()]),
            }
            for place, scales in runs.items()
            if len(wanted) > 1 and scales.keys() == wanted
        }


def results(study: str, store: Store) -> Results:
    """Rank and judge the policies of a study by the runs that have ended.

    Raises:
        StoreError: the store has no study of that name, or cannot be read.
    """
    evidence = Evidence.of(study, store)
    margin, target = evidence.definition["margin"], evidence.definition["target"]
    answers = []
    for task in evidence.tasks:
        main, fresh = evidence.contenders(task, "main"), evidence.contenders(task, "confirm")
        terms = {"margin": margin, "target": target, "resolution": _resolution(task)}
        answers.append(
            TaskResults(
                task=task["name"],
                objective=task["objective"],
                scorecards=tuple(rank(main, **terms)),
                confirmed=tuple(confirm(main, fresh, **terms)) if fresh else (),
                failures=tuple(evidence.failures(task)),
            )
        )
    return Results(study, margin, target, tuple(answers))


def finalists(study: str, store: Store) -> dict[str, list[str]]:
    """The names of the policies to be confirmed, by task: the winner, and those not significantly worse than it."""
    evidence = Evidence.of(study, store)
    return {
        task["name"]: [
            contender.name
            for contender in choose_finalists(
                evidence.contenders(task, "main"), at_most=FINALISTS, resolution=_resolution(task)
            )
        ]
        for task in evidence.tasks
    }


def _resolution(task: Mapping[str, Any]) -> float | None:
    return 1 / task["val_samples"] if task["objective"] == "top1" else None


def _final_score(run: StoredRun) -> float | None:
    return run.scores[-1].val_score if run.status == "finished" else None


def _record(run: StoredRun, task: Mapping[str, Any], seed: int, extra: Mapping[str, float | None]) -> RunRecord:
    objective = task["objective"]
    final: dict[str, float | None] = {}
    if run.final is not None:
        final |= {name: value for name, value in run.final.items() if value is None or isinstance(value, int | float)}
        final |= {f"val_{objective}": run.scores[-1].val_score, f"test_{objective}": run.scores[-1].test_score}
    return RunRecord(
        seed=seed,
        status="finished" if run.status == "finished" else "diverged",
        steps=run.step,
        curve=tuple(CurvePoint(**vars(score)) for score in run.scores),
        final={**final, **extra},
        diverged_at=run.diverged_at,
        seconds=run.seconds,
        flops=run.flops,
        chance=task["chance"],
        objective=objective,
    )
