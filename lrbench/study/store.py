"""The store: every fact that training found out, appended once, in one transaction a segment.

Leaderboards, verdicts and pictures are computed from it and are never stored. Runs are known by their key alone
(`PlannedRun.key`), so that a run serves every study that asks for it; a study is a list of the runs it asks for.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import sqlalchemy as sa

from lrbench.errors import StoreError, did_you_mean

SCHEMA_VERSION = 1

Status = Literal["running", "finished", "diverged", "failed"]

ENDED: tuple[Status, ...] = ("finished", "diverged")
"""The statuses of runs whose numbers are final; any other run is trained (again) when it is next asked for."""

_metadata = sa.MetaData()

_schema = sa.Table("lrbench_schema", _metadata, sa.Column("version", sa.Integer, nullable=False))

_runs = sa.Table(
    "runs",
    _metadata,
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
)

_evaluations = sa.Table(
    "evaluations",
    _metadata,
    sa.Column("run", sa.String(32), sa.ForeignKey("runs.key"), primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True),
    sa.Column("train_loss", sa.Double, nullable=False),
    sa.Column("val_loss", sa.Double, nullable=False),
    sa.Column("val_score", sa.Double, nullable=False),
    sa.Column("test_loss", sa.Double, nullable=False),
    sa.Column("test_score", sa.Double, nullable=False),
)

_studies = sa.Table(
    "studies",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("definition", sa.Text, nullable=False),
)

_members = sa.Table(
    "members",
    _metadata,
    sa.Column("study", sa.Text, sa.ForeignKey("studies.name"), primary_key=True),
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("entry", sa.Text, primary_key=True),
    sa.Column("treatment", sa.Text, primary_key=True),
    sa.Column("scale", sa.Double, primary_key=True),
    sa.Column("seed", sa.BigInteger, primary_key=True),
    sa.Column("run", sa.String(32), nullable=False, index=True),
)


@dataclass(frozen=True)
class Score:
    """One evaluation as it is stored: losses, and the task's objective (higher is better) on validation and test."""

    step: int
    train_loss: float
    val_loss: float
    val_score: float
    test_loss: float
    test_score: float


@dataclass(frozen=True)
class Segment:
    """What one finished segment of a run adds to the store.

    Attributes:
        step: iterations of the run done after it.
        seconds: wall time spent on training and evaluating it, without what other runs of the same training took.
        flops: floating-point operations of training of the whole run so far.
        final: the metrics of the last evaluation, once the run is finished.
        checkpoint: the file name of the state after it, where the run goes on from there.
    """

    step: int
    seconds: float
    flops: int
    scores: tuple[Score, ...]
    status: Status = "running"
    diverged_at: int | None = None
    final: Mapping[str, Any] | None = None
    checkpoint: str | None = None


@dataclass(frozen=True)
class NewRun:
    """What identifies a run, before anything is known of how it ends."""

    key: str
    task: str
    task_key: str
    policy: str
    modifiers: str
    seed: int
    steps: int
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class StoredRun(NewRun):
    """All that the store knows of a run."""

    status: Status
    step: int
    seconds: float
    flops: int
    diverged_at: int | None
    error: str | None
    final: Mapping[str, Any] | None
    checkpoint: str | None
    scores: tuple[Score, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether its numbers are final."""
        return self.status in ENDED


@dataclass(frozen=True)
class Member:
    """A place of a study that a run fills."""

    task: str
    stage: str
    entry: str
    treatment: str
    scale: float
    seed: int
    run: str


class Store:
    """A database of runs, and a folder of checkpoints beside it; one process writes at a time.

    Attributes:
        name: where the database is: a file, or a URL without its password.
        checkpoints: the folder of the states of unfinished runs.
    """

    def __init__(self, engine: sa.Engine, name: str, checkpoints: Path) -> None:
        self._engine = engine
        self.name = name
        self.checkpoints = checkpoints

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()

    # Writing -------------------------------------------------------------------------------------------------------

    def save_study(self, name: str, definition: Mapping[str, Any], members: Iterable[Member]) -> None:
        """Say what a study asks for, in place of what it asked for before."""
        with self._writing() as connection:
            connection.execute(sa.delete(_members).where(_members.c.study == name))
            connection.execute(sa.delete(_studies).where(_studies.c.name == name))
            connection.execute(sa.insert(_studies).values(name=name, definition=json.dumps(definition)))
            self._insert_members(connection, name, members)

    def add_members(self, study: str, members: Iterable[Member]) -> None:
        """Add places to a study that is there."""
        with self._writing() as connection:
            self._insert_members(connection, study, members)

    def begin(self, runs: Iterable[NewRun]) -> None:
        """Note that runs are being trained from their first iteration; what an earlier try left is dropped."""
        with self._writing() as connection:
            for run in runs:
                connection.execute(sa.delete(_evaluations).where(_evaluations.c.run == run.key))
                connection.execute(sa.delete(_runs).where(_runs.c.key == run.key))
                values = {**vars(run), "provenance": json.dumps(run.provenance)}
                blank = {"status": "running", "step": 0, "seconds": 0.0, "flops": 0, "created": time.time()}
                connection.execute(sa.insert(_runs).values(**values, **blank))

    def append(self, segments: Mapping[str, Segment]) -> None:
        """Add finished segments to runs, by key: all of their facts, or none.

        Runs that one training answers are appended to together, so that they stand at the same step.
        """
        with self._writing() as connection:
            for key, segment in segments.items():
                final = None if segment.final is None else json.dumps(segment.final, allow_nan=False)
                connection.execute(
                    sa.update(_runs)
                    .where(_runs.c.key == key)
                    .values(
                        status=segment.status,
                        step=segment.step,
                        seconds=_runs.c.seconds + segment.seconds,
                        flops=segment.flops,
                        diverged_at=segment.diverged_at,
                        error=None,
                        final=final,
                        checkpoint=segment.checkpoint,
                    )
                )
                if segment.scores:
                    rows = [{"run": key, **vars(score)} for score in segment.scores]
                    connection.execute(sa.insert(_evaluations), rows)

    def fail(self, keys: Iterable[str], error: str) -> None:
        """Note why runs could not be trained on; what they had stays, to go on from when they are next asked for."""
        with self._writing() as connection:
            connection.execute(sa.update(_runs).where(_runs.c.key.in_(list(keys))).values(status="failed", error=error))

    # Reading -------------------------------------------------------------------------------------------------------

    def statuses(self) -> dict[str, Status]:
        """The status of every run, by key."""
        with self._reading() as connection:
            return {row.key: row.status for row in connection.execute(sa.select(_runs.c.key, _runs.c.status))}

    def checkpoints_in_use(self) -> set[str]:
        """The file names of the checkpoints from which runs go on."""
        with self._reading() as connection:
            in_use = sa.select(_runs.c.checkpoint).where(_runs.c.checkpoint.is_not(None))
            return {name for name in connection.scalars(in_use) if name is not None}

    def runs(self, keys: Iterable[str]) -> dict[str, StoredRun]:
        """The runs of these keys that the store has, with their evaluations."""
        return self._runs(list(keys))

    def study_names(self) -> tuple[str, ...]:
        with self._reading() as connection:
            return tuple(connection.scalars(sa.select(_studies.c.name).order_by(_studies.c.name)))

    def study(self, name: str) -> tuple[dict[str, Any], tuple[Member, ...]]:
        """A study's definition and its members.

        Raises:
            StoreError: the store has no study of that name.
        """
        with self._reading() as connection:
            definition = connection.scalar(sa.select(_studies.c.definition).where(_studies.c.name == name))
            rows = connection.execute(sa.select(_members).where(_members.c.study == name)).all()
        if definition is None:
            names = self.study_names()
            known = f"it has: {', '.join(names)}" if names else "it has none yet"
            raise StoreError(f"the store {self.name} has no study '{name}'{did_you_mean(name, names)}; {known}")
        return json.loads(definition), tuple(
            Member(row.task, row.stage, row.entry, row.treatment, row.scale, row.seed, row.run) for row in rows
        )

    def study_runs(self, name: str) -> dict[str, StoredRun]:
        """The runs that a study asks for, as far as they were begun, with their evaluations, by key."""
        return self._runs(sa.select(_members.c.run).where(_members.c.study == name))

    # Inside --------------------------------------------------------------------------------------------------------

    def _runs(self, keys: Sequence[str] | sa.Select[tuple[str]]) -> dict[str, StoredRun]:
        with self._reading() as connection:
            scores: dict[str, list[Score]] = {}
            for row in connection.execute(
                sa.select(_evaluations)
                .where(_evaluations.c.run.in_(keys))
                .order_by(_evaluations.c.run, _evaluations.c.step)
            ):
                scores.setdefault(row.run, []).append(_score(row))
            rows = connection.execute(sa.select(_runs).where(_runs.c.key.in_(keys)))
            return {row.key: _stored_run(row, scores.get(row.key, ())) for row in rows}

    @staticmethod
    def _insert_members(connection: sa.Connection, study: str, members: Iterable[Member]) -> None:
        rows = [{"study": study, **vars(member)} for member in members]
        if rows:
            connection.execute(sa.insert(_members), rows)

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._explained("written"), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._explained("read"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise StoreError(f"the store {self.name} cannot be {verb}: {error.orig}") from error


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
        engine = sa.create_engine(url)
        if url.get_backend_name() == "sqlite":
            sa.event.listen(engine, "connect", _set_up_sqlite)
        try:
            _check_schema(engine, shown)
        except BaseException:
            engine.dispose()
            raise
    except ImportError as error:
        raise StoreError(f"the store {shown} needs a database driver that is not installed: {error}") from error
    except sa.exc.DBAPIError as error:
        raise StoreError(f"the store {shown} cannot be opened: {error.orig}") from error
    return Store(engine, shown, checkpoints)


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


def _set_up_sqlite(connection: Any, _record: object) -> None:
    for pragma in ("busy_timeout = 60000", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _check_schema(engine: sa.Engine, shown: str) -> None:
    with engine.connect() as connection:
        tables = set(sa.inspect(connection).get_table_names())
        if not tables:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            connection.rollback()
            with connection.begin():
                _metadata.create_all(connection)
                connection.execute(sa.insert(_schema).values(version=SCHEMA_VERSION))
            return
        if _schema.name not in tables:
            raise StoreError(f"the database {shown} belongs to another program: name another file by --store")
        version = connection.scalar(sa.select(_schema.c.version))
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"the store {shown} has schema {version}, and this lrbench reads schema {SCHEMA_VERSION}: "
            "upgrade lrbench, or name another file by --store"
        )


def _score(row: sa.Row[Any]) -> Score:
    return Score(row.step, row.train_loss, row.val_loss, row.val_score, row.test_loss, row.test_score)


def _stored_run(row: sa.Row[Any], scores: Sequence[Score]) -> StoredRun:
    values = dict(row._mapping)
    del values["created"]
    values["final"] = None if row.final is None else json.loads(row.final)
    values["provenance"] = json.loads(row.provenance)
    return StoredRun(**values, scores=tuple(scores))
