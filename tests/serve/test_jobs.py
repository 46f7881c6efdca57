"""The queue of studies that were started on the page."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from lrbench.api import Lab
from lrbench.errors import StudyError
from lrbench.serve.jobs import Jobs
from lrbench.store import Store, open_store

LONG = 'task = "mnist1d-mlp"\nsteps = 200000\nseeds = 1\n[policies]\nflat = "FIX(k0=0.1)"\n'


def wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def served(location: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Start `lrbench serve --write`, and give its process and a client that has its token."""
    options = ["--write", "--port", "0", "--workers", "1", "--engine", "serial", "--store", location]
    command = [sys.executable, "-m", "lrbench", "serve", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().partition(" at ")[2].partition(",")[0])
        headers = {"Authorization": f"Bearer {parse_qs(address.query)['token'][0]}"}
        try:
            with httpx.Client(base_url=f"http://{address.netloc}", headers=headers, timeout=60) as client:
                yield process, client
        finally:
            process.kill()


def steps(store: Store) -> list[int]:
    return [run.step for one in store.studies() for run in store.progress(one.id).values()]


def numbers(store: Store) -> list[tuple[str, str, str]]:
    return [(key, run.status, repr(list(run.scores))) for key, run in store.study_runs("trial").items()]


def test_server_and_coordinator_are_killed_and_the_study_ends_with_the_same_numbers(tmp_path: Path) -> None:
    form: dict[str, Any] = {"name": "trial", "tasks": ["mnist1d-mlp"], "seeds": "1", "steps": "40000"}
    form |= {"policies": {"a": "FIX(k0=0.1)"}, "settings": [["eval_every", "100"]]}
    killed, whole = str(tmp_path / "killed.db"), str(tmp_path / "whole.db")
    with open_store(killed) as store:
        with served(killed) as (server, page):
            page.post("/run", json=form).raise_for_status()
            wait(lambda: sum(steps(store)) > 0)
            server.send_signal(signal.SIGKILL)
            server.wait()
        wait(lambda: store.coordinators() == ())
        (first,) = steps(store)
        assert 0 < first < 40000

        with served(killed) as (_, page):
            page.post("/resume", json={"name": "trial"}).raise_for_status()
            wait(lambda: sum(steps(store)) > first)
            (coordinator,) = store.coordinators()
            os.kill(coordinator.process, signal.SIGKILL)
            wait(lambda: store.coordinators() == ())
            (second,) = steps(store)
            assert first < second < 40000
            wait(lambda: page.post("/resume", json={"name": "trial"}).is_success and steps(store) == [40000])
            wait(lambda: store.coordinators() == ())

        with Lab(store=whole, workers=1, engine="serial", progress=False) as lab:
            lab.run(Path(f"{killed}.studies") / "trial.toml")
            assert numbers(store) == numbers(lab.store) != []


def test_ctrl_c_ends_a_server_whose_page_is_open_without_a_word(tmp_path: Path) -> None:
    with served(str(tmp_path / "runs.db")) as (server, page), page.stream("GET", "/events") as answer:
        assert next(answer.iter_lines()) == "event: studies"
        server.send_signal(signal.SIGINT)
        assert server.stderr is not None
        assert (server.stderr.read(), server.wait()) == ("", 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_server_ends_at_once_though_it_still_reads_the_store_for_a_page(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    location = str(tmp_path / "runs.db")
    open_store(location).close()
    with closing(sqlite3.connect(location, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        with served(location) as (server, page):
            other.execute("BEGIN EXCLUSIVE")  # to read the store takes a minute from now on
            with pytest.raises(httpx.ReadTimeout):
                page.get("/studies/1/rows", timeout=2.0)
            server.send_signal(number)
            assert server.wait(timeout=10) == code


def test_a_study_that_was_stopped_goes_on_where_it_stood_in_another_server(tmp_path: Path) -> None:
    location = str(tmp_path / "runs.db")
    options = ["--workers", "1", "--engine", "serial"]
    with open_store(location) as store:

        def step() -> int:
            return max((run.step for one in store.studies() for run in store.progress(one.id).values()), default=0)

        first = Jobs(tmp_path / "studies", options, location)
        first.start("long", LONG)
        wait(lambda: step() > 0)
        first.close()
        reached = step()
        assert first.states() == [{"name": "long", "state": "stopped", "says": ""}]
        wait(lambda: store.coordinators() == ())

        second = Jobs(tmp_path / "studies", options, location)
        assert second.states() == [{"name": "long", "state": "stopped", "says": ""}]
        second.resume("long")
        wait(lambda: step() > reached)
        second.stop("long")
        second.close()
        assert len(store.studies()) == 1


def test_a_study_that_cannot_be_used_fails_with_its_sentence(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "studies", [], str(tmp_path / "runs.db"))
    text = LONG.replace("steps = 200000", "steps = 0")
    with pytest.raises(StudyError, match=r"^steps = 0 must be"):
        jobs.plan("bad", text)
    assert jobs.states() == []
    jobs.start("bad", text)
    wait(lambda: jobs.states()[0]["state"] == "failed")
    assert jobs.states()[0]["says"].startswith("steps = 0 must be")
    with pytest.raises(StudyError, match="another study is called 'bad'"):
        jobs.start("bad", LONG)
    with pytest.raises(StudyError, match="no study 'other'"):
        jobs.stop("other")
    jobs.close()


def test_a_study_that_waits_is_deleted_or_renamed_and_the_others_go_on(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "studies", ["--workers", "1", "--engine", "serial"], str(tmp_path / "runs.db"))
    bad = LONG.replace("steps = 200000", "steps = 0")
    jobs.start("first", bad)
    for name in ("gone", "waits"):
        jobs.start(name, bad)
    jobs.forget("gone")
    jobs.rename("waits", "renamed")
    jobs.rename("first", "renamed")

    wait(lambda: [job["state"] for job in jobs.states()] == ["failed", "failed"])

    assert [job["name"] for job in jobs.states()] == ["first", "renamed"]
    assert sorted(file.name for file in (tmp_path / "studies").glob("*.toml")) == ["first.toml", "renamed.toml"]
    jobs.close()


def test_a_study_whose_process_is_ending_is_deleted_with_its_file(tmp_path: Path) -> None:
    location = str(tmp_path / "runs.db")
    with open_store(location) as store:
        jobs = Jobs(tmp_path / "studies", ["--workers", "1", "--engine", "serial"], location)
        jobs.start("long", LONG)
        wait(lambda: bool(store.coordinators()))
        jobs.stop("long")
        jobs.forget("long")

        wait(lambda: store.coordinators() == ())

        assert (jobs.states(), list((tmp_path / "studies").glob("*.toml"))) == ([], [])
        jobs.close()
