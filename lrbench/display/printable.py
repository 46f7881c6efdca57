"""Output to the terminal: text from a study, a store or an error cannot control it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from lrbench.display.readable import printable

if TYPE_CHECKING:
    from rich.console import Console, Group

    from lrbench.display.table import Table


class PrintableStream:
    """A text stream that shows every control character as a replacement; a rich console writes past it."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write the text without control characters."""
        # A progress bar goes back to the margin before it draws its line again; all else begins there anyway.
        start = "\r" if text[:1] == "\r" else ""
        return self.rich_proxied_file.write(start + printable(text[len(start) :]))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line without control characters."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def printable_streams() -> Iterator[None]:
    """Replace control characters in all output to stdout and stderr."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and cast("TextIO", PrintableStream(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def terminal_console(stream: TextIO) -> Console | None:
    """Make a console for a terminal; None where text is plain: in pipes, with NO_COLOR, on a dumb terminal."""
    console = printable_console(stream)
    dumb = os.environ.get("TERM") == "dumb" and not os.environ.get("FORCE_COLOR")
    return console if console.is_terminal and not os.environ.get("NO_COLOR") and not dumb else None


def printable_console(stream: TextIO, *, notebook: bool = False) -> Console:
    """Make a rich console whose styles reach a terminal or a notebook, while the text in them is printable."""
    from rich.console import Console
    from rich.segment import Segment

    class PrintableConsole(Console):
        def render(self, *arguments: Any, **options: Any) -> Iterator[Segment]:
            for segment in super().render(*arguments, **options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    return PrintableConsole(file=stream, force_jupyter=notebook, highlight=False, markup=False, emoji=False)


def in_colour(table: Table) -> Group:
    """Make what a rich console shows of a table."""
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=None, pad_edge=False)
    for column in table.columns:
        shown.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    for row in table.cells:
        shown.add_row(*(Text(cell.text, style=cell.style) for cell in row))
    return Group(*([Text(table.title, style="italic")] if table.title else []), shown)
