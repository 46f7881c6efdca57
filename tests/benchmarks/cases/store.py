"""What a run costs in stores of 1,000, 10,000 and 100,000 runs: the same, where nothing grows faster than the runs.

The runs are made up: policies of known quality on common seeds, with noise, read as the accuracy over 1,000 samples.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import numpy as np
from harness import Candidate, Comparison, Settings, Size, alternate, timed

from lrbench.store import (
    NewRun,
    PolicyRecord,
    Score,
    Segment,
    Store,
    StudyRecord,
    StudySlot,
    TaskRecord,
    open_store,
)
from lrbench.study.export import export
from lrbench.study.results import finalists, results

RUNS = {Size.FULL: (1_000, 10_000, 100_000), Size.QUICK: (1_000, 10_000), Size.TOY: (100, 200)}
ROUNDS = {Size.FULL: 3, Size.QUICK: 3, Size.TOY: 1}
QUESTIONS: dict[str, Callable[[Store], object]] = {
    "statuses": lambda store: store.statuses(),
    "study_runs": lambda store: store.study_runs("generated"),
    "finalists": lambda store: finalists("generated", store),
    "results": lambda store: results("generated", store),
    "export": lambda store: export("generated", store),
}
SEEDS = 50
EVALUATIONS = 20
STEPS = 2000
SAMPLES = 1000
RUNS_A_TRANSACTION = 1000

PROVENANCE = {"lrbench": "1.0", "commit": "0" * 12, "torch": "2.9", "engine": "serial", "device": "cpu"}


def compare(settings: Settings) -> list[Comparison]:
    sizes, rounds = RUNS[settings.size], settings.rounds_or(ROUNDS)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as open_stores:
        places = (Path(folder) / f"{number}.db" for number in count())
        stores = {runs: open_stores.enter_context(open_store(next(places))) for runs in sizes}

        def writing(runs: int) -> Candidate:
            return lambda: {"seconds": _seconds_of_writing(runs, next(places)) / runs}

        def asking(runs: int, question: Callable[[Store], object]) -> Candidate:
            return lambda: {"seconds": timed(lambda: question(stores[runs])) / runs}

        for runs, store in stores.items():
            fill(store, runs // SEEDS)
        compared = _compared("writing", {runs: writing(runs) for runs in sizes}, rounds)
        for name, question in QUESTIONS.items():
            question(stores[sizes[0]])
            compared += _compared(name, {runs: asking(runs, question) for runs in sizes}, rounds)
    return compared


def _compared(operation: str, candidates: dict[int, Candidate], rounds: int) -> list[Comparison]:
    print(f" {operation}", file=sys.stderr)
    names = {runs: f"{operation} at {runs:,} runs, a run" for runs in candidates}
    measured = alternate({names[runs]: candidate for runs, candidate in candidates.items()}, rounds)
    fewest, *more = names.values()
    return [measured.compare(name, fewest) for name in more]


def _seconds_of_writing(runs: int, place: Path) -> float:
    with open_store(place) as store:
        return timed(lambda: fill(store, runs // SEEDS))


def fill(store: Store, policies: int, *, seeds: int = SEEDS, number: int = 0) -> None:
    """Give a store a study, `generated` by its first number: a twentieth of the policies within .01 of the best."""
    draw = np.random.default_rng(0)
    quality = 0.9 - np.abs(draw.normal(0, 0.1, policies))
    scores = quality[:, None] + draw.normal(0, 0.01, seeds) + draw.normal(0, 0.01, (policies, seeds))
    runs = {
        f"{number:08x}{policy:08x}{seed:016x}": (policy, seed, round(float(scores[policy, seed]) * SAMPLES) / SAMPLES)
        for seed in range(seeds)
        for policy in range(policies)
    }
    names = [f"FIX(k0={policy + 1}e-6)" for policy in range(policies)]
    slots = [StudySlot("task", "main", names[policy], "", 1.0, seed, key) for key, (policy, seed, _) in runs.items()]
    task = TaskRecord(
        name="task",
        key="task-key",
        steps=STEPS,
        steps_per_epoch=100,
        eval_every=STEPS // EVALUATIONS,
        objective="top1",
        chance=0.1,
        test_samples=SAMPLES,
        val_samples=SAMPLES,
    )
    entries = tuple(PolicyRecord(name=name, policy=name) for name in names)
    record = StudyRecord(target=0.8, base_lr_scales=(1.0,), seeds=tuple(range(seeds)), policies=entries, tasks=(task,))
    store.save_study(f"generated{number or ''}", record, slots)
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
