"""The store: studies and runs in a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable, printable
from lrbench.display.table import Column, Table
from lrbench.errors import StoreError, did_you_mean
from lrbench.store.checkpoints import CheckpointFolder
from lrbench.store.dialects import Database, patient
from lrbench.store.lease import LEASE_SECONDS, Lease, living, write_beginnings, write_segments
from lrbench.store.merge import Merged, merge_runs, merge_studies
from lrbench.store.read_runs import read_runs
from lrbench.store.records import (
    ASKED_IN_PARTS,
    Coordinator,
    Kind,
    NewRun,
    RunProgress,
    Segment,
    Status,
    StoredRun,
    StudyEntry,
    StudyRecord,
    StudySlot,
    StudyTotals,
    TaskRecord,
)
from lrbench.store.tables import evaluations, is_exact_enough, leases, runs, slots, studies, study_slots


class Store(Readable):
    """A database of runs, and a folder of checkpoints beside it.

    Attributes:
        name: the file of the database, or its URL without the password.
        checkpoints: the folder of the states of unfinished runs.
    """

    def __init__(self, database: Database, checkpoints: Path) -> None:
        self._database = database
        self.checkpoints = CheckpointFolder(checkpoints)

    @property
    def name(self) -> str:
        return self._database.name

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        counts = Counter(self.statuses().values())
        how = f" ({', '.join(f'{count:,} {status}' for status, count in counts.items())})" if counts else ""
        yield f"store {self.name}"
        yield f"{many(counts.total(), 'run')}{how}"
        rows = sorted((entry.address, entry.kind.replace("_", " ")) for entry in self.studies() if entry.parent is None)
        yield Table((Column("study"), Column("kind")), rows) if rows else "no study yet"

    def __repr__(self) -> str:
        return f"<Store: {printable(self.name)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    # Writing -------------------------------------------------------------------------------------------------------

    def lease(self) -> Lease:
        """Make the right to write runs, for a `with` block."""
        return Lease(self._database)

    @patient
    def save_study(
        self,
        name: str,
        record: StudyRecord,
        asked: Iterable[StudySlot],
        kind: Kind = "study",
        parent: int | None = None,
    ) -> int:
        """Write a study, as the latest of its name, and return its id.

        A stored study of the same content, or to which this only adds, is updated. Otherwise it stays, and this is a
        new version.
        """
        wanted = tuple(asked)
        content = {"definition": record.model_dump_json(), "fingerprint": record.fingerprint(wanted)}
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            rows = _family(connection, name, kind, parent)
            if (known := _answering(connection, rows, record, wanted)) is not None:
                return _write_study(connection, known, {})
            older = {row.id: _record(row) for row in rows}
            lasting = {row.id: _lasting(connection, row) for row in rows if record.adds_to(older[row.id])}
            covered = [
                (len(places), study)
                for study, places in lasting.items()
                if places <= set(wanted) and _keeps_confirmation(record, older[study], places == set(wanted))
            ]
            known = max(covered)[1] if covered else None
            if known is not None:
                content["definition"] = record.going_on_from(older[known]).model_dump_json()
            study = _write_study(connection, known, content, name=name, kind=kind, parent=parent)
            if known is None or lasting[known] != set(wanted):
                connection.execute(sa.delete(slots).where(slots.c.study == study))
                self._insert_slots(connection, study, wanted)
            return study

    @patient
    def import_study(
        self,
        name: str,
        record: StudyRecord,
        asked: Iterable[StudySlot],
        imported: Sequence[tuple[NewRun, Segment]],
    ) -> tuple[int, bool]:
        """Write a study of runs from elsewhere with its runs, in one transaction.

        Returns:
            Its id, and whether it is new: the same source under the same name is known.

        Raises:
            StoreError: another study has the name; nothing is written.
        """
        wanted = tuple(asked)
        content = {"definition": record.model_dump_json(), "fingerprint": record.fingerprint(wanted)}
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            named = sa.select(studies).where(studies.c.name == name).order_by(studies.c.last_run.desc())
            rows = connection.execute(named).all()
            for row in rows:
                if (row.kind, row.fingerprint) == ("imported", content["fingerprint"]):
                    return int(row.id), False
            if rows:
                which = "of other runs" if rows[0].kind == "imported" else "which lrbench trained"
                raise StoreError(
                    f"the store {self.name} has a study '{name}' already, {which}: give this one another name"
                )
            write_beginnings(connection, self._database, [run for run, _ in imported])
            write_segments(connection, {run.key: segment for run, segment in imported})
            study = _write_study(connection, None, content, name=name, kind="imported", parent=None)
            self._insert_slots(connection, study, wanted)
            return study, True

    @patient
    def revise_search(self, name: str, revise: Callable[[StudyRecord | None], StudyRecord]) -> StudyRecord:
        """Replace a search's record by `revise(record)`, and return that, in one transaction.

        `revise` is given None where there is no search of that name.
        """
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            known = next(iter(_family(connection, name, "search", None)), None)
            record = revise(known and _record(known))
            content = {"definition": record.model_dump_json(), "fingerprint": record.fingerprint()}
            _write_study(connection, known and known.id, content, name=name, kind="search", parent=None)
            return StudyRecord.model_validate_json(content["definition"])

    @patient
    def add_slots(self, study: int, added: Iterable[StudySlot]) -> None:
        """Add slots to a study, in place of those of the same stages."""
        wanted = tuple(added)
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            stages = {slot.stage for slot in wanted}
            connection.execute(sa.delete(slots).where(slots.c.study == study, slots.c.stage.in_(stages)))
            self._insert_slots(connection, study, wanted)

    # Managing ------------------------------------------------------------------------------------------------------

    @patient
    def rename_study(self, study: int | str, name: str) -> None:
        """Give a study another name, of which it is a new version where there is one; `study` as for `entry`.

        Raises:
            StoreError: the store has no such study.
        """
        wanted = self.entry(study).id
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            versions = sa.select(sa.func.max(studies.c.version)).where(studies.c.name == name, studies.c.id != wanted)
            version = 1 + (connection.scalar(versions) or 0)
            connection.execute(sa.update(studies).where(studies.c.id == wanted).values(name=name, version=version))

    @patient
    def count_own_runs(self, study: int | str) -> int:
        """Count the runs that only a study and its parts have: those that its deletion would delete.

        Raises:
            StoreError: the store has no such study.
        """
        wanted = self.entry(study).id
        with self._database.reading() as connection:
            own = sa.select(sa.func.count()).where(runs.c.key.in_(_own_runs(_with_parts(connection, wanted))))
            return int(connection.scalar(own) or 0)

    @patient
    def delete_study(self, study: int | str) -> int:
        """Delete a study with its parts, and the runs that no other study has; return the number of these.

        The states that are kept at the ends of trunks go with the last study of their policy and seed.

        Raises:
            StoreError: the store has no such study, or a coordinator that is alive trains some of its runs.
        """
        entry = self.entry(study)
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            family = _with_parts(connection, entry.id)
            owners = [row.owner for row in living(connection, self._database)]
            of_family = sa.select(slots.c.run).where(slots.c.study.in_(family))
            held = sa.select(leases.c.run).where(leases.c.owner.in_(owners), leases.c.run.in_(of_family))
            if connection.scalar(held.limit(1)) is not None:
                raise StoreError(f"study '{entry.address}' is being trained: stop that before it is deleted")
            own = connection.scalars(sa.select(runs.c.key).where(runs.c.key.in_(_own_runs(family)))).all()
            trunks = {task.trunk for task in _tasks(connection, studies.c.id.in_(family)) if task.trunk}
            connection.execute(sa.delete(slots).where(slots.c.study.in_(family)))
            for one in reversed(family):
                connection.execute(sa.delete(studies).where(studies.c.id == one))
            listed = self._database.listed([*own, *_unused_states(connection, self._database, trunks)])
            files = connection.scalars(sa.select(runs.c.checkpoint).where(runs.c.key.in_(listed))).all()
            connection.execute(sa.delete(evaluations).where(evaluations.c.run.in_(listed)))
            connection.execute(sa.delete(leases).where(leases.c.run.in_(listed)))
            connection.execute(sa.delete(runs).where(runs.c.key.in_(listed)))
            unused = {name for name in files if name is not None}
            unused -= set(connection.scalars(_checkpoints_among(self._database.listed(unused))))
        for name in unused:
            self.checkpoints.delete(name)
        return len(own)

    def merge(self, other: Store) -> Merged:
        """Copy the studies of another store, and its runs that have ended, that this store has not.

        Runs that this store has ended stay as they are. A study of another content than one of the same name is
        another version, and the name goes on to mean this store's own.

        Returns:
            The numbers of studies and runs that are new.

        Raises:
            StoreError: the other store has something that lrbench did not write.
        """
        copied = merge_runs(self._database, other._database)
        return Merged(merge_studies(self._database, other._database), copied)

    # Reading -------------------------------------------------------------------------------------------------------

    @patient
    def statuses(self, exact: Collection[str] = ()) -> dict[str, Status]:
        """Read the status of every run, by key.

        Args:
            exact: keys of runs that count only where no part of them was stacked.
        """
        with self._database.reading() as connection:
            counted = sa.select(runs.c.key, runs.c.status).where(is_exact_enough(self._database, exact))
            return {row.key: row.status for row in connection.execute(counted)}

    @patient
    def checkpoints_in_use(self) -> set[str]:
        """Read the file names of the checkpoints from which runs go on."""
        with self._database.reading() as connection:
            in_use = sa.select(runs.c.checkpoint).where(runs.c.checkpoint.is_not(None))
            return {name for name in connection.scalars(in_use) if name is not None}

    @patient
    def shared_checkpoints(self, names: Iterable[str], users: Collection[str]) -> set[str]:
        """Find those of checkpoints that other runs go on from, too.

        Args:
            users: the keys of runs that do not count.
        """
        with self._database.reading() as connection:
            among = _checkpoints_among(self._database.listed(set(names)))
            others = among.where(runs.c.key.not_in(self._database.listed(set(users))))
            return set(connection.scalars(others))

    @patient
    def kept(self, trunks: Iterable[str]) -> dict[tuple[str, int], list[tuple[int, str]]]:
        """Read the states that are kept of trunks: their iterations and keys, most first, by trunk and seed."""
        columns = (runs.c.task_key, runs.c.seed, runs.c.step, runs.c.key)
        found: dict[tuple[str, int], list[tuple[int, str]]] = {}
        with self._database.reading() as connection:
            of_trunks = runs.c.task_key.in_(self._database.listed(set(trunks)))
            for trunk, seed, step, key in connection.execute(
                sa.select(*columns).where(of_trunks, runs.c.exact).order_by(runs.c.step.desc())
            ):
                found.setdefault((trunk, seed), []).append((step, key))
        return found

    def runs(self, keys: Iterable[str], exact: Collection[str] = ()) -> dict[str, StoredRun]:
        """Read the runs of these keys, with their evaluations; `exact` as for `statuses`."""
        database = self._database
        counted = sa.select(runs.c.key).where(runs.c.key.in_(database.listed(keys)), is_exact_enough(database, exact))
        return self._runs(counted)

    @patient
    def studies(self) -> tuple[StudyEntry, ...]:
        """List all studies of the store, the one that was run last first."""
        rows = sa.select(studies).order_by(studies.c.last_run.desc())
        seen: set[tuple[bool, str]] = set()
        listed = []
        with self._database.reading() as connection:
            for row in connection.execute(rows):
                named = (row.kind == "search", row.name)
                listed.append(StudyEntry(row.id, row.kind, row.name, row.version, row.parent, named not in seen))
                seen.add(named)
        return tuple(listed)

    def find(self, study: int | str) -> StudyEntry | None:
        """Find a study by its id, by its name (of several the one that was run last), or by NAME@VERSION.

        The record of a search has no runs: its name stands for the study of its policies at the whole budget.
        """
        listed = [entry for entry in self.studies() if entry.kind != "search" or entry.id == study]
        named = [entry for entry in listed if study in (entry.id, entry.name)]
        return next(iter(named or [one for one in listed if study == f"{one.name}@{one.version}"]), None)

    def entry(self, study: int | str) -> StudyEntry:
        """Find a study as `find` does.

        Raises:
            StoreError: the store has no such study.
        """
        if found := self.find(study):
            return found
        names = sorted({entry.name for entry in self.studies() if entry.kind != "search"})
        known = f"it has: {', '.join(names)}" if names else "it has none yet"
        hint = did_you_mean(str(study), names)
        raise StoreError(f"the store {self.name} has no study '{study}'{hint}; {known}")

    @patient
    def find_study(
        self,
        name: str,
        record: StudyRecord,
        asked: Iterable[StudySlot],
        kind: Kind = "study",
        parent: int | None = None,
    ) -> int | None:
        """Find the study that `save_study` would not change; None where it would write."""
        with self._database.reading() as connection:
            return _answering(connection, _family(connection, name, kind, parent), record, tuple(asked))

    @patient
    def study(self, study: int | str) -> tuple[StudyRecord, tuple[StudySlot, ...]]:
        """Read a study's record and its slots; `study` as for `entry`.

        Raises:
            StoreError: the store has no such study.
        """
        wanted = self.entry(study).id
        with self._database.reading() as connection:
            definition = connection.scalar(sa.select(studies.c.definition).where(studies.c.id == wanted))
            return StudyRecord.model_validate_json(str(definition)), study_slots(connection, wanted)

    def study_runs(
        self, study: int | str, status: Status | None = None, at_most: int | None = None
    ) -> dict[str, StoredRun]:
        """Read the runs of a study that were begun, with their evaluations, by key.

        Args:
            status: read the runs of this status alone.
            at_most: read no more than this number, those that were begun last.
        """
        keys = sa.select(slots.c.run).where(slots.c.study == self.entry(study).id)
        if status is not None or at_most is not None:
            wanted = sa.true() if status is None else runs.c.status == status
            keys = sa.select(runs.c.key).where(runs.c.key.in_(keys), wanted)
            keys = keys.order_by(runs.c.created.desc(), runs.c.key).limit(at_most)
        return self._runs(keys)

    # Watching ------------------------------------------------------------------------------------------------------

    @patient
    def marker(self) -> str:
        """Return a text that differs once something was written, at the cost of reading one number."""
        with self._database.reading() as connection:
            return self._database.marker(connection)

    @patient
    def totals(self, of: Collection[int] | None = None) -> dict[int, StudyTotals]:
        """Add up the runs of studies, of all or of some, by their ids."""
        wanted = sa.true() if of is None else slots.c.study.in_(of)
        places = sa.select(slots.c.study, slots.c.run).where(wanted).distinct().subquery()
        status = sa.func.coalesce(runs.c.status, "missing")
        spent = runs.c.seconds + sa.func.coalesce(runs.c.evaluating, 0.0)
        sums = (sa.func.count(), sa.func.sum(runs.c.step), sa.func.sum(spent), sa.func.max(runs.c.created))
        counted = (
            sa.select(places.c.study, status, *sums)
            .join_from(places, runs, places.c.run == runs.c.key, isouter=True)
            .group_by(places.c.study, status)
        )
        parts: dict[int, list[Any]] = {}
        with self._database.reading() as connection:
            for study, *part in connection.execute(counted):
                parts.setdefault(study, []).append(part)
            known = sa.true() if of is None else studies.c.id.in_(of)
            numbers = connection.execute(sa.select(studies.c.id, studies.c.last_run).where(known)).all()
        return {study: _totals(parts.get(study, []), last_run) for study, last_run in numbers}

    @patient
    def progress(self, study: int | str) -> dict[str, RunProgress]:
        """Read how far the runs of a study are that were begun, by key."""
        keys = sa.select(slots.c.run).where(slots.c.study == self.entry(study).id)
        rows = sa.select(runs.c.key, runs.c.status, runs.c.step, runs.c.steps).where(runs.c.key.in_(keys))
        with self._database.reading() as connection:
            return {key: RunProgress(*rest) for key, *rest in connection.execute(rows)}

    @patient
    def coordinators(self) -> tuple[Coordinator, ...]:
        """List the coordinators that are alive, by machine and process."""
        with self._database.reading() as connection:
            found = []
            for row in living(connection, self._database):
                held = sa.select(leases.c.run).where(leases.c.owner == row.owner)
                of_studies = sa.select(slots.c.study).where(slots.c.run.in_(held)).distinct()
                heard = max(0.0, row.now - (row.expires - LEASE_SECONDS))
                keys, numbers = (frozenset(connection.scalars(asked)) for asked in (held, of_studies))
                found.append(Coordinator(row.place.partition(" ")[0], row.process, heard, keys, numbers))
        return tuple(sorted(found, key=lambda one: (one.machine, one.process)))

    # Inside --------------------------------------------------------------------------------------------------------

    @patient
    def _runs(self, keys: sa.Select[Any]) -> dict[str, StoredRun]:
        with self._database.reading() as connection:
            return read_runs(connection, keys)

    def _insert_slots(self, connection: sa.Connection, study: int, added: Iterable[StudySlot]) -> None:
        rows = [{"study": study, **vars(slot)} for slot in added]
        if rows:
            insert = self._database.insert(slots)
            place = list(slots.primary_key)
            connection.execute(
                insert.on_conflict_do_update(index_elements=place, set_={"run": insert.excluded.run}), rows
            )


def _family(connection: sa.Connection, name: str, kind: Kind, parent: int | None) -> Sequence[sa.Row[Any]]:
    """Read the versions of a study, the one that was run last first."""
    same = studies.c.name == name, studies.c.kind == kind, studies.c.parent.is_not_distinct_from(parent)
    return connection.execute(sa.select(studies).where(*same).order_by(studies.c.last_run.desc())).all()


def _write_study(connection: sa.Connection, known: int | None, content: dict[str, Any], **identity: Any) -> int:
    """Write a study as the one that was run last, a new one unless its id is known, and return its id."""
    latest = connection.scalar(sa.select(sa.func.max(studies.c.last_run))) or 0
    row = {**content, "last_run": latest + 1}
    if known is not None:
        connection.execute(sa.update(studies).where(studies.c.id == known).values(row))
        return known
    versions = sa.select(sa.func.max(studies.c.version)).where(studies.c.name == identity["name"])
    version = 1 + (connection.scalar(versions) or 0)
    added = sa.insert(studies).values(**row, **identity, version=version).returning(studies.c.id)
    return int(connection.execute(added).scalar_one())


def _totals(parts: Iterable[Sequence[Any]], last_run: int) -> StudyTotals:
    """Add up counts and sums by status."""
    known = [(status, int(count), int(steps or 0), seconds or 0.0, at) for status, count, steps, seconds, at in parts]
    begun = [at for *_, at in known if at is not None]
    return StudyTotals(
        {status: count for status, count, *_ in known},
        sum(steps for *_, steps, _, _ in known),
        sum(seconds for *_, seconds, _ in known),
        max(begun, default=None),
        last_run,
    )


def _with_parts(connection: sa.Connection, study: int) -> list[int]:
    """List a study and all that belongs to it, each after what it belongs to."""
    family = [study]
    for one in family:
        family += connection.scalars(sa.select(studies.c.id).where(studies.c.parent == one))
    return family


def _own_runs(family: Sequence[int]) -> sa.Select[Any]:
    """Select the runs of some studies that no other study has."""
    others = sa.select(slots.c.run).where(slots.c.study.not_in(family))
    return sa.select(slots.c.run).where(slots.c.study.in_(family), slots.c.run.not_in(others))


def _tasks(connection: sa.Connection, which: sa.ColumnElement[bool]) -> Iterator[TaskRecord]:
    """Yield the tasks of some studies."""
    for definition in connection.scalars(sa.select(studies.c.definition).where(which)):
        yield from StudyRecord.model_validate_json(definition).tasks


def _unused_states(connection: sa.Connection, database: Database, trunks: Collection[str]) -> list[str]:
    """List the keys of the kept states of trunks whose policy and seed no study trains on the trunk."""
    of_studies, place = sa.select(slots.c.run), (runs.c.task_key, runs.c.policy, runs.c.seed)
    is_state = sa.and_(runs.c.task_key.in_(database.listed(trunks)), runs.c.key.not_in(of_studies))
    states = connection.execute(sa.select(runs.c.key, *place).where(is_state)).all()
    if not states:
        return []
    trunk_of = {task.key: task.trunk for task in _tasks(connection, sa.true()) if task.trunk in trunks}
    is_run = sa.and_(runs.c.task_key.in_(database.listed(trunk_of)), runs.c.key.in_(of_studies))
    used = {
        (trunk_of[row.task_key], row.policy, row.seed) for row in connection.execute(sa.select(*place).where(is_run))
    }
    return [row.key for row in states if (row.task_key, row.policy, row.seed) not in used]


def _answering(
    connection: sa.Connection, rows: Sequence[sa.Row[Any]], record: StudyRecord, asked: Collection[StudySlot]
) -> int | None:
    """Find the version of a study that has the same content, or all of a part that is asked for."""
    fingerprint = record.fingerprint(asked)
    for row in rows:
        if row.fingerprint == fingerprint:
            return int(row.id)
    for row in rows:
        if row.kind in ASKED_IN_PARTS and _record(row).adds_to(record) and set(asked) <= _lasting(connection, row):
            return int(row.id)
    return None


def _checkpoints_among(names: sa.Select[Any]) -> sa.Select[Any]:
    """Ask for the checkpoints of runs that are among names."""
    return sa.select(runs.c.checkpoint).where(runs.c.checkpoint.in_(names))


def _record(row: sa.Row[Any]) -> StudyRecord:
    return StudyRecord.model_validate_json(row.definition)


def _keeps_confirmation(record: StudyRecord, older: StudyRecord, same_runs: bool) -> bool:
    """Tell whether a record may take an older one's place with no fresh seed lost."""
    return record.confirm >= older.confirm or (same_runs and not record.confirm)


def _lasting(connection: sa.Connection, row: sa.Row[Any]) -> set[StudySlot]:
    """Read the slots of a study without its confirmation, which depends on how the others end."""
    return {slot for slot in study_slots(connection, row.id) if slot.stage != "confirm"}
