"""Several coordinators on one store: who may write a run, and what happens when one of them dies."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from lrbench.errors import LeaseLostError, StoreError
from lrbench.store import Holder, NewRun, Score, Segment, Store, lease

A, B, C = ("a" * 32, "b" * 32, "c" * 32)
NEW = NewRun(A, "task", "task-key", "FIX(k0=0.1)", modifiers="", seed=3, steps=20, provenance={"device": "cpu"})
SCORE = Score(step=20, train_loss=1.0, val_loss=0.3, val_score=0.6, test_loss=1.0, test_score=0.5)
HALF = Segment(10, 1.5, 100, (replace(SCORE, step=10),), checkpoint="state.pt")
END = Segment(20, 1.5, 100, (SCORE,), "finished", final={"ac": 0.9})


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of a fifth of a second that nobody renews, as if every coordinator had fallen asleep."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.2)
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 3600.0)


def test_a_run_is_held_by_one_at_a_time(store: Store) -> None:
    with store.lease() as one, store.lease() as other:
        assert one.claim([A, B]) == {A, B}
        assert other.claim([B, C]) == {C}
        assert one.claim([A, B, C]) == {A, B}


def test_what_is_released_is_free_and_the_rest_is_not(store: Store) -> None:
    with store.lease() as one, store.lease() as other:
        one.claim([A, B])
        one.release([A, C])
        assert other.claim([A, B]) == {A}
    with store.lease() as third:
        assert third.claim([A, B]) == {A, B}


def test_nobody_releases_what_another_holds(store: Store) -> None:
    with store.lease() as one, store.lease() as other:
        one.claim([A])
        other.release([A])
        assert other.claim([A]) == set()


def test_a_run_that_ended_is_not_claimed(store: Store) -> None:
    with store.lease() as one:
        one.claim([A, B])
        one.begin([NEW, replace(NEW, key=B)])
        one.append({A: END, B: HALF})
    with store.lease() as other:
        assert other.claim([A, B]) == {B}


def test_more_runs_than_a_statement_has_parameters_are_claimed_at_once(store: Store) -> None:
    keys = {f"{number:032x}" for number in range(70_000)}
    with store.lease() as one:
        assert one.claim(keys) == keys


@pytest.mark.parametrize(
    "write",
    [
        lambda held: held.begin([NEW]),
        lambda held: held.append({A: END}),
        lambda held: held.fail([A], "boom"),
    ],
    ids=["begin", "append", "fail"],
)
def test_who_slept_past_the_lease_writes_nothing_to_a_run_that_was_taken_over(
    store: Store, short: None, write: Callable[[lease.Lease], None]
) -> None:
    with store.lease() as sleeper:
        assert sleeper.claim([A]) == {A}
        sleeper.begin([NEW])
        sleeper.append({A: HALF})
        time.sleep(0.3)
        with store.lease() as other:
            assert other.claim([A]) == {A}
            before = store.runs([A])
            with pytest.raises(LeaseLostError, match=r"another coordinator of the store .* run the study again"):
                write(sleeper)
            assert store.runs([A]) == before
            other.append({A: END})
    assert store.runs([A])[A].status == "finished"


def test_who_slept_past_the_lease_goes_on_where_nobody_took_the_run_over(store: Store, short: None) -> None:
    with store.lease() as sleeper:
        sleeper.claim([A])
        time.sleep(0.3)
        with store.lease():
            sleeper.begin([NEW])
    assert store.statuses() == {A: "running"}


def test_nothing_of_several_runs_is_written_where_one_of_them_is_not_held(store: Store) -> None:
    with store.lease() as one:
        one.claim([A, B])
        one.begin([NEW, replace(NEW, key=B)])
        one.release([B])
        with pytest.raises(LeaseLostError):
            one.append({A: END, B: END})
        assert store.statuses() == {A: "running", B: "running"}


def test_a_coordinator_that_lives_keeps_its_runs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.4)
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.05)
    with store.lease() as one, store.lease() as other:
        one.claim([A])
        time.sleep(0.8)
        assert other.claim([A]) == set()


def test_others_are_at_work_while_they_live(store: Store, short: None) -> None:
    with store.lease() as one:
        assert not one.others_are_at_work()
        with store.lease():
            assert one.others_are_at_work()
        assert not one.others_are_at_work()
        with store.lease():
            time.sleep(0.3)
            assert not one.others_are_at_work()


def test_a_lease_that_runs_longer_than_a_lease_can_holds_nothing(store: Store, sql: Callable[[str], None]) -> None:
    with store.lease() as one, store.lease() as other:
        one.claim([A])
        sql(f"UPDATE coordinators SET expires = expires + 10 WHERE owner = '{one.owner}'")
        assert other.claim([A, B]) == {B}
        assert other.others_are_at_work()
        sql(f"UPDATE coordinators SET expires = expires + 3600 WHERE owner = '{one.owner}'")
        assert other.claim([A]) == {A}
        assert not other.others_are_at_work()
        with pytest.raises(LeaseLostError):
            one.begin([NEW])


def test_a_lease_that_was_left_from_the_future_is_swept_away(store: Store, sql: Callable[[str], None]) -> None:
    sql("INSERT INTO coordinators VALUES ('x', 'elsewhere', 1, 1e12)")
    with store.lease() as one:
        assert not one.others_are_at_work()
        assert one.holders([A]) == ()
    sql("INSERT INTO coordinators VALUES ('x', 'elsewhere', 1, 1e12)")  # the owner is a primary key


def test_those_who_hold_runs_are_named_with_how_many(store: Store) -> None:
    with store.lease() as one, store.lease() as other:
        one.claim([A, B])
        other.claim([C])
        me = Holder(platform.node(), os.getpid(), 2)
        assert other.holders([A, B, C]) == (me,)
        assert one.holders([A, B, C]) == (replace(me, runs=1),)
        assert one.holders([A]) == ()


def test_a_lease_that_could_not_be_given_up_binds_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.lease() as one:
        one.claim([A])
        monkeypatch.setattr(store._database, "writing", unwritable)
    monkeypatch.undo()
    with store.lease() as other:
        assert not other.others_are_at_work()
        assert other.claim([A]) == {A}


def unwritable() -> None:
    raise StoreError("the disk is full")


def test_a_segment_can_say_that_something_else_trained_it(store: Store) -> None:
    with store.lease() as one:
        one.claim([A])
        one.begin([NEW])
        one.append({A: HALF})
        assert store.runs([A])[A].provenance == {"device": "cpu"}
        one.append({A: replace(END, provenance={"device": "cuda"})})
    assert store.runs([A])[A].provenance == {"device": "cuda"}
