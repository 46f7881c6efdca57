"""Paired differences of every policy to every other.

A pair of policies is compared by the differences between their scores on the seeds that both have. No spread is pooled
over pairs, so that policies may be unequally noisy and correlated in any way.

`Pairs` compares means by t tests, and `Unpaired` those of runs that share no seeds. `Signs` counts seeds, and `Ranks`
pairs of runs that share none, for scores of which some are not known but for being worse than all others, such as the
iterations to a target of a run that never reached it: a mean of those does not exist, and one of scores that are cut at
the budget is far from normal (`guide/verdicts.md`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrbench.metrics.statistics import (
    ROUNDING,
    paired_intervals,
    paired_power,
    rank_p,
    rank_power,
    rank_threshold,
    sign_power,
    sign_threshold,
    t_quantile,
    unpaired_intervals,
)

FloatArray = NDArray[np.float64]

Some: TypeAlias = slice | Sequence[int] | NDArray[np.int64]
"""Some of the policies of a study."""

ALL = slice(None)

MOST_PAIRS = 2**62
"""More pairs of runs than there are."""

SAME_SCORE = 1e-6
"""Scores closer together than this fraction of the largest one differ by rounding only."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The paired differences of policies, as arrays [..., rows, columns]; element [j, i] is about j minus i."""

    gap: FloatArray
    """Mean of score of j minus score of i, nan where they share no seed."""
    sd: FloatArray
    """Standard deviation (ddof 1) of the differences, nan where they share fewer than two seeds."""
    n: FloatArray
    """How many seeds they share."""

    which: ClassVar[str] = ""
    """On which seeds a claim holds, in words."""
    unit: ClassVar[str] = "seeds"
    """What is counted by `n`."""

    power = staticmethod(paired_power)
    intervals = staticmethod(paired_intervals)

    @staticmethod
    def seen(scores: FloatArray) -> NDArray[np.bool_]:
        """Return where there is a score."""
        return np.isfinite(scores)

    @staticmethod
    def centers(scores: FloatArray) -> FloatArray:
        """Return the mean of each policy's scores, nan without one."""
        seen = np.isfinite(scores)
        total, n = np.where(seen, scores, 0.0).sum(axis=1), seen.sum(axis=1)
        means: FloatArray = np.divide(total, n, out=np.full(len(scores), np.nan), where=n > 0)
        return means

    @staticmethod
    def threshold(seeds: int, level: float) -> float:
        """Return the effect times the root of the seeds at which the test's p-value is `level`."""
        return -t_quantile(seeds - 1, level)

    @classmethod
    def of(cls, scores: FloatArray, resolution: float = 0.0, rows: Some = ALL, columns: Some = ALL) -> "Pairs":
        """Compare the policies of `scores` [..., k, seeds], where a value that is not finite is a missing run.

        Args:
            scores: leading axes are independent studies.
            resolution: the step of the scale that scores are read on (1/N for an accuracy over N samples). Two scores
                read to half a step each leave their difference an interval of two steps, in which it may have a
                spread of up to one step (Popoviciu's inequality) without showing any; so no spread is taken to be
                less than one step.
            rows, columns: which of the policies are compared with which, by default all with all.
        """
        (seen_j, mean_j, rest_j), (seen_i, mean_i, rest_i) = map(
            _centered, (scores[..., rows, :], scores[..., columns, :])
        )

        def over_shared_seeds(a: FloatArray, b: FloatArray) -> FloatArray:
            product: FloatArray = a @ np.swapaxes(b, -1, -2)
            return product

        n = over_shared_seeds(seen_j, seen_i)
        total = over_shared_seeds(rest_j, seen_i) - over_shared_seeds(seen_j, rest_i)
        squares = over_shared_seeds(rest_j**2, seen_i) + over_shared_seeds(seen_j, rest_i**2)
        squares -= 2.0 * over_shared_seeds(rest_j, rest_i)
        shift = np.divide(total, n, out=np.full_like(n, np.nan), where=n > 0)
        scatter = np.maximum(squares - n * shift**2, 0.0)
        variance = np.divide(scatter, n - 1.0, out=np.full_like(n, np.nan), where=n > 1)
        return cls(
            gap=mean_j - np.swapaxes(mean_i, -1, -2) + shift,
            sd=np.maximum(np.sqrt(variance), resolution),
            n=n,
        )

    def degrees(self) -> FloatArray:
        """Return the degrees of freedom of each pair's t test."""
        return self.n - 1.0

    def effect(self, margin: float) -> FloatArray:
        """Return (gap - margin) / sd; nan where there is no spread."""
        return np.divide(self.gap - margin, self.sd, out=np.full_like(self.gap, np.nan), where=self.sd > 0)

    def p_beyond(self, margin: float, up_to: float = 1.0) -> FloatArray:
        """Return one-sided p-values against "j is better than i by at most `margin`"; 1 where there is no evidence.

        Args:
            up_to: larger p-values may be returned as 1, which saves their computation.
        """
        return _upper_tail(self.effect(margin), self.n, self.degrees(), up_to)

    def p_within(self, margin: float, up_to: float = 1.0) -> FloatArray:
        """Return one-sided p-values against "j is better than i by at least `margin`", as `p_beyond` does."""
        return _upper_tail(-self.effect(margin), self.n, self.degrees(), up_to)

    def beyond(self, level: ArrayLike) -> FloatArray:
        """Return the largest margins with `p_beyond` at most a level [..., rows, 1]; -inf where there are none."""
        return np.nan_to_num(self.gap - self._half_width(level), nan=-np.inf)

    def within(self, level: ArrayLike) -> FloatArray:
        """Return the smallest margins with `p_within` at most a level [..., rows, 1]; inf where there are none."""
        return np.nan_to_num(self.gap + self._half_width(level), nan=np.inf)

    def _half_width(self, level: ArrayLike) -> FloatArray:
        from scipy.special import stdtrit

        degrees = np.maximum(self.degrees(), 1.0).astype(np.int64)
        there = np.bincount(degrees.ravel()) > 0
        by_degrees = np.broadcast_to(-stdtrit(np.flatnonzero(there), level), (*self.n.shape[:-1], there.sum()))
        t = np.take_along_axis(by_degrees, (np.cumsum(there) - 1)[degrees], axis=-1)
        width: FloatArray = t * self.sd / np.sqrt(np.maximum(self.n, 1.0))
        return np.where(self.sd > 0, width, np.nan)


@dataclass(frozen=True, eq=False)
class Unpaired(Pairs):
    """The differences of the means of k policies whose runs share no seeds; `sd` is that of a single difference.

    The standard error is Welch's, sqrt(s_j^2 / n_j + s_i^2 / n_i), and `n` the number of runs of each that would have
    it. The degrees of freedom are those of the policy with fewer runs, with which the test holds its level for normal
    scores of any spreads (Mickey and Brown 1966). Welch's own degrees of freedom do not at few runs: with 3 runs
    against 10 of equal spread a test at 5% errs in 5.6%, with 2 against 10 in 7.4%, and in the tails, at the levels of
    many pairs, it is worse: at 0.25% (five policies) it errs up to 4 times as often with 3 against 10, and 12 times
    with 2 against 10.
    """

    fewer: FloatArray
    """The runs of that policy of a pair which has fewer."""

    unit: ClassVar[str] = "runs"
    intervals = staticmethod(unpaired_intervals)

    @classmethod
    def of(cls, scores: FloatArray, resolution: float = 0.0, rows: Some = ALL, columns: Some = ALL) -> "Unpaired":
        """Compare policies as `Pairs.of` does; the place of a score among those of its policy does not count."""
        seen = np.isfinite(scores)
        n = seen.sum(axis=-1).astype(np.float64)
        known = np.where(seen, scores, 0.0)
        means = np.divide(known.sum(axis=-1), n, out=np.full_like(n, np.nan), where=n > 0)
        squares = (np.where(seen, scores - means[..., None], 0.0) ** 2).sum(axis=-1)
        variance = np.divide(squares, n - 1.0, out=np.full_like(n, np.nan), where=n > 1)

        def both(a: FloatArray) -> tuple[FloatArray, FloatArray]:
            return a[..., rows, None], a[..., None, columns]

        (mean_j, mean_i), (var_j, var_i), (n_j, n_i) = both(means), both(variance), both(n)
        total, of_means = var_j + var_i, var_j / np.maximum(n_j, 1.0) + var_i / np.maximum(n_i, 1.0)
        of_equal = 2.0 * n_j * n_i / np.maximum(n_j + n_i, 1.0)
        return cls(
            gap=mean_j - mean_i,
            sd=np.maximum(np.sqrt(total), resolution),
            n=np.divide(total, of_means, out=of_equal, where=of_means > 0),
            fewer=np.minimum(n_j, n_i),
        )

    def degrees(self) -> FloatArray:
        return self.fewer - 1.0


@dataclass(frozen=True, eq=False)
class Signs:
    """On which seeds policies are ahead of others, as arrays [..., rows, columns] like those of `Pairs`.

    Scores may be minus infinity: worse than every other one. Claims are about the majority of seeds: that i is within
    the margin of j, or j ahead by more, on more than half of them. The p-value of the sign test, the probability that a
    fair coin shows as many heads, holds for scores of any distribution, with ties too. Two scores of minus infinity
    count for neither claim.
    """

    scores: FloatArray
    """[..., k, seeds]; nan for a missing run."""
    rows: Some
    columns: Some

    which: ClassVar[str] = " on most seeds"
    unit: ClassVar[str] = "seeds"
    power = staticmethod(sign_power)
    intervals = staticmethod(paired_intervals)

    @staticmethod
    def seen(scores: FloatArray) -> NDArray[np.bool_]:
        return ~np.isnan(scores)

    @staticmethod
    def centers(scores: FloatArray) -> FloatArray:
        """Return the median of each policy's scores, nan without one."""
        known = [row[~np.isnan(row)] for row in scores]
        return np.array([np.median(row) if len(row) else math.nan for row in known])

    @staticmethod
    def threshold(seeds: int, level: float) -> float:
        return (2 * sign_threshold(seeds, level) / seeds - 1) * math.sqrt(seeds)

    @classmethod
    def of(cls, scores: FloatArray, resolution: float = 0.0, rows: Some = ALL, columns: Some = ALL) -> "Signs":
        """Compare policies as `Pairs.of` does; the resolution is of no use to counts."""
        return cls(scores, rows, columns)

    @property
    def n(self) -> FloatArray:
        """How many seeds they share."""
        seen = (~np.isnan(self.scores)).astype(np.float64)
        shared: FloatArray = seen[..., self.rows, :] @ np.swapaxes(seen[..., self.columns, :], -1, -2)
        return shared

    def effect(self, margin: float) -> FloatArray:
        """Return the share of seeds beyond the margin minus the share within; nan where they share none."""
        (beyond, within), n = self._counts(margin), self.n
        return np.divide(beyond - within, n, out=np.full_like(n, np.nan), where=n > 0)

    def p_beyond(self, margin: float, up_to: float = 1.0) -> FloatArray:
        """Return p-values against "j is better than i by more than `margin` on at most half of the seeds"."""
        return self._tail(self._counts(margin)[0])

    def p_within(self, margin: float, up_to: float = 1.0) -> FloatArray:
        """Return p-values against "i is within `margin` of j on at most half of the seeds"."""
        return self._tail(self._counts(margin)[1])

    def beyond(self, level: ArrayLike) -> FloatArray:
        """Return margins as `Pairs.beyond` does: as many seeds as the test needs are ahead by more."""
        return -self._nth_smallest(-1.0, level) - 2 * self._rounding

    def within(self, level: ArrayLike) -> FloatArray:
        """Return margins as `Pairs.within` does: on as many seeds as the test needs the gap is no larger."""
        return self._nth_smallest(1.0, level)

    def _nth_smallest(self, sign: float, level: ArrayLike) -> FloatArray:
        """Return the n-th smallest gap of each pair times `sign`, inf where there are fewer than the n it needs."""
        others, needed = self.scores[..., self.columns, :], self._needed(level)
        found = np.empty(self.n.shape)
        for row, own in enumerate(np.arange(self.scores.shape[-2])[self.rows]):
            with np.errstate(invalid="ignore"):
                gaps = sign * self._gaps(self.scores[..., own, None, :], others)
            rising = np.sort(np.where(np.isnan(gaps), np.inf, gaps), axis=-1)
            rising = np.concatenate([rising, np.full_like(rising[..., :1], np.inf)], axis=-1)
            place = np.clip(needed[..., row, :, None] - 1, 0, rising.shape[-1] - 1)
            found[..., row, :] = np.take_along_axis(rising, place, axis=-1)[..., 0]
        return found

    @staticmethod
    def _gaps(one: FloatArray, other: FloatArray) -> FloatArray:
        """Return the gaps that are counted along the last axis."""
        return one - other

    def _needed(self, level: ArrayLike) -> NDArray[np.int64]:
        """Return how many gaps the test needs on one side."""
        from scipy.special import bdtrc

        seeds = np.arange(self.scores.shape[-1] + 1)
        tails = bdtrc(seeds - 1.0, seeds[:, None], 0.5)
        needed: NDArray[np.int64] = (tails[self.n.astype(np.int64)] > np.asarray(level)[..., None]).sum(axis=-1)
        return needed

    @property
    def _rounding(self) -> float:
        """The difference of scores that differ by rounding only."""
        finite = np.abs(self.scores[np.isfinite(self.scores)])
        return SAME_SCORE * float(finite.max(initial=0.0))

    def _counts(self, margin: float) -> tuple[FloatArray, FloatArray]:
        """Count the seeds with j ahead by more than the margin, and those with i within it."""
        limit = margin + self._rounding
        beyond, within = (np.zeros(self.n.shape) for _ in range(2))
        for one, other in self._compared():
            with np.errstate(invalid="ignore"):
                gap = one[..., self.rows, None] - other[..., None, self.columns]
            beyond += gap > limit
            within += gap <= limit
        return beyond, within

    def _compared(self) -> Iterable[tuple[FloatArray, FloatArray]]:
        """List the scores that are compared with each other, [..., k] each."""
        by_seed = np.moveaxis(self.scores, -1, 0)
        return zip(by_seed, by_seed, strict=True)

    def _tail(self, count: FloatArray) -> FloatArray:
        from scipy.special import bdtrc

        p: FloatArray = bdtrc(count - 1.0, self.n.astype(np.int64), 0.5)
        return p


@dataclass(frozen=True, eq=False)
class Ranks(Signs):
    """In which pairs of runs policies are ahead of others, of runs that share no seeds; arrays like those of `Signs`.

    Scores may be minus infinity here too. Claims are about a run of j and one of i drawn at random: that i is within
    the margin of j, or j ahead by more, with a probability of more than a half. The share of all pairs of runs is
    Mann and Whitney's, and the p-value of `rank_p` holds for scores of any distributions, of different shapes and with
    ties, and for any numbers of runs. Wilcoxon's test and that of Brunner and Munzel do not at few runs. Two scores of
    minus infinity count for neither claim.
    """

    which: ClassVar[str] = " in most pairs of runs"
    unit: ClassVar[str] = "runs"
    power = staticmethod(rank_power)
    intervals = staticmethod(unpaired_intervals)

    @staticmethod
    def threshold(seeds: int, level: float) -> float:
        return (2 * float(rank_threshold(seeds, level)) / seeds - 1) * math.sqrt(seeds)

    @property
    def n(self) -> FloatArray:
        """How many runs that policy of a pair has which has fewer."""
        return np.minimum(*self._runs())

    def _runs(self) -> tuple[FloatArray, FloatArray]:
        """Return the runs of j and those of i."""
        runs = (~np.isnan(self.scores)).sum(axis=-1).astype(np.float64)
        one, other = np.broadcast_arrays(runs[..., self.rows, None], runs[..., None, self.columns])
        return one, other

    @staticmethod
    def _gaps(one: FloatArray, other: FloatArray) -> FloatArray:
        gaps = one[..., :, None] - other[..., None, :]
        return gaps.reshape(*gaps.shape[:-2], -1)

    def _needed(self, level: ArrayLike) -> NDArray[np.int64]:
        share = rank_threshold(self.n, level) / np.maximum(self.n, 1.0)
        needed = np.where(share <= 1, share * np.multiply(*self._runs()) - ROUNDING, np.inf)
        return np.ceil(np.minimum(needed, float(MOST_PAIRS))).astype(np.int64)

    def _counts(self, margin: float) -> tuple[FloatArray, FloatArray]:
        """Count pairs of runs as `Signs` counts seeds, times `n` over all pairs."""
        one, other = self._runs()
        weight = 1.0 / np.maximum(np.maximum(one, other), 1.0)
        beyond, within = super()._counts(margin)
        return beyond * weight, within * weight

    def _compared(self) -> Iterable[tuple[FloatArray, FloatArray]]:
        by_run = np.moveaxis(self.scores, -1, 0)
        return product(by_run, by_run)

    def _tail(self, count: FloatArray) -> FloatArray:
        return rank_p(count, self.n)


Test: TypeAlias = type[Pairs] | type[Signs]
"""How policies are compared."""


def resolution_of(scores: FloatArray) -> float:
    """Return the smallest step between two different finite scores; 0 where there are no two.

    For scores on a grid it is a multiple of the grid's step, which errs on the careful side; for scores of full
    precision it is next to nothing.
    """
    levels = np.unique(scores[np.isfinite(scores)])
    if len(levels) < 2:
        return 0.0
    steps = np.diff(levels)
    real = steps[steps > SAME_SCORE * np.abs(levels).max()]
    return float(real.min()) if len(real) else 0.0


def _centered(scores: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return which scores there are, as 1 and 0, the mean of each policy's, and their distances from it."""
    seen = np.isfinite(scores)
    shared, known = seen.astype(np.float64), np.where(seen, scores, 0.0)
    means = known.sum(axis=-1, keepdims=True) / np.maximum(shared.sum(axis=-1, keepdims=True), 1.0)
    return shared, means, np.where(seen, known - means, 0.0)


def _upper_tail(effect: FloatArray, n: FloatArray, degrees: FloatArray, up_to: float) -> FloatArray:
    from scipy.special import stdtr

    t, degrees = effect * np.sqrt(n), np.maximum(degrees, 1.0)
    # With fewer degrees of freedom the tail beyond a positive t is larger.
    least = -t_quantile(float(degrees.max(initial=1.0)), up_to) if up_to < 0.5 else -np.inf
    some = t > least
    p = np.ones(t.shape)
    p[some] = stdtr(degrees[some], -t[some])
    return p
