"""What every drawing of learning-rate curves shares: the limits of the axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOG_DECADES = 6
"""How far below the highest learning rate a logarithmic axis reaches."""


def lr_limits(curves: Mapping[str, NDArray[np.float64]], *, log: bool) -> tuple[float, float]:
    """Return the lowest and the highest learning rate of an axis that fits all curves.

    A linear axis starts at 0; a logarithmic one at the smallest positive rate, at most six decades below the highest.
    """
    high = max(float(lrs.max()) for lrs in curves.values()) or 1.0
    if not log:
        return 0.0, high
    positive = [float(lrs[lrs > 0].min()) for lrs in curves.values() if (lrs > 0).any()]
    low = max(min(positive, default=high), high * 10.0**-LOG_DECADES)
    return (low, high) if low < high else (high / 10, high)
