"""`lrbench report` and `lrbench plot`: a study's answer as a page, and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrbench.cli.options import OUTPUT, Debug, NoColor, Plugins, Store, StoredStudy, load_plugins, study_name
from lrbench.errors import StudyError, did_you_mean

if TYPE_CHECKING:
    from lrbench.report.frames import Frames

ALL = "all"


def report(
    study: StoredStudy,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="Write this file, .html.", rich_help_panel=OUTPUT),
    ] = Path("report.html"),
    store: Store = None,
    plugin: Plugins = None,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Write a study's report: one page that opens in any browser, without a network.

    It answers first, then shows curves, a table of all policies to sort and filter, how it was measured, and where the
    numbers come from.

    \b
    Examples:
      lrbench report quickstart
      lrbench report quickstart -o ranking.html
    """
    from lrbench.report.output_file import check_output, write_output

    check_output(output, ("html",))
    load_plugins(plugin)

    from lrbench.report.page import report_page

    write_output(output, report_page(_frames(study, store)).encode())


def plot(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="What to draw, such as ranking; all for everything.", show_default=False),
    ],
    study: StoredStudy,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write this file, .svg or .png; for all a folder.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="TASK", help="Which task of a study that has several.", show_default=False),
    ] = None,
    store: Store = None,
    plugin: Plugins = None,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Draw a picture of a study from the store.

    \b
    Examples:
      lrbench plot ranking quickstart -o ranking.svg
      lrbench plot all quickstart -o figures
    """
    from lrbench.report.output_file import check_output, make_folder
    from lrbench.report.plots import PLOTS, drawings
    from lrbench.report.style import SUFFIXES, save_figure

    if kind != ALL and kind not in PLOTS:
        raise StudyError(
            f"there is no plot '{kind}'{did_you_mean(kind, PLOTS)}: there are {', '.join(PLOTS)} and {ALL}"
        )
    if kind != ALL:
        check_output(output, SUFFIXES)
    load_plugins(plugin)
    frames = _frames(study, store)
    if task is not None:
        frames = frames.on(task)
    if kind == ALL:
        make_folder(output)
        for drawing in drawings(frames):
            save_figure(drawing.figure, output / f"{drawing.name}.svg")
        return
    if len(frames.tasks) > 1 and not PLOTS[kind].over_tasks:
        raise StudyError(f"study '{frames.study}' has several tasks, name one by --task: {', '.join(frames.tasks)}")
    chosen = PLOTS[kind]
    if not chosen.applies(frames):
        raise StudyError(f"there is no plot '{kind}' of study '{frames.study}': it takes {chosen.needs[0]}")
    save_figure(chosen.draw(frames), output)


def _frames(study: str, store: str | None) -> Frames:
    from lrbench.report.frames import frames
    from lrbench.study.store import open_store

    with open_store(store, must_exist=True) as opened:
        return frames(study_name(study), opened)
