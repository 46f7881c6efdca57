"""Stores of MLflow: a run is a run, its policy and its seed are parameters or tags of it, or are in its name."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.errors import StudyError
from lrbench.imports.naming import Naming
from lrbench.imports.table import ROLES, plain_name
from lrbench.study.portable import CARD
from lrbench.study.trackers import mlflow_client, mlflow_errors, mlflow_uri

if TYPE_CHECKING:
    import pandas
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

CLIPPED = 1.79e308
"""From here on a value is what MLflow keeps of an infinite one."""

MOST_RUNS = 20_000
SUFFIXES = (".db", ".sqlite", ".sqlite3")


def is_mlflow(source: str) -> bool:
    """Return whether a source is a URI, a database, or a folder of files of MLflow."""
    path = Path(source)
    if path.is_dir():
        return any(path.glob("*/meta.yaml"))
    return path.suffix.lower() in SUFFIXES or (bool(re.match(r"[a-z][a-z0-9+]+:/", source)) and not path.exists())


def mlflow_table(source: str, naming: Naming, wanted: set[str]) -> pandas.DataFrame:
    """Read the runs of all experiments as a table in long form.

    Args:
        wanted: parameters that become columns, beside those whose names say that they are policies, seeds or tasks.

    Raises:
        StudyError: MLflow is not installed, or the store cannot be read or has no metrics.
    """
    import pandas

    uri = mlflow_uri(source)
    if uri.startswith("sqlite:///"):
        _check_tables(uri.removeprefix("sqlite:///"))
    elif uri.startswith("http"):
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    elif uri.startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow_client(uri)
    rows: list[dict[str, Any]] = []
    with mlflow_errors(uri):
        experiments = {one.experiment_id: one.name for one in client.search_experiments()}
        runs = [run for number in experiments for run in _pages(client, number)]
        for run in sorted(runs, key=lambda run: run.info.start_time):
            rows += _rows(client, run, naming, wanted, experiments[run.info.experiment_id])
    if not rows:
        raise StudyError(f"{uri} has no run with metrics")
    table = pandas.DataFrame(rows)
    named = {plain_name(str(name)) for name in table} & {*ROLES["task"]}
    return table if named or table["experiment"].nunique() > 1 else table.drop(columns="experiment")


def _check_tables(file: str) -> None:
    """Refuse a file that is not MLflow's before MLflow makes its tables there."""
    if not Path(file).is_file():
        raise StudyError(f"{file} cannot be read: there is no such file")
    try:
        with closing(sqlite3.connect(f"{Path(file).absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise StudyError(f"{file} is no database of SQLite: {error}") from None
    if "lrbench_schema" in tables:
        raise StudyError(
            f"{file} is a store of lrbench: its studies are judged already (lrbench list studies --store {file})"
        )
    if not tables >= {"experiments", "runs", "metrics", "params"}:
        raise StudyError(f"{file} is no store of MLflow: it lacks its tables")


def _pages(client: MlflowClient, experiment: str) -> Iterator[Run]:
    token = None
    count = 0
    while True:
        page = client.search_runs([experiment], page_token=token, max_results=1000)
        yield from page
        count += len(page)
        if count > MOST_RUNS:
            raise StudyError(f"experiment {experiment} has more than {MOST_RUNS:,} runs")
        token = page.token
        if not token:
            return


def _rows(
    client: MlflowClient, run: Run, naming: Naming, wanted: set[str], experiment: str
) -> Iterator[dict[str, Any]]:
    """Yield a row for each step of a run; a metric that comes again at a step begins another row."""
    known: Mapping[str, str] = {**run.data.tags, **run.data.params}
    roles = {alias for aliases in ROLES.values() for alias in aliases} - {"step"}
    named = {name: value for name, value in known.items() if name in wanted or plain_name(name) in roles}
    place = {**naming.place_of(run.info.run_name or run.info.run_id), "run": run.info.run_id} | named
    if {plain_name(name) for name in named} & {*ROLES["policy"]} and "policy" not in named:
        del place["policy"]
    values = [
        (one.timestamp, one.step, key, one.value)
        for key in run.data.metrics
        if not key.startswith("system/")
        for one in client.get_metric_history(run.info.run_id, key)
    ]
    row: dict[str, Any] = {}
    rows = []
    for _, step, key, value in sorted(values, key=lambda one: one[:2]):
        if not row or step != row["step"] or key in row:
            row = {"experiment": experiment, **place, "step": step}
            rows.append(row)
        row[key] = value if abs(value) < CLIPPED or value != value else float("inf")
    pieces = sorted(name for name in known if name.startswith(f"{CARD}."))
    if rows and pieces:
        rows[-1][CARD] = "".join(known[name] for name in pieces)
    yield from rows
