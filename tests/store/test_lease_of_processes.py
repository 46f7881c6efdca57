"""Coordinators as processes: they share a store, they are killed, they are put to sleep."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from lrbench.store import Store, lease

KEYS = [f"{number:032x}" for number in range(30)]

START = """
import os, random, sys
from lrbench.errors import StoreError
from lrbench.store import NewRun, Score, Segment, lease, open_store

def new(key):
    return NewRun(key, "task", "task-key", "FIX(k0=0.1)", "", 0, 20, {"process": os.getpid()})

def segment(step, status="running"):
    return Segment(step, 0.0, step, (Score(step, 1.0, 1.0, 0.5, 1.0, 0.5),), status)

location, *arguments = sys.argv[1:]
"""

SHARE = """
keys, random = arguments[1].split(), random.Random(arguments[2])
with open_store(location) as store, store.lease() as lease:
    print("ready", flush=True)
    input()
    while missing := [key for key in keys if store.statuses().get(key) != "finished"]:
        claimed = lease.claim(random.sample(missing, min(4, len(missing))))
        for key in claimed:  # made by one process, and by no other while it is there
            os.close(os.open(os.path.join(arguments[0], key), os.O_CREAT | os.O_EXCL))
        steps = {key: run.step for key, run in store.runs(claimed).items()}
        lease.begin(new(key) for key in claimed if key not in steps)
        for more, status in ((10, "running"), (20, random.choice(["running", "finished"]))):
            lease.append({key: segment(steps.get(key, 0) + more, status) for key in claimed})
        for key in claimed:
            os.remove(os.path.join(arguments[0], key))
        lease.release(claimed)
"""

HOLD = """
lease.LEASE_SECONDS = 0.5
lease.HEARTBEAT_SECONDS = 0.1
with open_store(location) as store, store.lease() as held:
    held.claim(arguments)
    held.begin(map(new, arguments))
    print("holding", flush=True)
    try:
        input()
        held.append({key: segment(10) for key in arguments})
    except (StoreError, EOFError) as error:
        print(type(error).__name__, flush=True)
"""

FORK = """
with open_store(location) as store, store.lease() as held:
    held.claim(arguments)
    print("ready", flush=True)
    if not os.fork():
        try:
            held.begin(map(new, arguments))
        except StoreError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
"""


@contextmanager
def process(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said its first line."""
    command = [sys.executable, "-c", START + script, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as begun:
        try:
            assert begun.stdout is not None
            assert begun.stdout.readline()
            yield begun
        finally:
            begun.kill()


def test_two_coordinators_share_the_runs_and_never_hold_the_same(store: Store, location: str, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    share = (SHARE, location, str(held), " ".join(KEYS))
    with process(*share, "one") as one, process(*share, "other") as other:
        for each in (one, other):
            assert each.stdin is not None
            each.stdin.write("\n")
            each.stdin.flush()
        assert (one.wait(60), other.wait(60)) == (0, 0)
    runs = store.runs(KEYS)
    assert {run.status for run in runs.values()} == {"finished"}
    for run in runs.values():
        assert [score.step for score in run.scores] == list(range(10, run.step + 10, 10))


def test_the_runs_of_a_process_of_this_machine_that_was_killed_are_free_at_once(store: Store, location: str) -> None:
    with process(HOLD, location, *KEYS) as owner, store.lease() as heir:
        assert heir.claim(KEYS) == set()
        assert heir.others_are_at_work()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert not heir.others_are_at_work()
        assert heir.claim(KEYS) == set(KEYS)


def test_the_runs_of_a_process_elsewhere_that_was_killed_are_free_when_its_lease_expires(
    store: Store, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "is_gone", lambda place, process: False)
    with process(HOLD, location, *KEYS) as owner, store.lease() as heir:
        time.sleep(0.7)  # longer than its lease, which it renews
        assert heir.claim(KEYS) == set()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert heir.claim(KEYS) == set()
        time.sleep(0.6)
        assert heir.claim(KEYS) == set(KEYS)


def test_what_a_process_held_when_it_died_is_known_and_what_one_holds_that_lives_is_not(
    store: Store, location: str
) -> None:
    with process(HOLD, location, *KEYS[:3]) as owner, store.lease() as heir:
        assert heir.left_behind(KEYS) == set()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert heir.left_behind(KEYS[1:]) == set(KEYS[1:3])
        heir.claim(KEYS[:2])
        assert heir.left_behind(KEYS) == {KEYS[2]}


def test_what_was_abandoned_is_free_and_known_as_what_a_dead_process_held(store: Store) -> None:
    with store.lease() as owner:
        owner.claim(KEYS[:3])
        owner.abandon(KEYS[:2])
    with store.lease() as heir:
        assert heir.left_behind(KEYS) == set(KEYS[:2])
        assert heir.claim(KEYS) == set(KEYS)


def put_to_sleep(owner: subprocess.Popen[str], location: str, sql: Callable[[str], None]) -> None:
    """Stop a process between two of its transactions: within one it would keep everybody else from writing."""
    postgresql = location.startswith("postgresql:")
    write = "LOCK TABLE leases IN ACCESS EXCLUSIVE MODE NOWAIT" if postgresql else "BEGIN IMMEDIATE; ROLLBACK"
    while True:
        owner.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, owner.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            sql(write)
            return
        except (sqlite3.OperationalError, psycopg.errors.LockNotAvailable):
            owner.send_signal(signal.SIGCONT)
            time.sleep(0.05)


def test_a_process_that_was_asleep_does_not_write_to_what_was_taken_over(
    store: Store, location: str, sql: Callable[[str], None]
) -> None:
    with process(HOLD, location, *KEYS) as owner, store.lease() as heir:
        put_to_sleep(owner, location, sql)
        time.sleep(0.6)
        assert heir.claim(KEYS[:1]) == {KEYS[0]}
        owner.send_signal(signal.SIGCONT)
        said, _ = owner.communicate("\n", timeout=60)
        assert said == "LeaseLostError\n"
        assert {run.step for run in store.runs(KEYS).values()} == {0}


def test_a_forked_process_writes_nothing_to_a_store_that_was_open_before(store: Store, location: str) -> None:
    with process(FORK, location, *KEYS) as forking:
        said, _ = forking.communicate(timeout=60)
    assert said.endswith("was opened before this process was forked: open it again here\n")
    assert not store.runs(KEYS)
