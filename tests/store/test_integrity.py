"""A store whose files were cut off at any byte of their last 4 KiB: it is read right or refused, and never wrong.

Checkpoints that were cut off are in `tests/engine/test_checkpoint.py` and `test_runner.py`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lrbench.errors import StoreError
from lrbench.store import Lease, NewRun, Score, Segment, open_store

KEYS = [f"{number:032x}" for number in range(3)]
CUTS = range(1, 4097)
ROWS_LEAF = 10
"""The first byte of a page of SQLite that has rows of evaluations; the last bytes of such a page are values."""

Rows = list[tuple[object, ...]]
"""All that a store has of runs."""


@dataclass(frozen=True)
class Files:
    """What a process leaves that is killed now: a file and its log."""

    database: bytes
    log: bytes

    @classmethod
    def of(cls, path: Path) -> Files:
        log = path.with_name(f"{path.name}-wal")
        return cls(path.read_bytes(), log.read_bytes() if log.exists() else b"")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, where there is such a one."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def path(folder: Path) -> Path:
    """A store that was closed, whose last page ends with values of evaluations."""
    path = folder / "runs.db"
    with open_store(path) as store, store.lease() as lease:
        begin(lease)
        for step in range(10, 100, 10):
            append(lease, KEYS, step)
    for step in range(100, 9999, 10):
        if path.read_bytes()[-4096] == ROWS_LEAF:
            break
        with open_store(path) as store, store.lease() as lease:
            lease.claim(KEYS)
            append(lease, KEYS, step)
    return path


def begin(lease: Lease) -> None:
    lease.claim(KEYS)
    lease.begin(NewRun(key, "task", "task-key", "FIX(k0=0.1)", "", 0, 9999, {}) for key in KEYS)


def append(lease: Lease, keys: list[str], step: int) -> None:
    scores = tuple(Score(step + more, 1.5, 1.25, 0.1 + 0.2, 1.75, 1 / (step + more)) for more in range(6))
    lease.append({key: Segment(step, 0.1, step, scores) for key in keys})


def write_log_to_file(path: Path) -> None:
    """What SQLite does now and then; the log stays until it is written to again."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def rows(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        return [*connection.execute("SELECT * FROM runs"), *connection.execute("SELECT * FROM evaluations")]


def read(folder: Path, database: bytes, log: bytes) -> Rows | str:
    """What a store of these files has, or why it is refused."""
    for file in folder.glob("copy*"):
        file.unlink()
    (folder / "copy.db").write_bytes(database)
    (folder / "copy.db-wal").write_bytes(log)
    try:
        with open_store(folder / "copy.db", must_exist=True):
            return rows(folder / "copy.db")
    except StoreError as error:
        return str(error)


def is_refusal(answer: Rows | str) -> bool:
    """Whether it is one sentence that says what to do."""
    return isinstance(answer, str) and "\n" not in answer and answer.endswith("run the study again")


def test_a_file_that_is_cut_off_is_refused(folder: Path, path: Path) -> None:
    files = Files.of(path)
    assert read(folder, files.database, b"") == rows(path)
    for cut in CUTS:
        assert is_refusal(read(folder, files.database[:-cut], b"")), cut


def test_a_file_that_is_cut_off_beside_a_log_that_lacks_those_pages_is_refused(folder: Path, path: Path) -> None:
    with open_store(path) as store, store.lease() as lease:
        lease.claim(KEYS)
        lease.fail(KEYS, "boom")
        files, written = Files.of(path), rows(path)
    assert read(folder, files.database, files.log) == written
    for cut in CUTS:
        assert is_refusal(read(folder, files.database[:-cut], files.log)), cut


def test_a_file_that_is_cut_off_beside_a_log_that_has_those_pages_is_read_right(folder: Path) -> None:
    path = folder / "runs.db"
    with open_store(path) as store, store.lease() as lease:
        begin(lease)
        append(lease, KEYS, 10)
        write_log_to_file(path)
        files, written = Files.of(path), rows(path)
    for cut in (*CUTS[::100], 9000):
        assert read(folder, files.database[:-cut], files.log) == written, cut


def test_a_log_that_is_cut_off_is_read_up_to_the_segment_before(folder: Path, path: Path) -> None:
    with open_store(path) as store, store.lease() as lease:
        lease.claim(KEYS)
        append(lease, KEYS, 10_000)
        before = rows(path)
        append(lease, KEYS[:1], 10_010)
        files, written = Files.of(path), rows(path)
    assert read(folder, files.database, files.log) == written
    for cut in CUTS:
        assert read(folder, files.database, files.log[:-cut]) == before, cut


def test_a_log_that_is_cut_off_after_its_pages_went_to_the_file_is_refused(folder: Path, path: Path) -> None:
    with open_store(path) as store, store.lease() as lease:
        lease.claim(KEYS)
        append(lease, KEYS, 10_000)
        append(lease, KEYS[:1], 10_010)
        write_log_to_file(path)
        files, written = Files.of(path), rows(path)
    assert read(folder, files.database, files.log) == read(folder, files.database, b"") == written
    for cut in CUTS:
        assert is_refusal(read(folder, files.database, files.log[:-cut])), cut
