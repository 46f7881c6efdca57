from collections.abc import Callable

import pytest
from rich.text import Text
from typer.testing import Result

from lrbench.cli.commands.guide import pages, summary
from lrbench.cli.completion import complete_page

Command = Callable[..., Result]


def test_without_a_page_every_page_is_listed_with_one_line(lrbench: Command) -> None:
    header, *lines = lrbench("guide").stdout.splitlines()

    assert header.split() == ["page", "what", "it", "tells"]
    assert [line.split()[0] for line in lines] == list(pages())
    assert all(summary(file.read_text()) in line for file, line in zip(pages().values(), lines, strict=True))


@pytest.mark.parametrize("name", pages())
def test_a_page_begins_with_its_title_and_one_line_about_it(name: str) -> None:
    title, nothing, line, after = pages()[name].read_text().split("\n")[:4]

    assert title.startswith("# ")
    assert (nothing, after) == ("", "")
    assert line.endswith(".")
    assert len(line) <= 100


def test_in_a_pipe_a_page_is_its_markdown(lrbench: Command) -> None:
    assert lrbench("guide", "verdicts").stdout == pages()["verdicts"].read_text()


def test_on_a_terminal_a_page_is_rendered_within_its_width(lrbench: Command) -> None:
    result = lrbench("guide", "verdicts", color=True)

    assert result.exit_code == 0
    assert "\x1b[1m" in result.stdout
    assert "# Verdicts" not in result.stdout
    assert "Verdicts" in result.stdout


def test_no_table_is_cut_on_a_narrow_terminal(lrbench: Command) -> None:
    text = lrbench("guide", "policies", color=True).stdout

    assert "…" not in text
    assert max(line.cell_len for line in Text.from_ansi(text).split()) <= 100


def test_a_page_that_is_not_there_is_one_sentence_with_the_nearest_name(lrbench: Command) -> None:
    result = lrbench("guide", "verdict")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: there is no page of the guide named 'verdict' (did you mean 'verdicts'?)")
    assert len(result.stderr.splitlines()) == 1


def test_names_of_pages_are_completed() -> None:
    assert complete_page("ver") == ["verdicts"]
    assert complete_page("") == list(pages())
