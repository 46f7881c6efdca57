"""What a study says, computed from the store alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable, printable
from lrbench.metrics import (
    Better,
    Confirmation,
    Curve,
    Effect,
    Interaction,
    PolicyRuns,
    RunRecord,
    Scorecard,
    as_gain,
    confirm,
    divergence_rate,
    effect,
    interaction,
    rank,
    retained_fraction,
)
from lrbench.metrics import finalists as choose_finalists
from lrbench.metrics.direction import is_worthless
from lrbench.metrics.runs import TOP1
from lrbench.store import Store, StoredRun, StudySlot

FINALISTS = 3
"""How many policies a confirmation scores again: the winner and its closest rivals."""


UNTOLD: Mapping[str, Any] = {"better": "higher", "bounds": None}
"""What the definition of a study of an older lrbench does not say of a task."""

Records = dict[tuple[str, str], list[RunRecord]]
"""Ended runs, by the names of entry and variant."""


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
        modifiers: by the name of a scorecard, the training method that its runs were trained with, if any.
        effects: for each policy and training method, the paired differences that the method makes.
        interactions: for each training method, whether its effect on the test objective depends on the policy.
        steps, steps_per_epoch: the task's budget in iterations, and the length of its epoch.
        better: which way the objective is better.
        chance: its value for guessing; None where it is not known.
    """

    task: str
    objective: str
    scorecards: tuple[Scorecard, ...]
    confirmed: tuple[Confirmation, ...] = ()
    failures: tuple[Failure, ...] = ()
    modifiers: Mapping[str, str] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    steps: int | None = None
    steps_per_epoch: int | None = None
    better: Better = "higher"
    chance: float | None = None

    def __repr__(self) -> str:
        return f"<TaskResults: {many(len(self.scorecards), 'scorecard')} on {printable(self.task)}>"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else one must know of the scores, a sentence each: some are not finite, or all are worse than chance."""
        said = []
        if lost := sum(card.not_finite for card in self.scorecards):
            runs = sum(card.n for card in self.scorecards)
            said.append(
                f"{self.objective} is NaN or infinite at the end of {lost} of {runs} runs; NaN and what is infinitely "
                "bad count as chance."
            )
        if self._is_worse_than_chance:
            other = "lower" if self.better == "higher" else "higher"
            unless = "" if self.objective == TOP1 else f", unless {self.objective} is better where it is {other}"
            said.append(f"Every score is worse than chance ({self.chance:.4g}): no policy learnt anything{unless}.")
        return tuple(said)

    @property
    def _is_worse_than_chance(self) -> bool:
        """Whether each policy that did not diverge on every seed scores worse than guessing."""
        means = [card.val.mean for card in self.scorecards if card.metrics["divergence_rate"].mean != 1]
        if self.chance is None or not means:
            return False
        guessing = as_gain(self.chance, self.better)
        return all(mean is not None and as_gain(mean, self.better) < guessing for mean in means)

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "task": self.task,
            "objective": self.objective,
            "better": self.better,
            "policies": [{**card.to_json(), "modifier": self.modifiers.get(card.name)} for card in self.scorecards],
        }
        if self.remarks:
            document["remarks"] = list(self.remarks)
        if self.confirmed:
            document["confirmed"] = [confirmation.to_json() for confirmation in self.confirmed]
        if self.effects:
            document["effects"] = [effect.to_json() for effect in self.effects]
            document["interactions"] = [interaction.to_json() for interaction in self.interactions]
        if self.failures:
            document["failures"] = [vars(failure) for failure in self.failures]
        return document


@dataclass(frozen=True, repr=False)
class Results(Readable):
    """A study's answer on each of its tasks."""

    study: str
    margin: float
    target: float | None
    tasks: tuple[TaskResults, ...]

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        from lrbench.study.effects_table import effects
        from lrbench.study.ranking_table import ranking
        from lrbench.study.row_names import RowNames

        for place, task in enumerate(self.tasks):
            if place:
                yield ""
            names = RowNames.of(task, width)
            yield from ranking(self, task, names, width, drawn=drawn)
            if task.effects:
                yield ""
                yield from effects(task, names, width)

    def to_json(self) -> dict[str, Any]:
        """The document of `lrbench run --json`, but for `runs` and `steps`, which the call of `run` knows."""
        head: dict[str, Any] = {"study": self.study, "margin": self.margin, "target": self.target}
        if len(self.tasks) == 1:
            return head | self.tasks[0].to_json()
        return head | {"tasks": [task.to_json() for task in self.tasks]}


@dataclass(frozen=True)
class StudyRuns:
    """The runs of a study, by the place that they fill in it."""

    name: str
    definition: Mapping[str, Any]
    members: tuple[StudySlot, ...]
    runs: Mapping[str, StoredRun]

    @classmethod
    def of(cls, study: str, store: Store) -> StudyRuns:
        """Read a study from a store.

        Raises:
            StoreError: the store has no study of that name, or cannot be read.
        """
        definition, members = store.study(study)
        tasks = [UNTOLD | task for task in definition.get("tasks", ())]
        return cls(study, {**definition, "tasks": tasks}, members, store.study_runs(study))

    @property
    def tasks(self) -> tuple[Mapping[str, Any], ...]:
        """Name, objective with its direction, chance and bounds, and sizes of each task."""
        return tuple(self.definition["tasks"])

    @property
    def places(self) -> Mapping[str, tuple[str, str]]:
        """The names of entry and variant, by what the two are called together."""
        entries = [entry["name"] for entry in self.definition["entries"]]
        return {label(entry, name): (entry, name) for entry in entries for name in self.definition["treatments"]}

    def modifiers(self) -> Mapping[str, str]:
        """The variant of each scorecard that has one, by its name."""
        return {name: variant for name, (_, variant) in self.places.items() if variant}

    def contenders(self, records: Records) -> list[PolicyRuns]:
        """The policies of the records, by each variant, in the order of the study."""
        return [
            PolicyRuns(label(entry["name"], variant), entry["policy"], tuple(records[entry["name"], variant]))
            for entry in self.definition["entries"]
            for variant in self.definition["treatments"]
            if (entry["name"], variant) in records
        ]

    def records(self, task: Mapping[str, Any], stage: str) -> Records:
        """The ended runs of a stage on a task, by the names of entry and variant."""
        records: Records = {}
        retention = self.base_lr_robustness(task) if stage == "main" else {}
        for member in self._ended(task, stage):
            extra = retention.get((member.entry, member.variant, member.seed), {})
            record = record_of(self.runs[member.run], task, member.seed, extra)
            records.setdefault((member.entry, member.variant), []).append(record)
        return records

    def failures(self, task: Mapping[str, Any]) -> Iterable[Failure]:
        """The runs of a task that failed, whatever they were for."""
        for member in self.members:
            run = self.runs.get(member.run)
            if member.task == task["name"] and run is not None and run.error is not None:
                yield Failure(label(member.entry, member.variant), member.seed, run.error.strip().splitlines()[-1])

    def _ended(self, task: Mapping[str, Any], stage: str) -> Iterable[StudySlot]:
        for member in self.members:
            run = self.runs.get(member.run)
            if member.task == task["name"] and member.stage == stage and run is not None and run.ended:
                yield member

    def base_lr_robustness(self, task: Mapping[str, Any]) -> dict[tuple[str, str, int], dict[str, float | None]]:
        """By policy, variant and seed, what is left of the objective at other base LRs, once all scales have run."""
        runs: dict[tuple[str, str, int], dict[float, StoredRun]] = {}
        for stage in ("main", "scale"):
            for member in self._ended(task, stage):
                place = (member.entry, member.variant, member.seed)
                runs.setdefault(place, {})[member.scale] = self.runs[member.run]
        wanted = {1.0, *self.definition["base_lr_scales"]}
        return {
            place: {
                "base_lr_retention": retained_fraction(
                    {scale: _final_score(run, task) for scale, run in scales.items()}, task["chance"], task["better"]
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
    return answer(StudyRuns.of(study, store))


def answer(evidence: StudyRuns) -> Results:
    """What `results` says, of a study that was read already."""
    margin, target = evidence.definition["margin"], evidence.definition["target"]
    answers = []
    for task in evidence.tasks:
        records = evidence.records(task, "main")
        main, fresh = evidence.contenders(records), evidence.contenders(evidence.records(task, "confirm"))
        terms = {"margin": margin, "target": target, "resolution": resolution(task)}
        answers.append(
            TaskResults(
                task=task["name"],
                objective=task["objective"],
                scorecards=tuple(rank(main, **terms)),
                confirmed=tuple(confirm(main, fresh, **terms)) if fresh else (),
                failures=tuple(evidence.failures(task)),
                modifiers=evidence.modifiers(),
                effects=tuple(_effects(evidence, records)),
                interactions=tuple(_interactions(evidence, task, records)),
                steps=task["steps"],
                steps_per_epoch=task["steps_per_epoch"],
                better=task["better"],
                chance=task["chance"],
            )
        )
    return Results(evidence.name, margin, target, tuple(answers))


def finalists(study: str, store: Store) -> dict[str, list[tuple[str, str]]]:
    """By task, the names of entry and variant of the winner and of what is not significantly worse than it."""
    evidence = StudyRuns.of(study, store)
    return {
        task["name"]: [
            evidence.places[contender.name]
            for contender in choose_finalists(
                evidence.contenders(evidence.records(task, "main")), at_most=FINALISTS, resolution=resolution(task)
            )
        ]
        for task in evidence.tasks
    }


def label(entry: str, variant: str) -> str:
    """What a policy by a variant is called in results."""
    return f"{entry} + {variant}" if variant else entry


def _effects(evidence: StudyRuns, records: Records) -> Iterator[Effect]:
    for entry, variant in evidence.places.values():
        if variant and {(entry, ""), (entry, variant)} <= records.keys():
            pair = records[entry, ""], records[entry, variant]
            yield effect(entry, variant, *pair, evidence.definition["target"])


def _interactions(evidence: StudyRuns, task: Mapping[str, Any], records: Records) -> Iterator[Interaction]:
    for variant in evidence.definition["treatments"]:
        pairs = [
            (records[entry, ""], treated)
            for (entry, name), treated in records.items()
            if variant and name == variant and (entry, "") in records
        ]
        if len(pairs) > 1:
            yield interaction(variant, f"test_{task['objective']}", pairs)


def resolution(task: Mapping[str, Any]) -> float | None:
    """The step of the objective's scale, of a task as a study's definition has it; None where it is not known."""
    return 1 / task["val_samples"] if task["objective"] == "top1" else None


def _final_score(run: StoredRun, task: Mapping[str, Any]) -> float | None:
    """The last validation score; None where the run counts as chance."""
    score = run.scores[-1].val_score if run.status == "finished" else math.nan
    return None if is_worthless(score, task["better"]) else score


def record_of(run: StoredRun, task: Mapping[str, Any], seed: int, extra: Mapping[str, float | None]) -> RunRecord:
    """Return what judging an ended run takes, with `extra` numbers that other runs tell of it."""
    objective = task["objective"]
    final: dict[str, float | None] = {}
    if run.final is not None:
        final |= {name: value for name, value in run.final.items() if value is None or isinstance(value, int | float)}
        final |= {f"val_{objective}": run.scores[-1].val_score, f"test_{objective}": run.scores[-1].test_score}
    return RunRecord(
        seed=seed,
        status="finished" if run.status == "finished" else "diverged",
        steps=run.step,
        curve=Curve(run.scores.steps(), run.scores.val_scores()),
        final={**final, **extra},
        diverged_at=run.diverged_at,
        seconds=run.seconds,
        flops=run.flops,
        chance=task["chance"],
        objective=objective,
        better=task["better"],
        bounds=None if task["bounds"] is None else tuple(task["bounds"]),
    )
