"""What a store is asked and told, in the terms of studies and runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import sqlalchemy as sa

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable, printable
from lrbench.errors import StoreError, did_you_mean
from lrbench.store.checkpoints import CheckpointFolder
from lrbench.store.dialects import Database, patient
from lrbench.store.facts import from_text
from lrbench.store.lease import Lease
from lrbench.store.records import NO_EVALUATIONS, Scores, Status, StoredRun, StudySlot
from lrbench.store.tables import evaluations, is_exact_enough, runs, studies
from lrbench.store.tables import members as places


class Store(Readable):
    """A database of runs, and a folder of checkpoints beside it.

    Attributes:
        name: where the database is: a file, or a URL without its password.
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
        names = self.study_names()
        yield f"{many(len(names), 'study')}: {', '.join(names)}" if names else "no study yet"

    def __repr__(self) -> str:
        return f"<Store: {printable(self.name)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    # Writing -------------------------------------------------------------------------------------------------------

    def lease(self) -> Lease:
        """The right to write runs, to be used in a `with` block."""
        return Lease(self._database)

    @patient
    def save_study(self, name: str, definition: Mapping[str, Any], members: Iterable[StudySlot]) -> None:
        """Say what a study asks for, in place of what it asked for before."""
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            connection.execute(sa.delete(places).where(places.c.study == name))
            connection.execute(sa.delete(studies).where(studies.c.name == name))
            connection.execute(sa.insert(studies).values(name=name, definition=json.dumps(definition)))
            self._insert_members(connection, name, members)

    @patient
    def revise_study(self, name: str, revise: Callable[[dict[str, Any] | None], dict[str, Any]]) -> dict[str, Any]:
        """Put what `revise` makes of a study's definition in its place, and return it; its members stay as they are.

        Nobody else changes the study in between. `revise` is given None where there is no study of that name.
        """
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            before = connection.scalar(sa.select(studies.c.definition).where(studies.c.name == name))
            text = json.dumps(revise(None if before is None else json.loads(before)))
            insert = self._database.insert(studies).values(name=name, definition=text)
            connection.execute(insert.on_conflict_do_update(index_elements=[studies.c.name], set_={"definition": text}))
            return dict(json.loads(text))

    @patient
    def add_members(self, study: str, members: Iterable[StudySlot]) -> None:
        """Add places to a study that is there; those that it has already are filled anew."""
        with self._database.writing() as connection:
            self._database.take_turn(connection)
            self._insert_members(connection, study, members)

    # Reading -------------------------------------------------------------------------------------------------------

    @patient
    def statuses(self, exact: Collection[str] = ()) -> dict[str, Status]:
        """The status of every run, by key.

        Args:
            exact: keys of runs that count only where no part of them was stacked.
        """
        with self._database.reading() as connection:
            counted = sa.select(runs.c.key, runs.c.status).where(is_exact_enough(self._database, exact))
            return {row.key: row.status for row in connection.execute(counted)}

    @patient
    def checkpoints_in_use(self) -> set[str]:
        """The file names of the checkpoints from which runs go on."""
        with self._database.reading() as connection:
            in_use = sa.select(runs.c.checkpoint).where(runs.c.checkpoint.is_not(None))
            return {name for name in connection.scalars(in_use) if name is not None}

    def runs(self, keys: Iterable[str], exact: Collection[str] = ()) -> dict[str, StoredRun]:
        """The runs of these keys that the store has, with their evaluations; `exact` as for `statuses`."""
        database = self._database
        counted = sa.select(runs.c.key).where(runs.c.key.in_(database.listed(keys)), is_exact_enough(database, exact))
        return self._runs(counted)

    @patient
    def study_names(self) -> tuple[str, ...]:
        with self._database.reading() as connection:
            return tuple(connection.scalars(sa.select(studies.c.name).order_by(studies.c.name)))

    @patient
    def study(self, name: str) -> tuple[dict[str, Any], tuple[StudySlot, ...]]:
        """A study's definition and its members.

        Raises:
            StoreError: the store has no study of that name.
        """
        with self._database.reading() as connection:
            definition = connection.scalar(sa.select(studies.c.definition).where(studies.c.name == name))
            if definition is not None:
                columns = [places.c[field.name] for field in fields(StudySlot)]
                rows = connection.execute(sa.select(*columns).where(places.c.study == name))
                return json.loads(definition), tuple(StudySlot(*row) for row in rows)
        names = self.study_names()
        known = f"it has: {', '.join(names)}" if names else "it has none yet"
        raise StoreError(f"the store {self.name} has no study '{name}'{did_you_mean(name, names)}; {known}")

    def study_runs(self, name: str) -> dict[str, StoredRun]:
        """The runs that a study asks for, as far as they were begun, with their evaluations, by key."""
        return self._runs(sa.select(places.c.run).where(places.c.study == name))

    # Inside --------------------------------------------------------------------------------------------------------

    @patient
    def _runs(self, keys: sa.Select[Any]) -> dict[str, StoredRun]:
        with self._database.reading() as connection:
            scores = dict(_scores(connection, keys))
            rows = connection.execute(sa.select(runs).where(runs.c.key.in_(keys)))
            return {row.key: _stored_run(row, scores.get(row.key, Scores())) for row in rows}

    def _insert_members(self, connection: sa.Connection, study: str, members: Iterable[StudySlot]) -> None:
        rows = [{"study": study, **vars(member)} for member in members]
        if rows:
            insert = self._database.insert(places)
            place = list(places.primary_key)
            connection.execute(
                insert.on_conflict_do_update(index_elements=place, set_={"run": insert.excluded.run}), rows
            )


def _scores(connection: sa.Connection, keys: sa.Select[Any]) -> Iterator[tuple[str, Scores]]:
    run, *columns = evaluations.c
    evaluated = run.in_(keys)
    counts = connection.execute(sa.select(run, sa.func.count()).where(evaluated).group_by(run).order_by(run)).all()
    rows = connection.execute(sa.select(*columns).where(evaluated).order_by(run, evaluations.c.step))
    parts = [np.array(list(map(tuple, part)), np.float64) for part in rows.partitions(10_000)]
    table = np.concatenate(parts) if parts else NO_EVALUATIONS
    start = 0
    for key, count in counts:
        yield key, Scores(table[start : start + count])
        start += count


_provenance = lru_cache(maxsize=64)(json.loads)
"""Most runs of a study have the same."""


def _stored_run(row: sa.Row[Any], scores: Scores) -> StoredRun:
    values = dict(row._mapping)
    values["final"] = None if row.final is None else from_text(row.final)
    values["provenance"] = _provenance(row.provenance)
    return StoredRun(**values, scores=scores)
