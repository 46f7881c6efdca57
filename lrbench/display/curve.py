"""Learning-rate curves as a line of characters and as an SVG picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(lrs: NDArray[np.float64], width: int) -> str:
    """Draw a curve as one line of at most `width` characters, from 0 to its own maximum.

    Each character is the lowest or the highest rate of its stretch, the one farther from the character before, so that
    waves shorter than a stretch are seen.
    """
    width = min(width, len(lrs))
    starts = np.arange(width) * len(lrs) // width
    ends = np.column_stack((np.minimum.reduceat(lrs, starts), np.maximum.reduceat(lrs, starts)))
    top, shown = float(lrs.max()) or 1.0, float(ends[1:2].mean()) if width > 1 else 0.0
    levels = []
    for low, high in ends.tolist():
        shown = high if high - shown > shown - low else low
        levels.append(round(shown / top * (len(BLOCKS) - 1)))
    return "".join(BLOCKS[level] for level in levels)


def svg_curve(lrs: NDArray[np.float64], width: int, height: int) -> str:
    """Draw a curve as an SVG picture of `width` by `height` pixels, from 0 to its own maximum.

    Each pixel shows the lowest and the highest rate of its stretch, so that no spike is lost.
    """
    columns = min(width, len(lrs))
    starts = np.arange(columns) * len(lrs) // columns
    ends = np.column_stack((np.maximum.reduceat(lrs, starts), np.minimum.reduceat(lrs, starts)))
    top = float(lrs.max()) or 1.0
    levels = (height - 1) - (height - 2) * ends / top
    places = np.linspace(0, width, columns) if columns > 1 else np.zeros(1)
    points = [(x, y) for x, pair in zip(places, levels, strict=True) for y in dict.fromkeys(pair.round(1).tolist())]
    if columns == 1:
        points.append((float(width), points[0][1]))
    line = " ".join(f"{x:.1f},{y:g}" for x, y in points)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<polyline points="{line}" fill="none" stroke="#0072B2" stroke-width="1.2"/></svg>'
    )
