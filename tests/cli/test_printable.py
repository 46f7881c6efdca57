"""Text from somebody else's study, store or plugin, on its way to a terminal."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from tqdm import tqdm
from typer.testing import Result

from lrbench.display.printable import PrintableStream, printable_streams
from lrbench.display.readable import UNPRINTABLE
from lrbench.errors import LONGEST_SENTENCE

Command = Callable[..., Result]

HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202e\u2066\x7f[red]:bug:"
SHOWN = "\ufffd[2J\ufffd]0;owned\ufffd\ufffd\ufffd31m\ufffd\ufffd\ufffd[red]:bug:"
ESCAPED = json.dumps(HOSTILE).replace("\x7f", "\\u007f")

STUDY = f"""
description = {ESCAPED}
seeds = 2

[task]
base = "mnist1d-mlp"
name = {ESCAPED[:-1]} task"
steps = 4
eval_every = 2

[[policies]]
policy = "FIX(k0=0.1)"
name = {ESCAPED}

[[policies]]
policy = "FIX(k0=0.01)"
name = "=1+1"
"""

OWN_ESCAPES = re.compile(r"\r?\x1b\[(\?25[hl]|[0-9;]*m|1A|2K)")
"""What rich writes for colours and for the bar: the cursor hidden and shown, one line up, one line erased."""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / f"{HOSTILE} study.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_names_of_a_study_cannot_drive_the_terminal(lrbench: Command, study: Path) -> None:
    first = lrbench("run", study, color=True)
    results = [first] + [
        lrbench(*arguments, color=color)
        for color in (True, False)
        for arguments in (
            ("run", study),
            ("run", study, "--dry-run"),
            ("compare", study, HOSTILE, "=1+1"),
            ("compare", study, HOSTILE, "no such"),
            ("list", "studies"),
            ("show", study, "--steps", "20"),
            ("export", "no such study"),
            ("export", study),
        )
    ]
    assert [result.exit_code for result in results] == [0, *[0, 0, 0, 2, 0, 0, 2, 0] * 2]
    for result in results:
        assert SHOWN[:12] in result.output
        assert UNPRINTABLE.findall(OWN_ESCAPES.sub("", result.output)) == []
    assert SHOWN in lrbench("list", "studies").stdout


def test_json_has_names_as_they_are_in_printable_characters(lrbench: Command, study: Path) -> None:
    result = lrbench("run", study, "--json")
    assert result.stdout.isascii()
    assert UNPRINTABLE.findall(result.stdout) == []
    assert json.loads(result.stdout)["study"] == f"{HOSTILE} study"


def test_cells_of_a_csv_are_no_formulas_and_numbers_stay_numbers(lrbench: Command, study: Path) -> None:
    import pandas as pd

    assert lrbench("run", study).exit_code == 0
    assert lrbench("export", study, "-o", "runs.csv").exit_code == 0
    assert lrbench("export", study, "-o", "runs.json").exit_code == 0
    table, document = pd.read_csv("runs.csv"), json.loads(Path("runs.json").read_text())["runs"]
    assert list(table["name"]) == [HOSTILE.replace("\r", "\n")] * 2 + ["'=1+1"] * 2
    assert [run["name"] for run in document] == [HOSTILE] * 2 + ["=1+1"] * 2
    assert table["seed"].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\uff1d"])
def test_every_beginning_of_a_formula_gets_an_apostrophe(start: str) -> None:
    import pandas as pd

    from lrbench.study.export import csv_of

    frame = pd.DataFrame({f"{start}a": [f"{start}1", "b\r=1", None], "loss": [-0.5, 1e-9, None], "step": [-1, None, 3]})
    safe = pd.read_csv(io.BytesIO(csv_of(frame)))
    start = start.replace("\r", "\n")
    assert list(safe.columns) == [f"'{start}a", "loss", "step"]
    assert list(safe[f"'{start}a"].dropna()) == [f"'{start}1", "b\n=1"]
    numbers = frame[["loss", "step"]]
    assert csv_of(numbers) == numbers.to_csv(index=False, lineterminator="\n").encode()


FAULTY_PLUGIN = f"""
from lrbench.errors import TaskError

raise TaskError({HOSTILE!r} + "x" * 100_000 + " must be short")
"""


def test_an_error_is_one_short_line_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY_PLUGIN)
    for more in ([], ["--debug"]):
        command = [sys.executable, "-m", "lrbench", "list", "tasks", "--plugin", "faulty.py", *more]
        process = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        last = process.stderr.decode().splitlines()[-1]
        assert process.returncode == 2
        assert UNPRINTABLE.findall(process.stderr.decode()) == []
        assert len(last) <= LONGEST_SENTENCE + 3
        assert last.startswith("Error: ")
        assert last.endswith(" must be short")


def test_a_progress_bar_of_somebody_else_still_draws_over_its_line() -> None:
    screen = io.StringIO()
    with redirect_stderr(screen), printable_streams():
        list(tqdm(range(3), mininterval=0, file=sys.stderr))
        print("\rname\r\x1b[A", file=sys.stderr)
    assert screen.getvalue().count("\r") >= 3
    assert screen.getvalue().endswith("\rname\ufffd\ufffd[A\n")


def test_a_stream_is_otherwise_the_one_below() -> None:
    below = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    stream = PrintableStream(below)
    stream.writelines(["a\x1b", "b\n"])
    stream.flush()
    assert (below.buffer.getvalue(), stream.encoding, stream.isatty()) == (b"a?b\n", "ascii", False)


def test_streams_are_put_back() -> None:
    before = sys.stdout, sys.stderr
    with printable_streams():
        during = sys.stdout
    assert isinstance(during, PrintableStream)
    assert (sys.stdout, sys.stderr) == before
