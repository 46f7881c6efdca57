"""Recommendations of policies for a task, with the evidence behind them.

The nearest evidence counts: runs on the same task; else runs on the same data or with the same kind of model. The
optimizer must be the same, since learning rates of different optimizers have nothing in common, and so with those of
fine-tuning and of training from initial weights. Where there is no evidence, a range test may be trained, and common
policies get its learning rates. The answer names its evidence, and each number in it was measured.

The best of many looks better than it is. So numbers on fresh seeds come first, and the others follow by the worse ends
of their intervals, not by their means. Each verdict is that of the study that trained the policy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from lrbench.advice import GOALS
from lrbench.advice.evidence import SHIPPED, AskedTask, TaskEvidence
from lrbench.advice.verify import Verification, check_policy
from lrbench.display.names import many, unbroken
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import PolicyError, StudyError, unknown_name
from lrbench.lr_range.range_test import RANGE_SEEDS, find_range
from lrbench.metrics import Interval, PolicyRuns, as_gain, bounds_of, mean_over_scales, t_interval
from lrbench.metrics.goal import TO_TARGET, goals_of, metrics_by_goal
from lrbench.metrics.runs import TOP1
from lrbench.policy import FIX, parse
from lrbench.policy.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lrbench.lr_range.range_test import RangeTest
    from lrbench.metrics import Better, RunRecord
    from lrbench.metrics.goal import Criterion
    from lrbench.tasks import AnyTask
    from lrbench.training.trainer import Trainer

Nearness = Literal[
    "the same task", "the same task with another budget", "the same data", "the same kind of model", "none"
]
SAME: tuple[Nearness, Nearness] = ("the same task", "the same task with another budget")

NEAR_THE_BEST = 0.05
"""Costs are counted until the objective is within this share of the best policy's."""

FEWEST_POLICIES = 3
"""Where fewer policies than these have several runs, there is no comparison; evidence from farther away goes first."""

GENERAL = (
    ("POLY(k0={high}, p=1, l=1dur)", "a straight line to zero"),
    ("COSINE(k0={high}, l=1dur)", "half a cosine to zero"),
    ("TRI(k0={low}, k1={high}, l=0.5dur)", "one triangle over the range"),
)
"""Beginnings without evidence of the task: a straight line to zero was best of ten schedules over ten problems (Defazio
et al. 2023, arXiv 2310.07831); the others are as common."""


@dataclass(frozen=True)
class Recommendation:
    """A policy to begin with.

    Attributes:
        runs: the number of its runs in the evidence.
        value: the goal's number on the task of the evidence, over seeds; None without evidence.
        verdict: "good" or "undecided", by the study; None without evidence.
        study: the study that trained it; None without evidence.
        confirmed: whether the runs are on fresh seeds, which had no part in the choice of the policy.
    """

    policy: str
    runs: int
    value: Interval | None
    verdict: str | None
    reason: str
    study: str | None = None
    confirmed: bool = False

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "value": None if self.value is None else self.value.to_json()}


@dataclass(frozen=True, repr=False)
class Advice(Readable):
    """Which policies to begin with on a task.

    Attributes:
        nearness: how near the evidence is to the task.
        source: the task, the budget, the studies and the number of runs that the advice stands on.
        recommendations: best first.
        verified: the verifications of the first of them, where they were asked for.
    """

    task: str
    goal: str
    nearness: Nearness
    source: str
    recommendations: tuple[Recommendation, ...]
    verified: tuple[Verification, ...] = ()

    @property
    def policy(self) -> str:
        """The first policy that verification accepts; the first recommendation where none was verified."""
        accepted = [one.card.policy for one in self.verified if one.answer == "yes"]
        return accepted[0] if accepted else self.recommendations[0].policy

    def to_json(self) -> dict[str, Any]:
        """Return the document of `lrbench recommend --json`."""
        return {
            "schema": 1,
            "task": self.task,
            "goal": self.goal,
            "nearness": self.nearness,
            "source": self.source,
            "policy": self.policy,
            "recommendations": [one.to_json() for one in self.recommendations],
            "verified": [one.to_json() for one in self.verified],
        }

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        yield f"for {self.goal} on {self.task}, from {self.source}"
        yield from (
            f"{place}. {unbroken(one.policy)}: {one.reason}" for place, one in enumerate(self.recommendations, 1)
        )
        for one in self.verified:
            yield from one.display(width)
        if self.verified and not any(one.answer == "yes" for one in self.verified):
            yield "nothing found that is verified to reach the target within the budget"


def advise(
    asked: AskedTask, evidence: Iterable[TaskEvidence], *, goal: str = "accuracy", at_most: int = 3
) -> Advice | None:
    """Recommend policies from the nearest evidence; None where there is none.

    Raises:
        StudyError: there is no such goal.
    """
    names = (*GOALS, asked.objective, *metrics_by_goal())
    if (name := goals_of(goal)[0].name) not in names:
        raise StudyError(unknown_name("goal", name, dict.fromkeys(names)))
    if name in GOALS and name != goal:
        raise StudyError(f"the goal '{name}' takes no margin: ask for {name}")
    for nearness, bodies in nearest(asked, evidence):
        if found := _recommended(asked, bodies, goal):
            policies = {one.policy for body in bodies for one in body.contenders}
            runs = {(one.policy, run.seed) for body in bodies for one in body.contenders for run in one.runs}
            studies, places = ({getattr(body, name): None for body in bodies} for name in ("study", "where"))
            by_name = (
                ""
                if asked.task or asked.is_imported or places.keys() == {SHIPPED}
                else ", by its name, as its data is not here"
            )
            source = (
                f"{many(len(runs), 'run')} of {many(len(policies), 'policy')} on {nearness}: "
                f"{asked.name if nearness in SAME else bodies[0].task}, "
                f"{many(bodies[0].steps, 'iteration')} ({', '.join(studies)}; {', '.join(places)}{by_name})"
            )
            return Advice(asked.name, _called(goal, asked.objective), nearness, source, tuple(found[:at_most]))
    return None


def advise_by_range_test(task: AnyTask, trainer: Trainer, *, goal: str = "accuracy", at_most: int = 3) -> Advice:
    """Train a range test, and recommend common policies with its learning rates.

    Raises:
        TaskError: no learning rate learns anything on the task.
    """
    test = find_range(task, trainer, seeds=RANGE_SEEDS)
    source = (
        f"a range test alone, as {no_evidence(goal)}: it learns with "
        f"constant LRs from {test.low.value:.2g} to {test.high.value:.2g} ({len(test.constant)} runs of {test.steps} "
        "iterations)"
    )
    return Advice(task.name, _called(goal, task.objective), "none", source, tuple(_general(test))[:at_most])


def _called(goal: str, objective: str) -> str:
    """Name a goal: what is asked as accuracy is a task's objective, whatever that is."""
    return objective if goal == "accuracy" and objective != TOP1 else goal


def no_evidence(goal: str) -> str:
    """Return a clause for where no runs say anything of a goal on a task."""
    return f"there is no evidence of {goal} on this task or one like it"


def verified(advice: Advice, task: AnyTask, trainer: Trainer, *, target: float, seeds: int | Sequence[int]) -> Advice:
    """Train the policies of an advice on the task, in their order, until one is verified to reach the target."""
    checks: list[Verification] = []
    for one in advice.recommendations:
        checks.append(check_policy(parse(one.policy), task, trainer, target=target, seeds=seeds))
        if checks[-1].answer == "yes":
            break
    return replace(advice, verified=tuple(checks))


def nearest(asked: AskedTask, known: Iterable[TaskEvidence]) -> list[tuple[Nearness, list[TaskEvidence]]]:
    """Group the evidence that says something of a task by its task and budget, nearest first, then largest first."""
    groups: dict[tuple[object, ...], tuple[Nearness, list[TaskEvidence]]] = {}
    for body in known:
        nearness = _nearness(asked, body)
        if nearness is not None:
            same = nearness in SAME
            key = (nearness, body.steps, *(() if same else (body.task, body.key, repr(body.settings))))
            groups.setdefault(key, (nearness, []))[1].append(body)

    def place(group: tuple[Nearness, list[TaskEvidence]]) -> tuple[bool, int, float, int]:
        nearness, bodies = group
        compared = {one.policy for body in bodies for one in body.contenders if len(one.runs) > 1}
        runs = sum(len(one.runs) for body in bodies for one in body.contenders)
        distance = abs(math.log(bodies[0].steps / asked.steps))
        return len(compared) < FEWEST_POLICIES, get_args(Nearness).index(nearness), distance, -runs

    return sorted(groups.values(), key=place)


def _nearness(asked: AskedTask, body: TaskEvidence) -> Nearness | None:
    if (body.objective, body.better) != (asked.objective, asked.better):
        return None
    if asked.is_of(body):
        return SAME[body.steps != asked.steps]
    mine, theirs = asked.settings, body.settings
    if mine is None or theirs is None or type(mine.optimizer) is not type(theirs.optimizer):
        return None
    if (mine.pretrained is None) != (theirs.pretrained is None):
        return None
    if mine.dataset == theirs.dataset:
        return "the same data"
    return "the same kind of model" if mine.model.kind == theirs.model.kind else None


def _recommended(asked: AskedTask, bodies: Sequence[TaskEvidence], goal: str) -> list[Recommendation]:
    """Recommend the policies that can be trained on a task, best first, without those that a study says to avoid.

    A study whose best policy does no better than guessing learnt nothing, and recommends none.
    """
    learnt = [body for body in bodies if body.guessing is None or _best([body]) > body.guessing]
    best, better = _best(learnt), asked.better
    rises: Better = "lower" if goal == "cost" else better
    avoided: set[str] = set()
    found: dict[str, Recommendation] = {}
    for body, by in _comparable(learnt, goal):
        runs = {one.name: one for one in body.contenders}
        words, margin = (WORDS[goal], f"{body.terms['margin']:g}") if by is None else (_title(by), f"{by.margin}")
        rises = rises if by is None else by.better
        for card in body.cards if by is None else body.judged(by):
            verdict = None if card.verdict is None else card.verdict.label
            contender = runs[card.name]
            value = _value(goal, contender, as_gain(best, better)) if by is None else _number(by, contender)
            if verdict == "avoid":
                avoided.add(card.policy)
            elif value is not None and _fits(card.policy, asked, body):
                fresh = " fresh seeds" if body.confirmed else ""
                noun = "finalist" if body.confirmed else "policy"
                judged = f"{verdict} among {many(len(body.cards), noun)} of {body.study}, margin {margin}"
                if len(body.cards) == 1:
                    judged = f"the only {noun} of {body.study}"
                reason = f"{words} {_shown(value)}, n = {value.n}{fresh}; {judged}"
                one = Recommendation(card.policy, card.n, value, verdict, reason, body.study, body.confirmed)
                known = found.get(card.policy, one)
                found[card.policy] = max(known, one, key=lambda one: (one.confirmed, one.runs))
    chosen = [one for policy, one in found.items() if policy not in avoided]
    return sorted(chosen, key=lambda one: _order(one, rises))


def _comparable(bodies: Sequence[TaskEvidence], goal: str) -> Iterator[tuple[TaskEvidence, Criterion | None]]:
    """Yield evidence whose numbers of a goal mean the same, with that meaning; None for a goal of advice alone.

    Iterations are counted to one target, and robustness is over the same base LRs: those of the study with most runs.
    """
    by_size = sorted(bodies, key=lambda body: -sum(len(row.runs) for row in body.rows))
    target = next((body.target for body in by_size if body.target is not None), None)
    scales = next((scales for body in by_size if len(scales := {1.0, *body.base_lr_scales}) > 1), {1.0})
    for body in bodies:
        by = None if goal in GOALS else body.criterion(goal, target)
        over_base_lrs = goal == "robust" or (by is not None and by.needs_base_lrs)
        if (by or goal in GOALS) and not (over_base_lrs and {1.0, *body.base_lr_scales} != scales):
            yield body, by


def _title(by: Criterion) -> str:
    return f"{by.title} {by.target:g}:" if by.figure == TO_TARGET else by.title


def _best(bodies: Iterable[TaskEvidence]) -> float:
    """Return the gain of the best mean; minus infinity where there is none."""
    cards = (card for body in bodies for card in body.cards)
    return max((as_gain(card.val.mean, card.better) for card in cards if card.val.mean is not None), default=-math.inf)


def _order(one: Recommendation, better: Better) -> tuple[bool, float, float]:
    value = one.value
    assert value is not None
    mean, *ends = (-math.inf if end is None else as_gain(end, better) for end in (value.mean, value.low, value.high))
    return not one.confirmed, -min(ends), -mean


WORDS: Mapping[str, str] = {
    "accuracy": "validation score",
    "cost": "iterations to within a twentieth of the best",
    "robust": "mean validation score over base LRs",
}


def _value(goal: str, contender: PolicyRuns, best: float) -> Interval | None:
    """Return the goal's number over the seeds of a policy; None where a run does not have it."""
    finished = [run for run in contender.runs if not run.diverged]
    known: list[float | None]
    match goal:
        case "accuracy":
            known = [run.score("val") for run in finished]
        case "robust":
            known = [_mean_over_scales(run) for run in finished]
        case _:
            known = [run.steps_to(best - as_gain(NEAR_THE_BEST * abs(best), run.better)) for run in finished]
    values = [value for value in known if value is not None and math.isfinite(value)]
    if not values or len(values) < len(contender.runs):
        return None
    figure = "steps_to_target" if goal == "cost" else f"val_{contender.runs[0].objective}"
    return t_interval(values).within(bounds_of(figure, contender.runs))


def _number(by: Criterion, contender: PolicyRuns) -> Interval | None:
    """Return the number of a goal that ranks studies, over the seeds of a policy; None where a run does not have it."""
    values = [value for run in contender.runs if (value := by.value(run)) is not None and math.isfinite(value)]
    if not values or len(values) < len(contender.runs):
        return None
    return t_interval(values).within(bounds_of(by.figure, contender.runs))


def _mean_over_scales(run: RunRecord) -> float | None:
    score, retained = run.score("val"), run.final.get("base_lr_retention")
    if score is None or retained is None:
        return None
    return mean_over_scales(score, retained, run.chance, run.better)


def _fits(policy: str, asked: AskedTask, body: TaskEvidence) -> bool:
    """Return whether a policy means the same on the task: it follows the budget, has none, or the budgets are equal.

    What imported runs call a policy means what it meant there.
    """
    if body.is_imported:
        return True
    try:
        value = parse(policy)
        if body.steps != asked.steps and value.is_bound and type(value) is not FIX:
            return False
        value.bind_to(Budget(asked.steps, asked.steps) if asked.task is None else asked.task.budget)
    except PolicyError:
        return False
    return True


def _shown(value: Interval) -> str:
    form = ".4f" if value.mean is not None and abs(value.mean) < 10 else ",.0f"
    if value.low is None or value.high is None:
        return format(value.mean, form)
    return f"{format(value.mean, form)} [{format(value.low, form)}, {format(value.high, form)}]"


def _general(test: RangeTest) -> Iterable[Recommendation]:
    ends = {"low": f"{test.low.value:.2g}", "high": f"{test.high.value:.2g}"}
    for text, what in GENERAL:
        yield Recommendation(str(parse(text.format(**ends))), 0, None, None, f"{what}; no run of it is behind this")
