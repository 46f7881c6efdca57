"""The finalists of a search on fresh seeds, because the best of many looks better than it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lrbench.metrics import Confirmation, confirm
from lrbench.metrics import finalists as choose_finalists
from lrbench.policy_search.guessing import is_guessing
from lrbench.policy_search.rungs import entry_of
from lrbench.study.results import FINALISTS
from lrbench.study.study import Study
from lrbench.study.study_runs import Failure, StudyRuns, resolution
from lrbench.training.plan import fresh_seeds

if TYPE_CHECKING:
    from lrbench.policy_search.rungs import Trial
    from lrbench.policy_search.search import Search
    from lrbench.training.trainer import Trainer

GOALS = {"steps": "steps_to_target", "robustness": "base_lr_retention"}
"""The goal of a study by objective of a search, for those that are not the accuracy; each is a metric's name."""


class Finalists(NamedTuple):
    """The finalists on fresh seeds, the winner first, with failed runs and trained iterations."""

    confirmed: tuple[Confirmation, ...] = ()
    failures: tuple[Failure, ...] = ()
    steps_trained: int = 0


def confirm_finalists(
    search: Search, whole: StudyRuns, trials: Iterable[Trial], leading: Sequence[Trial], trainer: Trainer
) -> Finalists:
    """Train the finalists of a search on fresh seeds, which judge them by what the search was for.

    Args:
        whole: the search's runs at the whole budget.
        trials: all of them.
        leading: those that did not diverge, best first; with two objectives those that no other beats in both.
    """
    if search.objectives == ("accuracy",):
        (task,) = whole.tasks
        contenders = whole.contenders(whole.records(task, "main"))
        chosen = choose_finalists(contenders, at_most=FINALISTS, resolution=resolution(task))
        by_row = {one.row: one for one in trials}
        best = [by_row[whole.rows[one.name]] for one in chosen]
    else:
        best = list(leading[:FINALISTS])
    study = Study(
        name=f"{search.name}: confirmed",
        tasks=(search.task,),
        policies=tuple(entry_of(one.proposal) for one in best),
        seeds=fresh_seeds(search.seeds, search.confirm),
        margin=search.margin,
        by=_goals(search.objectives, search.task.objective),
        target=search.target,
        base_lr_scales=search.base_lr_scales,
    )
    fresh, tally = trainer.trained(study, "confirmation", whole.entry.parent)
    return Finalists(
        confirmations(whole, fresh, search.objectives), tuple(fresh.failures(fresh.tasks[0])), tally.steps_trained
    )


def confirmations(whole: StudyRuns, fresh: StudyRuns, objectives: Sequence[str]) -> tuple[Confirmation, ...]:
    """Score the finalists of a search on fresh seeds, in the order of its first objective.

    Behind the others are those that the fresh seeds refuse; where that objective is not the accuracy, behind these
    those that do no better than guessing, whose robustness says nothing, and last those without a value of it.
    """
    (task,) = fresh.tasks
    searched, runs = (one.contenders(one.records(task, "main")) for one in (whole, fresh))
    margin, target = fresh.record.margin, fresh.record.target
    goals = fresh.goals(task, _goals(objectives, task.objective))
    confirmed = confirm(searched, runs, margin=margin, target=target, by=goals)
    if objectives[0] not in GOALS:
        return tuple(confirmed)

    def place(one: Confirmation) -> tuple[bool, bool, bool]:
        is_known = one.card.metrics[GOALS[objectives[0]]].mean is not None
        return not is_known, objectives[0] == "robustness" and is_guessing(one.card.val.mean, task), one.refused

    return tuple(sorted(confirmed, key=place))


def _goals(objectives: Sequence[str], score: str) -> tuple[str, ...]:
    """Return the goals of a study that judges by these objectives; none for the score of the task alone."""
    if tuple(objectives) == ("accuracy",):
        return ()
    return tuple(GOALS.get(objective, score) for objective in objectives)
