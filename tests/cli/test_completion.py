import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lrbench.cli import app

Command = Callable[..., Result]


@pytest.fixture
def completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """What bash offers for the last word of a line, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRBENCH_STORE", raising=False)

    def offered(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return CliRunner().invoke(app, [], env={"_LRBENCH_COMPLETE": "complete_bash", **words}).stdout.split()

    return offered


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("lrbench s", ["score", "search", "show", "status", "serve"]),
        ("lrbench list t", ["tasks"]),
        ("lrbench run quick", ["quickstart"]),
        ("lrbench show TRIE", ["TRIEXP"]),
        ("lrbench show lrbench1", ["lrbench13"]),
        ("lrbench score lrbench13/TRI", ["lrbench13/TRI", "lrbench13/TRI2", "lrbench13/TRIEXP"]),
        ("lrbench range-test --task mnist1d-m", ["mnist1d-mlp"]),
        ("lrbench recommend --goal a", ["accuracy", "ac", "above_floor"]),
        ("lrbench plot lands", ["landscape"]),
        ("lrbench guide ver", ["verdicts"]),
    ],
)
def test_names_are_completed(completed: Callable[[str], list[str]], line: str, names: list[str]) -> None:
    assert completed(line) == names


COMPLETED = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from lrbench.cli import app
app(prog_name="lrbench")
"""


@pytest.mark.parametrize("line", ["lrbench score --task mnist1d-m", "lrbench recommend --goal accu"])
def test_completing_loads_nothing_heavy(line: str, tmp_path: Path) -> None:
    words = {"_LRBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "3"}
    command = [sys.executable, "-c", COMPLETED]
    process = subprocess.run(command, cwd=tmp_path, env={**os.environ, **words}, capture_output=True, text=True)

    assert process.stdout.strip() in ("mnist1d-mlp", "accuracy")
    assert not {*process.stderr.split()} & {"torch", "pandas", "sqlalchemy", "optuna"}


def test_studies_are_completed_from_the_store_and_none_is_made_for_it(
    completed: Callable[[str], list[str]], lrbench: Command, tiny_study: Path, tmp_path: Path
) -> None:
    assert completed("lrbench report ti") == []
    assert not (tmp_path / "lrbench.db").exists()

    lrbench("run", tiny_study, "--steps", "2", "--seeds", "1", "--store", "other.db")

    assert completed("lrbench report ti") == []
    assert completed("lrbench report --store other.db ti") == ["tiny"]
    assert completed("lrbench plot --store other.db ranking ti") == ["tiny"]
