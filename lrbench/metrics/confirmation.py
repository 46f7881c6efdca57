"""The winner scored again on fresh seeds.

The best of many looks better than it is: among 50 identical policies the winner of a study with 3 seeds stands 1.3
seed standard deviations above its true mean. So the winner and its closest rivals are trained again with seeds that
had no part in choosing them, and the fresh scores alone are reported. The search's score stands beside them; the
difference is its luck.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrbench.errors import StudyError
from lrbench.metrics.direction import as_gain
from lrbench.metrics.ranking import PolicyRuns, by_name, rank, score_table
from lrbench.metrics.scorecard import Scorecard, summarise
from lrbench.metrics.statistics import Interval
from lrbench.metrics.verdict import judge


@dataclass(frozen=True)
class Confirmation:
    """A finalist on fresh seeds."""

    card: Scorecard
    """From the fresh runs alone; its verdict compares the finalists with each other."""
    search: Interval
    """The validation score of the runs that chose it."""

    @property
    def shrinkage(self) -> float | None:
        """By how much the search's validation score is better than that of the fresh seeds."""
        if self.search.mean is None or self.card.val.mean is None:
            return None
        return as_gain(self.search.mean - self.card.val.mean, self.card.better)

    def to_json(self) -> dict[str, Any]:
        """Return the card's entry with `search` (mean, low, high, sd, n) and `shrinkage` beside it."""
        return {**self.card.to_json(), "search": self.search.to_json(), "shrinkage": self.shrinkage}


def finalists(
    contenders: Sequence[PolicyRuns],
    *,
    at_most: int,
    alpha: float = 0.05,
    resolution: float | None = None,
) -> list[PolicyRuns]:
    """Choose the winner by mean validation score, and those that are not significantly worse than it, best first.

    Args:
        at_most: how many in all, at least 1.
        alpha, resolution: as for `judge`, here with a margin of 0.

    Returns:
        No policy that diverged; an empty list if none has a score.

    Raises:
        StudyError: `at_most` is less than 1.
    """
    if at_most < 1:
        raise StudyError(f"at least 1 policy must be confirmed, but {at_most} were asked for")
    scores, diverged = score_table(contenders)
    verdicts = judge(scores, 0.0, alpha, diverged, resolution)
    means = {i: float(np.nanmean(row)) for i, row in enumerate(scores) if np.isfinite(row).any()}
    order = sorted((i for i in means if verdicts[i].label != "avoid"), key=lambda i: means[i], reverse=True)
    return [contenders[i] for i in order[:at_most]]


def confirm(
    search: Sequence[PolicyRuns],
    fresh: Sequence[PolicyRuns],
    *,
    margin: float,
    alpha: float = 0.05,
    target: float | None = None,
    resolution: float | None = None,
) -> list[Confirmation]:
    """Score the finalists on fresh seeds, best first, each beside its score in the search.

    Args:
        search: the contenders of the study, with the runs that chose the finalists.
        fresh: the finalists, with their runs on fresh seeds.
        margin, alpha, target, resolution: as for `rank`.

    Raises:
        StudyError: a finalist was not in the search, or one of its seeds was.
    """
    searched = by_name(search)
    used = {run.seed for contender in search for run in contender.runs}
    for contender in fresh:
        if contender.name not in searched:
            raise StudyError(f"{contender.name} cannot be confirmed, since it had no part in the search")
        if stale := sorted(used & {run.seed for run in contender.runs}):
            raise StudyError(
                f"{contender.name} must be confirmed on fresh seeds, "
                f"but the search used {', '.join(map(str, stale))} already"
            )
    cards = rank(fresh, margin=margin, alpha=alpha, target=target, resolution=resolution)
    return [Confirmation(card, _search_score(searched[card.name], alpha)) for card in cards]


def _search_score(contender: PolicyRuns, alpha: float) -> Interval:
    return summarise(contender.name, contender.policy, contender.runs, level=1 - alpha).val
