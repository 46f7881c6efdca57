"""Runs with their evaluations, read from a store some hundred thousand at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np
import sqlalchemy as sa

from lrbench.store.facts import from_text
from lrbench.store.records import EVALUATION, LOSSES, Scores, StoredRun
from lrbench.store.tables import evaluations, runs

ROWS_AT_ONCE = 1000
"""No more rows than these are Python objects at a time."""

COLUMNS = tuple(one.name for one in fields(StoredRun) if one.name != "scores")


def read_runs(connection: sa.Connection, keys: sa.Select[Any]) -> dict[str, StoredRun]:
    """Read the runs of these keys, with their evaluations, by key."""
    scores = dict(_scores(connection, keys))
    rows = connection.execute(sa.select(*(runs.c[name] for name in COLUMNS)).where(runs.c.key.in_(keys)))
    final, provenance = COLUMNS.index("final"), COLUMNS.index("provenance")
    found = {}
    for row in rows.yield_per(ROWS_AT_ONCE):
        values = [*row, scores.get(row.key, Scores())]
        values[final] = None if row.final is None else from_text(row.final)
        values[provenance] = _provenance(row.provenance)
        found[row.key] = StoredRun(*values)
    return found


_provenance = lru_cache(maxsize=64)(json.loads)
"""Cached, since most runs of a study have the same."""


def _scores(connection: sa.Connection, keys: sa.Select[Any]) -> Iterator[tuple[str, Scores]]:
    run, *columns = evaluations.c
    evaluated = run.in_(keys)
    counts = connection.execute(sa.select(run, sa.func.count()).where(evaluated).group_by(run).order_by(run)).all()
    rows = connection.execute(sa.select(*columns).where(evaluated).order_by(run, evaluations.c.step))
    table = np.fromiter(map(tuple, rows.yield_per(ROWS_AT_ONCE)), EVALUATION)
    for name in LOSSES:
        table[name][np.isinf(table[name])] = np.nan
    start = 0
    for key, count in counts:
        yield key, Scores(table[start : start + count])
        start += count
