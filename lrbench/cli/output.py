"""What commands print: tables, and JSON documents."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from lrbench.cli.errors import Session
from lrbench.cli.printable import printable_console
from lrbench.cli.stdout import say, stdout

if TYPE_CHECKING:
    from rich.console import Console


LINE_WIDTH = 100
"""How many characters a line may have where no terminal says so."""


class Cell(NamedTuple):
    """One cell of a table, of one line or several, with the rich style that it has in colour."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers are set to the right."""

    title: str
    right: bool = False


Row = Sequence[str | Cell]


def console_for(stream: TextIO, session: Session) -> Console | None:
    """A rich console for a terminal; None where plain text belongs: in pipes, with NO_COLOR, with --no-color."""
    console = printable_console(stream)
    dumb = os.environ.get("TERM") == "dumb" and not os.environ.get("FORCE_COLOR")
    return console if console.is_terminal and session.color and not os.environ.get("NO_COLOR") and not dumb else None


def line_width(session: Session) -> int:
    """How many characters a line on stdout may have."""
    console = console_for(stdout(), session)
    return LINE_WIDTH if console is None else console.width


def print_table(columns: Sequence[Column], rows: Sequence[Row], session: Session, title: str = "") -> None:
    """A table on stdout: in colour on a terminal, aligned plain text elsewhere."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    console = console_for(stdout(), session)
    if console is None:
        say(plain_table(columns, [[cell.text for cell in row] for row in cells], title))
        return
    from rich.table import Table
    from rich.text import Text

    if title:
        console.print(title, style="italic", markup=False)
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell.text, style=cell.style) for cell in row))
    console.print(table)


def plain_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str = "") -> str:
    """The table as aligned text, two spaces between columns, no line longer than its content."""
    lines = [[column.title for column in columns], *(line for row in rows for line in _lines(row))]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    body = [
        "  ".join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([title, *body] if title else body)


def _lines(row: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The lines of a row whose cells may have several."""
    return zip_longest(*(cell.split("\n") for cell in row), fillvalue="")


def print_json(document: Mapping[str, Any]) -> None:
    """The document on stdout, as strict JSON."""
    say(json_text(document))


def json_text(document: Mapping[str, Any]) -> str:
    """The document as strict JSON in printable ASCII: a number that is not finite is null."""
    return json.dumps(_strict(document), indent=2, allow_nan=False).replace("\x7f", "\\u007f")


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
