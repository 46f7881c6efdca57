"""What `print`, the Python prompt and a notebook show of values, and that no name drives either."""

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from lrbench.display.names import unbroken
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.display.table import Cell, Column, Table


@dataclass(frozen=True, repr=False)
class Found(Readable):
    name: str

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        curve = [Cell("▁█", html="<svg></svg>")] if drawn else []
        columns = [Column("policy"), Column("val", right=True), *(Column("LR") for _ in curve)]
        yield Table(columns, [(Cell(self.name, "bold green"), "0.5", *curve), ("b\nc", "10", *curve)], "a title")
        yield ""
        yield f"in full: {unbroken(self.name)}"


def test_text_is_aligned_and_numbers_stand_to_the_right() -> None:
    assert str(Found("FIX(k0=1)")).splitlines() == [
        "a title",
        "policy     val",
        "FIX(k0=1)  0.5",
        "b           10",
        "c",
        "",
        "in full: FIX(k0=1)",
    ]


def test_the_python_prompt_shows_one_line() -> None:
    assert repr(Found("FIX")) == "<Found: a title>"


def test_a_notebook_shows_a_table_in_which_every_name_is_escaped() -> None:
    html = Found("<script>alert('a & b')</script>")._repr_html_()

    cells = [cell.text for cell in ElementTree.fromstring(html.replace("<br>", "<br/>")).iter("td")]
    assert cells[0] == "<script>alert('a & b')</script>"
    assert "<script>" not in html
    assert html.count("<svg>") == 2


def test_verdicts_have_their_colour_in_a_notebook() -> None:
    assert 'style="text-align:left;font-weight:bold;color:#00704f"' in Found("FIX")._repr_html_()


def test_a_policy_that_is_copied_from_a_notebook_has_plain_spaces() -> None:
    assert "in full: TRI(k0=0, k1=1, l=10)" in Found("TRI(k0=0, k1=1, l=10)")._repr_html_()


def test_names_with_control_characters_drive_neither_a_terminal_nor_a_prompt() -> None:
    hostile = Found("\x1b[2J\u202e")

    assert not {"\x1b", "\u202e"} & {*str(hostile), *repr(hostile), *hostile._repr_html_()}
