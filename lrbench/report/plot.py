"""What a plot is, and the registry of all of them: the command line, the page and the guide read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lrbench.errors import StudyError
from lrbench.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrbench.report.frames import Frames
    from lrbench.report.plots.search import SearchFrames

Subject = Literal["task", "study", "search"]
"""What a plot is drawn from: the `Frames` of one task or of a whole study, or the `SearchFrames` of a search."""


@dataclass(frozen=True)
class Plot:
    """One kind of picture.

    Attributes:
        name: what the command line and files call it.
        title: what it shows, in a few words.
        draw: makes the figure from the tables of its subject.
        of: its subject.
        needs, applies: what the subject must have so that there is something to see, in words, and whether its tables
            have it.
        place: pictures are shown by rising place.
    """

    name: str
    title: str
    draw: Callable[[Any], Figure]
    of: Subject
    needs: str
    applies: Callable[[Any], bool]
    place: int


PLOTS: Registry[Plot] = Registry("plot", StudyError, "lrbench.report.plots")

Draw = Callable[[Any], "Figure"]


def register_plot(
    name: str,
    title: str,
    *,
    of: Subject = "task",
    needs: str = "",
    applies: Callable[[Any], bool] = lambda tables: True,
    place: int = 100,
) -> Callable[[Draw], Draw]:
    """Register a function of the tables of a subject that returns a figure; the arguments are those of `Plot`."""

    def register(draw: Draw) -> Draw:
        PLOTS.add(name, Plot(name, title, draw, of, needs or f"a {of}", applies, place), draw.__module__)
        return draw

    return register


def plots(*subjects: Subject) -> list[Plot]:
    """List the plots of some subjects, or of all, in the order in which they are shown."""
    return sorted((plot for plot in PLOTS.values() if not subjects or plot.of in subjects), key=lambda plot: plot.place)


def figure_of(plot: Plot, frames: Frames, task: str | None = None) -> Figure:
    """Draw a plot of a study, as a figure that a notebook shows.

    Args:
        task: which task of a study that has several.

    Raises:
        StudyError: the plot is drawn of a search, of one task where there are several, or has nothing to show.
    """
    frames = frames if task is None else frames.on(task)
    if plot.of == "search":
        raise StudyError(f"the plot '{plot.name}' is drawn of a search, and '{frames.study}' is a study")
    if len(frames.tasks) > 1 and plot.of == "task":
        raise StudyError(f"study '{frames.study}' has several tasks, name one by --task: {', '.join(frames.tasks)}")
    from lrbench.report.style import shown_in_notebooks

    if not plot.applies(frames):
        raise StudyError(f"there is no plot '{plot.name}' of study '{frames.study}': it takes {plot.needs}")
    return shown_in_notebooks(plot.draw(frames))


class Drawing(NamedTuple):
    """A picture of a study or a search.

    Attributes:
        name: of its file, without suffix; in a study of several tasks it says which task it is about.
        task: that task; None for a picture of all of them, and of a search.
    """

    name: str
    task: str | None
    plot: Plot
    figure: Figure


def drawings(frames: Frames, *, without: Collection[str] = ()) -> Iterator[Drawing]:
    """Draw every plot that a study has something for, but for some names."""
    for plot in plots("study"):
        if plot.name not in without and plot.applies(frames):
            yield Drawing(plot.name, None, plot, plot.draw(frames))
    for task in frames.tasks:
        one = frames.on(task)
        for plot in plots("task"):
            if plot.name not in without and plot.applies(one):
                called = plot.name if len(frames.tasks) == 1 else f"{plot.name}_{_slug(task)}"
                yield Drawing(called, task, plot, plot.draw(one))


def search_drawings(search: SearchFrames) -> Iterator[Drawing]:
    """Draw every plot that a search has something for."""
    for plot in plots("search"):
        if plot.applies(search):
            yield Drawing(plot.name, None, plot, plot.draw(search))


def _slug(task: str) -> str:
    return re.sub(r"[^\w.-]+", "_", task)[:80]
