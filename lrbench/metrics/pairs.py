"""Paired differences of every policy to every other.

A pair of policies is compared by the differences between their scores on the seeds that both have. No spread is pooled
over pairs, so that policies may be unequally noisy and correlated in any way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SAME_SCORE = 1e-6
"""Scores closer together than this fraction of the largest one differ by rounding only."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The paired differences of k policies, as arrays [..., rows, k]; element [j, i] is about the row's j minus i."""

    gap: FloatArray
    """Mean of score of j minus score of i, nan where they share no seed."""
    sd: FloatArray
    """Standard deviation (ddof 1) of the differences, nan where they share fewer than two seeds."""
    n: FloatArray
    """How many seeds they share."""

    @classmethod
    def of(cls, scores: FloatArray, resolution: float = 0.0, rows: slice | Sequence[int] = slice(None)) -> "Pairs":
        """Compare the policies of `scores` [..., k, seeds], where a value that is not finite is a missing run.

        Args:
            scores: leading axes are independent studies.
            resolution: the step of the scale that scores are read on (1/N for an accuracy over N samples). Two scores
                read to half a step each leave their difference an interval of two steps, in which it may have a
                spread of up to one step (Popoviciu's inequality) without showing any; so no spread is taken to be
                less than one step.
            rows: which of the policies are compared with all of them, by default all.
        """
        seen = np.isfinite(scores)
        shared = seen.astype(np.float64)
        known = np.where(seen, scores, 0.0)
        means = known.sum(axis=-1, keepdims=True) / np.maximum(shared.sum(axis=-1, keepdims=True), 1.0)
        rest = np.where(seen, known - means, 0.0)

        def over_shared_seeds(a: FloatArray, b: FloatArray) -> FloatArray:
            product: FloatArray = a[..., rows, :] @ np.swapaxes(b, -1, -2)
            return product

        n = over_shared_seeds(shared, shared)
        total = over_shared_seeds(rest, shared) - over_shared_seeds(shared, rest)
        squares = over_shared_seeds(rest**2, shared) + over_shared_seeds(shared, rest**2)
        squares -= 2.0 * over_shared_seeds(rest, rest)
        shift = np.divide(total, n, out=np.full_like(n, np.nan), where=n > 0)
        scatter = np.maximum(squares - n * shift**2, 0.0)
        variance = np.divide(scatter, n - 1.0, out=np.full_like(n, np.nan), where=n > 1)
        return cls(
            gap=means[..., rows, :] - np.swapaxes(means, -1, -2) + shift,
            sd=np.maximum(np.sqrt(variance), resolution),
            n=n,
        )

    def effect(self, margin: float) -> FloatArray:
        """Return (gap - margin) / sd; nan where there is no spread."""
        return np.divide(self.gap - margin, self.sd, out=np.full_like(self.gap, np.nan), where=self.sd > 0)

    def p_beyond(self, margin: float) -> FloatArray:
        """Return one-sided p-values against "j is better than i by at most `margin`"; 1 where there is no evidence."""
        return _upper_tail(self.effect(margin), self.n)

    def p_within(self, margin: float) -> FloatArray:
        """Return one-sided p-values against "j is better than i by at least `margin`"; 1 where there is no evidence."""
        return _upper_tail(-self.effect(margin), self.n)


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


def _upper_tail(effect: FloatArray, n: FloatArray) -> FloatArray:
    from scipy.special import stdtr

    p: FloatArray = stdtr(np.maximum(n - 1.0, 1.0), -effect * np.sqrt(n))
    return np.where(np.isfinite(p), p, 1.0)
