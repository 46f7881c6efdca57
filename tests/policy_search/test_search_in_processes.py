"""A search as processes: they are killed, they share a PostgreSQL store, and they come to one answer."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lrbench.policy_search.ledger import read_ledger
from lrbench.store import SearchRecord, open_store

if TYPE_CHECKING:
    from tests.conftest import Server

SEARCH = """
import os
import lrbench
from lrbench.policy_search import Between, Search, Space
from lrbench.training import coordinator
from lrbench.training.listener import NullListener

os.chdir(folder)
coordinator.SECONDS_BETWEEN_LOOKS = coordinator.SECONDS_OF_PATIENCE = 0.05

class Counting(NullListener):
    iterations = 0

    def trained(self, iterations):
        self.iterations += iterations

task = lrbench.load_task("mnist1d-mlp").with_(steps=120, eval_every=40)
space = Space(("POLY", "STEP", "SIN"), Between(0.01, 0.5, log=True))
search = Search(name="hunt", task=task, space=space, policies=12, batch=4, rungs=2, confirm=1, seeds=(0,))
parent.send("ready")
parent.recv()
mine = Counting()
found = lrbench.search(search, store=store, device="cpu", workers=1, engine="serial", listener=mine)
answer = {"tried": [one.policy for one in found.trials], "winner": found.winner.policy, "val": found.winner.val.mean}
parent.send({"answer": answer, "trained": mine.iterations})
"""
"""What a process runs; it is given `folder` to be in, the location of the `store`, and a connection to its `parent`."""


@dataclass(frozen=True)
class Searcher:
    """A process that searches once it is told to."""

    process: ForkServerProcess
    connection: Connection

    def begin(self) -> None:
        self.connection.send("begin")

    def said(self) -> Any:
        """What it says in the end."""
        assert self.connection.poll(120)
        return self.connection.recv()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


@dataclass(frozen=True)
class Undisturbed:
    """What a search says and takes that nothing disturbs.

    Attributes:
        trained: by batch, the iterations that it took.
    """

    answer: dict[str, Any]
    trained: Mapping[int, int]
    asked: list[str]
    seconds: float


@contextmanager
def searcher(folder: Path, store: str) -> Iterator[Searcher]:
    """A process that is ready to search; those of all tests are forked from one that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lrbench.api", "optuna", "scipy.stats", "torch._dynamo"])
    mine, theirs = context.Pipe()
    given = {"folder": str(folder), "store": store, "parent": theirs}
    process = context.Process(target=exec, args=(SEARCH, given), daemon=True)
    process.start()
    theirs.close()
    ready = Searcher(process, mine)
    try:
        assert ready.said() == "ready"
        yield ready
    finally:
        ready.kill()


def ended(store: str) -> set[str]:
    """The runs of a store that have ended."""
    with open_store(store) as opened:
        return {key for key, status in opened.statuses().items() if status in ("finished", "diverged")}


def ledger(store: str) -> SearchRecord:
    """What a store has of what the search asked for."""
    with open_store(store) as opened:
        found = read_ledger("hunt", opened)
    assert found is not None
    return found.record


def asked(store: str) -> list[str]:
    return [one.policy for one in ledger(store).asked]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    store = str(folder / "runs.db")
    with searcher(folder, store) as alone:
        started = time.monotonic()
        alone.begin()
        told = alone.said()
        seconds = time.monotonic() - started
    assert len(set(asked(store))) == 12
    return Undisturbed(told["answer"], ledger(store).trained, asked(store), seconds)


def test_a_search_killed_at_any_moment_and_run_again_asks_what_it_would_have_asked(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    store, moments = str(tmp_path / "killed.db"), random.Random(1)
    finished: set[str] = set()
    for _ in range(2):
        with searcher(tmp_path, store) as killed:
            killed.begin()
            time.sleep(moments.uniform(0, undisturbed.seconds / 2))
        assert finished <= ended(store)
        finished = ended(store)
    with searcher(tmp_path, store) as resumed:
        resumed.begin()
        assert resumed.said()["answer"] == undisturbed.answer
    assert asked(store) == undisturbed.asked


def test_two_processes_share_a_search_and_come_to_the_answer_of_one(
    undisturbed: Undisturbed, server: Server, tmp_path: Path
) -> None:
    store = server.url("two_searches")
    with ExitStack() as both:
        searchers = [both.enter_context(searcher(tmp_path, store)) for _ in range(2)]
        for one in searchers:
            one.begin()
        told = [one.said() for one in searchers]

    assert [one["answer"] for one in told] == [undisturbed.answer] * 2
    assert asked(store) == undisturbed.asked
    assert ledger(store).trained == undisturbed.trained
    assert all(one["trained"] > 0 for one in told)


def test_when_one_of_two_is_killed_the_other_comes_to_the_answer_alone(
    undisturbed: Undisturbed, server: Server, tmp_path: Path
) -> None:
    store = server.url("one_of_two_is_killed")
    with searcher(tmp_path, store) as killed, searcher(tmp_path, store) as heir:
        for one in (killed, heir):
            one.begin()
        while len(ended(store)) < 6:
            time.sleep(0.05)
        killed.kill()
        told = heir.said()

    assert told["answer"] == undisturbed.answer
    assert asked(store) == undisturbed.asked
