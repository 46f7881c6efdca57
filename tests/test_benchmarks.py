"""That the benchmarks run, and that their baselines train what lrbench trains."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest
import torch

import lrbench
from lrbench.advice.evidence import stored
from lrbench.metrics.looks import Looks
from lrbench.store import open_store
from lrbench.study.file import load_study
from lrbench.tasks import Task
from lrbench.tasks.models.lenet import lenet
from tests.report.made_studies import write_study

BENCHMARKS = Path(__file__).parent / "benchmarks"
MODULES = ("baselines", "cases", "decided", "error_rates", "harness", "range_stability", "search_regret")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules of the benchmarks, as the command has them."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in MODULES:
            del sys.modules[name]


@pytest.mark.parametrize(
    "name", ["engine", "loader", "tree", "limits", "workers", "store", "scale", "serve", "startup"]
)
def test_each_benchmark_runs_and_gives_finite_ratios(name: str, tmp_path: Path) -> None:
    file = tmp_path / "ratios.json"
    command = [sys.executable, str(BENCHMARKS), name, "--toy", "--rounds", "1", "--json", str(file)]

    subprocess.run(command, capture_output=True, check=True)

    rows = json.loads(file.read_text())["benchmarks"]
    assert rows
    assert all(0 < row["ratio"] < math.inf and row["n"] == 1 for row in rows)


@pytest.mark.usefixtures("importable")
def test_the_ways_to_convolve_several_runs_at_once_agree() -> None:
    from cases.limits import _grouped, _one_by_one, _unfolded

    images, kernels = torch.randn(3, 4, 2, 9, 9), torch.randn(3, 5, 2, 5, 5)

    each = _one_by_one(images, kernels)  # [K, N, C, H, W]

    torch.testing.assert_close(_grouped(images, kernels).unflatten(1, (3, 5)).transpose(0, 1), each)
    torch.testing.assert_close(_unfolded(images, kernels).unflatten(2, (4, 5, 5)).transpose(1, 2), each)


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
        ours, theirs = (f"{median(one['seconds'] for one in row[side]):.4g}" for side in ("ours", "theirs"))
        assert f"| {row['what']} | {row['baseline']} | seconds | {ours} | {theirs} | {row['ratio']:.3g} |" in said


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARKS), "stakced"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "'stakced' is none of engine, loader, quickstart" in done.stderr


def test_the_benchmark_of_gpus_gives_each_comparison_on_any_device(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    command = [sys.executable, str(BENCHMARKS), "gpu", "--toy", "--device", "cpu", "--rounds", "1", "--json", str(file)]
    subprocess.run(command, capture_output=True, check=True)
    made = json.loads(file.read_text())
    assert ", cpu: " in made["machine"]["class"]
    compared = {(row["what"], row["baseline"]): row["ours"][0]["us an iteration"] for row in made["benchmarks"]}
    assert ("LeNet, bfloat16", "a plain loop") in compared
    assert ("ResNet-20, bfloat16, augmented", "a loop over indexed tensors on the device") in compared
    assert ("LeNet, 4 stacked, a run", "the serial engine") in compared
    assert min(compared.values()) > 0


def test_the_benchmark_of_gpus_is_refused_in_a_sentence_without_one() -> None:
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, str(BENCHMARKS), "gpu"], env=hidden, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "the benchmark of GPUs cannot run here: device 'cuda' is not available on this machine: give auto or cpu\n"
    )


@pytest.mark.usefixtures("importable")
def test_the_baselines_of_the_quickstart_follow_its_schedules() -> None:
    from baselines.schedules import SCHEDULES

    study = load_study("quickstart")
    (task,) = study.tasks
    assert [entry.name for entry in study.policies] == list(SCHEDULES)
    for entry in study.policies:
        ours = entry.policy.bind(task.steps, task.steps_per_epoch).lrs(0, task.steps)
        theirs = [SCHEDULES[entry.name](step) for step in range(task.steps)]
        np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-15, err_msg=entry.name)


@pytest.mark.usefixtures("importable")
def test_the_baselines_train_the_networks_of_the_tasks() -> None:
    from baselines import lenet as plain
    from baselines import plain_loop

    (task,) = load_study("quickstart").tasks
    assert isinstance(task, Task)
    for theirs, ours in ((plain.lenet(), lenet((1, 28, 28), 10)), (plain_loop.mlp(), task.network())):
        assert [weight.shape for weight in theirs.parameters()] == [weight.shape for weight in ours.parameters()]
    assert (task.batch_size, task.eval_every) == (plain_loop.BATCH, plain_loop.EVERY)


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize("task", sorted(file.stem for file in (BENCHMARKS / "search_regret").glob("*.csv")))
def test_a_table_has_every_run_that_a_search_may_ask_for(task: str) -> None:
    from search_regret import QUESTIONS, every_policy

    question = QUESTIONS[task]
    table = pd.read_csv(question.table)
    whole = table["steps"].max()
    policies, (first, *_) = every_policy(question.space), question.seen

    budgets = [(round(whole / 9), (first,)), (round(whole / 3), (first,)), (whole, question.seen)]
    asked = {(policy, steps, seed) for steps, seeds in budgets for policy in policies for seed in seeds}
    searched = table[table["seed"].isin(question.seen)]
    rows = list(searched[["policy", "steps", "seed"]].itertuples(index=False, name=None))
    assert set(rows) == asked
    assert len(rows) == len(asked)


@pytest.mark.usefixtures("importable")
def test_a_search_is_near_the_best_once_it_stays_there() -> None:
    from search_regret import needed, regrets

    worth = {"good": 0.95, "bad": 0.9}
    trace = [(10.0, "bad"), (20.0, "good"), (30.0, "bad"), (40.0, "good")]
    assert needed(trace, worth, 0.005) == 40
    assert needed(trace, worth, 0.06) == 10
    assert needed(trace[:3], worth, 0.005) == math.inf
    np.testing.assert_allclose(regrets(trace, worth, np.array([5, 10, 25, 99])), [np.nan, 0.05, 0, 0])


@pytest.mark.usefixtures("importable")
def test_fewer_test_samples_change_nothing_that_a_search_looks_at() -> None:
    from search_regret import tested_on

    task = lrbench.load_task("mnist1d-mlp")
    fewer = tested_on(task, 20)
    assert fewer.data.test.targets.equal(task.data.test.targets[:20])
    for one, other in ((fewer.data.train, task.data.train), (fewer.data.val, task.data.val)):
        assert one.inputs.equal(other.inputs)
        assert one.targets.equal(other.targets)
    assert fewer.key != task.key


@pytest.mark.usefixtures("importable")
def test_the_ends_of_a_range_are_told_apart(tmp_path: Path) -> None:
    from range_stability import trained_ends

    task = lrbench.load_task("mnist1d-mlp")
    upper, beyond = trained_ends(task, 100, 0.2, tmp_path / "runs.db")
    assert (upper["lr"], beyond["lr"]) == (0.2, 2.0)
    assert beyond["verdict"] == "avoid"
    assert upper["accuracy"]["low"] > 2 * task.chance


@pytest.mark.usefixtures("importable")
def test_the_figure_of_the_winner_is_not_biased_and_that_of_the_best_on_fresh_seeds_is() -> None:
    from error_rates import confirmed

    studies, seeds = 300, 5
    found = confirmed(5, seeds, 0.0, studies)
    error, missed = 1 / math.sqrt(seeds * studies), 3 * math.sqrt(0.05 * 0.95 / studies)
    assert abs(found["first"]["bias"]) < 3 * error
    assert found["best on fresh seeds"]["bias"] > 0.25
    assert found["first"]["covered"] >= 0.95 - missed
    assert all(one["simultaneous"] >= 0.95 - missed for one in found.values())


@pytest.mark.usefixtures("importable")
def test_runs_spent_until_decided_are_simulated_from_the_seeds_of_a_stored_study(tmp_path: Path) -> None:
    from decided import Measured, measured, once, raced, row

    means = {"FIX(k0=0.1)": 0.70, "FIX(k0=0.2)": 0.69, "FIX(k0=0.3)": 0.65, "FIX(k0=0.4)": 0.3, "FIX(k0=0.5)": 0.6}
    rng = np.random.default_rng(1)
    with open_store(tmp_path / "runs.db") as store:
        outcomes = {name: mean + 0.01 * rng.standard_normal(5) for name, mean in means.items()}
        places = {name: name for name in means}
        write_study(store, places, lambda place: float(outcomes[place.name][place.seed]), name="five", seeds=range(5))
        (study,) = measured(list(stored(store)), ("five", "another"))

    assert isinstance(study, Measured)
    assert study.scores == pytest.approx(np.array(list(outcomes.values())))
    drawn = study.drawn(40)
    assert drawn.mean(axis=(0, 2)) == pytest.approx(study.scores.mean(axis=1), abs=0.002)
    assert np.cov(drawn.swapaxes(0, 1).reshape(5, -1)) == pytest.approx(np.cov(study.scores), abs=2e-5)
    early, late = (once(study, drawn, 0.02, seeds, Looks.once(seeds)) for seeds in (5, 40))
    share, runs = raced(study, drawn, 0.02)
    assert early < share <= late + 0.05
    assert 5 * 5 < runs < 5 * 40
    assert row(study, 1.0, 3)[0] == "five (5)"
