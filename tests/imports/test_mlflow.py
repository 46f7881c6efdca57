"""Stores of MLflow as its own client writes them."""

import math
import sqlite3
import time
from pathlib import Path

import pytest
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from lrbench.api import import_runs
from lrbench.errors import StudyError
from lrbench.imports.judge import judge
from lrbench.imports.read import read
from lrbench.imports.reading import Reading
from lrbench.store import open_store


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two optimizers with three seeds, one of which diverged and one of which was resumed."""
    file = tmp_path_factory.mktemp("tracked") / "mlflow.db"
    client = MlflowClient(f"sqlite:///{file}")
    experiment = client.create_experiment("tuning")
    for optimizer, base in (("adam", 0.5), ("sgd", 0.3)):
        for seed in range(3):
            run = client.create_run(experiment, run_name=f"{optimizer}_{seed}").info.run_id
            params = [Param("optimizer", optimizer), Param("seed", str(seed)), Param("width", "64")]
            values = {0: 1.0, 5: base + seed / 100, 10: math.inf if (optimizer, seed) == ("adam", 2) else base}
            metrics = [Metric("val_loss", value, step, step) for step, value in values.items()]
            if seed == 1:
                metrics += [Metric("val_loss", base + 0.1, 20, 5), Metric("val_loss", base + 0.2, 21, 10)]
            client.log_batch(run, metrics=[*metrics, Metric("system/cpu", 3.0, 0, 0)], params=params)
    client.create_run(experiment, run_name="empty")
    return file


def test_parameters_that_say_so_are_policies_and_seeds(tracked: Path) -> None:
    judged = judge(str(tracked))
    assert judged.tasks[0].paired
    assert {one.name: (one.n, one.diverged) for one in judged.tasks[0].policies} == {"sgd": (3, 0), "adam": (3, 1)}
    curves = {(curve.policy, curve.seed): curve for curve in read(str(tracked)).curves("val_loss")[0]}
    assert curves["sgd", "1"].steps.tolist() == [0, 5, 10]
    assert curves["sgd", "1"].values.tolist() == pytest.approx([1.0, 0.4, 0.5])


def test_any_parameter_can_be_named_and_a_uri_is_a_source(tracked: Path) -> None:
    found = read(f"sqlite:///{tracked}", Reading(columns={"policy": ("optimizer", "width")}))
    assert set(found.table["policy"]) == {"adam + 64", "sgd + 64"}
    assert found.metrics == ("val_loss",)


def test_an_import_of_a_store_keeps_what_it_counts(tracked: Path, tmp_path: Path) -> None:
    with open_store(str(tmp_path / "runs.db")) as store:
        imported = import_runs(str(tracked), store=store)
        assert "2 runs repeated 4 steps: the later row counts." in imported.remarks
        assert {run.status for run in store.study_runs("mlflow").values()} == {"finished", "diverged"}
        assert not import_runs(str(tracked), store=store).is_new


@pytest.mark.parametrize("content", ["none", "text", "empty", "other", "lrbench", "torn"])
def test_databases_that_are_not_mlflow_s_are_refused_in_one_sentence_and_left_alone(
    content: str, tracked: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mlflow.db"
    if content == "text":
        file.write_text("no database")
    elif content == "torn":
        file.write_bytes(tracked.read_bytes()[:2000])
    elif content == "lrbench":
        open_store(str(file)).close()
    elif content in ("empty", "other"):
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE mine (a)" if content == "other" else "VACUUM")
    before = file.read_bytes() if file.exists() else None
    with pytest.raises(StudyError) as refused:
        read(str(file))
    sentences = {
        "none": "there is no such file",
        "text": "is no database of SQLite",
        "empty": "is no store of MLflow",
        "other": "is no store of MLflow",
        "lrbench": "is a store of lrbench: its studies are judged already (lrbench list studies --store ",
        "torn": "is no",
    }
    assert sentences[content] in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (file.read_bytes() if file.exists() else None) == before


def test_a_server_that_is_not_there_is_refused_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    began = time.monotonic()
    with pytest.raises(StudyError, match="MLflow says"):
        read("http://127.0.0.1:9/")
    assert time.monotonic() - began < 120  # with MLflow's own seven retries it takes four minutes


def test_a_store_without_metrics_is_refused(tracked: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.db"
    bare.write_bytes(tracked.read_bytes())
    with sqlite3.connect(bare) as connection:
        connection.executescript("DELETE FROM metrics; DELETE FROM latest_metrics;")
    with pytest.raises(StudyError, match="has no run with metrics"):
        read(str(bare))
