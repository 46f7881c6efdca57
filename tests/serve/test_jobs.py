"""The queue of studies that were started on the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lrbench.errors import StudyError
from lrbench.serve.jobs import Jobs
from lrbench.store import open_store

LONG = 'task = "mnist1d-mlp"\nsteps = 1000000\nseeds = 1\n[policies]\nflat = "FIX(k0=0.1)"\n'


def wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


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
    text = LONG.replace("steps = 1000000", "steps = 0")
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
