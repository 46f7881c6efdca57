"""Runs of a study for other programs: tables, folders of TensorBoard events, and stores of MLflow.

The last two need their package: `pip install 'lrbench[tensorboard]'`, `pip install 'lrbench[mlflow]'`.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lrbench.errors import StudyError, unknown_name
from lrbench.files import user_path, write_atomically
from lrbench.study.export import csv_of
from lrbench.study.portable import CARD, PortableRun, Row, portable_runs, portable_table

if TYPE_CHECKING:
    import pandas
    from mlflow.tracking import MlflowClient
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    from lrbench.study.study_runs import StudyRuns

LONGEST_NAME = 120
"""Characters of a name of a folder."""

LONGEST_PARAM = 6000
LONGEST_TAG = 8000
"""Characters that MLflow keeps."""

KEY = "lrbench_run"
"""The tag that holds the key of a run in its store, with the task and the policy that it is a run of."""

MOST_RUNS = 50_000
"""The most runs of an experiment that MLflow lists at once."""

Place = tuple[str, str, int]


TRACKERS = ("tensorboard", "mlflow")
FORMATS = ("csv", "parquet", *TRACKERS)


def export_to(to: str, destination: str, evidence: StudyRuns) -> int:
    """Write the runs of a study that have ended, with their curves, and return their number.

    Args:
        to: one of `FORMATS`.
        destination: a file of a table; a folder of TensorBoard; a file or a URI of MLflow.

    Raises:
        StudyError: no run has ended, a package is missing, or something is there already.
        LRBenchError: the destination cannot be written.
    """
    if to not in FORMATS:
        raise StudyError(unknown_name("format of an export", to, FORMATS))
    runs = list(portable_runs(evidence))
    if not runs:
        raise StudyError(f"no run of study '{evidence.name}' has ended yet")
    try:
        if to == "csv":
            write_atomically(Path(destination), csv_of(portable_table(runs)))
        elif to == "parquet":
            write_atomically(Path(destination), _parquet(portable_table(runs)))
        else:
            tracker = tracker_of(to, destination, evidence.name, must_be_new=True)
            for run in runs:
                tracker.write(run)
    except OSError as error:
        raise StudyError(f"cannot write {destination}: {error.strerror or error}") from None
    return len(runs)


def tracker_of(kind: str, location: str, study: str, *, must_be_new: bool = False) -> Tracker:
    """Open what runs of a study are written to.

    Args:
        kind: one of `TRACKERS`.
        must_be_new: refuse a folder that is not empty, or a store that knows the study.

    Raises:
        StudyError: its package is missing, or it cannot be written.
    """
    if kind == "tensorboard":
        folder = user_path(location)
        if must_be_new and folder.exists() and any(folder.iterdir()):
            raise StudyError(f"{folder} is not empty: export into a folder that is new")
        return TensorBoardTracker(folder)
    return MLflowTracker(location, study, must_be_new=must_be_new)


def _parquet(table: pandas.DataFrame) -> bytes:
    try:
        content: bytes = table.to_parquet(index=False)
    except ImportError:
        raise StudyError("Parquet needs pyarrow, which is not installed: pip install pyarrow") from None
    return content


class Tracker(Protocol):
    """Where runs are written, each a few rows at a time."""

    def write(self, run: PortableRun) -> None:
        """Write the rows of a run that are new, and its card once it has one."""


class TensorBoardTracker:
    """Event files in folders `task/policy/seed_N`, a scalar for each metric, in full precision.

    Raises:
        StudyError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise StudyError(missing("tensorboard")) from None
        self._folder, self._writer = folder, EventFileWriter
        self._folders: dict[tuple[str, ...], str] = {}
        self._open: dict[Place, EventFileWriter] = {}
        self._known: dict[Place, int] = {}

    def write(self, run: PortableRun) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        place = run.task, run.policy, run.seed
        writer = self._open.get(place)
        if writer is None:
            parts = [self._name(run.task), self._name(run.task, run.policy), f"seed_{run.seed}"]
            writer = self._open[place] = self._writer(str(self._folder.joinpath(*parts)))
        for row in _new_rows(run, self._known):
            values = [_scalar(name, value) for name, value in row.items() if name != "step"]
            writer.add_event(Event(wall_time=time.time(), step=int(row["step"]), summary=Summary(value=values)))
        if run.card is not None:
            step = int(run.rows[-1]["step"]) if run.rows else 0
            writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=[_text(run.card)])))
            writer.close()
            del self._open[place]
        else:
            writer.flush()

    def _name(self, *names: str) -> str:
        """Return a name of a folder for the last of some names, which no other of the same folder has."""
        if names not in self._folders:
            plain = re.sub(r"[^\w.()=,+ -]|^\.+", "_", names[-1])[:LONGEST_NAME] or "_"
            taken = {folder.lower() for known, folder in self._folders.items() if known[:-1] == names[:-1]}
            free = (plain if number == 1 else f"{plain} ({number})" for number in range(1, len(taken) + 2))
            self._folders[names] = next(one for one in free if one.lower() not in taken)
        return self._folders[names]


def _scalar(tag: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_DOUBLE
    from tensorboard.plugins.scalar.metadata import create_summary_metadata

    tensor = TensorProto(dtype=DT_DOUBLE, double_val=[value])
    return Summary.Value(tag=tag, tensor=tensor, metadata=create_summary_metadata(tag, ""))


def _text(text: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text.metadata import create_summary_metadata

    tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
    return Summary.Value(tag=CARD, tensor=tensor, metadata=create_summary_metadata(CARD, ""))


class MLflowTracker:
    """Runs in an experiment of MLflow, named after a study.

    Args:
        location: a file, which is a SQLite store, or the URI of a tracking server or database.
        must_be_new: refuse a store that has the experiment already.

    Raises:
        StudyError: MLflow is not installed, or the store cannot be written.
    """

    def __init__(self, location: str, study: str, *, must_be_new: bool = False) -> None:
        self._uri = mlflow_uri(location)
        self._client = mlflow_client(self._uri)
        self._runs: dict[Place, str] = {}
        self._known: dict[Place, int] = {}
        with mlflow_errors(self._uri):
            found = self._client.get_experiment_by_name(study)
            if found is not None and must_be_new:
                raise StudyError(f"{self._uri} has an experiment '{study}' already: export into another store")
            runs = [] if found is None else self._client.search_runs([found.experiment_id], max_results=MOST_RUNS)
            self._stored = {run.data.tags.get(KEY): run.info.run_id for run in runs}
            self._experiment = self._client.create_experiment(study) if found is None else found.experiment_id

    def write(self, run: PortableRun) -> None:
        from mlflow.entities import Metric, Param, RunTag

        place = run.task, run.policy, run.seed
        known_as = f"{run.key}:{run.task}:{run.policy}"[:LONGEST_TAG]
        with mlflow_errors(self._uri):
            if place not in self._runs and known_as in self._stored:
                self._runs[place] = self._stored[known_as]
            if place not in self._runs:
                created = self._client.create_run(self._experiment, run_name=f"{run.policy} seed {run.seed}"[:250])
                self._runs[place] = created.info.run_id
                params = {"task": run.task, "policy": run.policy, "policy_text": run.text, "seed": str(run.seed)}
                kept = [Param(name, value[:LONGEST_PARAM]) for name, value in params.items()]
                self._client.log_batch(self._runs[place], params=kept, tags=[RunTag(KEY, known_as)])
            now = int(1000 * time.time())
            metrics = [
                Metric(name, value, now, int(row["step"]))
                for row in _new_rows(run, self._known)
                for name, value in row.items()
                if name != "step"
            ]
            for start in range(0, len(metrics), 1000):
                self._client.log_batch(self._runs[place], metrics=metrics[start : start + 1000])
            if run.card is not None:
                pieces = [run.card[start : start + LONGEST_TAG] for start in range(0, len(run.card), LONGEST_TAG)]
                tags = [RunTag(f"{CARD}.{number:03}", piece) for number, piece in enumerate(pieces)]
                self._client.log_batch(self._runs[place], tags=tags)
                self._client.set_terminated(self._runs[place])


def _new_rows(run: PortableRun, known: dict[Place, int]) -> Iterable[Row]:
    """Return the rows that were not written yet, with the last one where there is a card, and note that they are."""
    place = run.task, run.policy, run.seed
    start = known.get(place, 0)
    known[place] = len(run.rows)
    return run.rows[min(start, len(run.rows) - 1) if run.card is not None else start :]


def mlflow_uri(location: str) -> str:
    """Return the URI of a store of MLflow, which is a file of SQLite, a folder, or a URI already."""
    if re.match(r"[a-z][a-z0-9+.-]*:", location) and not Path(location).exists():
        return location
    path = Path(location).expanduser().absolute()
    return path.as_uri() if path.is_dir() else f"sqlite:///{path}"


def mlflow_client(uri: str) -> MlflowClient:
    """Open a store of MLflow.

    Raises:
        StudyError: MLflow is not installed, or the store cannot be opened.
    """
    import logging

    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise StudyError(missing("mlflow")) from None
    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with mlflow_errors(uri):
        return MlflowClient(uri)


@contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """Say in one sentence why a store of MLflow cannot be used.

    Raises:
        StudyError: MLflow refuses what is done within.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what MLflow itself uses
            yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise StudyError(f"{uri}: MLflow says: {' '.join(str(error).split())}") from None


def missing(package: str) -> str:
    """Say which package is missing."""
    return f"{package} is not installed: pip install 'lrbench[{package}]'"
