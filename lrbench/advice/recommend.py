"""Which policy to begin with on a task, and what that advice stands on.

The nearest evidence speaks: runs on the same task; else runs on the same data or with the same kind of model, as the
registered tasks' names say, where the optimizer is the same, since learning rates of different optimizers have nothing
in common; else none, and policies that are good beginnings in general get the learning rates of a range test on the
task. Which of these it was is part of the answer, and a number of it is always one that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from lrbench.advice.evidence import TaskEvidence, registered
from lrbench.advice.verify import Verification, check_policy
from lrbench.display.names import unbroken
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import PolicyError, StudyError, unknown_name
from lrbench.lr_range.range_test import RANGE_SEEDS, find_range
from lrbench.metrics import Interval, PolicyRuns, as_gain, bounds_of, mean_over_scales, rank, t_interval
from lrbench.policy import FIX, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lrbench.lr_range.range_test import RangeTest
    from lrbench.metrics import Better, RunRecord
    from lrbench.tasks import Task, TaskSettings
    from lrbench.training.trainer import Trainer

GOALS = ("accuracy", "cost", "robust")
"""`accuracy`: the validation objective. `cost`: iterations until it is within a twentieth of the best policy's.
`robust`: the mean of the objective over the base LRs that were tried; the share that they leave of it would praise a
policy that is bad at its own."""

Nearness = Literal[
    "the same task", "the same task with another budget", "the same data", "the same kind of model", "none"
]

MARGIN = 0.01
NEAR_THE_BEST = 0.05
"""Costs are counted until the objective is within this share of the best policy's."""

FEWEST_POLICIES = 3
"""Fewer policies with several runs than these on a task are no comparison; evidence from farther away goes first."""

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
        runs: how many runs of it are the evidence; 0 where there is none.
        value: the goal's number on the task of the evidence, over seeds.
        verdict: "good", "avoid" or "undecided" beside the other policies of the evidence; None without evidence.
    """

    policy: str
    runs: int
    value: Interval | None
    verdict: str | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "value": None if self.value is None else self.value.to_json()}


@dataclass(frozen=True, repr=False)
class Advice(Readable):
    """Which policies to begin with on a task.

    Attributes:
        nearness: how near the evidence is to the task.
        source: the task, the budget, the studies and the number of runs that the advice stands on.
        recommendations: best first.
        verified: what their training on the task then said, as far as it was asked for.
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
        """The document of `lrbench recommend --json`."""
        return {
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
    task: Task,
    trainer: Trainer,
    evidence: Iterable[TaskEvidence],
    *,
    goal: str = "accuracy",
    at_most: int = 3,
) -> Advice:
    """Recommend policies from the nearest evidence, or from a range test, trained by the trainer, where there is none.

    Raises:
        StudyError: there is no such goal.
        TaskError: there is no evidence, and no learning rate learns anything on the task.
    """
    if goal not in GOALS:
        raise StudyError(unknown_name("goal", goal, GOALS))
    for nearness, body in nearest(task, list(evidence)):
        found = _recommended(task, body, goal)
        if found:
            runs = len(body.runs)
            source = (
                f"{runs} runs of {len(body.contenders)} policies on {nearness}: {body.task}, {body.steps:,} iterations "
                f"({', '.join(sorted(body.studies))}; {body.where})"
            )
            return Advice(task.name, goal, nearness, source, tuple(found[:at_most]))
    test = find_range(task, trainer, seeds=RANGE_SEEDS)
    curves = " (runs that ship with lrbench have no curves to read it off)" if goal == "cost" else ""
    source = (
        f"a range test alone, as there is no evidence of {goal} on this task or one like it{curves}: it learns with "
        f"constant LRs from {test.low.value:.2g} to {test.high.value:.2g} ({len(test.constant)} runs of {test.steps} "
        "iterations)"
    )
    return Advice(task.name, goal, "none", source, tuple(_general(test))[:at_most])


def verified(advice: Advice, task: Task, trainer: Trainer, *, target: float, seeds: Sequence[int]) -> Advice:
    """The advice with its policies trained on the task, in their order, until one is verified to reach the target."""
    checks: list[Verification] = []
    for one in advice.recommendations:
        checks.append(check_policy(parse(one.policy), task, trainer, target=target, seeds=seeds))
        if checks[-1].answer == "yes":
            break
    return replace(advice, verified=tuple(checks))


def nearest(task: Task, known: Sequence[TaskEvidence]) -> list[tuple[Nearness, TaskEvidence]]:
    """The bodies of evidence that say something of a task, nearest first, and of those as near the largest."""
    settings = registered(task.name)
    order: list[Nearness] = [
        "the same task",
        "the same task with another budget",
        "the same data",
        "the same kind of model",
    ]
    near = [(nearness, body) for body in known if (nearness := _nearness(task, settings, body)) is not None]

    def place(one: tuple[Nearness, TaskEvidence]) -> tuple[bool, int, float, int]:
        nearness, body = one
        few = sum(len(one.runs) > 1 for one in body.contenders) < FEWEST_POLICIES
        return few, order.index(nearness), abs(math.log(body.steps / task.steps)), -len(body.runs)

    return sorted(near, key=place)


def _nearness(task: Task, settings: TaskSettings | None, body: TaskEvidence) -> Nearness | None:
    if (body.objective, body.better) != (task.objective, task.better):
        return None
    if _is_same(task, settings, body):
        return "the same task" if body.steps == task.steps else "the same task with another budget"
    theirs = body.settings
    if settings is None or theirs is None or type(settings.optimizer) is not type(theirs.optimizer):
        return None
    if settings.dataset == theirs.dataset:
        return "the same data"
    return "the same kind of model" if settings.model.kind == theirs.model.kind else None


def _is_same(task: Task, settings: TaskSettings | None, body: TaskEvidence) -> bool:
    """Whether evidence is of the task, at whatever budget: by its key, or for shipped studies by all settings."""
    if body.key is not None:
        return body.key == task.with_(steps=body.steps, eval_every=body.eval_every).key
    if settings is None or body.settings is None:
        return False
    mine, theirs = (replace(one, name="", steps=1, eval_every=None) for one in (settings, body.settings))
    return mine == theirs


def _recommended(task: Task, body: TaskEvidence, goal: str) -> list[Recommendation]:
    """The policies of a body of evidence that can be trained on a task, best first, without those to be avoided.

    Where the best of them does no better than guessing, nothing was learnt, and none is recommended.
    """
    contenders = {one.policy: one for one in body.contenders if _fits(one.policy, task, body)}
    cards = rank(list(contenders.values()), margin=MARGIN, resolution=body.resolution)
    best = cards[0].val.mean if cards else None
    if best is None or (body.guessing is not None and best <= body.guessing):
        return []
    recommendations = []
    for card in cards:
        value = _value(goal, contenders[card.policy], best)
        verdict = None if card.verdict is None else card.verdict.label
        if value is None or verdict == "avoid":
            continue
        judged = (
            f"{verdict} among {len(cards)} policies, margin {MARGIN:g}"
            if len(cards) > 1
            else "the only policy of the evidence"
        )
        reason = f"{WORDS[goal]} {_shown(value)}, n = {value.n}; {judged}"
        recommendations.append(Recommendation(card.policy, card.n, value, verdict, reason))
    return sorted(recommendations, key=lambda one: _cost(goal, one.value, body.better))


WORDS: Mapping[str, str] = {
    "accuracy": "validation score",
    "cost": "iterations to within a twentieth of the best",
    "robust": "mean validation score over base LRs",
}


def _value(goal: str, contender: PolicyRuns, best: float) -> Interval | None:
    """The goal's number over the seeds of a policy; None where its runs do not tell."""
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


def _mean_over_scales(run: RunRecord) -> float | None:
    score, retained = run.score("val"), run.final.get("base_lr_retention")
    if score is None or retained is None:
        return None
    return mean_over_scales(score, retained, run.chance, run.better)


def _cost(goal: str, value: Interval | None, score: Better) -> float:
    if value is None or value.mean is None:
        return math.inf
    return value.mean if goal == "cost" else -as_gain(value.mean, score)


def _fits(policy: str, task: Task, body: TaskEvidence) -> bool:
    """Whether a policy means the same on the task: it follows the budget, or knows none, or the budget is the same."""
    value = parse(policy)
    if body.steps != task.steps and value.is_bound and type(value) is not FIX:
        return False
    try:
        value.bind(task.steps, task.steps_per_epoch)
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
