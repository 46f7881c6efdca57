"""Merging: the studies and ended runs of another store, checked before they are written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from lrbench.errors import StoreError
from lrbench.store.dialects import Database
from lrbench.store.facts import from_text
from lrbench.store.lease import living
from lrbench.store.records import ENDED, StudyRecord, StudySlot
from lrbench.store.tables import evaluations, leases, runs, slots, studies, study_slots

T = TypeVar("T")

KEY = re.compile(r"[0-9a-f]{32}")

RUNS_AT_ONCE = 1000
"""The number of runs that are written in one transaction, so that who trains meanwhile waits for a short time."""


class Merged(NamedTuple):
    """The numbers of studies and runs that a store has gained."""

    studies: int
    runs: int


def merge_runs(target: Database, source: Database) -> int:
    """Copy the runs that have ended in one store alone, and return their number.

    Raises:
        StoreError: a row is none that lrbench has written.
    """
    with source.reading() as theirs, target.reading() as ours:
        has_ended = sa.select(runs.c.key).where(runs.c.status.in_(ENDED))
        missing = sorted(set(map(str, theirs.scalars(has_ended))) - set(ours.scalars(has_ended)))
    return sum(_copy(target, source, keys) for keys in _in_parts(missing, RUNS_AT_ONCE))


def _copy(target: Database, source: Database, keys: Collection[str]) -> int:
    with source.reading() as theirs:
        found = _checked(theirs, source, runs, runs.c.key, keys)
        curves = _checked(theirs, source, evaluations, evaluations.c.run, keys)
    _check_runs(found, {str(one["run"]) for one in curves}, source.name)
    with target.writing() as ours:
        target.take_turn(ours)
        owners = [row.owner for row in living(ours, target)]
        held = sa.select(leases.c.run).where(leases.c.owner.in_(owners), leases.c.run.in_(target.listed(keys)))
        ended = sa.select(runs.c.key).where(runs.c.key.in_(target.listed(keys)), runs.c.status.in_(ENDED))
        wanted = set(keys) - set(ours.scalars(held)) - set(ours.scalars(ended))
        ours.execute(sa.delete(evaluations).where(evaluations.c.run.in_(target.listed(wanted))))
        ours.execute(sa.delete(runs).where(runs.c.key.in_(target.listed(wanted))))
        _insert(ours, runs, (one | {"checkpoint": None} for one in found if one["key"] in wanted))
        _insert(ours, evaluations, (one for one in curves if one["run"] in wanted))
    return len(wanted)


def merge_studies(target: Database, source: Database) -> int:
    """Copy the studies that one store alone has, as if they were run before all of the other's; return their number.

    A name goes on to mean the study that it meant: what has another content under it becomes a version of it.

    Raises:
        StoreError: a study is none that lrbench has written.
    """
    with source.reading() as theirs:
        given = [_study(theirs, source, row) for row in theirs.execute(sa.select(studies).order_by(studies.c.id)).all()]
    added, numbers = 0, dict[int | None, int | None]({None: None})
    with target.writing() as ours:
        target.take_turn(ours)
        earliest = ours.scalar(sa.select(sa.func.min(studies.c.last_run))) or 0
        ranks = {rank: place for place, rank in enumerate(sorted(row["last_run"] for row, _, _ in given))}
        for row, record, places in given:
            if row["parent"] not in numbers:
                raise _foreign(source.name, f"study {row['id']}")
            parent, content = numbers[row["parent"]], record.fingerprint(places)
            known = _known(ours, row, parent, content)
            if known is None:
                versions = sa.select(sa.func.max(studies.c.version)).where(studies.c.name == row["name"])
                values = {
                    **{name: row[name] for name in ("kind", "name", "definition")},
                    "version": 1 + (ours.scalar(versions) or 0),
                    "parent": parent,
                    "fingerprint": content,
                    "last_run": earliest - len(given) + ranks[row["last_run"]],
                }
                known = int(ours.execute(sa.insert(studies).values(values).returning(studies.c.id)).scalar_one())
                _insert(ours, slots, ({"study": known, **vars(place)} for place in places))
                added += 1
            numbers[row["id"]] = known
    return added


def _known(connection: sa.Connection, row: Mapping[str, Any], parent: int | None, content: str) -> int | None:
    """Find the study of the same name and content."""
    same = studies.c.name == row["name"], studies.c.kind == row["kind"], studies.c.parent.is_not_distinct_from(parent)
    for one in connection.execute(sa.select(studies).where(*same)).all():
        record = StudyRecord.model_validate_json(one.definition)
        if content in (one.fingerprint, record.fingerprint(study_slots(connection, one.id))):
            return int(one.id)
    return None


def _study(
    connection: sa.Connection, source: Database, row: sa.Row[Any]
) -> tuple[dict[str, Any], StudyRecord, tuple[StudySlot, ...]]:
    """Read a study with its slots, and check that each names what the study has."""
    (known,) = _checked(connection, source, studies, studies.c.id, [row.id])
    _checked(connection, source, slots, slots.c.study, [row.id])
    record, places = StudyRecord.model_validate_json(known["definition"]), study_slots(connection, row.id)
    tasks, policies = {task.name for task in record.tasks}, {policy.name for policy in record.policies}
    for place in places:
        if not (place.task in tasks and place.policy in policies and place.variant in record.variants):
            raise _foreign(source.name, f"study {row.id}")
    return known, record, places


def _checked(
    connection: sa.Connection, source: Database, table: sa.Table, column: sa.Column[Any], keys: Collection[Any]
) -> list[dict[str, Any]]:
    """Read rows of a table, of whose columns SQLite does not keep the types."""
    wanted = source.listed(keys) if column.type.python_type is str else keys
    found = [dict(row._mapping) for row in connection.execute(sa.select(table).where(column.in_(wanted)))]
    for row in found:
        for one in table.c:
            kind = one.type.python_type
            if not (isinstance(row[one.name], kind) or (one.nullable and row[one.name] is None)):
                raise _foreign(source.name, f"the table {table.name}")
    return found


def _check_runs(found: Iterable[Mapping[str, Any]], evaluated: Collection[str], name: str) -> None:
    for row in found:
        whole = row["status"] != "finished" or (row["final"] is not None and row["key"] in evaluated)
        finite = all(math.isfinite(row[time] or 0) for time in ("seconds", "evaluating", "created"))
        try:
            parsed = [from_text(row["final"] or "{}"), json.loads(row["provenance"])]
        except (AttributeError, ValueError, RecursionError):
            parsed = [None]
        if not (whole and finite and KEY.fullmatch(row["key"]) and all(isinstance(one, dict) for one in parsed)):
            raise _foreign(name, f"run {row['key']!r:.40}")


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> None:
    for part in _in_parts(rows, 10_000):
        connection.execute(sa.insert(table), part)


def _in_parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _foreign(name: str, what: str) -> StoreError:
    return StoreError(f"the store {name} has something in {what} that lrbench did not write: nothing more is merged")
