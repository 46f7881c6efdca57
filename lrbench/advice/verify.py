"""Does a policy reach a target on a task within a budget? Runs on fresh seeds answer yes, no or undecided.

The claim is about the mean over seeds of the task's validation objective at the end of the budget: yes, where the
worse end of its 95% t interval is at least as good as the target, no, where the better end is worse, and undecided
between. A policy that diverges on a seed does not reach it.

The seeds come after all that evidence of the policy has used, for the best of many policies owes its place to its
seeds. On the seeds that chose it, the best of 13, 47 or 200 equal policies gets a wrong yes in 21, 37 or 58% of cases;
on fresh ones in 2.5%, however it was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lrbench.advice.evidence import AskedTask, unseen_seeds
from lrbench.display.names import unbroken
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import PolicyError, StudyError
from lrbench.metrics import Scorecard, as_gain, seeds_to_decide, summarise
from lrbench.study.study import Study, StudyPolicy

if TYPE_CHECKING:
    from lrbench.policy import Policy
    from lrbench.tasks import AnyTask
    from lrbench.training.trainer import Trainer

LEVEL = 0.95


@dataclass(frozen=True, repr=False)
class Verification(Readable):
    """Whether a policy reaches a target.

    Attributes:
        card: its runs at the budget; `card.reached` says how many were as good as the target at some evaluation.
        seeds: the seeds of the runs.
        steps_trained: the iterations that this call trained.
    """

    task: str
    target: float
    budget: int
    answer: Literal["yes", "no", "undecided"]
    reason: str
    card: Scorecard
    seeds: tuple[int, ...]
    steps_trained: int

    def to_json(self) -> dict[str, Any]:
        """The document of `lrbench verify --json`."""
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
            "steps_trained": self.steps_trained,
        }

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        budget = f"{self.budget:,} iterations, seeds {_listed(self.seeds)}"
        yield f"{self.answer}: {unbroken(self.card.policy)} on {self.task} in {budget}: {self.reason}"


def check_policy(
    policy: Policy, task: AnyTask, trainer: Trainer, *, target: float, seeds: int | Sequence[int]
) -> Verification:
    """Train a policy with several seeds, and decide whether it reaches a target.

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
        target=target,
    )
    evidence, tally = trainer.trained(study, "verify")
    where = evidence.tasks[0]
    runs = evidence.records(where, "main").get((str(policy), ""), [])
    failures = list(evidence.failures(where))
    if failures:
        raise StudyError(f"{study.name}: seed {failures[0].seed} failed: {failures[0].error}")
    card = summarise(str(policy), str(policy), runs, target=target, level=LEVEL)
    answer, reason = judged(card, target)
    return Verification(task.name, target, task.steps, answer, reason, card, study.seeds, tally.steps_trained)


def judged(card: Scorecard, target: float) -> tuple[Literal["yes", "no", "undecided"], str]:
    """Return the answer that a policy's runs give, and one clause that says why."""
    score = card.val
    diverged = round((card.metrics["divergence_rate"].mean or 0.0) * card.n)
    if diverged:
        return "no", f"{diverged} of {card.n} runs diverged"
    if score.mean is None or score.low is None or score.high is None:
        return "undecided", "there is no interval"
    found = f"validation {card.objective} {score.mean:.4f} [{score.low:.4f}, {score.high:.4f}], n = {card.n}"
    worst, best = sorted(as_gain(end, card.better) for end in (score.low, score.high))
    goal = as_gain(target, card.better)
    reached, missed = ("above", "below") if card.better == "higher" else ("below", "above")
    if worst >= goal:
        return "yes", f"{found}, at or {reached} {target:g}"
    if best < goal:
        return "no", f"{found}, {missed} {target:g}"
    more = None
    if score.sd:
        more = seeds_to_decide(abs(score.mean - target) / score.sd, (1 - LEVEL) / 2)
    advice = "no number of seeds is known to decide" if more is None else f"about {max(more, card.n + 1)} would decide"
    return "undecided", f"{found}, includes {target:g}; {advice}"


def _listed(seeds: Sequence[int]) -> str:
    first, last = seeds[0], seeds[-1]
    return f"{first} to {last}" if tuple(seeds) == tuple(range(first, last + 1)) else ", ".join(map(str, seeds))
