"""From a study's tables to the text of its page."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lrbench.report.frames import with_finalists
from lrbench.report.page.content import task_content
from lrbench.report.page.words import overview, protocol, provenance, searched
from lrbench.report.plot import drawings, search_drawings
from lrbench.report.style import svg
from lrbench.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lrbench.report.frames import Frames
    from lrbench.report.plots.search import SearchFrames

FOLDER = Path(__file__).parent

SCRIPTS = ("components.js", "report.js")
"""The scripts of the page, after that of Plotly."""

INTERACTIVE = frozenset({"ranking", "training", "lr"})
"""The plots that the page has to play with, in place of a picture."""

UNSAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""What could end a script, or a line of one, inside JSON; all of it stands in strings there."""


def report_page(frames: Frames, search: SearchFrames | None = None) -> str:
    """Write a study's report as HTML with all that it needs inside; its policy lets the browser fetch nothing.

    Args:
        search: the search whose policies at the whole budget the study has, if it is one; its answer is then what the
            finalists came to on fresh seeds, and how it went is shown too.
    """
    if search is not None:
        frames = with_finalists(frames, search.confirmed)
    tasks = [task_content(frames.on(task), number) for number, task in enumerate(frames.tasks)]
    pictures = _pictures(frames)
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            study=frames.study,
            version=__version__,
            security=security_policy(),
            style=Markup((FOLDER / "report.css").read_text(encoding="utf-8")),
            scripts=[Markup(script) for script in _scripts()],
            data=script_json({"tasks": [task["data"] for task in tasks]}),
            tasks=tasks,
            pictures=pictures,
            searched=searched(search) if search is not None else [],
            progress=_search_pictures(search) if search is not None else [],
            overview=overview(frames),
            protocol=protocol(frames),
            provenance=provenance(frames),
        )
    )


def templates(*folders: Path) -> Environment:
    """Make the environment of the page's templates, which escape all that they are given, after those of `folders`."""
    return Environment(
        loader=FileSystemLoader([*folders, FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _pictures(frames: Frames) -> dict[str | None, list[dict[str, str]]]:
    """Draw the pictures that the page does not draw itself, by task; None is all tasks together."""
    found: dict[str | None, list[dict[str, str]]] = {}
    ranked = all(task.goals[0].of_objective(task.objective) for task in frames.results.tasks)
    for drawing in drawings(frames, without=INTERACTIVE if ranked else INTERACTIVE - {"ranking"}):
        found.setdefault(drawing.task, []).append(_picture(drawing.plot.title, drawing.figure))
    return found


def _search_pictures(search: SearchFrames) -> list[dict[str, str]]:
    return [_picture(drawing.plot.title, drawing.figure) for drawing in search_drawings(search)]


def _picture(title: str, figure: Figure) -> dict[str, str]:
    return {"title": title, "source": f"data:image/svg+xml;base64,{base64.b64encode(svg(figure)).decode()}"}


def script_json(value: Any) -> Markup:
    """Write a value as JSON that may stand in a script element: no string in it can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.translate(UNSAFE))


@cache
def security_policy() -> str:
    """Write the Content-Security-Policy of a report: its scripts by their hashes, and nothing from anywhere else."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in _scripts()
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _scripts() -> tuple[str, ...]:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs(), *((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
