"""What commands print: tables, and JSON documents."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from lrbench.cli.errors import Session
from lrbench.cli.stdout import say, stdout
from lrbench.display.printable import in_colour, terminal_console
from lrbench.display.readable import LINE_WIDTH, Block, as_text
from lrbench.display.table import Column, Row, Table
from lrbench.garbage import without_collection

if TYPE_CHECKING:
    from rich.console import Console

    from lrbench.store import Store


class Answer(Protocol):
    """What a command answers: to be read, and as a document."""

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]: ...

    def to_json(self) -> Mapping[str, Any]: ...


def console_for(stream: TextIO, session: Session) -> Console | None:
    """Return a rich console for a terminal, and None where plain text belongs, as with --no-color."""
    return terminal_console(stream) if session.color else None


def line_width(session: Session) -> int:
    """Return how many characters a line on stdout may have."""
    console = console_for(stdout(), session)
    return LINE_WIDTH if console is None else console.width


def print_table(columns: Sequence[Column], rows: Sequence[Row], session: Session, title: str = "") -> None:
    """Print a table on stdout."""
    print_blocks([Table(columns, rows, title)], session)


def print_readable(value: Answer, session: Session) -> None:
    """Print a value to be read, as wide as the terminal, with curves where it has characters for them."""
    console = console_for(stdout(), session)
    drawn = console is not None and console.encoding.lower().startswith("utf")
    print_blocks(value.display(line_width(session), drawn=drawn), session)


@without_collection()
def print_blocks(blocks: Iterable[Block], session: Session) -> None:
    """Print tables and paragraphs on stdout: in colour on a terminal, aligned plain text elsewhere."""
    console = console_for(stdout(), session)
    for block in blocks:
        if console is None or isinstance(block, str):
            say(as_text([block], line_width(session)))
        else:
            console.print(in_colour(block))


def print_dim(line: str, session: Session) -> None:
    """Print a line of less weight on a terminal, and nothing elsewhere."""
    console = console_for(stdout(), session)
    if console is not None:
        console.print(line, style="dim", markup=False, soft_wrap=True)


def print_what_next(store: Store, given: str | None, commands: Sequence[Sequence[str]], session: Session) -> None:
    """Name on a terminal the store of the numbers, and commands that show more of them.

    Args:
        given: the value of `--store`, which the commands need too.
        commands: each as its arguments, without `lrbench`.
    """
    where = [] if given is None else ["--store", given]
    more = " · ".join(shlex.join(["lrbench", *command, *where]) for command in commands)
    print_dim(f"Stored in {store.name} · {more}", session)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document on stdout as strict JSON."""
    say(json_text(document))


def json_text(document: Mapping[str, Any]) -> str:
    """Write a document as strict JSON in printable ASCII; a number that is not finite is null."""
    return json.dumps(_strict(document), indent=2, allow_nan=False).replace("\x7f", "\\u007f")


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
