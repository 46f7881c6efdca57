"""Does a policy reach a target on a task within a budget? Runs on fresh seeds answer yes, no or undecided.

The claim is about the mean over seeds of the task's validation objective at the end of the budget: yes, where the
worse end of its t interval is at least as good as the target, no, where the better end is worse, and undecided
between. A policy that diverges on a seed does not reach it.

**Looking again.** Seeds may be added until there is an answer. Answers are made at looks, as verdicts of studies are
(`metrics/looks.py`): the number of seeds that is asked for first has 80% of the error rate, and later looks have the
rest. A look with the share w has an interval of level 1 - .05 w, so that with 95% all of them hold. The first answer
stays; all targets have the same intervals, and so the same looks.

The seeds come after all that evidence of the policy has used, for the best of many policies owes its place to its
seeds. On the seeds that chose it, the best of 13, 47 or 200 equal policies gets a wrong yes in 21, 37 or 58% of cases;
on fresh ones in 2.5%, however it was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

from lrbench.advice.evidence import AskedTask, unseen_seeds
from lrbench.display.names import many, unbroken
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import PolicyError, StudyError
from lrbench.metrics import RunRecord, Scorecard, as_gain, bounds_of, summarise
from lrbench.metrics.looks import Looks
from lrbench.metrics.statistics import ROUNDING, not_narrower
from lrbench.study.study import Study, StudyPolicy
from lrbench.study.study_runs import resolution

if TYPE_CHECKING:
    from lrbench.policy import Policy
    from lrbench.tasks import AnyTask
    from lrbench.training.trainer import Trainer

LEVEL = 0.95
"""Of the intervals of all looks together."""

Answer = Literal["yes", "no", "undecided"]


@dataclass(frozen=True, repr=False)
class Verification(Readable):
    """Whether a policy reaches a target.

    Attributes:
        card: its runs at the last look that gives this answer; `card.reached` says how many were as good as the target
            at some evaluation.
        seeds: the seeds of all its runs, in their order.
        looks: the numbers of seeds at which the answer was looked for.
        steps_trained: the iterations that this call trained.
    """

    task: str
    target: float
    budget: int
    answer: Answer
    reason: str
    card: Scorecard
    seeds: tuple[int, ...]
    looks: tuple[int, ...]
    steps_trained: int

    def to_json(self) -> dict[str, Any]:
        """Return the document of `lrbench verify --json`."""
        return {
            "policy": self.card.policy,
            "task": self.task,
            "target": self.target,
            "budget": self.budget,
            "answer": self.answer,
            "reason": self.reason,
            "val": self.card.val.to_json(),
            "test": self.card.test.to_json(),
            "reached": self.card.reached,
            "n": self.card.n,
            "seeds": list(self.seeds),
            "looks": list(self.looks),
            "steps_trained": self.steps_trained,
        }

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        budget = f"{many(self.budget, 'iteration')}, seeds {_listed(self.seeds)}"
        yield f"{self.answer}: {unbroken(self.card.policy)} on {self.task} in {budget}: {self.reason}"


def check_policy(
    policy: Policy, task: AnyTask, trainer: Trainer, *, target: float, seeds: int | Sequence[int]
) -> Verification:
    """Train a policy with several seeds, and decide whether it reaches a target.

    Seeds of the same verification that the store has already count too.

    Args:
        seeds: the number of fresh seeds, or the seeds; at least two, so that there is an interval.

    Raises:
        StudyError: there are too few seeds, or a run failed.
        PolicyError: the policy does not fit the budget.
    """
    if isinstance(seeds, int):
        seeds = unseen_seeds(seeds, policy, AskedTask.of(task), trainer.store)
    if len(seeds) < 2:
        raise StudyError(f"a verification needs at least 2 seeds, not {len(seeds)}")
    try:
        task.bind(policy)
    except PolicyError as error:
        raise PolicyError(f"{policy} on task '{task.name}': {error}") from error
    study = Study(
        name=f"verify {policy} on {task.name}, {task.steps} iterations",
        tasks=(task,),
        policies=(StudyPolicy(str(policy), policy),),
        seeds=tuple(seeds),
    )
    evidence, tally = trainer.trained(study, "verify")
    where = evidence.tasks[0]
    if failed := next((one for one in evidence.failures(where) if one.seed in seeds), None):
        raise StudyError(f"{study.name}: seed {failed.seed} failed: {failed.error}")
    by_seed = {run.seed: run for run in evidence.records(where, "main")[str(policy), ""]}
    runs = [by_seed[seed] for seed in takewhile(by_seed.__contains__, evidence.record.seeds)]
    answer, reason, card = judged(str(policy), runs, target, evidence.looks, resolution(where))
    used, looks = tuple(run.seed for run in runs), evidence.looks.seeds[: evidence.looks.done(len(runs))]
    return Verification(task.name, target, task.steps, answer, reason, card, used, looks, tally.steps_trained)


def judged(
    policy: str, runs: Sequence[RunRecord], target: float, looks: Looks, step: float | None = None
) -> tuple[Answer, str, Scorecard]:
    """Return the first answer that a policy's runs give at a look, one clause that says why, and the runs behind it.

    Args:
        step: that of the score's scale, which is the least spread between seeds that is believed; None where
            it is not known, and then equal scores decide nothing.
    """

    def card(seeds: int, share: float) -> Scorecard:
        level = 1 - (1 - LEVEL) * share
        found = summarise(policy, policy, runs[:seeds], target=target, level=level)
        score = f"val_{found.objective}"
        wide = not_narrower(found.val, step or 0.0, level).within(bounds_of(score, runs))
        return replace(found, metrics={**found.metrics, score: wide})

    if diverged := sum(run.diverged for run in runs):
        return "no", f"{diverged} of {many(len(runs), 'run')} diverged", card(len(runs), 1.0)
    if len(runs) < looks.seeds[0]:
        waiting = f"answers begin at {looks.seeds[0]} seeds, of which it has {len(runs)}"
        return "undecided", waiting, card(len(runs), 1.0)
    cards = [card(seeds, share) for seeds, share in looks.shares_by_seeds.items() if seeds <= len(runs)]
    answers = [_at_a_look(one, target) for one in cards]
    first: Answer = next((answer for answer, _ in answers if answer != "undecided"), "undecided")
    reason, last = [(why, one) for (answer, why), one in zip(answers, cards, strict=True) if answer == first][-1]
    if first == "undecided":
        score, more = last.val, None
        if score.sd and score.mean is not None:
            more = looks.finding([abs(score.mean - target) / score.sd], (1 - LEVEL) / 2, [len(runs)])[0]
        after = looks.next_after(len(runs))
        reason += "; " if after is None else f"; the next look is at {after} seeds, "
        reason += "no number of seeds is known to decide" if more is None else f"about {more} would decide"
    return first, reason, last


def _at_a_look(card: Scorecard, target: float) -> tuple[Answer, str]:
    score = card.val
    if score.mean is None or score.low is None or score.high is None or score.sd is None:
        return "undecided", "there is no interval"
    if score.sd <= ROUNDING * abs(score.mean):
        return "undecided", f"validation {card.objective} is {score.mean:.4f} on all {card.n} seeds: no spread is known"
    found = f"validation {card.objective} {score.mean:.4f} [{score.low:.4f}, {score.high:.4f}], n = {card.n}"
    worst, best = sorted(as_gain(end, card.better) for end in (score.low, score.high))
    goal = as_gain(target, card.better)
    reached, missed = ("above", "below") if card.better == "higher" else ("below", "above")
    if worst >= goal:
        return "yes", f"{found}, at or {reached} {target:g}"
    if best < goal:
        return "no", f"{found}, {missed} {target:g}"
    return "undecided", f"{found}, includes {target:g}"


def _listed(seeds: Sequence[int]) -> str:
    first, last = seeds[0], seeds[-1]
    return f"{first} to {last}" if tuple(seeds) == tuple(range(first, last + 1)) else ", ".join(map(str, seeds))
