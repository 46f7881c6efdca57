"""What is trained into a store by others, as `status` and `watch` show it."""

import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import Result

from lrbench.cli.commands.watch import looks
from lrbench.progress import Bar
from lrbench.store import NewRun, Store, open_store
from lrbench.study.file import load_study
from lrbench.study.results import Results
from lrbench.training.plan import plan
from lrbench.training.runner import record_of, run, slots_of

Command = Callable[..., Result]


@contextmanager
def held(file: Path, runs: int) -> Iterator[Store]:
    """A store with a study, of whose runs this process holds some."""
    asked = plan(load_study(str(file)))
    with open_store("lrbench.db") as store, store.lease() as lease:
        store.save_study("tiny", record_of(asked.study, asked), slots_of(asked))
        claimed = lease.claim([one.key for one in asked.runs][:runs])
        lease.begin(
            NewRun(one.key, one.task.name, one.task.key, str(one.policy), "", one.seed, one.task.steps, {})
            for one in asked.runs
            if one.key in claimed
        )
        yield store


def test_status_says_who_trains_what_and_how_far_it_is(lrbench: Command, tiny_study: Path) -> None:
    with open_store("lrbench.db") as store:
        run(load_study(str(tiny_study), seeds=1), store, workers=1)
    with held(tiny_study, 4):
        text = lrbench("status").stdout
        document = json.loads(lrbench("status", "--json").stdout)

    me = rf"process {os.getpid()} on {platform.node()} \(2\)"
    assert re.search(rf"^tiny +2 of 4 runs +50% +{me} +(flat|stepped) 0\.\d{{4}}$", text, re.MULTILINE)
    (one,) = document["studies"]
    assert (one["study"], one["kind"]) == ("tiny", "study")
    assert one["runs"] == {"total": 4, "ended": 2, "failed": 0}
    assert one["steps"] == {"nominal": 160, "trained": 80}
    assert one["coordinators"] == [{"machine": platform.node(), "process": os.getpid(), "runs": 2}]
    assert one["leaders"][0]["task"] == "mnist1d-mlp"


def test_status_names_a_process_that_holds_no_run_and_nothing_where_none_is_alive(
    lrbench: Command, tiny_study: Path
) -> None:
    with held(tiny_study, 0):
        idle = lrbench("status").stdout

    assert idle == f"process {os.getpid()} on {platform.node()} holds no run now\n"
    assert lrbench("status").stdout == "Nothing is trained into the store lrbench.db now.\n"
    assert json.loads(lrbench("status", "--json").stdout) == {"store": "lrbench.db", "studies": [], "idle": []}


def test_watch_follows_a_study_of_another_process_to_its_end(lrbench: Command, tiny_study: Path) -> None:
    command = [sys.executable, "-m", "lrbench", "run", str(tiny_study), "--workers", "1", "--engine", "serial"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as other:
        while "tiny" not in lrbench("list", "studies").stdout:
            time.sleep(0.1)
        watched = lrbench("watch", tiny_study)
        ranking, _ = other.communicate()

    assert watched.exit_code == 0, watched.stderr
    assert watched.stdout.splitlines() == ranking.splitlines()[:-2]
    assert re.search(r"tiny: 4 of 4 runs, 0:00:\d\d.*, leader (flat|stepped) 0\.\d{4}\n", watched.stderr)


def test_watch_shows_the_ranking_below_the_bar_on_a_terminal(
    lrbench: Command, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store("lrbench.db") as store:
        run(load_study(str(tiny_study), seeds=1), store, workers=1)
    is_held, is_ranked, rank = threading.Event(), threading.Event(), Bar.rank

    def ranked(bar: Bar, results: Results) -> None:
        rank(bar, results)
        is_ranked.set()

    def hold() -> None:
        with held(tiny_study, 4):
            is_held.set()
            is_ranked.wait(60)

    monkeypatch.setattr(Bar, "rank", ranked)
    with ThreadPoolExecutor() as threads:
        threads.submit(hold)
        assert is_held.wait(60)
        shown = re.sub(r"\x1b\[[\d;?]*\w", "", lrbench("watch", tiny_study, color=True).stderr)

    frame = [frame for frame in shown.split("\rtiny")[1:] if "verdict" in frame][-1]
    bar, title, head, *rows = frame.splitlines()
    assert re.search(r"2/4 runs +-:--:-- +(flat|stepped) 0\.\d{4}", bar)
    assert title.startswith("tiny on mnist1d-mlp, margin")
    assert head.split()[:2] == ["policy", "verdict"]
    assert {row.split()[0] for row in rows[:2]} == {"flat", "stepped"}


def test_watch_waits_as_long_as_a_coordinator_may_begin_with_the_study(lrbench: Command, tiny_study: Path) -> None:
    """As while its workers start, or between two batches of a search, for however long that takes."""
    with held(tiny_study, 0) as store:
        looking = looks("tiny", store)
        assert [next(looking).idle for _ in range(2)] == [1, 1]
        with store.lease() as lease:
            lease.claim(slot.run for slot in store.study("tiny")[1])
            assert next(looking).coordinators
    with open_store("lrbench.db") as store:
        assert [(one.idle, one.ended) for one in looks("tiny", store)] == [(0, 0)]


def test_watch_ends_where_nothing_trains_the_study_and_says_so(lrbench: Command, tiny_study: Path) -> None:
    with held(tiny_study, 0):
        pass
    watched = lrbench("watch", tiny_study, "--json")

    assert json.loads(watched.stdout)["runs"] == {"total": 4, "ended": 0, "failed": 0}
    assert "Nothing trains tiny now, and 0 of 4 runs have ended." in watched.stderr


@pytest.mark.parametrize("command", ["status", "watch"])
def test_a_store_that_is_not_there_is_one_sentence(lrbench: Command, command: str) -> None:
    result = lrbench(command, *(["tiny"] if command == "watch" else []))

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: there is no store at lrbench.db")
