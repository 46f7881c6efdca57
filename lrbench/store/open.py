"""Open a store by its file or URL."""

from __future__ import annotations

import os
import re
import sqlite3
from hashlib import blake2b
from pathlib import Path

import sqlalchemy as sa

from lrbench.errors import StoreError
from lrbench.store.dialects import Database
from lrbench.store.integrity import transactions_in
from lrbench.store.store import Store
from lrbench.store.tables import prepare


def open_store(location: str | os.PathLike[str] | None = None, *, must_exist: bool = False) -> Store:
    """Open a store, and make it where there is none yet.

    Args:
        location: a file, or a URL such as `sqlite:///runs.db` or `postgresql://user@host/name`; by default the
            environment variable LRBENCH_STORE, else `lrbench.db` in the working directory.
        must_exist: refuse to make a new one.

    Raises:
        StoreError: there is none though it must exist, it cannot be opened or made, it belongs to another program,
            or a newer lrbench wrote it.
    """
    url = _url(location)
    if url.get_backend_name() == "sqlite":
        if not url.database:
            raise StoreError(f"the store {url} names no file: give a path such as lrbench.db")
        name, path = str(Path(url.database)), Path(url.database).absolute()
        checkpoints = path.with_name(f"{path.name}.checkpoints")
        if must_exist and not os.path.isfile(path):
            raise StoreError(f"there is no store at {name}: name one by --store, or make it by `lrbench run`")
        transactions = transactions_in(path)
        is_file = url.database != ":memory:" and "uri" not in url.query
        placed = url.set(database=str(path)) if is_file else url
        engine = sa.create_engine(placed) if not is_file or _is_writable(path) else _engine_that_reads(path)
    else:
        transactions = 0
        name, checkpoints = _without_passwords(str(url)), _checkpoints_of_server(url)
        try:
            engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
        except ImportError as error:
            raise StoreError(
                f"the store {name} needs the driver of PostgreSQL, which is not installed: "
                "pip install 'lrbench[postgres]'"
            ) from error
    database = Database(engine, name)
    try:
        database.check_transactions(transactions)
        database = prepare(database, must_exist=must_exist)
    except BaseException:
        database.close()
        raise
    return Store(database, checkpoints)


def store_exists(location: str | os.PathLike[str] | None = None) -> bool:
    """Tell whether `open_store(location)` would open an existing store rather than make a file."""
    url = _url(location)
    return url.get_backend_name() != "sqlite" or os.path.isfile(url.database or "")


def _is_writable(path: Path) -> bool:
    """Tell whether SQLite can have its log beside a store, which it writes to even for reading."""
    own = [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]
    return not path.is_file() or _may_write(path.parent) or all(map(_may_write, own))


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _engine_that_reads(path: Path) -> sa.Engine:
    """Make an engine for a store in a folder that may only be read; each transaction looks for a log again."""

    def connect() -> sqlite3.Connection:
        log = path.with_name(f"{path.name}-wal")
        # without a log there is no writer, and SQLite need not share an index of the log, for which it makes a file
        alone = "" if log.is_file() and log.stat().st_size else "&immutable=1"
        return sqlite3.connect(f"{path.as_uri()}?mode=ro{alone}", uri=True, check_same_thread=False)

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)


def _url(location: str | os.PathLike[str] | None) -> sa.URL:
    text = os.fspath(location if location is not None else os.environ.get("LRBENCH_STORE") or "lrbench.db")
    if "://" not in text:
        return sa.URL.create("sqlite", database=text)
    shown = _without_passwords(text)
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise StoreError(f"'{shown}' is not a store: give a file, sqlite:///FILE or postgresql://HOST/NAME") from error
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise StoreError(f"a store is in SQLite or PostgreSQL, not in {backend}: '{shown}'")
    if "@" in (url.host or ""):
        raise StoreError(f"'{shown}' has an @ in its password, which a URL spells %40")
    return url


def _without_passwords(url: str) -> str:
    return re.sub(r"(?<=[?&]password=)[^&]*", "***", re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url))


def _checkpoints_of_server(url: sa.URL) -> Path:
    """Return a folder in the working directory, one for each database, the same for all of its users."""
    place = (url.host, url.port, url.database, *(url.query.get(part) for part in ("host", "port", "dbname", "options")))
    digest = blake2b(repr(place).encode(), digest_size=6).hexdigest()
    return Path(f"lrbench-{url.host or 'local'}-{digest}.checkpoints").absolute()
