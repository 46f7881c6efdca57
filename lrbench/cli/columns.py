"""Columns of figures, and how much of a line they leave to the names of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lrbench.cli.output import Cell

GAP = 2
"""Spaces between two columns."""


class Figures(NamedTuple):
    """A column of figures.

    Attributes:
        dispensable: where names need room, of the columns above 0 the highest go first.
        right: figures are set to the right.
    """

    title: str
    cells: Sequence[Cell]
    dispensable: int = 0
    right: bool = True

    @property
    def width(self) -> int:
        """How many characters of a line it takes, its distance from the column before included."""
        return GAP + max([len(self.title), *(len(cell.text) for cell in self.cells)])


def leaving_room(columns: Sequence[Figures], wanted: int, width: int) -> tuple[list[Figures], int]:
    """The columns that leave names the room they want, if they can, and the room that they leave.

    Args:
        wanted: how many characters the names want.
        width: how many characters a line has.
    """
    kept = list(columns)
    for column in sorted(columns, key=lambda column: -column.dispensable):
        if column.dispensable and width - sum(one.width for one in kept) < wanted:
            kept.remove(column)
    return kept, width - sum(one.width for one in kept)
