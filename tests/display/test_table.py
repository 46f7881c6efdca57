"""Tables that are folded to the width of a line."""

from lrbench.display.table import GAP, Cell, Column, Figures, Table

LONG = Table((Column("name"), Column("what it says")), [(Cell("a", "bold"), "one two three four"), ("bcd", "five")])


def test_a_table_that_is_too_wide_is_folded_between_words() -> None:
    lines = LONG.fitted(18).text().splitlines()

    assert lines == ["name  what it says", "a     one two", "        three four", "bcd   five"]


def test_a_table_that_fits_stays_as_it_is() -> None:
    assert LONG.fitted(24).text() == LONG.text()


def test_a_table_whose_words_are_too_long_is_left_as_it_is() -> None:
    assert LONG.fitted(12).text() == LONG.text()


def test_styles_survive_folding() -> None:
    assert LONG.fitted(18).cells[0][0].style == "bold"


def test_a_column_of_cells_of_several_lines_is_as_wide_as_its_longest_line() -> None:
    assert Figures("a title", [Cell("0.123 ±0.004\nundecided")]).width == GAP + len("0.123 ±0.004")
