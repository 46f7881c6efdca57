"""Which way a score is better: comparisons of scores compare their gains."""

from __future__ import annotations

import math
from typing import Literal

Better = Literal["higher", "lower"]


def as_gain(score: float, better: Better) -> float:
    """Turn a score into a gain, of which more is better, or a gain into its score.

    >>> as_gain(0.25, "lower")
    -0.25
    """
    return score if better == "higher" else -score


def is_worthless(score: float, better: Better) -> bool:
    """Return whether a final score counts as the worst one: it is NaN, or infinite in the wrong direction."""
    return math.isnan(score) or as_gain(score, better) == -math.inf
