"""The tables of a store: their schema, creation and migration."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields

import sqlalchemy as sa

from lrbench.errors import StoreError
from lrbench.store.dialects import Database, refuses_writing
from lrbench.store.migrations import MIGRATIONS
from lrbench.store.records import StudySlot

SCHEMA_VERSION = 5

metadata = sa.MetaData()

schema = sa.Table("lrbench_schema", metadata, sa.Column("version", sa.Integer, nullable=False))

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("task_key", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("modifiers", sa.Text, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("steps", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("flops", sa.BigInteger, nullable=False),
    sa.Column("diverged_at", sa.BigInteger),
    sa.Column("error", sa.Text),
    sa.Column("final", sa.Text),
    sa.Column("checkpoint", sa.Text),
    sa.Column("provenance", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("exact", sa.Boolean, nullable=False),
    sa.Column("evaluating", sa.Double),
)

evaluations = sa.Table(
    "evaluations",
    metadata,
    sa.Column("run", sa.String(32), sa.ForeignKey("runs.key"), primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True),
    sa.Column("train_loss", sa.Double, nullable=False),
    sa.Column("val_loss", sa.Double, nullable=False),
    sa.Column("val_score", sa.Double),
    sa.Column("test_loss", sa.Double),
    sa.Column("test_score", sa.Double),
    sqlite_with_rowid=False,  # the rows of a run lie together, and no index stands beside them
)

studies = sa.Table(
    "studies",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("parent", sa.Integer, sa.ForeignKey("studies.id")),
    sa.Column("fingerprint", sa.String(32), nullable=False),
    sa.Column("last_run", sa.BigInteger, nullable=False),
    sa.Column("definition", sa.Text, nullable=False),
)
"""`last_run` counts up over all studies: the highest one was run last."""

slots = sa.Table(
    "slots",
    metadata,
    sa.Column("study", sa.Integer, sa.ForeignKey("studies.id"), primary_key=True),
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("policy", sa.Text, primary_key=True),
    sa.Column("variant", sa.Text, primary_key=True),
    sa.Column("scale", sa.Double, primary_key=True),
    sa.Column("seed", sa.BigInteger, primary_key=True),
    sa.Column("run", sa.String(32), nullable=False, index=True),
)

coordinators = sa.Table(
    "coordinators",
    metadata,
    sa.Column("owner", sa.String(32), primary_key=True),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("process", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("owner", sa.String(32), nullable=False, index=True),
)


def study_slots(connection: sa.Connection, study: int) -> tuple[StudySlot, ...]:
    """Read the slots of a study."""
    columns = [slots.c[field.name] for field in fields(StudySlot)]
    return tuple(StudySlot(*row) for row in connection.execute(sa.select(*columns).where(slots.c.study == study)))


def is_exact_enough(database: Database, exact: Collection[str]) -> sa.ColumnElement[bool]:
    """Make the condition that a run is exact, or that its key is not in `exact`."""
    return sa.or_(runs.c.exact, runs.c.key.not_in(database.listed(exact))) if exact else sa.true()


def prepare(database: Database, *, must_exist: bool) -> Database:
    """Make the tables of a new store, unless one must exist, or migrate those of an older lrbench.

    Returns:
        The database; of an older store that must not be written, a migrated copy in memory.

    Raises:
        StoreError: there is no store, it belongs to another program, or a newer lrbench wrote it.
    """
    with database.reading("opened") as connection:
        version = _version(connection, database.name)
    if version == SCHEMA_VERSION:
        return database
    if version is None and must_exist:
        raise StoreError(f"there is no store in {database.name}: name one by --store, or make it by `lrbench run`")
    try:
        with database.writing("opened") as connection:
            database.take_turn(connection)
            _migrate(connection, _version(connection, database.name))
    except StoreError as error:
        if version is None or not refuses_writing(error):
            raise
        return _migrated_copy(database)
    return database


def _migrated_copy(database: Database) -> Database:
    """Copy a store of an older schema into memory, migrate the copy, and make it read-only."""
    older = sa.MetaData()
    with database.reading("opened") as source:
        older.reflect(source)
        copy = Database(sa.create_engine("sqlite://", poolclass=sa.StaticPool), database.name)
        with copy.writing("opened") as target:
            older.create_all(target)
            for table in older.sorted_tables:
                for rows in source.execute(sa.select(table)).mappings().partitions(10_000):
                    target.execute(sa.insert(table), [dict(row) for row in rows])
            _migrate(target, _version(target, database.name))
    with copy.reading("opened") as target:
        target.exec_driver_sql("PRAGMA query_only = ON")
    database.close()
    return copy


def _migrate(connection: sa.Connection, version: int | None) -> None:
    if version is None:
        metadata.create_all(connection)
        connection.execute(sa.insert(schema).values(version=SCHEMA_VERSION))
        return
    for older in range(version, SCHEMA_VERSION):
        MIGRATIONS[older](connection)
    connection.execute(sa.update(schema).values(version=SCHEMA_VERSION))


def _version(connection: sa.Connection, name: str) -> int | None:
    """Read the version of the tables; None where there are none."""
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        return None
    if schema.name not in tables:
        raise StoreError(f"the database {name} belongs to another program: name another file by --store")
    version = connection.scalar(sa.select(schema.c.version))
    if version is None or version > SCHEMA_VERSION:
        raise StoreError(
            f"the store {name} has schema {version}, and this lrbench reads schema {SCHEMA_VERSION}: "
            "upgrade lrbench, or name another file by --store"
        )
    return int(version)
