"""The tables of the guide and the declarations that they are made from say the same."""

import pytest

from lrbench.cli.commands.guide import pages
from lrbench.cli.keys import keys
from tests.guide.tables import GUIDE, Table, commands, place_of, tables

TABLES = tables()


def lines_of(table: Table) -> list[str]:
    return (GUIDE / f"{table.page}.md").read_text(encoding="utf-8").split("\n")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.page}: {table.heading}")
def test_a_table_says_what_is_declared(table: Table) -> None:
    lines = lines_of(table)
    start, stop = place_of(table, lines)

    assert lines[start:stop] == table.lines, "write the tables anew: python -m tests.guide.tables"


def test_every_key_says_what_it_means() -> None:
    assert [key for key in keys() if not key.help] == []


def test_every_command_has_its_table() -> None:
    headings = {table.heading for table in TABLES if table.page == "command-line"}

    assert headings == {"Shared options", *(f"lrbench {name}" for name in commands())}


def test_every_page_that_has_a_made_table_is_in_the_guide() -> None:
    assert {table.page for table in TABLES} <= set(pages())
