"""Values as `print`, the Python prompt and a notebook show them, from one description."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from html import escape

from lrbench.display.names import UNBREAKABLE, paragraph
from lrbench.display.table import Table
from lrbench.garbage import without_collection

LINE_WIDTH = 100
"""The most characters of a line where there is no terminal."""

PAGE_WIDTH = 160
"""The most characters of a line of an HTML table."""

Block = Table | str
"""A table, or a paragraph; an empty paragraph is an empty line."""

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but for tab and newline, and those that change the direction of text."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Readable(ABC):
    """A value that is read as text, as the line that the Python prompt shows, and as HTML in a notebook."""

    @abstractmethod
    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        """Describe the value in tables and paragraphs.

        Args:
            width: the most characters of a line of a table.
            drawn: show learning rates as curves; not every terminal has the characters.
        """

    def __str__(self) -> str:
        return as_text(self.display())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {as_text([next(self.display())]).splitlines()[0]}>"

    def _repr_html_(self) -> str:
        return as_html(self.display(PAGE_WIDTH, drawn=True))


@without_collection()
def as_text(blocks: Iterable[Block], width: int = LINE_WIDTH) -> str:
    """Write blocks as plain text that cannot control a terminal."""
    texts = (block.text() if isinstance(block, Table) else paragraph(block, width) for block in blocks)
    return printable("\n".join(texts))


def as_html(blocks: Iterable[Block]) -> str:
    """Write blocks as HTML, every text escaped."""
    shown = (block.html() if isinstance(block, Table) else f"<p>{escape(block)}</p>" for block in blocks if block)
    return printable(f"<div>{''.join(shown)}</div>").replace(UNBREAKABLE, " ")


def printable(text: str) -> str:
    """Replace each character that would control a terminal."""
    return UNPRINTABLE.sub(REPLACEMENT, text)
