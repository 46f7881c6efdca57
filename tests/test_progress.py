"""Progress of calls from Python; tests/cli/test_run.py has that of the command line."""

import io
import os
import pty
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import lrbench
from lrbench.progress import Lines, Tracker, leader, seconds_left
from lrbench.training.listener import NullListener
from tests.small_search import SERIAL, make, task

__all__ = ["make", "task"]


class NotebookStream(io.StringIO):
    """A stream that is known as a notebook's by where its class comes from."""

    __module__ = "ipykernel.iostream"


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let stderr be a terminal, and yield a list that holds what was shown on it in the end."""
    shown: list[str] = []
    master, slave = pty.openpty()

    def read() -> None:
        with suppress(OSError):  # the end of a terminal
            while content := os.read(master, 4096):
                shown.append(content.decode())

    with ThreadPoolExecutor() as threads, monkeypatch.context() as patch, os.fdopen(slave, "w") as stream:
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", "xterm")
        patch.delenv("NO_COLOR", raising=False)
        threads.submit(read)
        yield shown
    os.close(master)


@pytest.fixture
def question(task: lrbench.Task, tmp_path: Path) -> dict[str, Any]:
    return {"policy": "FIX(k0=0.1)", "task": task, "seeds": 2, "store": tmp_path / "runs.db", **SERIAL}


def test_a_call_on_a_terminal_shows_a_bar_with_the_leader(
    question: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(monkeypatch) as shown:
        lrbench.score(**question)

    assert re.search(r"2/2 runs.*FIX\(k0=0\.1\) [01]\.\d{4}", "".join(shown))


def test_a_leader_has_the_brief_name_of_its_modifiers() -> None:
    name = f"NSTEP + {lrbench.modifiers.ForecastDrop(rest=0.05)} + {lrbench.modifiers.EMA()}"

    assert leader(name, 0.5) == "NSTEP + ForecastDrop(rest=0.05) + EMA 0.5000"


@pytest.mark.parametrize("arguments", [{"progress": False}, {"listener": NullListener()}], ids=["off", "listener"])
def test_a_call_shows_nothing_where_it_is_asked_not_to_or_another_listens(
    question: dict[str, Any], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(monkeypatch) as shown:
        lrbench.score(**question, **arguments)

    assert shown == []


def test_a_call_that_fails_before_training_shows_nothing(
    question: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(monkeypatch) as shown, pytest.raises(lrbench.LRBenchError):
        lrbench.score(**{**question, "device": "cuda:99"})

    assert shown == []


def test_one_run_of_one_iteration_is_not_shown_as_several(
    question: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = NotebookStream()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    task = question["task"].with_(steps=1, eval_every=1)

    lrbench.score(**{**question, "task": task, "seeds": 1})

    assert "1 run, 0 cached, 1 to train (1 of 1 iteration)\ntraining: 1 of 1 run," in shown.getvalue()


def test_a_notebook_without_widgets_gets_plain_lines(question: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = NotebookStream()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)

    lrbench.score(**question)

    assert "training: 2 of 2 runs" in shown.getvalue()
    assert "\x1b" not in shown.getvalue()


CELL = """
import threading

cell, inside = [], threading.local()

def display(one):
    getattr(inside, "widget", cell).append(one)
"""
WIDGETS = """
from IPython.display import inside

class Output(list):
    def __enter__(self):
        inside.widget = self

    def __exit__(self, *_):
        del inside.widget

    def clear_output(self, wait):
        self.clear()
"""


@pytest.fixture
def widgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The two modules by which rich draws in a notebook, as far as it uses them."""
    files = {"IPython/__init__.py": "", "IPython/display.py": CELL, "ipywidgets.py": WIDGETS}
    for name, source in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    installed = {name: sys.modules.pop(name, None) for name in ("IPython", "IPython.display", "ipywidgets")}
    yield
    for name, module in installed.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


@pytest.mark.usefixtures("widgets")
def test_a_notebook_with_widgets_gets_a_bar_with_the_leader(
    question: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = NotebookStream()
    monkeypatch.setattr(sys, "stderr", stream)

    lrbench.score(**question)

    widget, *shown = import_module("IPython.display").cell
    (bar,) = (drawn.html for drawn in widget)
    assert re.search(r"2/2 runs.*FIX\(k0=0\.1\) [01]\.\d{4}", bar)
    assert "2 runs, 0 cached, 2 to train" in shown[0].html
    assert stream.getvalue() == ""


@pytest.mark.parametrize("columns", ["100", "44"])
def test_a_search_shows_one_bar_for_all_of_it_and_one_for_the_batch_at_hand_with_whole_times(
    make: Callable[..., lrbench.Search], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with terminal(monkeypatch) as shown:
        lrbench.search(make(policies=8, confirm=1), store=tmp_path / "runs.db", **SERIAL)

    frames = re.split(r"\x1b\[1A|\x1b\[2K\r|\r\n", "".join(shown))
    lines = [line for frame in frames if (line := re.sub(r"\x1b\[[\d;?]*\w", "", frame).strip())]
    assert {line.split()[0] for line in lines} == {"hunt", "training"}
    assert "8 policies" in next(line for line in reversed(lines) if line.startswith("hunt"))
    assert all(re.search(r" (\d:\d\d:\d\d|-:--:--)( |$)", line) for line in lines)


def test_a_pipe_gets_nothing(
    question: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    lrbench.score(**question)

    assert capfd.readouterr() == ("", "")


def test_a_search_whose_budget_is_overspent_has_no_time_left() -> None:
    assert seconds_left(10.0, 0.0, 0.0) is None
    assert seconds_left(10.0, 0.0, -0.2) is None
    assert seconds_left(10.0, 0.5, 0.25) == 0
    tracker = Tracker(Lines())
    tracker.searched("mine", 40, 1.25)
    tracker.searched("mine", 40, 1.25)
