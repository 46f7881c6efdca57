"""Where a store is, and what opens it."""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa

from lrbench.errors import StoreError
from lrbench.study.store.database import Database
from lrbench.study.store.schema import prepare
from lrbench.study.store.store import Store


def open_store(location: str | os.PathLike[str] | None = None, *, must_exist: bool = False) -> Store:
    """Open a store, making it where there is none yet.

    Args:
        location: a file, or a URL such as `sqlite:///runs.db` or `postgresql://user@host/name`; by default the
            environment variable LRBENCH_STORE, else `lrbench.db` in the working directory.
        must_exist: refuse to make a new one; for questions, which an empty store cannot answer.

    Raises:
        StoreError: there is none though it must exist, it cannot be opened or made, it belongs to another program,
            or a newer lrbench wrote it.
    """
    url = _url(location if location is not None else os.environ.get("LRBENCH_STORE") or "lrbench.db")
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        if not url.database:
            raise StoreError(f"the store {shown} names no file: give a path such as lrbench.db")
        path = Path(url.database)
        shown = str(path)
        if must_exist and not path.is_file():
            raise StoreError(f"there is no store at {path}: name one by --store, or make it by `lrbench run`")
        checkpoints = path.with_name(f"{path.name}.checkpoints")
    else:
        checkpoints = Path("lrbench.checkpoints")
    try:
        database = Database(sa.create_engine(url), shown)
    except ImportError as error:
        raise StoreError(f"the store {shown} needs a database driver that is not installed: {error}") from error
    try:
        prepare(database)
    except BaseException:
        database.close()
        raise
    return Store(database, checkpoints)


def _url(location: str | os.PathLike[str]) -> sa.URL:
    text = os.fspath(location)
    if "://" not in text:
        return sa.URL.create("sqlite", database=text)
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise StoreError(f"'{text}' is not a store: give a file, sqlite:///FILE or postgresql://HOST/NAME") from error
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise StoreError(f"a store is in SQLite or PostgreSQL, not in {backend}: '{text}'")
    return url.set(drivername="postgresql+psycopg") if backend == "postgresql" else url
