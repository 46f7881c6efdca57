"""The quickstart's 85 runs as a user has them: from a fresh process, with nothing stored, to the ranking.

The baselines train the same 85 runs and end with an accuracy for each. All are timed from outside, imports and the
making of MNIST-1D included. Smaller benchmarks let the baselines train a random sample of the runs, another one each
round. The time from the end of the second run to that of the last is scaled; what comes before, imports and all that a
library does once, is counted once.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from statistics import mean

from baselines.answer import FIRST
from baselines.schedules import SCHEDULES
from harness import (
    ROOT,
    Candidate,
    Comparison,
    Measured,
    Settings,
    Size,
    alternate,
    answer_of,
    environment,
    finished,
    timed,
)

RUNS = list(product(SCHEDULES, range(5)))
SAMPLED = {Size.FULL: len(RUNS), Size.QUICK: 10, Size.TOY: 4}
ROUNDS = {Size.FULL: 3, Size.QUICK: 3, Size.TOY: 1}
OURS = "lrbench run studies/quickstart.toml"

Sample = Sequence[tuple[str, int]]


def compare(settings: Settings) -> list[Comparison]:
    number, rounds = SAMPLED[settings.size], settings.rounds_or(ROUNDS)
    samples = [random.Random(place).sample(RUNS, number) for place in range(rounds)]

    def baseline(module: str, *arguments: str, threads: int | None = None) -> Candidate:
        left = iter(samples)
        return lambda: _scaled(module, next(left), arguments, threads)

    optuna = "baselines.optuna_loop"
    candidates = {
        OURS: _ours,
        "Optuna, plain loop, one thread": baseline(optuna, threads=1),
        "Optuna, plain loop, torch's own threads": baseline(optuna),
        "Optuna, plain loop, n_jobs=2, one thread each": baseline(optuna, "--jobs=2", threads=1),
        "Optuna, plain loop, n_jobs=2, torch's own threads": baseline(optuna, "--jobs=2"),
        "Optuna, loop over indexed tensors, one thread": baseline(optuna, "--batches=index", threads=1),
        "Ray Tune, plain loop, 2 trials at once": baseline("baselines.ray_tune"),
        "Lightning, one thread": baseline("baselines.lightning_trainer", threads=1),
        "Lightning, torch's own threads": baseline("baselines.lightning_trainer"),
    }
    measured = alternate(candidates, rounds)
    note = "" if number == len(RUNS) else f"a random {number} of the {len(RUNS)} runs a round, scaled"
    return [measured.compare(OURS, name, note=note) for name in candidates if name != OURS]


def _ours() -> Measured:
    """All runs, with a store and a cache of their own; their accuracies are read once the clock stands."""
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, "-m", "lrbench", "run", "studies/quickstart.toml", "--store", f"{folder}/lrbench.db"]
        env = environment(LRBENCH_CACHE=f"{folder}/cache")
        seconds = timed(lambda: finished(run, ROOT, env))
        ranking = json.loads(finished([*run, "--json"], ROOT, env))
    assert ranking["runs"]["cached"] == len(RUNS), "the ranking is not of all runs"
    accuracies = [policy["metrics"]["test_top1"]["mean"] for policy in ranking["policies"]]
    return {"seconds": seconds, "accuracy": mean(accuracies)}


def _scaled(module: str, sample: Sample, arguments: Sequence[str], threads: int | None) -> Measured:
    """What all runs take: the seconds themselves where the sample is all of them."""
    answers: list[dict[str, float]] = []
    seconds = timed(lambda: answers.append(answer_of(module, json.dumps(sample), *arguments, threads=threads)))
    (said,) = answers
    once, run = seconds - said["further"], said["further"] / (len(sample) - FIRST)
    return {"seconds": once + run * (len(RUNS) - FIRST), "once": once, "a run": run, "accuracy": said["accuracy"]}
