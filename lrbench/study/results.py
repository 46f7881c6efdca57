"""The results of a study, computed from the store alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable, printable
from lrbench.garbage import without_collection
from lrbench.metrics import (
    Better,
    Confirmation,
    Effect,
    Interaction,
    PolicyRuns,
    Scorecard,
    as_gain,
    confirm,
    effect,
    expected_metrics,
    interaction,
    judge_effects,
    rank,
)
from lrbench.metrics import finalists as choose_finalists
from lrbench.metrics.familywise import ScoresAtLooks
from lrbench.metrics.goal import By, Criterion
from lrbench.metrics.ranking import gain_table, score_table
from lrbench.metrics.runs import TOP1
from lrbench.metrics.spread import Spread, collapses, skewness, spread_of
from lrbench.policy.budget import Budget
from lrbench.store import Store, TaskRecord
from lrbench.study.horizon_results import Horizons, horizons
from lrbench.study.study_runs import Failure, Records, Row, StudyRuns, resolution

if TYPE_CHECKING:
    import pandas as pd

FRAME = (
    *("task", "place", "label", "name", "modifier", "policy", "verdict", "reason", "seeds", "reached"),
    *("objective", "better", "chance", "margin", "target", "steps", "steps_per_epoch"),
    *("tokens_per_step", "parameters"),
)
"""The columns of results as a frame, before those of metrics."""

MOST_NAMED = 8
"""The most policies that a remark names."""

FINALISTS = 3
"""The most policies in a confirmation: the winner and its closest rivals."""


@dataclass(frozen=True)
class TaskResults:
    """The results of a study on one task.

    Attributes:
        objective: the metric that ranks, "top1" or the task's own.
        scorecards: every policy that has a run, best mean validation objective first, or by the first goal.
        confirmed: the finalists on fresh seeds, the winner first; empty without a confirmation.
        failures: the runs that failed, which are left out of all else.
        rows: the policy and variant of each row of the study, by the name of its scorecard.
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

    @property
    def shown(self) -> Mapping[str, Row]:
        """The rows that have a scorecard, best first."""
        return {card.name: self.rows[card.name] for card in self.scorecards}

    @property
    def form(self) -> str:
        """The format of scores: that of its goal, where the objective is one."""
        return next((goal.form for goal in self.goals if goal.of_objective(self.objective)), "")

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
        for name in lacking if self.scorecards else ():
            avoided = any(name in card.verdicts and card.verdicts[name].label == "avoid" for card in self.scorecards)
            but = " but of divergence" if avoided else ""
            remarks.append(f"No run has a value of {name}, so that nothing is claimed by it{but}.")
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
            names = RowNames.of(task.shown, width)
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


def results(study: int | str, store: Store, by: By = ()) -> Results:
    """Rank and judge the policies of a study by the runs that have ended.

    Args:
        by: the goals, in place of the study's own.

    Raises:
        StoreError: the store has no study of that name, or cannot be read.
        StudyError: a goal cannot be used.
    """
    return answer(StudyRuns.of(study, store), by)


@without_collection()
def answer(evidence: StudyRuns, by: By = ()) -> Results:
    """Compute `results` of a study that was read already."""
    margin, target = evidence.record.margin, evidence.record.target
    answers = []
    contenders: dict[str, list[PolicyRuns]] = {}
    for task in evidence.tasks:
        goals = evidence.goals(task, by)
        records, over = evidence.records(task, "main"), evidence.over(task, goals)
        main = contenders[task.name] = evidence.contenders(records)
        cards = rank(main, **evidence.terms(task, main, goals, over), target=target)
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
    at_horizons = tuple(horizons(evidence.tasks, contenders, {one.task: one for one in answers}))
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
    return sorted(cards, key=lambda card: _label(card) != "good")


def _label(card: Scorecard) -> str | None:
    return None if card.verdict is None else card.verdict.label


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
    cards = _good_first(rank(main, **evidence.terms(task, main, goals)))
    if goals[0].of_objective(task.objective):
        tolerated, step = evidence.record.tolerated_divergence, resolution(task)
        chosen = choose_finalists(main, at_most=FINALISTS, resolution=step, tolerated=tolerated)
        winner = [card.name for card in cards[:1] if _label(card) == "good"]
        return list(dict.fromkeys([*winner, *(one.name for one in chosen)]))[:FINALISTS]
    return [card.name for card in cards if _label(card) != "avoid"][:FINALISTS]


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
