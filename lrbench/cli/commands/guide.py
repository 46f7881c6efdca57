"""`lrbench guide`: the pages of the guide, which ship with lrbench."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from lrbench.cli.completion import complete_page
from lrbench.cli.errors import session_of
from lrbench.cli.options import TerminalOptions, with_groups
from lrbench.cli.output import console_for, print_table
from lrbench.display.table import Cell, Column
from lrbench.errors import LRBenchError, unknown_name
from lrbench.files import shipped, user_path, write_atomically

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import Markdown


@with_groups
def guide(
    context: typer.Context,
    page: Annotated[
        str | None,
        typer.Argument(
            metavar="PAGE",
            help="The page to show, such as verdicts; without one, the pages are listed.",
            autocompletion=complete_page,
        ),
    ] = None,
    *,
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="DIR", help="Write the page into this folder, as the SKILL.md of an agent."),
    ] = None,
    output: TerminalOptions,
) -> None:
    """Show a page of the guide, or list the pages.

    \b
    Examples:
      lrbench guide
      lrbench guide verdicts
      lrbench guide study-files > study-files.md
      lrbench guide agents --write skills/lrbench
    """
    session = session_of(context)
    if page is None:
        if write is not None:
            raise LRBenchError("--write needs the name of a page, such as agents")
        rows = [(Cell(name, "bold"), summary(file.read_text(encoding="utf-8"))) for name, file in pages().items()]
        print_table((Column("page"), Column("what it tells")), rows, session)
        return
    known = pages()
    if page not in known:
        raise LRBenchError(unknown_name("page of the guide", page, known))
    text = known[page].read_text(encoding="utf-8")
    if write is not None:
        print(_write_skill(page, text, user_path(write)))
        return
    console = console_for(sys.stdout, session)
    if console is None:
        print(text, end="")
    else:
        console.print(_rendered(text))


def pages() -> dict[str, Path]:
    """List the files of the guide by the names of their pages, in alphabetical order."""
    return shipped("guide", ".md")


def summary(page: str) -> str:
    """Return the line that stands under a page's title."""
    return page.split("\n", 3)[2]


def _write_skill(name: str, text: str, folder: Path) -> Path:
    """Write a page as a SKILL.md, whose head says what it is called and for what it is there.

    Raises:
        LRBenchError: the file cannot be written, or another one is there.
    """
    head = f"---\nname: lrbench-{name}\n"
    file = folder / "SKILL.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.exists() and not file.read_bytes().startswith(head.encode()):
            raise LRBenchError(f"{file} is there already and is no page of lrbench's guide: name another folder")
        write_atomically(file, f"{head}description: {json.dumps(summary(text))}\n---\n\n{text}".encode())
    except OSError as error:
        raise LRBenchError(f"{file} cannot be written: {error.strerror or error}") from None
    return file


def _rendered(text: str) -> Markdown:
    """Render a page for a terminal, with its tables folded where rich would cut long words."""
    from rich.markdown import Markdown, TableElement
    from rich.table import Table

    class FoldedTable(TableElement):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for table in super().__rich_console__(console, options):
                if isinstance(table, Table):
                    for column in table.columns:
                        column.overflow = "fold"
                yield table

    class Page(Markdown):
        elements: ClassVar = {**Markdown.elements, "table_open": FoldedTable}

    return Page(text)
