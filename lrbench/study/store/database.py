"""What SQLite and PostgreSQL do differently, and their errors in one sentence."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lrbench.errors import StoreError

TURN = 0x6C72_6265_6E63_68
"""The number of PostgreSQL's advisory lock that stores use: "lrbench" in ASCII."""


class Database:
    """Transactions on a store's database.

    A transaction that writes on SQLite has the database for itself from its beginning, so that it need not ask for
    more than it has half-way, which two could wait for from each other. One that reads sees one state of the database
    from its first statement to its last.

    Attributes:
        name: where the database is, without a password.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.name = name
        self._engine = engine
        self._reader = self._writer = engine
        self._in_sqlite = engine.dialect.name == "sqlite"
        if self._in_sqlite:
            sa.event.listen(engine, "connect", _set_up_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
            self._writer = engine.execution_options(immediate=True)
        else:
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ")

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def writing(self, purpose: str = "written") -> Iterator[sa.Connection]:
        """A transaction that is committed at the end of the block, or undone where that raises an error.

        Raises:
            StoreError: the store cannot be `purpose`.
        """
        with self._explained(purpose), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def reading(self, purpose: str = "read") -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database.

        Raises:
            StoreError: the store cannot be `purpose`.
        """
        with self._explained(purpose), self._reader.connect() as connection:
            yield connection

    def take_turn(self, connection: sa.Connection) -> None:
        """Wait until no other transaction has taken a turn; whoever takes one sees what those before it wrote."""
        if not self._in_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TURN)))

    def now(self) -> sa.ColumnElement[float]:
        """Seconds since 1970 by the clock that all who use the database share: the server's, or the machine's."""
        if self._in_sqlite:
            return sa.literal(time.time())
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)

    def listed(self, keys: Iterable[str]) -> sa.Select[Any]:
        """Any number of keys, sorted, as a query of one column, since a statement has few thousand parameters."""
        ordered = sorted(set(keys))
        if self._in_sqlite:
            key: sa.ColumnElement[str] = sa.func.json_each(json.dumps(ordered)).table_valued("value").c.value
        else:
            key = sa.func.unnest(sa.literal(ordered, postgresql.ARRAY(sa.Text))).column_valued("key")
        return sa.select(key).where(sa.true()).order_by(key)

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An insertion that knows `on_conflict_do_update`."""
        return sqlite.insert(table) if self._in_sqlite else postgresql.insert(table)

    @contextmanager
    def _explained(self, purpose: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            raise StoreError(f"the store {self.name} cannot be {purpose}: {reason}") from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 begins no transactions of its own
    for pragma in ("busy_timeout = 60000", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
