"""A store that takes in another one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lrbench.errors import StoreError
from lrbench.store import Merged, Store, StudyRecord, open_store
from lrbench.study.results import answer
from lrbench.study.study_runs import StudyRuns
from tests.report.made_studies import FIVE, MISSING, SCORES, same_everywhere, write_study


@pytest.fixture
def other_file(tmp_path: Path) -> Path:
    return tmp_path / "other.db"


@pytest.fixture
def other(other_file: Path) -> Iterator[Store]:
    with open_store(other_file) as opened:
        yield opened


def test_the_studies_and_ended_runs_of_another_store_are_added_once(store: Store, other: Store) -> None:
    write_study(store, FIVE, same_everywhere(SCORES), "same")
    write_study(other, FIVE, same_everywhere(SCORES), "same")
    write_study(other, FIVE, lambda place: MISSING if place.seed else SCORES[place.name], "half", variants=("EMA()",))

    assert store.merge(other) == Merged(1, 10)
    assert store.merge(other) == Merged(0, 0)
    assert [entry.address for entry in store.studies()] == ["same", "half"]
    for name in ("same", "half"):
        mine, theirs = (answer(StudyRuns.of(name, one)) for one in (store, other))
        assert mine.to_json() == theirs.to_json()


def test_a_name_goes_on_to_mean_the_study_of_this_store_and_parts_stay_with_theirs(store: Store, other: Store) -> None:
    write_study(store, FIVE, same_everywhere(SCORES), "taken")
    write_study(other, {"flat": FIVE["flat"]}, same_everywhere({"flat": 0.5}), "taken")
    search = other.save_study("search", StudyRecord(), [], "search")
    other.save_study("search: rung", StudyRecord(), [], "rung", search)

    store.merge(other)

    assert len(store.study("taken")[0].policies) == 5
    assert len(store.study("taken@2")[0].policies) == 1
    rung = store.entry("search: rung")
    assert [(one.kind, one.name) for one in store.studies() if one.id == rung.parent] == [("search", "search")]


def test_an_unfinished_run_is_replaced_by_its_end_unless_it_is_being_trained(store: Store, other: Store) -> None:
    write_study(other, {"flat": FIVE["flat"]}, same_everywhere({"flat": 0.5}))
    write_study(store, {"flat": FIVE["flat"]}, lambda place: "failed")
    key = store.study("a-study")[1][0].run
    with store.lease() as lease:
        lease.claim([key])
        assert store.merge(other).runs == 2
        assert store.statuses()[key] == "failed"

    assert store.merge(other).runs == 1
    assert set(store.statuses().values()) == {"finished"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET step = 'many'",
        "UPDATE runs SET seconds = 9e999",
        "UPDATE runs SET provenance = '[]'",
        "UPDATE runs SET final = '{'",
        "DELETE FROM evaluations",
        "UPDATE evaluations SET val_loss = x'00'",
        'UPDATE studies SET definition = \'{"seeds": "all"}\'',
        "UPDATE slots SET policy = 'unknown'",
        "UPDATE studies SET parent = 7",
    ],
)
def test_what_lrbench_did_not_write_is_refused_and_no_study_is_added(
    tmp_path: Path, other: Store, other_file: Path, statement: str
) -> None:
    write_study(other, {"flat": FIVE["flat"]}, same_everywhere({"flat": 0.5}))
    with closing(sqlite3.connect(other_file)) as connection:
        connection.executescript(statement)

    with open_store(tmp_path / "runs.db") as store:
        with pytest.raises(StoreError, match=r"that lrbench did not write|cannot be read"):
            store.merge(other)
        assert store.studies() == ()


def test_many_runs_are_merged_part_by_part(store: Store, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrbench.store.merge.RUNS_AT_ONCE", 4)
    write_study(other, FIVE, same_everywhere(SCORES))

    assert store.merge(other) == Merged(1, 15)
    assert store.study_runs("a-study") == other.study_runs("a-study")
