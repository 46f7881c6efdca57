"""A coordinator's right to write runs, which it loses when its heartbeat stops.

A lease is checked in each transaction that writes. A coordinator that slept while another took its runs over cannot
write them, whatever its own clock shows.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self
from uuid import uuid4

import sqlalchemy as sa

from lrbench.errors import LeaseLostError, StoreError
from lrbench.store.dialects import Database, patient
from lrbench.store.facts import to_text
from lrbench.store.processes import is_gone, place
from lrbench.store.records import ENDED, LOSSES, Holder, NewRun, Score, Segment
from lrbench.store.tables import coordinators, evaluations, is_exact_enough, leases, runs

LEASE_SECONDS = 60.0
"""The time after its last heartbeat when others may take a coordinator's runs."""

HEARTBEAT_SECONDS = LEASE_SECONDS / 4

SECONDS_AFTER_A_MISSED_BEAT = 1.0
"""The time until a heartbeat that could not be written is tried again."""

CLOCK_SKEW_SECONDS = 15.0
"""The largest difference between the clocks of machines that share a store."""

_entered: set[str] = set()
"""The owners of leases in this process. Another owner by this process's number is left over: of a lease that could not
be given up, or of an earlier process of the same number."""


class Lease:
    """The right of one coordinator to write runs, within a `with` block.

    Attributes:
        owner: the coordinator's random name.
    """

    def __init__(self, database: Database) -> None:
        self.owner = uuid4().hex
        self._database = database
        self._abandoned: set[str] = set()
        self._left = threading.Event()
        self._heart = threading.Thread(target=self._beat_on, name="lrbench-lease", daemon=True)

    @patient
    def __enter__(self) -> Self:
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            connection.execute(sa.delete(coordinators).where(sa.not_(_is_current(self._database))))
        _entered.add(self.owner)
        self._beat()
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._heart.join()
        _entered.discard(self.owner)
        with suppress(StoreError), self._database.writing() as connection:
            self._release(connection, set(self._locked(connection)) - self._abandoned)
            connection.execute(sa.delete(coordinators).where(coordinators.c.owner == self.owner))

    @patient
    def claim(self, keys: Iterable[str], exact: Collection[str] = ()) -> set[str]:
        """Claim the runs that no other coordinator holds and that have not ended, and return their keys.

        A run is free where its coordinator had no heartbeat for `LEASE_SECONDS`, or was a process of this machine that
        has ended. Read the state of a run after claiming it.

        Args:
            exact: keys of runs whose end counts only if no part of them was stacked.
        """
        database = self._database
        wanted = database.listed(keys)
        with database.writing() as connection:
            database.take_turn(connection)
            others = self._others(connection)
            claim = (
                database.insert(leases)
                .from_select(["run", "owner"], wanted.add_columns(sa.literal(self.owner)))
                .on_conflict_do_update(
                    index_elements=[leases.c.run], set_={"owner": self.owner}, where=leases.c.owner.not_in(others)
                )
                .returning(leases.c.run)
            )
            claimed = set(connection.scalars(claim))
            ended = sa.select(runs.c.key).where(
                runs.c.key.in_(database.listed(claimed)),
                runs.c.status.in_(ENDED),
                is_exact_enough(database, exact),
            )
            return claimed - self._release(connection, connection.scalars(ended))

    @patient
    def begin(self, new_runs: Iterable[NewRun]) -> None:
        """Begin runs at their first iteration, and drop what an earlier try left.

        Raises:
            LeaseLostError: a run is not held; nothing is written.
        """
        begun = tuple(new_runs)
        with self._holding(run.key for run in begun) as connection:
            write_beginnings(connection, self._database, begun)

    @patient
    def append(self, segments: Mapping[str, Segment]) -> None:
        """Add segments to runs, by key, all of them or none, and release the runs that end.

        Raises:
            LeaseLostError: a run is not held; nothing is written.
        """
        with self._holding(segments) as connection:
            write_segments(connection, segments)
            self._release(connection, (key for key, segment in segments.items() if segment.status in ENDED))

    @patient
    def fail(self, keys: Iterable[str], error: str) -> None:
        """Mark runs as failed; their checkpoints stay, to go on from when they are next asked for.

        Raises:
            LeaseLostError: a run is not held; nothing is written.
        """
        failed = tuple(keys)
        with self._holding(failed) as connection:
            write_failure(connection, self._database, failed, error)

    @patient
    def release(self, keys: Iterable[str]) -> None:
        """Release runs; those that are not held are passed over."""
        released = tuple(keys)
        with self._database.writing() as connection:
            self._release(connection, self._locked(connection, released))

    def abandon(self, keys: Iterable[str]) -> None:
        """Leave runs behind at the end of the block, as a process that dies does."""
        self._abandoned |= set(keys)

    @patient
    def left_behind(self, keys: Iterable[str]) -> set[str]:
        """Return those of the runs that a coordinator held when it died, perhaps because of them."""
        with self._database.reading() as connection:
            alive = [self.owner, *self._others(connection)]
            wanted = leases.c.run.in_(self._database.listed(keys))
            return set(connection.scalars(sa.select(leases.c.run).where(wanted, leases.c.owner.not_in(alive))))

    @patient
    def others_are_at_work(self) -> bool:
        """Tell whether another coordinator is alive, which may have checkpoints that are not in the store yet."""
        with self._database.reading() as connection:
            return bool(self._others(connection))

    @patient
    def holders(self, keys: Iterable[str]) -> tuple[Holder, ...]:
        """List the other coordinators that hold some of the runs, and count those."""
        held = (
            sa.select(coordinators.c.place, coordinators.c.process, sa.func.count())
            .join_from(leases, coordinators, leases.c.owner == coordinators.c.owner)
            .where(leases.c.run.in_(self._database.listed(keys)), leases.c.owner != self.owner)
            .group_by(coordinators.c.owner)
            .order_by(coordinators.c.place, coordinators.c.process)
        )
        with self._database.reading() as connection:
            return tuple(Holder(place.partition(" ")[0], *rest) for place, *rest in connection.execute(held))

    # Inside --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _holding(self, keys: Iterable[str]) -> Iterator[sa.Connection]:
        wanted = set(keys)
        with self._database.writing() as connection:
            if lost := wanted - set(self._locked(connection, wanted)):
                raise LeaseLostError(
                    f"another coordinator of the store {self._database.name} has taken over {len(lost)} of this one's "
                    f"runs ({min(lost)} for one), since it was not heard of for {LEASE_SECONDS:g} s; "
                    "run the study again to train what is still missing"
                )
            yield connection

    def _locked(self, connection: sa.Connection, keys: Iterable[str] | None = None) -> Sequence[str]:
        """Lock those of the runs (by default, of all) that are held until the transaction ends, and return their keys.

        Transactions lock runs in the order of their keys, so that no two of them wait for each other.
        """
        held = sa.select(leases.c.run).where(leases.c.owner == self.owner).order_by(leases.c.run).with_for_update()
        if keys is not None:
            held = held.where(leases.c.run.in_(self._database.listed(keys)))
        return connection.scalars(held).all()

    def _release(self, connection: sa.Connection, keys: Iterable[str]) -> set[str]:
        released = set(keys)
        if released:
            connection.execute(sa.delete(leases).where(leases.c.run.in_(self._database.listed(released))))
        return released

    def _others(self, connection: sa.Connection) -> list[str]:
        """List the other coordinators that are alive."""
        return [row.owner for row in living(connection, self._database) if row.owner != self.owner]

    def _beat(self) -> None:
        with self._database.writing() as connection:
            expires = self._database.now() + LEASE_SECONDS
            row = {"owner": self.owner, "place": place(), "process": os.getpid(), "expires": expires}
            beat = self._database.insert(coordinators).values(row)
            connection.execute(
                beat.on_conflict_do_update(index_elements=[coordinators.c.owner], set_={"expires": expires})
            )

    def _beat_on(self) -> None:
        pause = HEARTBEAT_SECONDS
        while not self._left.wait(pause):
            try:
                self._beat()
                pause = HEARTBEAT_SECONDS
            except StoreError:  # the next write raises it, if it is still true by then
                pause = min(SECONDS_AFTER_A_MISSED_BEAT, HEARTBEAT_SECONDS)


def living(connection: sa.Connection, database: Database) -> list[sa.Row[Any]]:
    """Read the coordinators that are alive: rows of their table, each with the time `now` of the store's clock."""
    current = sa.select(coordinators, database.now().label("now")).where(_is_current(database))
    return [row for row in connection.execute(current) if not _is_gone(row)]


def _is_current(database: Database) -> sa.ColumnElement[bool]:
    """Make the condition that a lease runs; one that ends later than any can was written by a wrong clock."""
    now = database.now()
    return coordinators.c.expires.between(now, now + LEASE_SECONDS + CLOCK_SKEW_SECONDS)


def _is_gone(coordinator: sa.Row[Any]) -> bool:
    if (coordinator.place, coordinator.process) == (place(), os.getpid()):
        return coordinator.owner not in _entered
    return is_gone(coordinator.place, coordinator.process)


def write_beginnings(connection: sa.Connection, database: Database, begun: Sequence[NewRun]) -> None:
    keys = [run.key for run in begun]
    connection.execute(sa.delete(evaluations).where(evaluations.c.run.in_(database.listed(keys))))
    connection.execute(sa.delete(runs).where(runs.c.key.in_(database.listed(keys))))
    blank = {"status": "running", "step": 0, "flops": 0, "seconds": 0.0, "evaluating": 0.0}
    blank |= {"created": time.time(), "exact": True}
    rows = [{**vars(run), "provenance": json.dumps(run.provenance), **blank} for run in begun]
    if rows:
        connection.execute(sa.insert(runs), rows)


def write_segments(connection: sa.Connection, segments: Mapping[str, Segment]) -> None:
    facts = [
        {
            "of": key,
            "status": segment.status,
            "step": segment.step,
            "more_seconds": segment.seconds,
            "more_evaluating": segment.evaluating,
            "flops": segment.flops,
            "diverged_at": segment.diverged_at,
            "final": _text(segment.final),
            "checkpoint": segment.checkpoint,
            "other_provenance": _text(segment.provenance),
            "is_exact": segment.exact,
        }
        for key, segment in segments.items()
    ]
    scores = [{"run": key, **_row(score)} for key, segment in segments.items() for score in segment.scores]
    training, evaluating = (sa.bindparam(name, type_=sa.Double) for name in ("more_seconds", "more_evaluating"))
    known = sa.func.coalesce(evaluating, 0.0)
    spent = {
        "seconds": runs.c.seconds + training + sa.case((runs.c.evaluating.is_(None), known), else_=0.0),
        "evaluating": runs.c.evaluating + evaluating,
    }
    other = sa.func.coalesce(sa.bindparam("other_provenance", type_=sa.Text), runs.c.provenance)
    provenance = sa.case((runs.c.exact, other), else_=runs.c.provenance)
    exact = sa.and_(runs.c.exact, sa.bindparam("is_exact", type_=sa.Boolean))
    if facts:
        update = sa.update(runs).where(runs.c.key == sa.bindparam("of"))
        connection.execute(update.values(**spent, provenance=provenance, exact=exact, error=None), facts)
    if scores:
        connection.execute(sa.insert(evaluations), scores)


def write_failure(connection: sa.Connection, database: Database, keys: Sequence[str], error: str) -> None:
    failed = sa.update(runs).where(runs.c.key.in_(database.listed(keys)))
    storable = error.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    connection.execute(failed.values(status="failed", error=storable))


def _row(score: Score) -> dict[str, float | None]:
    """Return the columns of an evaluation; NaN is NULL in every database, as SQLite has no NaN.

    A loss that was not measured is infinite there, where a column has no NULL: a measured one never is.
    """
    instead = dict.fromkeys(LOSSES, math.inf)
    return {name: instead.get(name) if math.isnan(value) else value for name, value in vars(score).items()}


def _text(facts: Mapping[str, Any] | None) -> str | None:
    return None if facts is None else to_text(facts)
