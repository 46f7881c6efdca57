"""Stores that earlier versions of lrbench wrote; `stores/README.md` says how."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from lrbench import run
from lrbench.errors import StoreError
from lrbench.store import SCHEMA_VERSION, open_store
from lrbench.store.migrations import MIGRATIONS
from lrbench.study.results import results

if TYPE_CHECKING:
    from tests.conftest import Server

FOLDER = Path(__file__).parent / "stores"
STUDY = FOLDER / "two_policies.toml"
OLDER = range(1, SCHEMA_VERSION)

PLACES = "SELECT * FROM members ORDER BY study, entry, seed"
RUNS = "SELECT * FROM runs ORDER BY key"
EVALUATIONS = "SELECT * FROM evaluations ORDER BY run, step"


@pytest.fixture(params=OLDER)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store of an older schema."""
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((FOLDER / f"schema_{request.param}.db.gz").read_bytes()))
    return path


def contents(path: Path) -> list[list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return [connection.execute(query).fetchall() for query in (PLACES, RUNS, EVALUATIONS)]


def columns(url: str) -> dict[str, Any]:
    """Each table's columns with type and nullability, its key, its indices and what it refers to."""
    engine = sa.create_engine(url)
    try:
        inspector = sa.inspect(engine)
        return {
            table: (
                [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)],
                inspector.get_pk_constraint(table)["constrained_columns"],
                sorted(index["name"] or "" for index in inspector.get_indexes(table)),
                [(key["constrained_columns"], key["referred_table"]) for key in inspector.get_foreign_keys(table)],
            )
            for table in inspector.get_table_names()
        }
    finally:
        engine.dispose()


def test_an_older_store_keeps_every_row_and_gets_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    before = contents(old)
    assert [len(rows) for rows in before] == [6, 6, 10]
    open_store(old).close()
    open_store(tmp_path / "new.db").close()
    assert contents(old) == before
    assert columns(f"sqlite:///{old}") == columns(f"sqlite:///{tmp_path / 'new.db'}")
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT version FROM lrbench_schema").fetchall() == [(SCHEMA_VERSION,)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_study_of_an_older_store_is_answered_with_nothing_trained(old: Path) -> None:
    outcome = run(STUDY, store=old, workers=1)
    assert (outcome.tally.steps_trained, outcome.tally.cached, outcome.tally.diverged) == (0, 4, 2)
    better, lost = outcome.results.tasks[0].scorecards
    assert (better.policy, lost.policy) == ("FIX(k0=0.05)", "FIX(k0=1000000000.0)")


def test_a_run_of_an_older_store_that_was_cut_off_or_failed_is_trained_on(old: Path) -> None:
    for name in ("cut_off", "failed"):
        outcome = run(FOLDER / f"{name}.toml", store=old, workers=1)
        assert (outcome.tally.trained, outcome.tally.failed) == (1, 0)


@pytest.mark.parametrize("step", OLDER)
def test_a_migration_that_breaks_off_leaves_the_old_store_as_it_was(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((FOLDER / "schema_1.db.gz").read_bytes()))
    before, tables = contents(path), columns(f"sqlite:///{path}")
    migrate = MIGRATIONS[step]

    def broken(connection: sa.Connection) -> None:
        migrate(connection)
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    with monkeypatch.context() as patch:
        patch.setitem(MIGRATIONS, step, broken)
        with pytest.raises(StoreError, match="cannot be opened: no such table: nowhere"):
            open_store(path)
    assert (contents(path), columns(f"sqlite:///{path}")) == (before, tables)
    with open_store(path) as store:
        assert len(results("two_policies", store).tasks[0].scorecards) == 2


@contextmanager
def _reading_alone() -> Iterator[None]:
    """SQLite as it is where a file and its folder must not be written."""

    def forbid(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA query_only = ON")

    sa.event.listen(sa.Engine, "connect", forbid)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "connect", forbid)


def test_an_older_store_that_must_not_be_written_is_read_as_it_is(old: Path) -> None:
    before = old.read_bytes()
    with _reading_alone(), open_store(old, must_exist=True) as store:
        assert len(results("two_policies", store).tasks[0].scorecards) == 2
        with pytest.raises(StoreError, match="cannot be written: attempt to write a readonly database"):
            store.save_study("another", {}, ())
    assert old.read_bytes() == before


def _make_older(location: str) -> None:
    """Turn the tables of a server's store back into those of the first schema."""
    with psycopg.connect(location) as connection:
        for column in ("val_score", "test_loss", "test_score"):
            connection.execute(f"ALTER TABLE evaluations ALTER COLUMN {column} SET NOT NULL")
        connection.execute("DROP TABLE leases; DROP TABLE coordinators; UPDATE lrbench_schema SET version = 1")


def test_an_older_store_of_a_server_gets_the_tables_of_a_new_one(server: Server) -> None:
    location = server.url("older")
    url = location.replace("postgresql:", "postgresql+psycopg:")
    open_store(location).close()
    new = columns(url)
    _make_older(location)
    assert columns(url) != new
    open_store(location).close()
    assert columns(url) == new


def test_an_older_store_of_a_server_that_must_not_be_written_is_read_as_it_is(server: Server) -> None:
    location = server.url("older_and_read_only")
    with open_store(location) as store:
        store.save_study("known", {"margin": 0.1}, ())
    _make_older(location)
    with open_store(f"{location}%20-cdefault_transaction_read_only%3Don") as store:
        assert store.study("known") == ({"margin": 0.1}, ())
        assert store.study_runs("known") == {}
