"""`lrbench report` and `lrbench plot`: a study's answer as a page, and as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrbench.cli.completion import complete_plot, complete_stored
from lrbench.cli.errors import session_of
from lrbench.cli.options import (
    By,
    StoredStudy,
    StoreOptions,
    TerminalOptions,
    load_plugins,
    shown,
    study_name,
    with_groups,
)
from lrbench.cli.output import print_dim
from lrbench.errors import StudyError, unknown_name

if TYPE_CHECKING:
    from lrbench.report.plot import Plot

ALL, LANDSCAPE = "all", "landscape"


def plot_kinds() -> tuple[str, ...]:
    """List the kinds that `lrbench plot` draws."""
    from lrbench.report.plot import plots

    return (*(plot.name for plot in plots()), ALL, LANDSCAPE)


@with_groups
def report(
    context: typer.Context,
    study: StoredStudy,
    output: Annotated[Path, shown("-o", "--output", metavar="FILE", help="Write this file, .html.")] = Path(
        "report.html"
    ),
    *,
    by: By = None,
    options: StoreOptions,
    terminal: TerminalOptions,
) -> None:
    """Write the report of a study or a search: one page that opens in any browser, without a network.

    It answers first, then shows curves, a table of all policies to sort and filter, how it was measured, and where the
    numbers come from.

    \b
    Examples:
      lrbench report quickstart
      lrbench report quickstart -o ranking.html
    """
    from lrbench.report.output_file import check_output, write_output

    check_output(output, ("html",))
    load_plugins(options.plugin)

    from lrbench.report.frames import study_frames
    from lrbench.report.page import report_page
    from lrbench.report.plots.search import search_behind

    name = study_name(study)
    with options.opened() as store:
        tables, search = study_frames(name, store, by or ()), search_behind(name, store)
    write_output(output, report_page(tables, search).encode())
    print_dim(f"Written to {output}", session_of(context))


@with_groups
def plot(
    context: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="What to draw, such as ranking; all for everything.", autocompletion=complete_plot
        ),
    ],
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="A study or search in the store, by its name or its file; landscape takes none.",
            autocompletion=complete_stored,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        shown(
            "-o",
            "--output",
            metavar="FILE",
            help="Write this file, .svg, .png or .pdf, or .gif for landscape; for all a folder.",
            show_default="KIND.svg, for all STUDY",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="Which task of a study that has several.")
    ] = None,
    *,
    by: By = None,
    options: StoreOptions,
    terminal: TerminalOptions,
) -> None:
    """Draw a picture of a study or a search from the store, or every picture that it has something for.

    `lrbench list plots` lists the kinds. all is every picture of a study or a search; landscape, of neither, shows how
    policies move over a loss of two weights.

    \b
    Examples:
      lrbench plot ranking quickstart -o ranking.svg
      lrbench plot ranking quickstart --by steps_to_target -o speed.svg
      lrbench plot training quickstart -o training.pdf
      lrbench plot progress my_search.toml -o progress.svg
      lrbench plot all quickstart -o figures
      lrbench plot landscape -o landscape.gif
    """
    from lrbench.report.plot import PLOTS

    load_plugins(options.plugin)
    if kind not in plot_kinds():
        raise StudyError(unknown_name("plot", kind, plot_kinds()))
    output = output or Path(study_name(study) if kind == ALL and study else f"{kind}.svg")
    if kind == LANDSCAPE:
        _draw_landscape(output)
    elif study is None:
        of_search = kind in PLOTS and PLOTS[kind].of == "search"
        what, example = ("search", "my_search.toml") if of_search else ("study", "quickstart")
        raise StudyError(f"the plot '{kind}' is drawn of a {what}: name one, as in 'lrbench plot {kind} {example}'")
    elif kind == ALL:
        _draw_all(study_name(study), task, by or (), output, options)
    else:
        _draw(PLOTS[kind], study_name(study), task, by or (), output, options)
    print_dim(f"Written to {output}", session_of(context))


def _draw_landscape(output: Path) -> None:
    from lrbench.report.landscape import landscape_animation, landscape_figure
    from lrbench.report.output_file import check_output, write_output
    from lrbench.report.style import SUFFIXES, save_figure

    if check_output(output, (*SUFFIXES, "gif")) == "gif":
        write_output(output, landscape_animation())
    else:
        save_figure(landscape_figure(), output)


def _draw_all(name: str, task: str | None, by: Sequence[str], folder: Path, options: StoreOptions) -> None:
    from lrbench.report.frames import study_frames
    from lrbench.report.output_file import make_folder
    from lrbench.report.plot import drawings, search_drawings
    from lrbench.report.plots.search import search_behind
    from lrbench.report.style import save_figure

    with options.opened() as store:
        search = search_behind(name, store)
        tables = None if search is not None and store.find(name) is None else study_frames(name, store, by)
    make_folder(folder)
    found = () if tables is None else drawings(tables if task is None else tables.on(task))
    for drawing in (*found, *(() if search is None else search_drawings(search))):
        save_figure(drawing.figure, folder / f"{drawing.name}.svg")


def _draw(plot: Plot, name: str, task: str | None, by: Sequence[str], output: Path, options: StoreOptions) -> None:
    from lrbench.report.frames import study_frames
    from lrbench.report.output_file import check_output
    from lrbench.report.plot import figure_of
    from lrbench.report.plots.search import search_frames
    from lrbench.report.style import SUFFIXES, save_figure

    check_output(output, SUFFIXES)
    if plot.of == "search" and task is not None:
        raise StudyError(f"the plot '{plot.name}' is drawn of a search, which has one task: leave out --task")
    with options.opened() as store:
        if plot.of != "search":
            figure = figure_of(plot, study_frames(name, store, by), task)
        elif plot.applies(tables := search_frames(name, store)):
            figure = plot.draw(tables)
        else:
            raise StudyError(f"there is no plot '{plot.name}' of search '{name}': it takes {plot.needs}")
    save_figure(figure, output)
