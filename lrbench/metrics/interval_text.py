"""Figures as the text of a table's cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrbench.metrics.statistics import Interval

UNKNOWN = "–"


def mean(interval: Interval, form: str) -> str:
    """The mean alone, in a format such as ".3f"."""
    return UNKNOWN if interval.mean is None else format(interval.mean, form)


def spread(interval: Interval, form: str = ".3f", *, unit: float = 1.0, sign: str = "") -> str:
    """The mean and half the width of its interval, or both ends where it is uneven, in units of `unit`.

    Args:
        form: how a number without a sign is written; the mean has `sign` before it, "+" for one that always shows.
    """
    from lrbench.metrics.statistics import is_even

    if interval.mean is None:
        return UNKNOWN
    middle = format(interval.mean / unit, f"{sign}{form}")
    if interval.low is None or interval.high is None:
        return middle
    if not is_even(interval.mean, interval.low, interval.high):
        low, high = (format(end / unit, f"{sign}{form}") for end in (interval.low, interval.high))
        return f"{middle} [{low}, {high}]"
    return f"{middle} ±{format((interval.high - interval.low) / 2 / unit, form)}"
