import math
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lrbench.errors import StoreError
from lrbench.store import SCHEMA_VERSION, Lease, NewRun, Score, Segment, Store, StudySlot, open_store

KEY = "0" * 32
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
    lease.append({KEY: Segment(10, 1.5, 100, (FIRST,), checkpoint="state.pt")})
    halfway = store.runs([KEY])[KEY]
    assert (halfway.status, halfway.step, halfway.checkpoint, halfway.ended) == ("running", 10, "state.pt", False)
    lease.append({KEY: Segment(20, 2.0, 200, (SECOND,), "finished", final={"ac": 0.9, "cdac": None})})
    run = store.runs([KEY])[KEY]
    assert run.scores == (FIRST, SECOND)
    assert (run.status, run.step, run.seconds, run.flops, run.checkpoint) == ("finished", 20, 3.5, 200, None)
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


def test_a_segment_is_added_whole_or_not_at_all(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.0, 100, (FIRST,))})
    with pytest.raises(StoreError, match="cannot be written"):
        lease.append({KEY: Segment(20, 1.0, 200, (SECOND, FIRST), "finished")})
    run = store.runs([KEY])[KEY]
    assert (run.scores, run.step, run.status, run.seconds) == ((FIRST,), 10, "running", 1.0)


def test_a_failed_run_keeps_its_traceback_and_what_it_had(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.0, 100, (FIRST,))})
    lease.fail([KEY], "Traceback: boom")
    run = store.runs([KEY])[KEY]
    assert (run.status, run.error, run.scores) == ("failed", "Traceback: boom", (FIRST,))


def test_an_error_with_characters_that_no_database_takes_is_stored(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.fail([KEY], "no file 'caf\udce9' or 'nul\0'")
    assert store.runs([KEY])[KEY].error == r"no file 'caf\udce9' or 'nul\x00'"


def test_beginning_again_drops_what_an_earlier_try_left(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.0, 100, (FIRST,))})
    lease.begin([NEW])
    run = store.runs([KEY])[KEY]
    assert (run.status, run.step, run.scores, run.seconds) == ("running", 0, (), 0.0)


def test_an_unknown_run_is_absent(store: Store) -> None:
    assert store.runs(["f" * 32]) == {}


def test_a_study_is_replaced_by_what_it_asks_for_now(store: Store) -> None:
    one, other = (StudySlot("task", "main", name, "", 1.0, 3, KEY) for name in ("a", "b"))
    store.save_study("study", {"margin": 0.01}, [one])
    store.save_study("study", {"margin": 0.02}, [other])
    store.add_members("study", [StudySlot("task", "confirm", "b", "", 1.0, 9, KEY)])
    definition, members = store.study("study")
    assert definition == {"margin": 0.02}
    assert sorted(member.stage for member in members) == ["confirm", "main"]
    assert {member.entry for member in members} == {"b"}


def test_a_place_that_is_added_again_is_filled_by_the_latest_run(store: Store) -> None:
    place = StudySlot("task", "confirm", "a", "", 1.0, 3, KEY)
    store.save_study("study", {}, [place])
    store.add_members("study", [place, replace(place, run="e" * 32)])
    _, members = store.study("study")
    assert members == (replace(place, run="e" * 32),)


def test_a_study_is_saved_by_several_at_once(store: Store) -> None:
    members = [StudySlot("task", "main", f"FIX{seed}", "", 1.0, seed, KEY) for seed in range(20)]
    with ThreadPoolExecutor(4) as pool:
        saving = [pool.submit(store.save_study, "study", {"margin": 0.01}, members) for _ in range(12)]
        adding = [pool.submit(store.add_members, "study", members[::-1]) for saved in saving if not saved.result()]
    assert [one.exception() for one in adding] == [None] * 12
    assert sorted(store.study("study")[1], key=lambda member: member.seed) == members


def test_a_study_has_the_runs_that_were_begun(store: Store, lease: Lease) -> None:
    lease.begin([NEW])
    lease.append({KEY: Segment(10, 1.0, 100, (FIRST,))})
    members = [StudySlot("task", "main", "a", "", 1.0, 3, KEY), StudySlot("task", "main", "a", "", 1.0, 4, "e" * 32)]
    store.save_study("study", {}, members)
    runs = store.study_runs("study")
    assert list(runs) == [KEY]
    assert runs[KEY].scores == (FIRST,)


def test_an_unknown_study_is_named_with_the_nearest_one(store: Store) -> None:
    store.save_study("quickstart", {}, [])
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


def test_a_store_of_the_first_schema_is_upgraded_with_what_it_has(location: str, sql: Callable[[str], None]) -> None:
    with open_store(location) as store, store.lease() as lease:
        lease.claim([KEY])
        lease.begin([NEW])
    sql("DROP TABLE leases; DROP TABLE coordinators; UPDATE lrbench_schema SET version = 1")
    with open_store(location, must_exist=True) as store, store.lease() as lease:
        assert store.statuses() == {KEY: "running"}
        assert lease.claim([KEY]) == {KEY}


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


def test_what_two_processes_add_to_a_study_is_all_there(location: str) -> None:
    def add(name: str) -> None:
        with open_store(location) as store:
            for number in range(10):
                entry = f"{name}{number}"
                store.revise_study("sum", lambda known, entry=entry: {"all": [*(known or {"all": []})["all"], entry]})

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(add, "ab"))

    with open_store(location) as store:
        assert sorted(store.study("sum")[0]["all"]) == [f"{name}{number}" for name in "ab" for number in range(10)]


def test_a_study_whose_definition_is_revised_keeps_its_members(store: Store) -> None:
    member = StudySlot("task", "main", "FIX", "", 1.0, 0, KEY)
    store.save_study("known", {"margin": 0.1}, [member])

    assert store.revise_study("known", lambda known: {**known, "target": 0.5}) == {"margin": 0.1, "target": 0.5}
    assert store.study("known") == ({"margin": 0.1, "target": 0.5}, (member,))


def test_a_store_prints_its_runs_and_its_studies(store: Store, lease: Lease) -> None:
    assert str(store).splitlines()[-2:] == ["0 runs", "no study yet"]
    lease.begin([NEW])
    store.save_study("mine", {}, [])

    assert str(store).splitlines()[-2:] == ["1 run (1 running)", "1 study: mine"]


def test_a_store_has_a_line_at_the_prompt_after_it_was_closed(tmp_path: Path) -> None:
    with open_store(tmp_path / "runs.db") as store:
        pass

    assert repr(store) == f"<Store: {store.name}>"
