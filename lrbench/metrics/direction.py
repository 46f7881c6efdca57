"""Which way a score is better, in one place: what compares scores compares their gains."""

from __future__ import annotations

import math
from typing import Literal

Better = Literal["higher", "lower"]


def as_gain(score: float, better: Better) -> float:
    """Turn a score into a number of which more is better; the same again turns a gain into its score.

    >>> as_gain(0.25, "lower")
    -0.25
    """
    return score if better == "higher" else -score


def is_worthless(score: float, better: Better) -> bool:
    """Whether a final score can only count as the worst one: it is NaN, or infinite in the wrong direction."""
    return math.isnan(score) or as_gain(score, better) == -math.inf
