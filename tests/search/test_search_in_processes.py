"""A search as processes: they are killed, they share a PostgreSQL store, and they come to one answer."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lrbench.study.store import open_store

if TYPE_CHECKING:
    from tests.conftest import Server

SEARCH = """
import json, sys
import lrbench
from lrbench.search import Between, Search, Space
from lrbench.study import coordinator
from lrbench.study.listener import Silence

coordinator.SECONDS_BETWEEN_LOOKS = coordinator.SECONDS_OF_PATIENCE = 0.05

class Counting(Silence):
    iterations = 0

    def trained(self, iterations):
        self.iterations += iterations

task = lrbench.load_task("mnist1d-mlp").with_(steps=120, eval_every=40)
space = Space(("POLY", "STEP", "SIN"), Between(0.01, 0.5, log=True))
search = Search(name="hunt", task=task, space=space, policies=12, batch=4, rungs=2, confirm=1, seeds=(0,))
print("ready", flush=True)
input()
mine = Counting()
found = lrbench.search(search, store=sys.argv[1], device="cpu", workers=1, engine="serial", listener=mine)
answer = {"tried": [one.policy for one in found.tried], "winner": found.winner.policy, "val": found.winner.val.mean}
print(json.dumps({"answer": answer, "trained": mine.iterations}))
"""


@dataclass(frozen=True)
class Undisturbed:
    """What a search says and takes that nothing disturbs."""

    answer: dict[str, Any]
    trained: int
    seconds: float
    asked: list[str]


@contextmanager
def process(store: Path | str) -> Iterator[subprocess.Popen[str]]:
    """A process that searches into a store once it is told to begin."""
    command = [sys.executable, "-c", SEARCH, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as ready:
        try:
            assert ready.stdout is not None
            assert ready.stdout.readline() == "ready\n"
            yield ready
        finally:
            ready.kill()


def begin(ready: subprocess.Popen[str]) -> None:
    assert ready.stdin is not None
    ready.stdin.write("\n")
    ready.stdin.flush()


def said(ended: subprocess.Popen[str]) -> dict[str, Any]:
    told, _ = ended.communicate(timeout=60)
    return json.loads(told)


def ended(store: Path | str) -> set[str]:
    """The runs of a store that have ended."""
    with open_store(store) as opened:
        return {key for key, status in opened.statuses().items() if status in ("finished", "diverged")}


def ledger(store: Path | str) -> dict[str, Any]:
    """What a store has of what the search asked for."""
    with open_store(store) as opened:
        return opened.study("hunt: what was asked")[0]


def asked(store: Path | str) -> list[str]:
    return [one["policy"] for one in ledger(store)["asked"]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    store = tmp_path_factory.mktemp("undisturbed") / "runs.db"
    with process(store) as alone:
        started = time.monotonic()
        begin(alone)
        told = said(alone)
        seconds = time.monotonic() - started
    assert len(set(asked(store))) == 12
    return Undisturbed(told["answer"], told["trained"], seconds, asked(store))


def test_a_search_killed_at_any_moment_and_run_again_asks_what_it_would_have_asked(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    store, moments, finished = tmp_path / "killed.db", random.Random(1), set()
    for _ in range(2):
        with process(store) as killed:
            begin(killed)
            time.sleep(moments.uniform(0, undisturbed.seconds / 2))
            killed.send_signal(signal.SIGKILL)
        assert finished <= ended(store)
        finished = ended(store)
    with process(store) as resumed:
        begin(resumed)
        assert said(resumed)["answer"] == undisturbed.answer
    assert asked(store) == undisturbed.asked


def test_two_processes_share_a_search_and_come_to_the_answer_of_one(undisturbed: Undisturbed, server: Server) -> None:
    store = server.url("two_searches")
    with ExitStack() as both:
        searches = [both.enter_context(process(store)) for _ in range(2)]
        for one in searches:
            begin(one)
        told = [said(one) for one in searches]

    assert [one["answer"] for one in told] == [undisturbed.answer] * 2
    assert asked(store) == undisturbed.asked
    assert all(one["trained"] > 0 for one in told)
    assert sum(one["trained"] for one in told) == sum(ledger(store)["trained"].values()) == undisturbed.trained


def test_when_one_of_two_is_killed_the_other_comes_to_the_answer_alone(
    undisturbed: Undisturbed, server: Server
) -> None:
    store = server.url("one_of_two_is_killed")
    with process(store) as killed, process(store) as heir:
        for one in (killed, heir):
            begin(one)
        while len(ended(store)) < 6:
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
        told = said(heir)

    assert told["answer"] == undisturbed.answer
    assert asked(store) == undisturbed.asked
