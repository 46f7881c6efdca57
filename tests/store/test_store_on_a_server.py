"""What a store in PostgreSQL has beside one in a file: a server that may be away, passwords, a driver."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from lrbench.errors import StoreError
from lrbench.store import NewRun, Score, Segment, dialects, lease, open_store
from lrbench.training import runner
from lrbench.training.listener import NullListener
from lrbench.training.runner import run

if TYPE_CHECKING:
    from lrbench.study.study import Study
    from lrbench.training.plan import PlannedRun
    from tests.conftest import Server

KEY = "0" * 32
NEW = NewRun(KEY, "task", "task-key", "FIX(k0=0.1)", "", seed=0, steps=20, provenance={})
SCORE = Score(step=10, train_loss=1.0, val_loss=1.0, val_score=0.5, test_loss=1.0, test_score=0.5)


def test_a_server_that_stops_is_named_in_one_sentence_and_found_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "PATIENCE_SECONDS", 0.2)
    with open_store(server.url("stopped")) as store:
        server.stop()
        try:
            with pytest.raises(StoreError, match=r"^the store postgresql://lrbench@/postgres[^\n]* cannot be "):
                store.statuses()
            with pytest.raises(StoreError, match=r"cannot be opened: [^\n]+$"):
                open_store(store.name)
        finally:
            server.start()
        assert store.statuses() == {}


def test_a_study_goes_on_when_its_server_was_away_for_some_seconds(
    server: Server, study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SECONDS_AT_RISK", 0.0)

    class Stopper(NullListener):
        stopped = False

        def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
            if step == 15 and not self.stopped:
                self.stopped = True
                server.stop()
                threading.Timer(0.3, server.start).start()

    asked, stopper = study("FIX(k0=0.1)", seeds=(0, 1)), Stopper()
    with open_store(server.url("away")) as store:
        tally = run(asked, store, engine="serial", workers=1, listener=stopper)
        runs = store.study_runs(asked.name).values()
    assert stopper.stopped
    assert (tally.trained, tally.steps_trained) == (2, 80)
    assert [score.step for one in runs for score in one.scores] == 2 * list(range(5, 45, 5))


def test_a_heartbeat_comes_again_as_soon_as_the_server_does(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.1)
    with open_store(server.url("beating")) as store, store.lease() as one:
        server.stop()
        time.sleep(0.3)
        server.start()
        with store._database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM coordinators")
        time.sleep(2 * lease.SECONDS_AFTER_A_MISSED_BEAT)
        with store.lease() as other:
            one.claim([KEY])
            assert other.claim([KEY]) == set()


@contextmanager
def line_that_breaks(server: Server, at_commit: int, *, after: bool) -> Iterator[str]:
    """A host by which the server is reached, until the line breaks once: before or after a COMMIT gets there."""
    (real,) = server.folder.glob(".s.PGSQL.*[0-9]")
    commits = 0

    def pass_on(source: socket.socket, drain: socket.socket, *, asks: bool) -> None:
        nonlocal commits
        with suppress(OSError):
            while content := source.recv(65536):
                breaks = False
                if asks and b"COMMIT\0" in content:
                    commits += 1
                    breaks = commits == at_commit
                if breaks:
                    source.shutdown(socket.SHUT_RDWR)
                if after or not breaks:
                    drain.sendall(content)
                if breaks:
                    break
        for end in (source, drain):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                behind = socket.socket(socket.AF_UNIX)
                behind.connect(str(real))
                for ends, asks in (((client, behind), True), ((behind, client), False)):
                    threading.Thread(target=pass_on, args=ends, kwargs={"asks": asks}, daemon=True).start()

    with TemporaryDirectory() as folder, closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(Path(folder) / real.name))
        listening.listen()
        threading.Thread(target=serve, daemon=True).start()
        yield folder
        listening.shutdown(socket.SHUT_RDWR)
        assert commits > at_commit


@pytest.mark.parametrize("after", [False, True], ids=["commit lost", "answer lost"])
@pytest.mark.parametrize("write", ["claim", "begin", "append"])
def test_what_is_written_is_written_once_where_the_line_breaks_at_its_commit(
    server: Server, write: str, after: bool
) -> None:
    url = server.url(f"line_{write}_{after}".lower())
    open_store(url).close()
    before = {"claim": 2, "begin": 3, "append": 4}[write]  # a lease enters by two transactions
    with (
        line_that_breaks(server, before + 1, after=after) as host,
        open_store(url.replace(str(server.folder), host)) as store,
        store.lease() as held,
    ):
        assert held.claim([KEY]) == {KEY}
        held.begin(iter([NEW]))
        held.append({KEY: Segment(10, 1.5, 100, (SCORE,))})
        held.append({KEY: Segment(20, 1.5, 100, (replace(SCORE, step=20),), "finished", final={})})
        (stored,) = store.runs([KEY]).values()
    assert (stored.seconds, stored.status, stored.scores.steps()) == (3.0, "finished", (10, 20))


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://me:s3cret@{host}/none",
        "postgresql://{host}/none?user=me&password=s3cret",
        "postgresql://me:s3cret@{host}:port/none",
        "postgresql://me:p@s3cret@{host}/none",
        "mysql://me:s3cret@{host}/none",
    ],
)
def test_no_password_is_ever_shown(location: str) -> None:
    with pytest.raises(StoreError) as refused:
        open_store(location.format(host="127.0.0.1:1" if ":port" not in location else "127.0.0.1"))
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_who_knows_no_database_of_that_name_says_so(server: Server) -> None:
    with pytest.raises(StoreError, match=r'cannot be opened: [^\n]*database "nothing" does not exist$'):
        open_store(f"postgresql://lrbench@/nothing?host={server.folder}")


def test_a_missing_driver_is_named_with_what_installs_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'lrbench\[postgres\]'$"):
        open_store(server.url("driver"))


def test_each_database_has_a_folder_of_checkpoints_of_its_own(server: Server) -> None:
    one, other = server.url("one"), server.url("other")
    locations = (one, other, one.replace("lrbench@", "lrbench:password@"))
    folders = []
    for location in locations:
        with open_store(location) as store:
            folders.append(store.checkpoints.path)
    assert folders[0] != folders[1]
    assert folders[0] == folders[2]
    assert {folder.parent for folder in folders} == {Path.cwd()}
