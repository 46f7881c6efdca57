"""Tables as text and as HTML, and the choice of columns that fit a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import zip_longest
from typing import NamedTuple

from lrbench.display.names import wrapped

GAP = 2
"""Spaces between two columns."""

INDENT = 2
"""Spaces before the lines of a cell but the first."""

CSS = {"bold": "font-weight:bold", "green": "color:#00704f", "yellow": "color:#b37700", "red": "color:#c44400"}
"""The words of a rich style in HTML; others are for terminals alone."""


class Cell(NamedTuple):
    """One cell of a table, of one line or several.

    Attributes:
        style: its rich style.
        html: its content in HTML, by default the text.
    """

    text: str
    style: str = ""
    html: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers are set to the right."""

    title: str
    right: bool = False


Row = Sequence[str | Cell]


@dataclass(frozen=True)
class Table:
    """Rows of cells under titles."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    title: str = ""

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, with each text as a cell."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]

    def fitted(self, width: int) -> Table:
        """Fold the cells of the widest columns, so that no line is longer than `width` characters.

        A table whose words are too long for that is left as it is.
        """
        rows = self.cells
        texts = [[column.title, *(row[place].text for row in rows)] for place, column in enumerate(self.columns)]
        longest = [max(len(line) for text in column for line in text.split("\n")) for column in texts]
        words = [INDENT + max(len(word) for text in column for word in text.split() or [""]) for column in texts]
        least = list(map(min, longest, words))
        spare = width - sum(least)
        if spare < GAP * (len(least) - 1):
            return self
        shares = widths_for([wanted - word for wanted, word in zip(longest, least, strict=True)], spare)
        widths = [min(wanted, word + share) for wanted, word, share in zip(longest, least, shares, strict=True)]
        folded = [
            [cell._replace(text=wrapped(cell.text, room)) for cell, room in zip(row, widths, strict=True)]
            for row in rows
        ]
        return replace(self, rows=folded)

    def text(self) -> str:
        """Align the table as text, two spaces between columns, no line longer than its content."""
        body = [line for row in self.cells for line in _lines(row)]
        lines = [[column.title for column in self.columns], *body]
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        aligned = [
            (" " * GAP)
            .join(
                cell.rjust(width) if column.right else cell.ljust(width)
                for cell, width, column in zip(line, widths, self.columns, strict=True)
            )
            .rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *aligned] if self.title else aligned)

    def html(self) -> str:
        """Write the table as HTML, every text escaped."""
        caption = (
            f'<caption style="text-align:left;white-space:nowrap">{escape(self.title)}</caption>' if self.title else ""
        )
        head = "".join(_element("th", Cell(column.title), column) for column in self.columns)
        rows = (
            "".join(_element("td", cell, column) for cell, column in zip(row, self.columns, strict=True))
            for row in self.cells
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def widths_for(wanted: Sequence[int], room: int) -> list[int]:
    """Share the room of a line among columns: the widest share what the others leave.

    Args:
        wanted: the longest text of each column, in characters.
        room: characters for all of them and the gaps between them.
    """
    left = room - GAP * (len(wanted) - 1)
    widths = [0] * len(wanted)
    for place, column in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        widths[column] = max(min(1, wanted[column]), min(wanted[column], left // (len(wanted) - place)))
        left -= widths[column]
    return widths


class Figures(NamedTuple):
    """A column of figures.

    Attributes:
        dispensable: where names need room, columns above 0 go, the highest first.
        right: figures are set to the right.
    """

    title: str
    cells: Sequence[Cell]
    dispensable: int = 0
    right: bool = True

    @property
    def width(self) -> int:
        """Its characters of a line, with its distance from the column before."""
        lines = (line for cell in self.cells for line in cell.text.split("\n"))
        return GAP + max(len(line) for line in (self.title, *lines))


def leaving_room(columns: Sequence[Figures], wanted: int, width: int) -> tuple[list[Figures], int]:
    """Choose columns that leave names the wanted room, if possible; return them and the room that they leave.

    Args:
        wanted: the characters of the names.
        width: the characters of a line.
    """
    kept, room = list(columns), width - sum(column.width for column in columns)
    for column in sorted(columns, key=lambda column: -column.dispensable):
        if column.dispensable and room < wanted:
            kept.remove(column)
            room += column.width
    return kept, room


def _lines(row: Sequence[Cell]) -> Iterator[tuple[str, ...]]:
    """Split a row whose cells may have several lines."""
    return zip_longest(*(cell.text.split("\n") for cell in row), fillvalue="")


def _element(name: str, cell: Cell, column: Column) -> str:
    align = f"text-align:{'right' if column.right else 'left'}"
    style = ";".join([align, *(CSS[word] for word in cell.style.split() if word in CSS)])
    return f'<{name} style="{style}">{cell.html or escape(cell.text).replace(chr(10), "<br>")}</{name}>'
