"""The policies of a study, best first, each with its verdict.

Ranks and verdicts look at the validation score. The test score stands beside it and chooses nothing, so that it says
what the chosen policy is worth.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lrbench.errors import StudyError
from lrbench.metrics.direction import Better, as_gain
from lrbench.metrics.goal import Criterion, objective_criterion
from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import FloatArray, Pairs
from lrbench.metrics.runs import PolicyRuns, RunRecord
from lrbench.metrics.scorecard import Scorecard, objective_of, scorecards
from lrbench.metrics.verdict import judge


def rank(
    contenders: Sequence[PolicyRuns],
    *,
    margin: float,
    alpha: float = 0.05,
    target: float | None = None,
    resolution: float | None = None,
    looks: Looks | None = None,
    seeds: Sequence[int] | None = None,
    done: Sequence[int] | None = None,
    by: Sequence[Criterion] = (),
    tolerated: float = 0.0,
) -> list[Scorecard]:
    """Rank a study's policies by their mean validation score, best first, those without any score last.

    Where chance is not known, so that diverged runs are in no mean, policies that diverged more often than is tolerated
    come after the others.

    Args:
        margin, alpha, resolution, looks, tolerated: as for `judge`; the resolution of an accuracy is 1 / (size of the
            validation split).
        target: as for `summarise`.
        seeds, done: of a study with looks, its seeds in their order, and for each policy how many of the first its
            runs are over.
        by: the goals, of which the first ranks, and policies that diverged more often than is tolerated come last then;
            each has verdicts of its own. By default the objective with `margin` and `resolution`.

    Raises:
        StudyError: as `judge` and `summarise`, and where contenders differ in their objective.
    """
    runs = [run for contender in contenders for run in contender.runs]
    objective, better = objective_of(runs), runs[0].better if runs else "higher"
    goals = by or (objective_criterion(objective, better, margin, resolution),)
    cards = scorecards(contenders, target=target)
    tables = [gain_table(contenders, goal.gain, seeds) for goal in goals]
    verdicts = [
        judge(
            *(gains, one.distance, alpha, diverged, one.resolution, looks, done),
            test=one.test,
            shown=one.margin_at,
            tolerated=tolerated,
        )
        for one, (gains, diverged) in zip(goals, tables, strict=True)
    ]
    gains, diverged = tables[0]
    fallen = [row.sum() > tolerated * len(one.runs) for one, row in zip(contenders, diverged, strict=True)]
    counts = bool(runs) and runs[0].chance is not None  # else the mean is that of the runs that did not diverge
    places = sorted(range(len(cards)), key=lambda i: (counts or not fallen[i], _gain(cards[i])), reverse=True)
    if not goals[0].of_objective(objective):
        centers, means = (np.nan_to_num(test.centers(gains), nan=-np.inf) for test in (goals[0].test, Pairs))
        places.sort(key=lambda i: (not fallen[i], centers[i], means[i]), reverse=True)
    by_goal = [
        {goal.name: verdict for goal, verdict in zip(goals, of_policy, strict=True)}
        for of_policy in zip(*verdicts, strict=True)
    ]
    return [replace(cards[i], verdict=by_goal[i][goals[0].name], verdicts=by_goal[i]) for i in places]


def score_table(
    contenders: Sequence[PolicyRuns], seeds: Sequence[int] | None = None, split: Literal["val", "test"] = "val"
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the gains of scores on a split and which runs diverged, as `gain_table` does."""
    return gain_table(contenders, lambda run: _of_score(run.score(split), run.better), seeds)


def gain_table(
    contenders: Sequence[PolicyRuns], gain: Callable[[RunRecord], float], seeds: Sequence[int] | None = None
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the gains of runs and which of them diverged, both [policies, seeds]; nan for a missing run.

    The columns are `seeds`, by default those of all contenders in rising order.
    """
    if seeds is None:
        seeds = sorted({run.seed for contender in contenders for run in contender.runs})
    column = {seed: s for s, seed in enumerate(seeds)}
    gains = np.full((len(contenders), len(seeds)), np.nan)
    diverged = np.zeros((len(contenders), len(seeds)), dtype=np.bool_)
    for i, contender in enumerate(contenders):
        for run in contender.runs:
            gains[i, column[run.seed]] = gain(run)
            diverged[i, column[run.seed]] = run.diverged
    return gains, diverged


def _of_score(score: float | None, better: Better) -> float:
    return np.nan if score is None else as_gain(score, better)


def _gain(card: Scorecard) -> float:
    return -np.inf if card.val.mean is None else as_gain(card.val.mean, card.better)


def by_name(contenders: Sequence[PolicyRuns]) -> dict[str, PolicyRuns]:
    """Return the contenders by name.

    Raises:
        StudyError: two have the same name.
    """
    named = {contender.name: contender for contender in contenders}
    if len(named) < len(contenders):
        names = [contender.name for contender in contenders]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise StudyError(f"policies must have different names, but there are several of {', '.join(twice)}")
    return named
