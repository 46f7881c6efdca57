"""`lrbench report` and `lrbench plot`: a study's answer as a page, and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrbench.cli.completion import complete_plot, complete_stored
from lrbench.cli.errors import Session, session_of
from lrbench.cli.options import OUTPUT, Debug, NoColor, Plugins, Store, StoredStudy, load_plugins, study_name
from lrbench.cli.output import console_for
from lrbench.cli.stdout import stdout
from lrbench.errors import StudyError, unknown_name

if TYPE_CHECKING:
    from lrbench.report.frames import Frames
    from lrbench.report.plot import Plot
    from lrbench.report.plots.search import SearchFrames
    from lrbench.store import Store as StudyStore

ALL, LANDSCAPE = "all", "landscape"


def plot_kinds() -> tuple[str, ...]:
    """What `lrbench plot` draws."""
    from lrbench.report.plot import plots

    return (*(plot.name for plot in plots()), ALL, LANDSCAPE)


def report(
    context: typer.Context,
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
    load_plugins(plugin)

    from lrbench.report.frames import study_frames
    from lrbench.report.page import report_page
    from lrbench.store import open_store

    name = study_name(study)
    with open_store(store, must_exist=True) as opened:
        tables, search = study_frames(name, opened), _search(name, opened)
    write_output(output, report_page(tables, search).encode())
    _say_written(output, session_of(context))


def plot(
    context: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="What to draw, such as ranking; all for everything.",
            show_default=False,
            autocompletion=complete_plot,
        ),
    ],
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="A study or search in the store, by its name or its file; landscape takes none.",
            show_default=False,
            autocompletion=complete_stored,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write this file, .svg or .png, or .gif for landscape; for all a folder.",
            show_default="KIND.svg, for all STUDY",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="TASK", help="Which task of a study that has several.", show_default=False),
    ] = None,
    store: Store = None,
    plugin: Plugins = None,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Draw a picture of a study or a search from the store, or every picture that it has something for.

    `lrbench list plots` lists the kinds. all is every picture of a study or a search; landscape, of neither, shows how
    policies move over a loss of two weights.

    \b
    Examples:
      lrbench plot ranking quickstart -o ranking.svg
      lrbench plot progress my_search.toml -o progress.svg
      lrbench plot all quickstart -o figures
      lrbench plot landscape -o landscape.gif
    """
    from lrbench.report.plot import PLOTS

    load_plugins(plugin)
    if kind not in plot_kinds():
        raise StudyError(unknown_name("plot", kind, plot_kinds()))
    if kind == LANDSCAPE:
        output = output or Path("landscape.svg")
        _draw_landscape(output)
    elif study is None:
        what, example = (
            ("search", "my_search.toml") if kind in PLOTS and PLOTS[kind].of == "search" else ("study", "quickstart")
        )
        raise StudyError(f"the plot '{kind}' is drawn of a {what}: name one, as in 'lrbench plot {kind} {example}'")
    elif kind == ALL:
        output = output or Path(study_name(study))
        _draw_all(study, task, output, store)
    else:
        output = output or Path(f"{kind}.svg")
        _draw(PLOTS[kind], study, task, output, store)
    _say_written(output, session_of(context))


def _say_written(output: Path, session: Session) -> None:
    """Where the result is; nothing but on a terminal."""
    console = console_for(stdout(), session)
    if console is not None:
        console.print(f"Written to {output}", style="dim", markup=False, soft_wrap=True)


def _draw_landscape(output: Path) -> None:
    from lrbench.report.landscape import landscape_animation, landscape_figure
    from lrbench.report.output_file import check_output, write_output
    from lrbench.report.style import SUFFIXES, save_figure

    if check_output(output, (*SUFFIXES, "gif")) == "gif":
        write_output(output, landscape_animation())
    else:
        save_figure(landscape_figure(), output)


def _draw_all(study: str, task: str | None, folder: Path, store: str | None) -> None:
    from lrbench.report.frames import study_frames
    from lrbench.report.output_file import make_folder
    from lrbench.report.plot import drawings, search_drawings
    from lrbench.report.style import save_figure
    from lrbench.store import open_store

    name = study_name(study)
    with open_store(store, must_exist=True) as opened:
        search = _search(name, opened)
        tables = None if search is not None and opened.find(name) is None else study_frames(name, opened)
    make_folder(folder)
    found = () if tables is None else drawings(tables if task is None else tables.on(task))
    for drawing in (*found, *(() if search is None else search_drawings(search))):
        save_figure(drawing.figure, folder / f"{drawing.name}.svg")


def _draw(plot: Plot, name: str, task: str | None, output: Path, store: str | None) -> None:
    from lrbench.report.output_file import check_output
    from lrbench.report.style import SUFFIXES, save_figure

    check_output(output, SUFFIXES)
    tables = _search_tables(plot, name, task, store) if plot.of == "search" else _study_tables(plot, name, task, store)
    if not plot.applies(tables):
        what = f"{'search' if plot.of == 'search' else 'study'} '{study_name(name)}'"
        raise StudyError(f"there is no plot '{plot.name}' of {what}: it takes {plot.needs}")
    save_figure(plot.draw(tables), output)


def _study_tables(plot: Plot, study: str, task: str | None, store: str | None) -> Frames:
    from lrbench.report.frames import study_frames
    from lrbench.store import open_store

    with open_store(store, must_exist=True) as opened:
        frames = study_frames(study_name(study), opened)
    if task is not None:
        frames = frames.on(task)
    if len(frames.tasks) > 1 and plot.of == "task":
        raise StudyError(f"study '{frames.study}' has several tasks, name one by --task: {', '.join(frames.tasks)}")
    return frames


def _search_tables(plot: Plot, search: str, task: str | None, store: str | None) -> SearchFrames:
    from lrbench.report.plots.search import search_frames
    from lrbench.store import open_store

    if task is not None:
        raise StudyError(f"the plot '{plot.name}' is drawn of a search, which has one task: leave out --task")
    with open_store(store, must_exist=True) as opened:
        return search_frames(study_name(search), opened)


def _search(name: str, store: StudyStore) -> SearchFrames | None:
    """The tables of a search, where a name means its policies at the whole budget or it has none of these yet."""
    from lrbench.report.plots.search import search_frames

    searches = {entry.id: entry.name for entry in store.studies() if entry.kind == "search"}
    found = store.find(name)
    if found is None:
        return search_frames(name, store) if name in searches.values() else None
    is_whole = found.parent is not None and searches.get(found.parent) == found.name
    return search_frames(found.name, store) if is_whole else None
