"""The policies of a study, best first, each with its verdict.

Ranks and verdicts look at the validation score. The test score stands beside it and chooses nothing, so that it says
what the chosen policy is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lrbench.errors import StudyError
from lrbench.metrics.direction import as_gain
from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import FloatArray
from lrbench.metrics.runs import RunRecord
from lrbench.metrics.scorecard import Scorecard, objective_of, summarise
from lrbench.metrics.verdict import judge


@dataclass(frozen=True)
class PolicyRuns:
    """A policy of a study and its ended runs."""

    name: str
    policy: str
    """The policy's text."""
    runs: tuple[RunRecord, ...]


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
) -> list[Scorecard]:
    """Rank a study's policies by their mean validation score, best first, those without any score last.

    Args:
        margin, alpha, resolution, looks: as for `judge`; the resolution of an accuracy is 1 / (size of the validation
            split).
        target: as for `summarise`.
        seeds, done: of a study with looks, its seeds in their order, and for each policy how many of the first its
            runs are over.

    Raises:
        StudyError: as `judge` and `summarise`, and where contenders differ in their objective.
    """
    objective_of(run for contender in contenders for run in contender.runs)
    cards = [summarise(c.name, c.policy, c.runs, target=target) for c in contenders]
    scores, diverged = score_table(contenders, seeds)
    verdicts = judge(scores, margin, alpha, diverged, resolution, looks, done)
    judged = [replace(card, verdict=verdict) for card, verdict in zip(cards, verdicts, strict=True)]
    return sorted(judged, key=_gain, reverse=True)


def score_table(
    contenders: Sequence[PolicyRuns], seeds: Sequence[int] | None = None, split: Literal["val", "test"] = "val"
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the gains of scores on a split and which runs diverged, both [policies, seeds]; nan for a missing run.


    The columns are `seeds`, by default those of all contenders in rising order.
    """
    if seeds is None:
        seeds = sorted({run.seed for contender in contenders for run in contender.runs})
    column = {seed: s for s, seed in enumerate(seeds)}
    scores = np.full((len(contenders), len(seeds)), np.nan)
    diverged = np.zeros((len(contenders), len(seeds)), dtype=np.bool_)
    for i, contender in enumerate(contenders):
        for run in contender.runs:
            score = run.score(split)
            scores[i, column[run.seed]] = np.nan if score is None else as_gain(score, run.better)
            diverged[i, column[run.seed]] = run.diverged
    return scores, diverged


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
