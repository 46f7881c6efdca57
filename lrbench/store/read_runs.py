"""Runs with their evaluations, read from a store some hundred thousand at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import sqlalchemy as sa

from lrbench.store.facts import from_texts
from lrbench.store.records import EVALUATION, LOSSES, Scores, StoredRun
from lrbench.store.tables import evaluations, runs

ROWS_AT_ONCE = 1000
"""No more rows than these are Python objects at a time."""

COLUMNS = tuple(one.name for one in fields(StoredRun) if one.name != "scores")


def read_runs(connection: sa.Connection, keys: sa.Select[Any]) -> dict[str, StoredRun]:
    """Read the runs of these keys, with their evaluations, by key."""
    scores, unscored = dict(_scores(connection, keys)), Scores()
    asked = sa.select(*(runs.c[name] for name in COLUMNS)).where(runs.c.key.in_(keys))
    key, final, provenance = map(COLUMNS.index, ("key", "final", "provenance"))
    found = {}
    for rows in _streamed(connection, asked):
        finals = from_texts(row[final] or "null" for row in rows)
        for row, facts in zip(rows, finals, strict=True):
            values = [*row, scores.get(row[key], unscored)]
            values[final], values[provenance] = facts, _provenance(row[provenance])
            found[row[key]] = StoredRun(*values)
    return found


_provenance = lru_cache(maxsize=64)(json.loads)
"""Cached, since most runs of a study have the same."""


def _scores(connection: sa.Connection, keys: sa.Select[Any]) -> Iterator[tuple[str, Scores]]:
    run, *columns = evaluations.c
    evaluated = run.in_(keys)
    counts = connection.execute(sa.select(run, sa.func.count()).where(evaluated).group_by(run).order_by(run)).all()
    asked = sa.select(*columns).where(evaluated).order_by(run, evaluations.c.step)
    numbers = chain.from_iterable(chain.from_iterable(_streamed(connection, asked)))
    total = sum(count for _, count in counts)
    flat = np.fromiter(numbers, np.float64, total * len(columns))  # steps are at most 2^53
    table = np.empty(total, EVALUATION)
    for place, name in enumerate(EVALUATION.names or ()):
        table[name] = flat[place :: len(columns)]
    for name in LOSSES:
        table[name][np.isinf(table[name])] = np.nan
    start = 0
    for key, count in counts:
        yield key, Scores(table[start : start + count])
        start += count


def _streamed(connection: sa.Connection, asked: sa.Select[Any]) -> Iterator[Sequence[sa.Row[Any]]]:
    """Yield the rows of a query, `ROWS_AT_ONCE` together, which takes half the time of one by one."""
    return connection.execute(asked, execution_options={"stream_results": True}).partitions(ROWS_AT_ONCE)
