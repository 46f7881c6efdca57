"""Stores that earlier versions of lrbench wrote; `stores/README.md` says how."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
import torch

from lrbench import range_test, run, score, search, verify
from lrbench.errors import StoreError
from lrbench.policy_search.ledger import read_ledger
from lrbench.policy_search.read import read_search
from lrbench.reproducible import callers_generators
from lrbench.store import SCHEMA_VERSION, Segment, StudyRecord, open_store
from lrbench.store.migrations import MIGRATIONS
from lrbench.study.results import results
from lrbench.tasks.datasets.mnist1d import mnist1d, no_sources
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import Registration, datasets
from lrbench.tasks.split import Split
from tests.registries import forget_registrations

if TYPE_CHECKING:
    from tests.conftest import Server

FOLDER = Path(__file__).parent / "stores"
STUDY = FOLDER / "two_policies.toml"
OLDER = range(1, SCHEMA_VERSION)

SLOTS = {
    "members": "SELECT task, stage, entry, treatment, scale, seed, run FROM members ORDER BY 1, 2, 3, 4, 5, 6, 7",
    "slots": "SELECT task, stage, policy, variant, scale, seed, run FROM slots ORDER BY 1, 2, 3, 4, 5, 6, 7",
}
RUNS = """SELECT key, task, task_key, policy, modifiers, seed, steps, status, step, seconds, flops, diverged_at, error,
final, checkpoint, provenance, created FROM runs ORDER BY key"""
EVALUATIONS = "SELECT * FROM evaluations ORDER BY run, step"


def mnist1d_of_version_1(root: Path, download: bool) -> RawData:
    """MNIST-1D as the stores have it: 4,000 signals, of which the last are for validation, and 1,000 for the test."""
    from mnist1d.data import make_dataset

    with callers_generators():
        made = make_dataset()
    train, test = (
        Split(torch.from_numpy(made[x].astype(np.float32)), torch.from_numpy(made[y].astype(np.int64)))
        for x, y in (("x", "y"), ("x_test", "y_test"))
    )
    return RawData(train, test, 10)


@pytest.fixture(autouse=True)
def tasks_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give MNIST-1D its first version, and curves all of the validation split."""
    forget_registrations(monkeypatch)
    module = mnist1d.__module__
    datasets.add("mnist1d", Registration("mnist1d", mnist1d_of_version_1, 1, no_sources), module)
    monkeypatch.setattr("lrbench.tasks.task.curve_samples_for", lambda *_: 800)


def older_store(schema: int, path: Path) -> Path:
    """A store of an older schema."""
    path.write_bytes(gzip.decompress((FOLDER / f"schema_{schema}.db.gz").read_bytes()))
    return path


@pytest.fixture(params=OLDER)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return older_store(request.param, tmp_path / "old.db")


def contents(path: Path) -> list[list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        (slots,) = (query for table, query in SLOTS.items() if table in tables)
        return [connection.execute(query).fetchall() for query in (slots, RUNS, EVALUATIONS)]


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
    assert [len(rows) for rows in before] in ([6, 6, 10], [40, 35, 209])
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


def test_seconds_of_an_older_store_include_evaluations_also_of_a_run_that_is_trained_on(tmp_path: Path) -> None:
    with open_store(older_store(4, tmp_path / "old.db")) as store:
        cards = results("two_policies", store).tasks[0].scorecards
        (before,) = store.study_runs("cut_off").values()
        with store.lease() as lease:
            lease.claim([before.key])
            lease.append({before.key: Segment(20, 1.0, 0, (), evaluating=0.5)})
        (after,) = store.study_runs("cut_off").values()
    assert cards[0].metrics["seconds"].mean is not None
    assert cards[0].metrics["evaluating"].mean is None
    assert (before.evaluating, after.evaluating) == (None, None)
    assert after.seconds == before.seconds + 1.5


@pytest.mark.parametrize("step", OLDER)
def test_a_migration_that_breaks_off_leaves_the_old_store_as_it_was(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = older_store(1, tmp_path / "old.db")
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
        if connection.execute("PRAGMA database_list").fetchone()[2]:  # a file, not a database in memory
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
            store.save_study("another", StudyRecord(), ())
    assert old.read_bytes() == before


def test_what_the_names_of_an_older_store_said_is_in_fields(tmp_path: Path) -> None:
    with open_store(older_store(3, tmp_path / "old.db")) as store:
        listed = store.studies()
        names = {entry.id: entry.name for entry in listed}
        found = {(entry.kind, entry.name, names.get(entry.parent or 0)) for entry in listed}
        record, _ = store.study("with_plp")
        asked = read_ledger("hunt", store)
        exact = [run.exact for run in store.study_runs("linear sweep of lrs").values()]
    assert found == {
        *(("study", name, None) for name in ("two_policies", "cut_off", "failed", "with_plp", "linear sweep of lrs")),
        ("search", "hunt", None),
        *(("rung", name, "hunt") for name in ("hunt", "hunt at 20 iterations")),
        ("confirmation", "hunt: confirmed", "hunt"),
        ("range_test", "exponential sweep of mnist1d-mlp, 20 steps", None),
        ("range_test", "range test of mnist1d-mlp, 20 steps", None),
        ("score", "score FIX(k0=0.05) on mnist1d-mlp, 20 iterations", None),
        ("verify", "verify FIX(k0=0.05) on mnist1d-mlp, 20 iterations", None),
    }
    assert record.variants == ("", "PLP()", "plp_control")
    assert asked is not None
    assert [one.batch for one in asked.record.asked] == [0, 0]
    assert sorted(exact) == [False, True]


@pytest.mark.parametrize(("study", "new"), [("with_plp", ["plp_noise"]), ("linear sweep of lrs", [])])
def test_a_study_of_schema_3_goes_on_as_the_same_version(tmp_path: Path, study: str, new: list[str]) -> None:
    """What it trains is the controls alone that its modifiers had not then."""
    path = older_store(3, tmp_path / "old.db")
    tally = run(FOLDER / f"{study}.toml", store=path, workers=1).tally
    assert (tally.trained, tally.steps_trained) == (2 * len(new), 40 * len(new))
    with open_store(path) as store:
        assert [entry.address for entry in store.studies() if entry.name == study] == [study]


def test_a_search_and_its_parts_are_answered_by_a_store_of_schema_3(tmp_path: Path) -> None:
    path = older_store(3, tmp_path / "old.db")
    with open_store(path) as store:
        before = {(entry.id, entry.address) for entry in store.studies()}
        found = search(FOLDER / "hunt.toml", store=store, workers=1)
        test = range_test("mnist1d-mlp", steps=20, seeds=1, store=store, workers=1)
        score("FIX(k0=0.05)", "mnist1d-mlp", steps=20, seeds=2, store=store, workers=1)
        assert {(entry.id, entry.address) for entry in store.studies()} == before
        again = verify("FIX(k0=0.05)", "mnist1d-mlp", target=0.05, steps=20, seeds=[0, 1], store=store, workers=1)
        assert again.steps_trained == 0
        assert len(store.statuses()) == 35
        assert [one.card.name for one in read_search("hunt", store).confirmed] == [
            one.card.name for one in found.confirmed
        ]
    assert test.steps_trained == 0


def put_on_a_server(path: Path, url: str) -> None:
    """Copy a store of SQLite with its tables as they are."""
    source, target, tables = sa.create_engine(f"sqlite:///{path}"), sa.create_engine(url), sa.MetaData()
    tables.reflect(source)
    for table in tables.sorted_tables:
        for column in table.columns:
            column.type = column.type.as_generic()
    tables.create_all(target)
    with source.connect() as reading, target.begin() as writing:
        for table in tables.sorted_tables:
            rows = [dict(row) for row in reading.execute(sa.select(table)).mappings()]
            if rows:
                writing.execute(sa.insert(table), rows)
    source.dispose()
    target.dispose()


@pytest.mark.parametrize("schema", OLDER)
def test_an_older_store_of_a_server_gets_the_tables_of_a_new_one(server: Server, tmp_path: Path, schema: int) -> None:
    location, new = server.url(f"older_{schema}"), server.url(f"new_{schema}")
    old = older_store(schema, tmp_path / "old.db")
    put_on_a_server(old, location.replace("postgresql:", "postgresql+psycopg:"))
    open_store(new).close()
    with open_store(location) as store, open_store(old) as same:
        assert store.studies() == same.studies()
        assert results("two_policies", store).tasks == results("two_policies", same).tasks
    tables = [columns(url.replace("postgresql:", "postgresql+psycopg:")) for url in (location, new)]
    assert tables[0] == tables[1]


def test_an_older_store_of_a_server_that_must_not_be_written_is_read_as_it_is(server: Server, tmp_path: Path) -> None:
    location = server.url("older_and_read_only")
    url = location.replace("postgresql:", "postgresql+psycopg:")
    put_on_a_server(older_store(3, tmp_path / "old.db"), url)
    before = columns(url)
    with open_store(f"{location}%20-cdefault_transaction_read_only%3Don") as store:
        assert len(results("two_policies", store).tasks[0].scorecards) == 2
        assert len(store.study_runs("with_plp")) == 6
        with pytest.raises(StoreError, match="cannot be written"):
            store.save_study("another", StudyRecord(), ())
    assert columns(url) == before
