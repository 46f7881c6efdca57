"""How policies move over a loss of two weights: the picture of the LRBench README, as a figure and an animation.

It has the numbers of LRBench's `visualizer/visualize_LRs.ipynb`. The loss is
-sin(x^2) cos(3y^2) exp(-(xy)^2) - 2.5 exp(-(x+y)^2) - N((1, -0.5), 0.25) - N((-1, 0.5), 0.2), with N(m, s) the density
of the normal distribution with mean m and standard deviation s in both directions. From (0.75, 1) each policy takes 50
steps of SGD with Nesterov momentum 0.9. The wells are so narrow that learning rates of 0.05 leap out of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from lrbench.policy import parse
from lrbench.report.style import INK, PALETTE, WIDTH, legend_below, tidy, titled

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike, NDArray

STEPS = 50
MOMENTUM = 0.9
START = (0.75, 1.0)

POLICIES: Mapping[str, str] = {
    "FIX": "FIX(k0=0.025)",
    "NSTEP": "NSTEP(k0=0.05, gamma=0.1, l=[35, 45, 50])",
    "TRIEXP": "TRIEXP(k0=0.05, k1=0.3, gamma=0.94, l=50)",
}
WELLS = ((1.0, -0.5, 0.25), (-1.0, 0.5, 0.2))
"""The x, y and standard deviation of the two narrow wells."""

EXTENT = 1.6
PIXELS = 300
SHADES = 20
MARKERS = "osD"

STEPS_A_FRAME = 2
FRAME, LAST_FRAME = 180, 2000
"""How long each picture of the animation stands, and the last, in milliseconds."""

PIXELS_AN_INCH = 64
COLORS = 64


def loss(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Compute the height of the landscape, elementwise."""
    x, y = np.asarray(x), np.asarray(y)
    hills = np.sin(x**2) * np.cos(3 * y**2) * np.exp(-((x * y) ** 2))
    trench = 2.5 * np.exp(-((x + y) ** 2))
    return np.asarray(-hills - trench - sum(_well(x, y, *well) for well in WELLS))


def gradient(x: float, y: float) -> NDArray[np.float64]:
    """Compute the derivatives of the loss by x and by y, [2]."""
    bump = np.exp(-((x * y) ** 2))
    sine, cosine = np.sin(x**2), np.cos(3 * y**2)
    by_x = -bump * cosine * (2 * x * np.cos(x**2) - 2 * x * y**2 * sine)
    by_y = -bump * sine * (-6 * y * np.sin(3 * y**2) - 2 * y * x**2 * cosine)
    trench = 5 * (x + y) * np.exp(-((x + y) ** 2))
    wells = sum(
        (_well(x, y, cx, cy, sd) / sd**2 * np.array([x - cx, y - cy]) for cx, cy, sd in WELLS), start=np.zeros(2)
    )
    return np.array([by_x + trench, by_y + trench]) + wells


def path(lrs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the path of SGD with Nesterov momentum, as torch.optim.SGD takes it: float64 [steps + 1, 2].

    Args:
        lrs: the learning rate of each step, [steps].
    """
    weights, velocity = np.array(START), np.zeros(2)
    seen = [weights]
    for lr in lrs:
        slope = gradient(*weights)
        velocity = MOMENTUM * velocity + slope
        weights = weights - lr * (slope + MOMENTUM * velocity)
        seen.append(weights)
    return np.array(seen)


def landscape_figure(steps: int = STEPS) -> Figure:
    """Draw the landscape from above, the path of each policy over it, and their learning rates.

    Args:
        steps: how far they have come.
    """
    figure, draw = _canvas()
    draw(steps)
    return figure


def landscape_animation() -> bytes:
    """Draw the paths of the policies as an animated GIF."""
    from PIL import Image

    figure, draw = _canvas()
    width, height = (int(inches * PIXELS_AN_INCH) for inches in figure.get_size_inches())
    shown = range(0, STEPS + 1, STEPS_A_FRAME)
    pictures = []
    for steps in shown:
        draw(steps)
        pixels = BytesIO()
        figure.savefig(pixels, format="raw", dpi=PIXELS_AN_INCH)
        figure.set_layout_engine("none")
        picture = Image.frombytes("RGBA", (width, height), pixels.getvalue()).convert("RGB")
        pictures.append(picture.quantize(COLORS, dither=Image.Dither.NONE))
    film = BytesIO()
    durations = [FRAME] * (len(shown) - 1) + [LAST_FRAME]
    pictures[0].save(film, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return film.getvalue()


def _canvas() -> tuple[Figure, Callable[[int], list[Artist]]]:
    """Make the figure without any path, and the function that draws the first steps of all paths into it."""
    figure = Figure(figsize=(WIDTH, 4.9), layout="constrained")
    land, rates = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_land(land)
    curves = {name: parse(text).lrs(0, STEPS) for name, text in POLICIES.items()}
    paths = {name: path(lrs) for name, lrs in curves.items()}
    ways: list[Line2D] = []
    heads: list[Line2D] = []
    lines: list[Line2D] = []
    for (name, lrs), color, marker in zip(curves.items(), PALETTE, MARKERS, strict=False):
        ways += [*land.plot([], [], color="white", linewidth=3.2), *land.plot([], [], color=color, linewidth=1.8)]
        heads += land.plot(
            [], [], marker, color=color, markersize=8, markeredgecolor="white", label=_ended(name, paths[name][-1])
        )
        lines += rates.plot(
            [], [], color=color, marker=marker, markevery=[-1], markersize=6, linewidth=1.8, clip_on=False
        )
        rates.plot(lrs, color=color, linewidth=0.8, alpha=0.35)
    tidy(rates)
    rates.set_xlim(0, STEPS)
    rates.set_ylim(0, None)
    rates.set_xlabel("iteration", color=INK)
    titled(rates, "learning rate")
    titled(land, "two weights: dark is a low loss")
    legend_below(figure, heads, columns=3)

    def draw(steps: int) -> list[Artist]:
        for place, name in enumerate(paths):
            way = paths[name][: steps + 1]
            for line in ways[2 * place : 2 * place + 2]:
                line.set_data(way[:, 0], way[:, 1])
            heads[place].set_data(way[-1:, 0], way[-1:, 1])
            lines[place].set_data(np.arange(min(steps + 1, STEPS)), curves[name][: steps + 1])
        return []

    return figure, draw


def _ended(name: str, end: NDArray[np.float64]) -> str:
    """Say where a policy ends."""
    where = "" if np.abs(end).max() <= EXTENT else ", off the map"
    return f"{name}: in the end a loss of {round(float(loss(*end)), 2) + 0.0:.2f}{where}"


def _draw_land(axes: Axes) -> None:
    side = np.linspace(-EXTENT, EXTENT, PIXELS)
    heights = loss(*np.meshgrid(side, side))
    shades = colormaps["Greys_r"].resampled(SHADES)
    axes.imshow(heights, shades, extent=(-EXTENT, EXTENT, -EXTENT, EXTENT), origin="lower")
    axes.plot(*START, "*", color=INK, markersize=13, markeredgecolor="white", zorder=5)
    axes.annotate("start", START, xytext=(8, 4), textcoords="offset points", fontsize=9, color=INK)
    axes.set_xlim(-EXTENT, EXTENT)
    axes.set_ylim(-EXTENT, EXTENT)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _well(x: ArrayLike, y: ArrayLike, center_x: float, center_y: float, sd: float) -> NDArray[np.float64]:
    away = (np.asarray(x) - center_x) ** 2 + (np.asarray(y) - center_y) ** 2
    return np.asarray(np.exp(-away / (2 * sd**2)) / (2 * np.pi * sd**2))
