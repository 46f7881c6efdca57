"""What a store costs with 1,000, 10,000 and 100,000 runs: each figure should grow with the runs and no faster.

The runs are made up: policies of known quality on common seeds, with noise, read as the accuracy over 1,000 samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from lrbench.study.export import export
from lrbench.study.results import finalists, results
from lrbench.study.store import Member, NewRun, Score, Segment, Store, open_store

SEEDS = 50
EVALUATIONS = 20
STEPS = 2000
SAMPLES = 1000
RUNS_A_TRANSACTION = 1000

PROVENANCE = {"lrbench": "1.0", "commit": "0" * 12, "torch": "2.9", "engine": "serial", "device": "cpu"}


def fill(store: Store, policies: int) -> None:
    """Give a store the study `generated`: a twentieth of the policies within .01 of the best, the rest below it."""
    draw = np.random.default_rng(0)
    quality = 0.9 - np.abs(draw.normal(0, 0.1, policies))
    scores = quality[:, None] + draw.normal(0, 0.01, SEEDS) + draw.normal(0, 0.01, (policies, SEEDS))
    runs = {
        f"{policy:016x}{seed:016x}": (policy, seed, round(float(scores[policy, seed]) * SAMPLES) / SAMPLES)
        for seed in range(SEEDS)
        for policy in range(policies)
    }
    names = [f"FIX(k0={policy + 1}e-6)" for policy in range(policies)]
    members = [Member("task", "main", names[policy], "", 1.0, seed, key) for key, (policy, seed, _) in runs.items()]
    task = {"name": "task", "objective": "top1", "chance": 0.1, "steps": STEPS, "steps_per_epoch": 100}
    task |= {"val_samples": SAMPLES, "test_samples": SAMPLES}
    definition = {
        "margin": 0.01,
        "target": 0.8,
        "base_lr_scales": [1.0],
        "entries": [{"name": name, "policy": name} for name in names],
        "treatments": [""],
        "tasks": [task],
    }
    store.save_study("generated", definition, members)
    keys = list(runs)
    with store.lease() as lease:
        for start in range(0, len(keys), RUNS_A_TRANSACTION):
            some = keys[start : start + RUNS_A_TRANSACTION]
            lease.claim(some)
            lease.begin(
                NewRun(key, "task", "task-key", names[runs[key][0]], "", runs[key][1], STEPS, PROVENANCE)
                for key in some
            )
            lease.append({key: _whole_run(runs[key][2]) for key in some})


def _whole_run(score: float) -> Segment:
    steps = range(STEPS // EVALUATIONS, STEPS + 1, STEPS // EVALUATIONS)
    curve = [score * (1 - 0.5 ** (8 * step / STEPS)) for step in steps[:-1]] + [score]
    scores = tuple(Score(step, 1 - at, 1 - at, at, 1 - at, at) for step, at in zip(steps, curve, strict=True))
    names = ("val_top1", "test_top1", "test_top5", "test_loss", "ac", "cv", "cdac", "ece", "brier", "loss_difference")
    return Segment(STEPS, 1.0, 10**12, scores, "finished", final=dict.fromkeys(names, score))


@pytest.fixture(scope="module", params=[1_000, 10_000, 100_000], ids="{}-runs".format)
def runs(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def store(runs: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("store") / "generated.db") as store:
        fill(store, runs // SEEDS)
        yield store


def test_writing(runs: int, tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    with open_store(tmp_path / "generated.db") as store:
        benchmark.pedantic(fill, args=(store, runs // SEEDS), rounds=1)
        assert len(store.statuses()) == runs


@pytest.mark.parametrize(
    "question",
    [
        lambda store: store.statuses(),
        lambda store: store.study_runs("generated"),
        lambda store: finalists("generated", store),
        lambda store: results("generated", store),
        lambda store: export("generated", store),
    ],
    ids=["statuses", "study_runs", "finalists", "results", "export"],
)
def test_reading(store: Store, question: Callable[[Store], object], benchmark: BenchmarkFixture) -> None:
    benchmark.pedantic(question, args=(store,), rounds=3)
