"""That the benchmarks run, and that their baselines train what lrbench trains."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lrbench.study.config import load_study
from lrbench.tasks.models.lenet import lenet

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules of the benchmarks, as the command has them."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("baselines", "harness"):
            del sys.modules[name]


def test_a_toy_benchmark_gives_ratios_as_json_and_markdown(tmp_path: Path) -> None:
    file = tmp_path / "ratios.json"
    command = [sys.executable, str(BENCHMARKS), "stacked", "--toy", "--rounds", "3", "--json", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(file.read_text())
    assert found["mnist"].startswith("random")
    assert {"class", "cores"} <= found["machine"].keys()
    assert [row["what"] for row in found["benchmarks"]] == [
        "mlp 32-32, 1 stacked, a run",
        "mlp 32-32, 8 stacked, a run",
    ]
    for row in found["benchmarks"]:
        each = [theirs["seconds"] / ours["seconds"] for ours, theirs in zip(row["ours"], row["theirs"], strict=True)]
        assert row["ratios"] == each
        assert row["n"] == 3
        assert [row["lowest"], row["ratio"], row["highest"]] == sorted(each)
        assert f"| {row['what']} | {row['baseline']} | seconds | {row['ratio']:.3g} |" in said


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARKS), "stakced"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "'stakced' is none of engine, quickstart" in done.stderr


@pytest.mark.usefixtures("importable")
def test_the_baselines_of_the_quickstart_follow_its_schedules() -> None:
    from baselines.schedules import SCHEDULES

    study = load_study("quickstart")
    (task,) = study.tasks
    assert [entry.name for entry in study.entries] == list(SCHEDULES)
    for entry in study.entries:
        ours = entry.policy.bind(task.steps, task.steps_per_epoch).lrs(0, task.steps)
        theirs = [SCHEDULES[entry.name](step) for step in range(task.steps)]
        np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-15, err_msg=entry.name)


@pytest.mark.usefixtures("importable")
def test_the_baselines_train_the_networks_of_the_tasks() -> None:
    from baselines import lenet as plain
    from baselines import plain_loop

    (task,) = load_study("quickstart").tasks
    for theirs, ours in ((plain.lenet(), lenet((1, 28, 28), 10)), (plain_loop.mlp(), task.network())):
        assert [weight.shape for weight in theirs.parameters()] == [weight.shape for weight in ours.parameters()]
    assert (task.batch_size, task.eval_every) == (plain_loop.BATCH, plain_loop.EVERY)
