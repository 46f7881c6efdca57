"""The tables of the guide and the declarations that they are made from say the same."""

import pytest

from lrbench.cli.commands.guide import pages
from tests.guide.tables import GUIDE, Table, cells, commands, notes_of, place_of, tables

TABLES = tables()


def lines_of(table: Table) -> list[str]:
    return (GUIDE / f"{table.page}.md").read_text(encoding="utf-8").split("\n")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.page}: {table.heading}")
def test_a_table_says_what_is_declared(table: Table) -> None:
    lines = lines_of(table)
    start, stop = place_of(table, lines)
    notes = notes_of(table, lines)

    assert lines[start:stop] == table.written(notes), "write the tables anew: python -m tests.guide.tables"


@pytest.mark.parametrize("table", [t for t in TABLES if t.by_hand], ids=lambda table: f"{table.page}: {table.heading}")
def test_what_is_written_by_hand_is_there_for_every_row(table: Table) -> None:
    notes = notes_of(table, lines_of(table))

    assert all(notes.get(row[0]) for row in table.rows)


def test_every_command_has_its_table() -> None:
    headings = {table.heading for table in TABLES if table.page == "command-line"}

    assert headings == {"Shared options", *(f"lrbench {name}" for name in commands())}


def test_every_page_that_has_a_made_table_is_in_the_guide() -> None:
    assert {table.page for table in TABLES} <= set(pages())


def test_a_bar_in_a_cell_parts_no_cells() -> None:
    assert cells(r"| `a\|b` | c |") == [r"`a\|b`", "c"]
