"""What SQLite and PostgreSQL do differently, and their errors in one sentence."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect

from lrbench.errors import StoreError
from lrbench.study.store.torn import ADVICE

TURN = 0x6C72_6265_6E63_68
"""The number of PostgreSQL's advisory lock that stores use: "lrbench" in ASCII."""

REMEDIES = {
    sqlite3.SQLITE_CORRUPT: f"; {ADVICE}",
    sqlite3.SQLITE_FULL: "; make room and run the study again, which goes on from what was written",
    sqlite3.SQLITE_IOERR: "; see to its disk and run the study again, which goes on from what was written",
    sqlite3.SQLITE_READONLY: "; let it and its folder be written, or name another by --store",
}
"""What to do about an error of SQLite, by its primary code."""

MAY_NOT_WRITE = ("25006", "42501")
"""PostgreSQL's codes for a transaction that may only read, and for a right that the account lacks."""


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
        self._advice = ADVICE if self._in_sqlite else "bring it back from a backup"
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
            if self._in_sqlite:
                connection.exec_driver_sql(f"PRAGMA user_version = {_transactions(connection) + 1}")
            yield connection

    @contextmanager
    def reading(self, purpose: str = "read") -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database.

        Raises:
            StoreError: the store cannot be `purpose`.
        """
        with self._explained(purpose), self._reader.connect() as connection:
            try:
                yield connection
            except ValueError as error:
                raise StoreError(f"the store {self.name} has values that cannot be read: {self._advice}") from error

    def check_transactions(self, in_file: int) -> None:
        """Refuse a file with transactions that its log has lost, which would be read as a mixture of old and new.

        Raises:
            StoreError: the log was cut off.
        """
        if not self._in_sqlite:
            return
        with self.reading("opened") as connection:
            if _transactions(connection) < in_file:
                raise StoreError(f"the log {self.name}-wal of the store {self.name} is cut off: {ADVICE}")

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

    def insert(self, table: sa.Table) -> sqlite_dialect.Insert | postgresql.Insert:
        """An insertion that knows `on_conflict_do_update`."""
        return sqlite_dialect.insert(table) if self._in_sqlite else postgresql.insert(table)

    @contextmanager
    def _explained(self, purpose: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            remedy = REMEDIES.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF, "")
            raise StoreError(f"the store {self.name} cannot be {purpose}: {reason}{remedy}") from error


def refuses_writing(error: StoreError) -> bool:
    """Whether a database that can be read was the cause: a file, a folder or an account that must not write."""
    reason = getattr(error.__cause__, "orig", None)
    read_only = getattr(reason, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY
    return read_only or getattr(reason, "sqlstate", None) in MAY_NOT_WRITE


def _transactions(connection: sa.Connection) -> int:
    """How many transactions were written to a store in SQLite, where its files tell too (`torn`)."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 begins no transactions of its own
    for pragma in ("busy_timeout = 60000", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
