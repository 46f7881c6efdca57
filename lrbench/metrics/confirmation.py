"""The winner of a study scored again on fresh seeds.

The best of many looks better than it is: among 50 identical policies the winner of a study with 3 seeds stands 1.3
seed standard deviations above its true mean. So the winner and its closest rivals are trained again with seeds that
had no part in choosing them.

**The winner's figure.** The best finalist by the fresh seeds would owe its place to luck once more: of three equal ones
it is shown .37 standard deviations too high by 5 seeds. So the first of the search stays the first. The fresh seeds
choose nothing, its fresh mean has no bias, and its t interval holds as any. But they may refuse it: a finalist that
diverges, or is worse than the best of them by more than the margin (`judge`), goes behind the others.

**A rival's figure.** A rival may be preferred for its fresh score. Then `simultaneous` holds, the interval at level
1 - .05 / finalists: with 95% all of these hold together (Bonferroni), and so does that of any choice.

In simulation, with 5, 13 and 50 policies and as many fresh seeds as the search had, 3, 5 or 10, the winner's figure is
at most .04 standard deviations too high (that of the best on fresh seeds .06 to .50), its interval holds in 93.5 to
96.1% of studies, and `simultaneous` in 96.8% or more (`tests/benchmarks/error_rates.py`, 1,000 studies a cell).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrbench.errors import StudyError
from lrbench.metrics.direction import as_gain
from lrbench.metrics.goal import Criterion
from lrbench.metrics.ranking import by_name, rank, score_table
from lrbench.metrics.runs import PolicyRuns
from lrbench.metrics.scorecard import Scorecard, summarise
from lrbench.metrics.statistics import Interval
from lrbench.metrics.verdict import judge

LEVEL = 0.95
"""Of intervals, by themselves or together."""


@dataclass(frozen=True)
class Confirmation:
    """A finalist on fresh seeds."""

    card: Scorecard
    """From the fresh runs alone; its verdict compares the finalists with each other."""
    search: Interval
    """The validation score of the runs that chose it."""
    simultaneous: Interval
    """Its validation score on the fresh seeds, with an interval that holds for whichever finalist is chosen by them."""

    @property
    def refused(self) -> bool:
        """Whether the fresh seeds tell to avoid it."""
        return self.card.verdict is not None and self.card.verdict.label == "avoid"

    @property
    def shrinkage(self) -> float | None:
        """By how much the search's validation score is better than that of the fresh seeds."""
        if self.search.mean is None or self.card.val.mean is None:
            return None
        return as_gain(self.search.mean - self.card.val.mean, self.card.better)

    def to_json(self) -> dict[str, Any]:
        """Return the card's entry with `search`, `simultaneous` (mean, low, high, sd, n) and `shrinkage` beside it."""
        beside = {"search": self.search.to_json(), "simultaneous": self.simultaneous.to_json()}
        return {**self.card.to_json(), **beside, "shrinkage": self.shrinkage}


def finalists(
    contenders: Sequence[PolicyRuns],
    *,
    at_most: int,
    alpha: float = 0.05,
    resolution: float | None = None,
    tolerated: float = 0.0,
) -> list[PolicyRuns]:
    """Choose the winner by mean validation score, and those that are not significantly worse than it, best first.

    Args:
        at_most: how many in all, at least 1.
        alpha, resolution, tolerated: as for `judge`, here with a margin of 0.

    Returns:
        No policy that diverged, or more often than is tolerated; an empty list if none has a score.

    Raises:
        StudyError: `at_most` is less than 1.
    """
    if at_most < 1:
        raise StudyError(f"at least 1 policy must be confirmed, but {at_most} were asked for")
    scores, diverged = score_table(contenders)
    verdicts = judge(scores, 0.0, alpha, diverged, resolution, tolerated=tolerated)
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
    by: Sequence[Criterion] = (),
    tolerated: float = 0.0,
) -> list[Confirmation]:
    """Score the finalists on fresh seeds, each beside its score in the search.

    Args:
        search: the contenders of the study, with the runs that chose the finalists.
        fresh: the finalists, with their runs on fresh seeds, best first by the search.
        margin, alpha, target, resolution, by, tolerated: as for `rank`.

    Returns:
        The finalists in their order; behind them those that the fresh seeds refuse.

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
    judged = rank(fresh, margin=margin, alpha=alpha, target=target, resolution=resolution, by=by, tolerated=tolerated)
    cards = {card.name: card for card in judged}
    level = 1 - (1 - LEVEL) / max(len(fresh), 1)
    confirmed = [Confirmation(cards[one.name], _val(searched[one.name], LEVEL), _val(one, level)) for one in fresh]
    return sorted(confirmed, key=lambda one: one.refused)


def explained(confirmed: Sequence[Confirmation]) -> Iterator[str]:
    """Yield sentences about the figures of finalists: whose is free of luck, and what holds for another choice."""
    yield from order_explained(confirmed)
    if len(confirmed) > 1 and any(one.simultaneous.low is not None for one in confirmed):
        yield "The first was chosen without these seeds; for one that is chosen by them, 'val if chosen' holds."


def order_explained(confirmed: Sequence[Confirmation]) -> Iterator[str]:
    """Yield the sentence about the order of finalists where the fresh seeds changed it."""
    if any(one.refused for one in confirmed):
        yield "Finalists that the fresh seeds tell to avoid stand last."


def _val(contender: PolicyRuns, level: float) -> Interval:
    return summarise(contender.name, contender.policy, contender.runs, level=level).val
