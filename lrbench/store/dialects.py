"""SQLite and PostgreSQL behind one interface, and their errors in one sentence."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect

from lrbench.errors import StoreAwayError, StoreError
from lrbench.policy.kind import short_repr
from lrbench.store.integrity import ADVICE

TURN = 0x6C72_6265_6E63_68
"""The number of PostgreSQL's advisory lock that stores use: "lrbench" in ASCII."""

REMEDIES = {
    sqlite3.SQLITE_CORRUPT: f"; {ADVICE}",
    sqlite3.SQLITE_FULL: "; make room and run the study again, which goes on from what was written",
    sqlite3.SQLITE_IOERR: "; see to its disk and run the study again, which goes on from what was written",
    sqlite3.SQLITE_CANTOPEN: "; see that its folder is there, and may be written where it has a log",
    sqlite3.SQLITE_READONLY: "; let it and its folder be written, or name another by --store",
}
"""The remedy for an error of SQLite, by its primary code."""

MAY_NOT_WRITE = ("25006", "42501")
"""PostgreSQL's codes for a transaction that may only read, and for a right that the account lacks."""

PATIENCE_SECONDS = 60.0
"""The time that a transaction waits: for the lock of a file of SQLite, or for a PostgreSQL server that is away."""

LONGEST_PAUSE = 5.0
"""The longest time in seconds between two tries to reach a server."""

Method = TypeVar("Method", bound=Callable[..., Any])
Answer = TypeVar("Answer")

AWAY = ("08", "57P01", "57P02", "57P03")
"""The beginnings of a SQLSTATE that means a lost connection, or a server that stops or starts."""


class Database:
    """Transactions on a store's database.

    A transaction that writes to SQLite locks the database at its beginning, so that no two wait for each other. One
    that reads sees one state of the database from its first statement to its last.

    Attributes:
        name: where the database is, without a password.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.name = name
        self._engine = engine
        self._process = os.getpid()
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
        """Open a transaction that is committed at the end of the block, or undone where that raises an error.

        Raises:
            StoreAwayError: the server is away, and nothing was written.
            StoreError: the store cannot be `purpose`, or this process was forked from the one that opened it.
        """
        if os.getpid() != self._process:
            raise StoreError(f"the store {self.name} was opened before this process was forked: open it again here")
        with self._explained(purpose), self._writer.connect() as connection:
            if self._in_sqlite:
                connection.exec_driver_sql(f"PRAGMA user_version = {_transactions(connection) + 1}")
                yield connection
                connection.commit()
                return
            number = connection.scalar(sa.select(sa.func.txid_current()))
            yield connection
            try:
                connection.commit()
            except sa.exc.DBAPIError as error:
                if not (_is_away(error) and self._is_committed(number)):
                    raise

    @contextmanager
    def reading(self, purpose: str = "read") -> Iterator[sa.Connection]:
        """Open a transaction that sees one state of the database.

        Raises:
            StoreAwayError: the server is away.
            StoreError: the store cannot be `purpose`.
        """
        with self._explained(purpose), self._reader.connect() as connection:
            try:
                yield connection
            except UnicodeEncodeError:
                raise
            except ValueError as error:
                raise StoreError(f"the store {self.name} has values that cannot be read: {self._advice}") from error

    def check_transactions(self, in_file: int) -> None:
        """Refuse a file some of whose transactions its log has lost: it would be read as a mixture of old and new.

        Raises:
            StoreError: the log was cut off.
        """
        if not self._in_sqlite:
            return
        with self.reading("opened") as connection:
            if _transactions(connection) < in_file:
                raise StoreError(f"the log {self.name}-wal of the store {self.name} is cut off: {ADVICE}")

    def marker(self, connection: sa.Connection) -> str:
        """Return a text that differs once another transaction has written, at the cost of one row."""
        if self._in_sqlite:
            return str(_transactions(connection))
        return str(connection.scalar(sa.select(sa.cast(sa.func.txid_current_snapshot(), sa.Text))))

    def take_turn(self, connection: sa.Connection) -> None:
        """Wait until no other transaction has a turn, and see all that they wrote."""
        if not self._in_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TURN)))

    def now(self) -> sa.ColumnElement[float]:
        """Return the seconds since 1970 by the clock of the server, or of the machine that has the file."""
        if self._in_sqlite:
            return sa.literal(time.time())
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)

    def listed(self, keys: Iterable[str]) -> sa.Select[Any]:
        """Make a query of one column of sorted keys; a statement has at most some thousand parameters."""
        ordered = sorted(set(keys))
        if self._in_sqlite:
            key: sa.ColumnElement[str] = sa.func.json_each(json.dumps(ordered)).table_valued("value").c.value
        else:
            key = sa.func.unnest(sa.literal(ordered, postgresql.ARRAY(sa.Text))).column_valued("key")
        return sa.select(key).where(sa.true()).order_by(key)

    def insert(self, table: sa.Table) -> sqlite_dialect.Insert | postgresql.Insert:
        """Make an insertion that has `on_conflict_do_update`."""
        return sqlite_dialect.insert(table) if self._in_sqlite else postgresql.insert(table)

    @contextmanager
    def _explained(self, purpose: str) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as error:
            raise StoreError(
                f"the store {self.name} holds text in UTF-8, which {short_repr(error.object)} is not"
            ) from error
        except sa.exc.DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            remedy = REMEDIES.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF, "")
            kind = StoreAwayError if not self._in_sqlite and _is_away(error) else StoreError
            raise kind(f"the store {self.name} cannot be {purpose}: {reason}{remedy}") from error

    def _is_committed(self, number: int | None) -> bool:
        """Ask whether the server committed a transaction, where its answer to the commit was lost."""

        def state() -> str | None:
            with self.reading("written") as connection:
                found: str | None = connection.scalar(sa.select(sa.func.txid_status(number)))
            if found == "in progress":
                raise StoreAwayError(f"the store {self.name} cannot be written: the server is still at a commit")
            return found

        try:
            return _until_back(state) == "committed"
        except StoreAwayError as error:  # what may have been written must not be tried again
            raise StoreError(f"{error}; run the study again, which goes on from what was written") from error


def patient(method: Method) -> Method:
    """Let a method be tried again while its server is away, for `PATIENCE_SECONDS`.

    An iterator among the arguments is read before the first try.
    """

    @wraps(method)
    def tried(*args: Any, **kwargs: Any) -> Any:
        lasting = [tuple(arg) if isinstance(arg, Iterator) else arg for arg in args]
        return _until_back(lambda: method(*lasting, **kwargs))

    return cast(Method, tried)


def _until_back(ask: Callable[[], Answer]) -> Answer:
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.1
    while True:
        try:
            return ask()
        except StoreAwayError:
            if time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _is_away(error: sa.exc.DBAPIError) -> bool:
    """Tell whether an error means that no server is reached; it has no SQLSTATE where none answered."""
    state = getattr(error.orig, "sqlstate", None)
    lost = isinstance(error, sa.exc.OperationalError) and (state is None or state.startswith(AWAY))
    return lost or error.connection_invalidated


def refuses_writing(error: StoreError) -> bool:
    """Tell whether the cause is a file, a folder or an account that may read and not write."""
    reason = getattr(error.__cause__, "orig", None)
    read_only = getattr(reason, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY
    return read_only or getattr(reason, "sqlstate", None) in MAY_NOT_WRITE


def _transactions(connection: sa.Connection) -> int:
    """Count the transactions that were written to a store in SQLite; see `integrity.transactions_in`."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 begins no transactions of its own
    for pragma in (f"busy_timeout = {PATIENCE_SECONDS * 1000:.0f}", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
