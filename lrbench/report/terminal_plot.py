"""Learning-rate curves as text: one panel a policy, drawn with braille dots, all on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lrbench.display.names import short_names, shortened
from lrbench.report.lr_axis import lr_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a braille character, [row, column]; U+2800 is the character without dots."""

PANEL_WIDTH = 32
GAP = "  "


def lr_panels(curves: Mapping[str, NDArray[np.float64]], *, width: int = 100, log: bool = False) -> str:
    """Panels side by side as far as they fit, each under its policy's name; where names are shortened, what they are.

    Args:
        curves: for each name the learning rates of iterations 0, 1, ...: float64 [steps], at least one.
        width: how many characters a line may have.
        log: a logarithmic axis of learning rates.
    """
    scale = lr_limits(curves, log=log)
    columns = max(1, min(len(curves), (width + len(GAP)) // (PANEL_WIDTH + len(GAP))))
    panel_width = (width + len(GAP)) // columns - len(GAP)
    height = 12 if len(curves) == 1 else 8 if columns == len(curves) else 5
    names = short_names(curves, panel_width)
    panels = [_panel(names.shown[name], lrs, panel_width, height, scale, log) for name, lrs in curves.items()]
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    drawn = [GAP.join(line).rstrip() for row in rows for line in zip(*row, strict=True)]
    return "\n".join([*drawn, *(f"in full: {pattern}" for pattern in names.patterns)])


def braille(lrs: NDArray[np.float64], width: int, height: int, limits: tuple[float, float], *, log: bool) -> list[str]:
    """Draw a curve as `height` lines of `width` braille characters, the highest learning rate of the axis at the top.

    Every dot column shows all values of its iterations, so that no spike and no jump is lost however long the run is.
    """
    rows = _dot_rows(lrs, 4 * height, limits, log=log)
    dots = np.zeros((4 * height, 2 * width), dtype=bool)
    starts = np.arange(2 * width) * len(rows) // (2 * width)
    for column, start in enumerate(starts):
        stop = starts[column + 1] if column + 1 < len(starts) else len(rows)
        first = start - 1 if column and start > starts[column - 1] else start
        seen = rows[first : max(stop, start + 1)]
        dots[seen.min() : seen.max() + 1, column] = True
    cells = dots.reshape(height, 4, width, 2).transpose(0, 2, 1, 3)
    codes = (cells * DOTS).sum(axis=(2, 3)) + 0x2800
    return ["".join(map(chr, line)) for line in codes.tolist()]


def _dot_rows(lrs: NDArray[np.float64], rows: int, limits: tuple[float, float], *, log: bool) -> NDArray[np.int64]:
    low, high = limits
    clipped = np.clip(lrs, low, high)
    share = np.log(clipped / low) / np.log(high / low) if log else (clipped - low) / (high - low)
    return np.rint((1 - share) * (rows - 1)).astype(np.int64)


def _panel(
    name: str, lrs: NDArray[np.float64], width: int, height: int, limits: tuple[float, float], log: bool
) -> list[str]:
    low, high = (f"{value:.3g}" for value in limits)
    gutter = max(len(low), len(high))
    labels = [high, *[""] * (height - 2), low]
    curve = braille(lrs, width - gutter - 2, height, limits, log=log)
    last = f"{len(lrs):,}"
    axis = "0" + last.rjust(width - gutter - 3)
    return [
        shortened(name, width).ljust(width),
        *(f"{label.rjust(gutter)} │{line}" for label, line in zip(labels, curve, strict=True)),
        " " * (gutter + 2) + axis,
    ]
