"""The results of a study, computed from the store alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, product, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable, printable
from lrbench.errors import StudyError
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
    expected_metrics,
    interaction,
    judge_effects,
    rank,
    retained_fraction,
)
from lrbench.metrics import finalists as choose_finalists
from lrbench.metrics.direction import is_worthless
from lrbench.metrics.familywise import ScoresAtLooks
from lrbench.metrics.goal import By, Criterion, criteria, objective_criterion, texts_of
from lrbench.metrics.looks import Looks
from lrbench.metrics.ranking import gain_table, score_table
from lrbench.metrics.runs import TOP1
from lrbench.metrics.spread import Spread, collapses, skewness, spread_of
from lrbench.policy.budget import Budget
from lrbench.store import Store, StoredRun, StudyEntry, StudyRecord, StudySlot, TaskRecord
from lrbench.study.horizon_results import Horizons, horizons

if TYPE_CHECKING:
    import pandas as pd

FRAME = (
    *("task", "place", "label", "name", "modifier", "policy", "verdict", "reason", "seeds", "reached"),
    *("objective", "better", "chance", "margin", "target", "steps", "steps_per_epoch"),
    *("tokens_per_step", "parameters"),
)
"""The columns of results as a frame, before those of metrics."""

ALPHA = 0.05
"""The error rate of a study: the chance of a false "good", and as large a one of a false "avoid"."""

MOST_NAMED = 8
"""The most policies that a remark names."""

FINALISTS = 3
"""The most policies in a confirmation: the winner and its closest rivals."""

Row = tuple[str, str]
"""The identity of a row of results: the names of its policy and its variant, which is empty without modifiers."""

Records = dict[Row, list[RunRecord]]
"""Ended runs by row."""


@dataclass(frozen=True)
class Failure:
    """A run that raised an error: the label of its row, its seed, and the last line of its traceback."""

    name: str
    seed: int
    error: str


@dataclass(frozen=True)
class TaskResults:
    """The results of a study on one task.

    Attributes:
        objective: the metric that ranks, "top1" or the task's own.
        scorecards: every policy that has a run, best mean validation objective first, or by the first goal.
        confirmed: the finalists on fresh seeds, the winner first; empty without a confirmation.
        failures: the runs that failed, which are left out of all else.
        rows: the policy and variant of each scorecard, by its name.
        effects: for each modifier and policy, the paired differences that the modifier makes, and whether it helps.
        interactions: for each modifier, whether its effect on the test objective depends on the policy.
        did: for each modifier, what it did (`Watcher.facts`) in each of its runs, by name.
        looks: the numbers of seeds at which verdicts were made so far; before the first, nothing is claimed.
        spread: the share of the networks in the spread between seeds, of policies that are not avoided; None where too
            few runs show it.
        collapsed: the number of seeds of such a policy that collapsed, by the name of its scorecard, where some did.
        skewed: the skewness of the scores of such a policy, where it is beyond chance, by the name of its scorecard.
        val_samples: the number of samples of the validation scores.
        budget: the task's.
        better: whether a higher or a lower objective is better.
        chance: the objective's value for guessing; None where it is not known.
        goals: what ranks and judges, the first of which ranks.
    """

    task: str
    objective: str
    scorecards: tuple[Scorecard, ...]
    confirmed: tuple[Confirmation, ...] = ()
    failures: tuple[Failure, ...] = ()
    rows: Mapping[str, Row] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    did: Mapping[str, Mapping[str, tuple[str | float, ...]]] = field(default_factory=dict)
    looks: tuple[int, ...] = ()
    spread: Spread | None = None
    collapsed: Mapping[str, int] = field(default_factory=dict)
    skewed: Mapping[str, float] = field(default_factory=dict)
    val_samples: int | None = None
    budget: Budget | None = None
    better: Better = "higher"
    chance: float | None = None
    goals: tuple[Criterion, ...] = ()

    def __repr__(self) -> str:
        return f"<TaskResults: {many(len(self.scorecards), 'scorecard')} on {printable(self.task)}>"

    @property
    def remarks(self) -> tuple[str, ...]:
        """Warnings about the scores, a sentence each: some are not finite, or all are worse than chance."""
        remarks = []
        if lost := sum(card.not_finite for card in self.scorecards):
            runs = sum(card.n for card in self.scorecards)
            remarks.append(
                f"{self.objective} is NaN or infinite at the end of {lost:,} of {many(runs, 'run')}; NaN and what is "
                "infinitely bad count as chance."
            )
        lacking = [goal.name for goal in self.goals if not any(goal.is_known(card) for card in self.scorecards)]
        if self.scorecards:
            remarks += [f"No run has a value of {name}, so that nothing is claimed by it." for name in lacking]
        if self._is_worse_than_chance:
            other = "lower" if self.better == "higher" else "higher"
            unless = "" if self.objective == TOP1 else f", unless {self.objective} is better where it is {other}"
            remarks.append(f"Every score is worse than chance ({self.chance:.4g}): no policy learnt anything{unless}.")
        if self.collapsed:
            names = ", ".join(f"{name} ({count})" for name, count in self.collapsed.items())
            remarks.append(
                f"Seeds collapsed, that is, lost over half of what their policy learns: {names}. Verdicts are claims "
                "about means of scores without collapses, and may err more often here."
            )
        if self.skewed:
            names = ", ".join(f"{name} ({value:.2g})" for name, value in self.skewed.items())
            remarks.append(
                f"Scores are skewed beyond chance (skewness): {names}. Verdicts may err more often where the scores of "
                "policies have different shapes."
            )
        if fallen := [card for card in self.scorecards if card.metrics["divergence_rate"].mean]:
            rates = ", ".join(f"{card.name} {_rate(card)}" for card in fallen[:MOST_NAMED])
            more = f", and {len(fallen) - MOST_NAMED} more" if len(fallen) > MOST_NAMED else ""
            remarks.append(f"Seeds diverged, with the exact 95% interval of the rate: {rates}{more}.")
        if self.spread is not None:
            remarks.append(
                f"Of the variance between seeds about {self.spread.network:.0%} is the networks'; the rest is that of "
                f"measuring on {'the' if self.val_samples is None else f'{self.val_samples:,}'} validation samples"
                + (": more samples would decide more than more seeds." if self.spread.mostly_measuring else ".")
            )
        return tuple(remarks)

    @property
    def _is_worse_than_chance(self) -> bool:
        """Whether each policy with a seed that did not diverge scores worse than guessing."""
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
            "by": [goal.to_json() for goal in self.goals],
            "looks": list(self.looks),
            "policies": [{**card.to_json(), "modifier": self.rows[card.name][1] or None} for card in self.scorecards],
        }
        if self.remarks:
            document["remarks"] = list(self.remarks)
        if self.confirmed:
            document["confirmed"] = [confirmation.to_json() for confirmation in self.confirmed]
        if self.effects:
            document["effects"] = [effect.to_json() for effect in self.effects]
            document["interactions"] = [interaction.to_json() for interaction in self.interactions]
        if self.did:
            document["did"] = {
                name: {fact: list(values) for fact, values in did.items()} for name, did in self.did.items()
            }
        if self.failures:
            document["failures"] = [vars(failure) for failure in self.failures]
        return document


@dataclass(frozen=True, repr=False)
class Results(Readable):
    """The results of a study on each of its tasks, and over the budgets of a task that it has several of."""

    study: str
    margin: float
    target: float | None
    tasks: tuple[TaskResults, ...]
    horizons: tuple[Horizons, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with a row for each scorecard, task by task, best first.

        Its columns, also without rows: task, place (1, 2, ... on the task), label (of a policy with its variant), name,
        modifier (the variant; empty without modifiers), those of `Scorecard.to_frame`, chance, margin, target, steps
        and steps_per_epoch of the task, and tokens_per_step and parameters where it is one on a text.
        """
        import pandas as pd

        rows = []
        for task in self.tasks:
            for place, card in enumerate(task.scorecards, start=1):
                name, variant = task.rows[card.name]
                where = {"task": task.task, "place": place, "label": card.name, "modifier": variant}
                terms = {"chance": task.chance, "margin": self.margin, "target": self.target}
                budget = {} if task.budget is None else vars(task.budget)
                rows.append({**where, **card.row(), "name": name, **terms, **budget})
        cards = [card for task in self.tasks for card in task.scorecards]
        metrics = dict.fromkeys(
            ("val", "test", *expected_metrics(), *(name for card in cards for name in card.metrics))
        )
        numbers = (f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high"))
        return pd.DataFrame(rows, columns=[*FRAME, *numbers])

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
        for budgets in self.horizons:
            yield ""
            yield from budgets.display(width)

    def to_json(self) -> dict[str, Any]:
        """Return the document of `lrbench run --json` without `runs` and `steps`, which belong to a call of `run`."""
        head: dict[str, Any] = {"schema": 1, "study": self.study, "margin": self.margin, "target": self.target}
        tasks = [task.to_json() for task in self.tasks]
        budgets = {"horizons": [one.to_json() for one in self.horizons]} if self.horizons else {}
        return head | (tasks[0] if len(tasks) == 1 else {"tasks": tasks}) | budgets


@dataclass(frozen=True)
class StudyRuns:
    """A study in a store, with its runs by key."""

    entry: StudyEntry
    record: StudyRecord
    slots: tuple[StudySlot, ...]
    runs: Mapping[str, StoredRun]

    @classmethod
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

    def terms(self, task: TaskRecord, rows: Iterable[PolicyRuns], by: Sequence[Criterion] = ()) -> dict[str, Any]:
        """Return what `rank` takes besides the rows of a task, so that they are judged at the study's looks."""
        over = self.over(task, by)
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

    def records(self, task: TaskRecord, stage: str) -> Records:
        """Collect the ended runs of a stage on a task."""
        records: Records = {}
        retention = self.base_lr_robustness(task) if stage == "main" else {}
        for slot, run in self._begun(task, stage):
            if run.ended:
                extra = retention.get((slot.policy, slot.variant, slot.seed), {})
                record = record_of(run, task, slot.seed, extra)
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
        runs: dict[tuple[str, str, int], dict[float, StoredRun]] = {}
        for slot, run in chain(self._begun(task, "main"), self._begun(task, "scale")):
            if run.ended:
                runs.setdefault((slot.policy, slot.variant, slot.seed), {})[slot.scale] = run
        wanted = {1.0, *self.record.base_lr_scales}
        chance = math.nan if task.chance is None else task.chance
        return {
            place: {
                "base_lr_retention": retained_fraction(
                    {scale: _final_score(run, task) for scale, run in scales.items()}, chance, task.better
                ),
                "base_lr_divergence_rate": divergence_rate([run.status == "diverged" for run in scales.values()]),
            }
            for place, scales in runs.items()
            if len(wanted) > 1 and scales.keys() == wanted
        }


def leading(seeds: Iterable[int], known: Container[int]) -> int:
    """Count the seeds, from the first on, that are all known: those of a row that looks may take."""
    return sum(1 for _ in takewhile(known.__contains__, seeds))


def results(study: int | str, store: Store, by: By = ()) -> Results:
    """Rank and judge the policies of a study by the runs that have ended.

    Args:
        by: the goals, in place of the study's own.

    Raises:
        StoreError: the store has no study of that name, or cannot be read.
        StudyError: a goal cannot be used.
    """
    return answer(StudyRuns.of(study, store), by)


def answer(evidence: StudyRuns, by: By = ()) -> Results:
    """Compute `results` of a study that was read already."""
    margin, target = evidence.record.margin, evidence.record.target
    answers = []
    contenders: dict[str, list[PolicyRuns]] = {}
    for task in evidence.tasks:
        goals = evidence.goals(task, by)
        records, over = evidence.records(task, "main"), evidence.over(task, goals)
        main = contenders[task.name] = evidence.contenders(records)
        cards = rank(main, **evidence.terms(task, main, goals), target=target)
        spread, collapsed, skewed = _noise(main, cards, task)
        answers.append(
            TaskResults(
                task=task.name,
                objective=task.objective,
                scorecards=tuple(cards),
                confirmed=tuple(_confirmed(evidence, task, main, cards, goals)),
                failures=tuple(evidence.failures(task)),
                rows=evidence.rows,
                effects=tuple(_effects(evidence, records, over, goals)),
                interactions=tuple(_interactions(evidence, task, records)),
                did=evidence.did(task),
                looks=evidence.looks.seeds[: evidence.looks.done(_compared(over.values()))],
                spread=spread,
                collapsed=collapsed,
                skewed=skewed,
                val_samples=task.val_samples,
                budget=task.budget,
                better=task.better,
                chance=task.chance,
                goals=goals,
            )
        )
    cards_of = {one.task: one.scorecards for one in answers}
    at_horizons = tuple(horizons(evidence.tasks, contenders, cards_of))
    return Results(evidence.name, margin, target, tuple(answers), at_horizons)


def _compared(over: Collection[int]) -> int:
    """Return the most seeds that two rows have, or one where it has no other: a single row is compared with none."""
    return sorted(over, reverse=True)[min(1, len(over) - 1)]


def _confirmed(
    evidence: StudyRuns,
    task: TaskRecord,
    main: Sequence[PolicyRuns],
    cards: Iterable[Scorecard],
    goals: Sequence[Criterion],
) -> list[Confirmation]:
    """Score the finalists of a task on fresh seeds; of those that are good, the first of the ranking is the winner."""
    fresh = {one.name: one for one in evidence.contenders(evidence.records(task, "confirm"))}
    return confirm(
        main,
        [fresh[card.name] for card in _good_first(cards) if card.name in fresh],
        margin=evidence.record.margin,
        alpha=evidence.alpha,
        target=evidence.record.target,
        by=goals,
        tolerated=evidence.record.tolerated_divergence,
    )


def _good_first(cards: Iterable[Scorecard]) -> list[Scorecard]:
    return sorted(cards, key=lambda card: card.verdict is None or card.verdict.label != "good")


def _rate(card: Scorecard) -> str:
    rate = card.metrics["divergence_rate"]
    ends = "" if rate.low is None or rate.high is None else f" ({rate.low:.1%} to {rate.high:.1%})"
    return f"{round((rate.mean or 0) * rate.n)} of {rate.n}{ends}"


def _noise(
    contenders: Iterable[PolicyRuns], cards: Iterable[Scorecard], task: TaskRecord
) -> tuple[Spread | None, Mapping[str, int], Mapping[str, float]]:
    """Estimate spread, count collapses and find skewness of the policies that the objective does not avoid."""
    judged = {card.name: card.verdicts[task.objective] for card in cards if task.objective in card.verdicts}
    if not judged:
        return None, {}, {}
    avoided = {name for name, verdict in judged.items() if verdict.label == "avoid"}
    open_ones = [one for one in contenders if one.name not in avoided]
    (val, diverged), (test, _) = score_table(open_ones), score_table(open_ones, split="test")
    val = np.where(diverged, np.nan, val)
    chance = math.nan if task.chance is None else as_gain(task.chance, task.better)
    names = [one.name for one in open_ones]
    counts = zip(names, collapses(val, chance).tolist(), strict=True)
    skewed = zip(names, skewness(val).tolist(), strict=True)
    return (
        spread_of(val, test),
        {name: count for name, count in counts if count},
        {name: value for name, value in skewed if math.isfinite(value)},
    )


def finalists(study: int | str, store: Store) -> dict[str, list[Row]]:
    """Choose by task the rows of the winner and of those that are not significantly worse, by the study's goal."""
    evidence = StudyRuns.of(study, store)
    return {task.name: [evidence.rows[name] for name in _finalists(evidence, task)] for task in evidence.tasks}


def _finalists(evidence: StudyRuns, task: TaskRecord) -> list[str]:
    main, goals = evidence.contenders(evidence.records(task, "main")), evidence.goals(task)
    if goals[0].of_objective(task.objective):
        tolerated, step = evidence.record.tolerated_divergence, resolution(task)
        return [one.name for one in choose_finalists(main, at_most=FINALISTS, resolution=step, tolerated=tolerated)]
    cards = _good_first(rank(main, **evidence.terms(task, main, goals)))
    return [card.name for card in cards if card.verdict is None or card.verdict.label != "avoid"][:FINALISTS]


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


def _effects(
    evidence: StudyRuns, records: Records, over: Mapping[Row, int], goals: Sequence[Criterion]
) -> Iterator[Effect]:
    for variant in filter(None, evidence.record.variants):
        pairs = {policy: ((policy, ""), (policy, variant)) for policy, of in evidence.labels if of == variant}
        policies = [policy for policy, pair in pairs.items() if records.keys() >= {*pair}]
        if not policies:
            continue
        rows = list(chain.from_iterable(pairs[policy] for policy in policies))
        runs = [PolicyRuns("", "", tuple(records[row])) for row in rows]
        done = np.array([over[row] for row in rows], dtype=np.int64).reshape(-1, 2)
        seen = partial(ScoresAtLooks, done=done, looks=evidence.looks)
        on_test = seen(score_table(runs, evidence.record.seeds, "test")[0].reshape(*done.shape, -1))
        verdicts = judge_effects(on_test, evidence.alpha)
        by_goal = {}
        for goal in goals:
            gains = gain_table(runs, goal.gain, evidence.record.seeds)[0].reshape(*done.shape, -1)
            judged = seen(gains, resolution=goal.resolution, test=goal.test)
            by_goal[goal.name] = judge_effects(judged, evidence.alpha, margin=goal.distance)
        also = [goal.figure for goal in goals]
        for place, policy in enumerate(policies):
            without, treated = (records[row] for row in pairs[policy])
            yield replace(
                effect(policy, variant, without, treated, evidence.record.target, also),
                verdict=verdicts[place],
                by_goal={name: of_goal[place] for name, of_goal in by_goal.items()},
            )


def _interactions(evidence: StudyRuns, task: TaskRecord, records: Records) -> Iterator[Interaction]:
    for variant in evidence.record.variants:
        pairs = [
            (records[policy, ""], treated)
            for (policy, name), treated in records.items()
            if variant and name == variant and (policy, "") in records
        ]
        if len(pairs) > 1:
            yield interaction(variant, f"test_{task.objective}", pairs)


def resolution(task: TaskRecord) -> float | None:
    """Return the step of the objective's scale; None where it is not known."""
    return 1 / task.val_samples if task.objective == TOP1 and task.val_samples else None


def _final_score(run: StoredRun, task: TaskRecord) -> float | None:
    """Return the last validation score; None where the run counts as chance."""
    score = run.scores[-1].val_score if run.status == "finished" else math.nan
    return None if is_worthless(score, task.better) else score


def curve_of(run: StoredRun) -> Curve:
    """Return a stored run's evaluations on the validation split."""
    return Curve(run.scores.steps(), run.scores.val_scores())


def record_of(run: StoredRun, task: TaskRecord, seed: int, extra: Mapping[str, float | None]) -> RunRecord:
    """Make the record of an ended run for metrics, with `extra` ones that depend on other runs."""
    objective = task.objective
    final: dict[str, float | None] = {}
    if run.final is not None:
        final |= {name: value for name, value in run.final.items() if value is None or isinstance(value, int | float)}
        val, test = run.scores[-1].val_score, run.scores[-1].test_score
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
    )
