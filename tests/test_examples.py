"""The examples of the README and the guide run as they are written.

A `python` block is a program, and one that begins with the name of a file is that file, as every `toml` and `csv` block
is. The lines of a block `sh run` are commands that run beside these files. Other `sh` blocks take long or need what is
not here: the command line has to know their options.
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

import lrbench
from lrbench.cli import app
from tests.guide.tables import commands
from tests.registries import forget_registrations

README = Path(__file__).parents[1] / "README.md"
PAGES = [README, *sorted((Path(lrbench.__file__).parent / "guide").glob("*.md"))]

SAID = {
    "lrbench run my_study.toml --plugin my_tasks.py": "21 runs: 21 trained",  # seven policies, three seeds
    "lrbench run modifiers.toml": "36 runs: 36 trained",  # two policies, three seeds; as they are, and five variants
    "lrbench run parabola.toml --plugin my_training.py --workers 1": "6 runs: 6 trained",  # two policies, three seeds
    "lrbench run fitted.toml": "6 runs: 6 trained",  # three policies, two seeds
    "lrbench run step_grid --dry-run": "step_grid: 235 runs, 0 cached, 235 to train (79,450 of 235,000 iterations)",
}
"""What the pages say of some commands, as their output has it."""


class Block(NamedTuple):
    """A fenced block of a page; `info` is what stands behind its fence."""

    page: Path
    info: str
    text: str

    @property
    def file(self) -> str:
        """The name of the file that it is; empty where it is none."""
        named = re.match(r"# (\S+\.(?:py|toml|csv))\n", self.text)
        return named[1] if named else ""

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def blocks(page: Path, *infos: str) -> list[Block]:
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [Block(page, info, text) for info, text in found if info in infos]


def inline_commands(page: Path) -> list[str]:
    """The whole commands in the text of a page, which have arguments, and neither a choice nor an ellipsis in them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = (" ".join(command.split()) for command in re.findall(r"`(lrbench [^\s`]+\s[^`]+)`", text))
    return [command for command in found if not re.search(r"\.\.\.|[|\[]|COMMAND", command)]


def lrbench_commands(page: Path) -> list[str]:
    lines = (line for block in blocks(page, "sh", "sh run") for line in block.lines)
    typed = (command.strip() for line in lines for command in line.split("&&"))
    return [*(command for command in typed if command.startswith("lrbench ")), *inline_commands(page)]


PROGRAMS = [block for page in PAGES for block in blocks(page, "python") if not block.file]
RUN = [page for page in PAGES if blocks(page, "sh run")]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an example registers is forgotten after it."""
    monkeypatch.chdir(tmp_path)
    forget_registrations(monkeypatch)


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: f"{block.page.stem}: {block.lines[-1]}")
def test_a_program_runs_as_written(block: Block) -> None:
    exec(compile(block.text, block.page.name, "exec"), {"__name__": "example"})


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_as_written(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "python", "toml", "csv"):
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    for line in (line for block in blocks(page, "sh run") for line in block.lines):
        program, *arguments = shlex.split(line)
        assert program == "lrbench", line
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}: {result.stderr}"
        assert SAID.get(line, "") in result.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_of_a_page_is_run_by_a_command_on_it(page: Path) -> None:
    files = {block.file for block in blocks(page, "python", "toml", "csv") if block.file}
    named = {word for block in blocks(page, "sh run") for line in block.lines for word in shlex.split(line)}

    assert all(block.file for block in blocks(page, "toml"))
    assert files <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_that_lrbench_takes(page: Path) -> None:
    known = commands()
    for line in lrbench_commands(page):
        _, name, *arguments = shlex.split(line)
        if not name.startswith("-"):
            known[name].make_context(f"lrbench {name}", arguments)


def test_what_is_said_of_a_command_is_said_of_one_that_is_run() -> None:
    assert SAID.keys() <= {line for page in RUN for block in blocks(page, "sh run") for line in block.lines}
