"""What drawings of scores share: where the axis begins when a few scores lie far below the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

CROWDED, ROOM = 0.05, 5
"""Where the better half of the scores would lie on less than this share of the axis, the axis is so many times as wide
as what they lie on, and the scores below it are written at its edge."""


def edge(scores: pd.Series[float]) -> float:
    """Where the axis begins; minus infinity where all scores have room on it."""
    best, middle, worst = scores.max(), scores.median(), scores.min()
    return float(best - ROOM * (best - middle)) if 0 < best - middle < CROWDED * (best - worst) else -np.inf
