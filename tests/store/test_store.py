import math
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lrbench.errors import StoreError
from lrbench.policy import TABLE
from lrbench.store import (
    SCHEMA_VERSION,
    Kind,
    Lease,
    NewRun,
    PolicyRecord,
    Score,
    SearchRecord,
    Segment,
    Store,
    StudyRecord,
    StudySlot,
    open_store,
)

KEY, OTHER = "0" * 32, "1" * 32
NEW = NewRun(KEY, "task", "task-key", "FIX(k0=0.1)", modifiers="", seed=3, steps=20, provenance={"device": "cpu"})
FIRST = Score(step=10, train_loss=2.0, val_loss=1.5, val_score=0.4, test_loss=1.6, test_score=0.35)
SECOND = Score(step=20, train_loss=1.0, val_loss=0.1 + 0.2, val_score=0.6, test_loss=1.0, test_score=0.5)


@pytest.fixture
def lease(store: Store) -> Iterator[Lease]:
    """The right to write the run of `KEY`."""
    with store.lease() as lease:
        lease.claim([KEY])
        yield lease


def test_a_store_stays_where_it_is_when_the_working_directory_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_store("runs.db") as store:
        monkeypatch.chdir("elsewhere")
        store.close()  # the connections: the next one is opened from here
        with store.lease() as lease:
            lease.claim([KEY])
            lease.begin([NEW])
        assert (store.name, store.checkpoints.path) == ("runs.db", tmp_path / "runs.db.checkpoints")
    assert list(Path().iterdir()) == []
    with open_store(tmp_path / "runs.db", must_exist=True) as store:
        assert set(store.runs([KEY])) == {KEY}


def test_a_run_is_what_its_segments_say(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.5, 100, (FIRST,), checkpoint="state.pt", evaluating=0.25)})
    halfway = store.runs([KEY])[KEY]
    assert (halfway.status, halfway.step, halfway.checkpoint, halfway.ended) == ("running", 10, "state.pt", False)
    end = {"ac": 0.9, "cdac": None}
    lease.append({KEY: Segment(20, 2.0, 200, (SECOND,), "finished", final=end, evaluating=0.5)})
    run = store.runs([KEY])[KEY]
    assert run.scores == (FIRST, SECOND)
    assert (run.status, run.step, run.flops, run.checkpoint) == ("finished", 20, 200, None)
    assert (run.seconds, run.evaluating) == (3.5, 0.75)
    assert run.final == {"ac": 0.9, "cdac": None}
    assert run.provenance == {"device": "cpu"}
    assert run.ended


def test_numbers_come_back_exactly(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.append({KEY: Segment(20, 1.0, 2**60, (SECOND,), "finished", final={"ac": 0.1 + 0.2})})
    run = store.runs([KEY])[KEY]
    assert run.scores[0].val_loss == 0.1 + 0.2
    assert run.final == {"ac": 0.1 + 0.2}
    assert run.flops == 2**60


def test_numbers_that_are_not_finite_come_back(store: Store, lease: Lease) -> None:
    unknown = replace(FIRST, val_score=math.nan, test_loss=math.inf, test_score=-math.inf)
    final = {"ac": math.nan, "loss_difference": -math.inf, "class_confidence": [0.5, None, math.inf]}
    lease.begin([NEW])
    lease.append({KEY: Segment(20, 1.0, 100, (unknown, SECOND), "finished", final=final)})
    run = store.runs([KEY])[KEY]
    assert repr(run.scores[0]) == repr(unknown)
    assert run.scores[1] == SECOND
    assert repr(run.final) == repr(final)


def test_losses_and_times_that_were_not_measured_are_unknown_again(store: Store, lease: Lease) -> None:
    unmeasured = replace(FIRST, train_loss=math.nan, val_loss=math.nan)
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.5, 0, (unmeasured,), evaluating=None)})
    lease.append({KEY: Segment(20, 1.0, 0, (SECOND,), evaluating=None)})

    run = store.runs([KEY])[KEY]
    assert repr(run.scores[0]) == repr(unmeasured)
    assert run.scores[1] == SECOND
    assert (run.seconds, run.evaluating) == (2.5, None)


def test_a_segment_is_added_whole_or_not_at_all(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.0, 100, (FIRST,))})
    with pytest.raises(StoreError, match="cannot be written"):
        lease.append({KEY: Segment(20, 1.0, 200, (SECOND, FIRST), "finished")})
    run = store.runs([KEY])[KEY]
    assert (tuple(run.scores), run.step, run.status, run.seconds) == ((FIRST,), 10, "running", 1.0)


def test_a_failed_run_keeps_its_traceback_and_what_it_had(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.0, 100, (FIRST,))})
    lease.fail([KEY], "Traceback: boom")
    run = store.runs([KEY])[KEY]
    assert (run.status, run.error, tuple(run.scores)) == ("failed", "Traceback: boom", (FIRST,))


def test_an_error_with_characters_that_no_database_takes_is_stored(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.fail([KEY], "no file 'caf\udce9' or 'nul\0'")
    assert store.runs([KEY])[KEY].error == r"no file 'caf\udce9' or 'nul\x00'"


def test_beginning_again_drops_what_an_earlier_try_left(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.0, 100, (FIRST,))})
    lease.begin([NEW])
    run = store.runs([KEY])[KEY]
    assert (run.status, run.step, tuple(run.scores), run.seconds) == ("running", 0, (), 0.0)


def test_an_unknown_run_is_absent(store: Store) -> None:
    assert store.runs(["f" * 32]) == {}


def slot(policy: str = "a", seed: int = 3, stage: str = "main", run: str = KEY) -> StudySlot:
    return StudySlot("task", stage, policy, "", 1.0, seed, run)


def test_another_content_of_a_name_is_a_new_version_and_the_older_one_stays(store: Store) -> None:
    store.save_study("study", StudyRecord(margin=0.01), [slot("a")])
    store.save_study("study", StudyRecord(margin=0.02), [slot("b")])
    assert store.study("study") == (StudyRecord(margin=0.02), (slot("b"),))
    assert store.study("study@2") == store.study("study")
    assert store.study("study@1") == (StudyRecord(margin=0.01), (slot("a"),))
    assert [entry.address for entry in store.studies()] == ["study", "study@1"]


def test_a_study_that_asks_for_less_is_a_new_version_and_one_that_asks_for_more_is_not(store: Store) -> None:
    whole = [slot("a", seed) for seed in range(3)]
    first = store.save_study("study", StudyRecord(), whole)
    store.add_slots(first, [slot("a", 9, "confirm")])
    assert store.save_study("study", StudyRecord(), whole[:1]) != first
    assert store.save_study("study", StudyRecord(), [*whole, slot("b")]) == first
    assert set(store.study("study")[1]) == {*whole, slot("b")}
    assert store.study("study@2")[1] == (whole[0],)


def test_an_old_content_that_is_asked_for_again_is_the_latest_and_no_new_version(store: Store) -> None:
    contents = [(StudyRecord(target=target), [slot(seed=seed) for seed in range(2)]) for target in (0.5, 0.6)]
    ids = [store.save_study("study", *content) for content in contents]
    assert store.save_study("study", contents[0][0], contents[0][1][::-1]) == ids[0]
    assert [(entry.address, entry.id) for entry in store.studies()] == [("study", ids[0]), ("study@2", ids[1])]


def test_a_confirmation_stays_where_the_study_is_asked_for_without_it(store: Store) -> None:
    fresh = [slot("a", seed, "confirm") for seed in (8, 9)]
    first = store.save_study("study", StudyRecord(confirm=2), [slot()])
    store.add_slots(first, fresh)
    assert store.save_study("study", StudyRecord(), [slot()]) == first
    record, slots = store.study("study")
    assert (record.confirm, set(slots)) == (2, {slot(), *fresh})
    assert store.save_study("study", StudyRecord(confirm=2), [slot()]) == first
    assert store.save_study("study", StudyRecord(), [slot(), slot("b")]) != first, "other finalists would be confirmed"
    assert store.save_study("study", StudyRecord(confirm=1), [slot()]) != first
    assert set(store.study(first)[1]) == {slot(), *fresh}


@pytest.mark.parametrize("kind", ["rung", "range_test", "verify"])
def test_what_is_asked_for_in_parts_is_answered_by_a_record_that_has_all_of_them(store: Store, kind: Kind) -> None:
    first = store.save_study("parts", StudyRecord(), [slot("a"), slot("b")], kind)
    assert store.find_study("parts", StudyRecord(), [slot("b")], kind) == first
    assert store.save_study("parts", StudyRecord(), [slot("b")], kind) == first
    assert set(store.study("parts")[1]) == {slot("a"), slot("b")}


def test_a_search_and_a_study_of_one_name_keep_what_is_theirs(store: Store) -> None:
    asked = StudyRecord(search=SearchRecord(identity={"task": "t"}))
    study = store.save_study("q", StudyRecord(margin=0.2), [slot("mine")])
    store.revise_search("q", lambda known: known or asked)
    search = next(entry for entry in store.studies() if entry.kind == "search")
    store.save_study("q", StudyRecord(margin=0.1), [slot("found")], "rung", search.id)
    assert store.study(search.id)[0] == asked
    assert store.study("q") == (StudyRecord(margin=0.1), (slot("found"),))
    assert store.study(study) == store.study("q@1") == (StudyRecord(margin=0.2), (slot("mine"),))
    assert store.save_study("q", StudyRecord(margin=0.2), [slot("mine")]) == study
    assert store.study("q") == (StudyRecord(margin=0.2), (slot("mine"),))


def test_a_name_with_an_at_sign_is_not_taken_for_a_version(store: Store) -> None:
    store.save_study("lr@2", StudyRecord(margin=0.3), [])
    store.save_study("lr", StudyRecord(margin=0.1), [])
    store.save_study("lr", StudyRecord(margin=0.2), [])
    assert store.study("lr@2")[0].margin == 0.3


def test_slots_that_are_added_again_replace_those_of_their_stage(store: Store) -> None:
    study = store.save_study("study", StudyRecord(), [slot()])
    store.add_slots(study, [slot("a", 9, "confirm"), slot("b", 9, "confirm")])
    store.add_slots(study, [slot("a", 9, "confirm"), slot("a", 9, "confirm", run="e" * 32)])
    assert set(store.study("study")[1]) == {slot(), slot("a", 9, "confirm", run="e" * 32)}


def test_a_study_is_saved_by_several_at_once(store: Store) -> None:
    slots = [slot(f"FIX{seed}", seed) for seed in range(20)]
    with ThreadPoolExecutor(4) as pool:
        saving = [pool.submit(store.save_study, "study", StudyRecord(), slots) for _ in range(12)]
        adding = [pool.submit(store.add_slots, saved.result(), slots[::-1]) for saved in saving]
    assert [one.exception() for one in adding] == [None] * 12
    assert sorted(store.study("study")[1], key=lambda slot: slot.seed) == slots
    assert len(store.studies()) == 1


def test_a_study_has_the_runs_that_were_begun(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.0, 100, (FIRST,))})
    store.save_study("study", StudyRecord(), [slot(seed=3), slot(seed=4, run="e" * 32)])
    runs = store.study_runs("study")
    assert list(runs) == [KEY]
    assert runs[KEY].scores == (FIRST,)


def test_an_unknown_study_is_named_with_the_nearest_one(store: Store) -> None:
    store.save_study("quickstart", StudyRecord(), [])
    with pytest.raises(StoreError, match=r"no study 'quikstart' \(did you mean 'quickstart'\?\)"):
        store.study("quikstart")


def test_what_one_wrote_another_reads(store: Store, lease: Lease, location: str) -> None:
    lease.begin([NEW])
    with open_store(location, must_exist=True) as other:
        assert other.statuses() == {KEY: "running"}


def test_the_store_is_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRBENCH_STORE", str(tmp_path / "elsewhere.db"))
    with open_store() as store:
        assert store.checkpoints.path == tmp_path / "elsewhere.db.checkpoints"
    assert (tmp_path / "elsewhere.db").exists()


def test_without_a_name_the_store_is_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_store().close()
    assert (tmp_path / "lrbench.db").exists()


def test_a_store_that_must_exist_is_not_made(location: str, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(StoreError, match="there is no store "):
            open_store(location, must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_a_newer_schema_is_refused(location: str, sql: Callable[[str], None]) -> None:
    open_store(location).close()
    sql(f"UPDATE lrbench_schema SET version = {SCHEMA_VERSION + 1}")
    newer = f"has schema {SCHEMA_VERSION + 1}, and this lrbench reads schema {SCHEMA_VERSION}"
    with pytest.raises(StoreError, match=newer):
        open_store(location)


def test_the_database_of_another_program_is_refused(location: str, sql: Callable[[str], None]) -> None:
    sql("CREATE TABLE photos (id INTEGER)")
    with pytest.raises(StoreError, match="belongs to another program"):
        open_store(location)


def test_a_file_that_is_refused_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(StoreError):
        open_store(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to have a header of its own" * 20)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"notes\.txt cannot be opened: file is not a database"):
        open_store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("{folder}", "cannot be opened: unable to open database file"),
        ("{folder}/no/such/folder/runs.db", "cannot be opened: unable to open database file"),
        ("mysql://host/name", "a store is in SQLite or PostgreSQL, not in mysql"),
        ("sqlite://", "names no file"),
        ("://", "is not a store"),
    ],
)
def test_a_place_where_no_store_can_be_is_named(location: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=message):
        open_store(location.format(folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_torn_while_open_says_so(store: Store, lease: Lease, sql: Callable[[str], None]) -> None:
    lease.begin([NEW])
    sql("DROP TABLE evaluations")
    with pytest.raises(StoreError, match=r"the store .* cannot be read: [^\n]*evaluations[^\n]*$"):
        store.runs([KEY])


def test_values_that_make_no_sense_are_refused(store: Store, lease: Lease, sql: Callable[[str], None]) -> None:
    lease.begin([NEW])
    sql("UPDATE runs SET final = 'torn {'")
    with pytest.raises(StoreError, match=r"has values that cannot be read: (put a whole copy|bring it back)"):
        store.runs([KEY])


def test_what_two_processes_add_to_a_search_is_all_there(location: str) -> None:
    def add(name: str) -> None:
        with open_store(location) as store:
            for number in range(10):
                store.revise_search("sum", partial(_with_trained, name=f"{name}{number}"))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(add, "ab"))

    with open_store(location) as store:
        (entry,) = store.studies()
        found = store.study(entry.id)[0].search
    assert found is not None
    assert sorted(found.identity) == [f"{name}{number}" for name in "ab" for number in range(10)]


def test_a_store_prints_its_runs_and_its_studies(store: Store, lease: Lease) -> None:
    assert str(store).splitlines()[-2:] == ["0 runs", "no study yet"]
    lease.begin([NEW])
    store.save_study("mine", StudyRecord(), [])

    assert str(store).splitlines()[-3:] == ["1 run (1 running)", "study  kind", "mine   study"]


def test_a_store_has_a_line_at_the_prompt_after_it_was_closed(tmp_path: Path) -> None:
    with open_store(tmp_path / "runs.db") as store:
        pass

    assert repr(store) == f"<Store: {store.name}>"


def _with_trained(known: StudyRecord | None, name: str) -> StudyRecord:
    before = {} if known is None or known.search is None else known.search.identity
    return StudyRecord(search=SearchRecord(identity={**before, name: 1}))


def test_the_lrs_of_a_table_are_stored_beside_its_text_and_change_no_fingerprint(store: Store) -> None:
    policy = TABLE(values=[0.01 * step for step in range(40)])
    plain = StudyRecord(policies=(PolicyRecord(name="mine", policy=str(policy)),))
    whole = StudyRecord(policies=(PolicyRecord(name="mine", policy=str(policy), lrs=(tuple(policy.array.tolist()),)),))

    store.save_study("mine", whole, [])

    assert whole.fingerprint() == plain.fingerprint()
    assert store.study("mine")[0].policies[0].lrs == (tuple(0.01 * step for step in range(40)),)


def test_the_marker_changes_when_another_has_written_and_not_by_reading(store: Store, location: str) -> None:
    with open_store(location) as watching:
        before = watching.marker()
        watching.studies()
        assert watching.marker() == before

        store.save_study("s", StudyRecord(), [slot()])

        assert watching.marker() != before


def test_totals_count_a_run_once_however_many_places_of_a_study_it_fills(store: Store, lease: Lease) -> None:
    study = store.save_study("s", StudyRecord(), [slot("a"), slot("same as a"), slot("b", run=OTHER)])
    empty = store.save_study("empty", StudyRecord(), [])
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.5, 10, (FIRST,), evaluating=0.5)})

    totals = store.totals()

    assert totals[study].statuses == {"running": 1, "missing": 1}
    assert (totals[study].steps, totals[study].seconds) == (10, 2.0)
    assert totals[empty].created is None
    assert totals[empty].last_run > totals[study].last_run


def test_the_runs_of_one_status_are_read_alone_and_no_more_than_wanted(store: Store, lease: Lease) -> None:
    study = store.save_study("s", StudyRecord(), [slot("a"), slot("b", run=OTHER)])
    lease.claim([OTHER])
    lease.begin([NEW, replace(NEW, key=OTHER)])
    lease.append({KEY: Segment(10, 1.5, 10, (FIRST,))})
    lease.fail([OTHER], "ValueError: no")

    assert {key: len(run.scores) for key, run in store.study_runs(study, "running").items()} == {KEY: 1}
    assert len(store.study_runs(study, at_most=1)) == 1
    assert store.progress(study) == {KEY: ("running", 10, 20), OTHER: ("failed", 0, 20)}


def test_a_coordinator_is_listed_with_what_it_holds_as_long_as_it_lives(store: Store) -> None:
    study = store.save_study("s", StudyRecord(), [slot()])
    with store.lease() as lease:
        lease.claim([KEY, OTHER])
        (one,) = store.coordinators()

    assert (one.process, one.runs) == (os.getpid(), frozenset({KEY, OTHER}))
    assert one.studies == {study}
    assert 0 <= one.heard < 60
    assert store.coordinators() == ()


def test_a_study_is_deleted_with_its_parts_and_the_runs_that_no_other_has(store: Store) -> None:
    gone = store.save_study("gone", StudyRecord(), [slot("a"), slot("b", run=OTHER)])
    store.save_study("part", StudyRecord(), [slot("c", run="2" * 32)], "rung", gone)
    kept = store.save_study("kept", StudyRecord(), [slot("a")])
    with store.lease() as lease:
        lease.claim([KEY, OTHER, "2" * 32])
        lease.begin([NEW, replace(NEW, key=OTHER), replace(NEW, key="2" * 32)])
        lease.append({OTHER: Segment(10, 1.0, 10, (FIRST,))})
        with pytest.raises(StoreError, match="study 'gone' is being trained"):
            store.delete_study("gone")

    assert store.count_own_runs("gone") == 2
    assert store.delete_study("gone") == 2
    assert [entry.id for entry in store.studies()] == [kept]
    assert set(store.statuses()) == {KEY}
    assert store.runs([OTHER]) == {}


def test_a_study_has_another_name_and_no_other_study_of_it_is_replaced(store: Store) -> None:
    first = store.save_study("new", StudyRecord(), [slot("a")])
    second = store.save_study("old", StudyRecord(margin=0.5), [slot("b")])

    store.rename_study("old", "new")

    assert {entry.id: entry.address for entry in store.studies()} == {second: "new", first: "new@1"}
