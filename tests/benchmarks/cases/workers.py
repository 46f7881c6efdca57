"""Six policies that share nothing, trained on MNIST with LeNet by two worker processes and by one, this process.

A worker process has to import torch before it can train, once however long the study is. So the ratio is told twice:
of the whole run, and of what follows once all workers have said that they are ready.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from harness import Candidate, Comparison, Settings, Size, alternate, answer_of

if TYPE_CHECKING:
    from lrbench.training.messages import Message, Order, Setup
    from lrbench.training.pools import Pool
    from lrbench.training.workers import Workers

POLICIES = 6
STEPS = {Size.FULL: 200, Size.QUICK: 60, Size.TOY: 2}
ROUNDS = {Size.FULL: 5, Size.QUICK: 3, Size.TOY: 1}
ONE = "one process"
TWO = "two worker processes"
PATIENCE = 600.0


def compare(settings: Settings) -> list[Comparison]:
    steps = STEPS[settings.size]

    def candidate(workers: int) -> Candidate:
        return lambda: answer_of("cases.workers", str(workers), str(steps), str(settings.data_root), threads=1)

    rounds = alternate({ONE: candidate(1), TWO: candidate(2)}, settings.rounds_or(ROUNDS))
    note = f"{POLICIES} runs of LeNet, {steps} iterations each"
    return [rounds.compare(TWO, ONE, measure, note) for measure in ("seconds", "seconds once ready")]


def main(workers: int, steps: int, data_root: Path) -> None:
    from lrbench.policy import FIX
    from lrbench.store import open_store
    from lrbench.study.study import Study, StudyPolicy
    from lrbench.tasks import load_task
    from lrbench.training.runner import run

    task = load_task("mnist-lenet", data_root=data_root, steps=steps, eval_every=steps)
    rates = [FIX(k0=0.01 / (1 + place)) for place in range(POLICIES)]
    policies = tuple(StudyPolicy(str(policy), policy) for policy in rates)
    study = Study(name="workers", tasks=(task,), policies=policies, seeds=(0,))
    ready: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(Path(folder) / "lrbench.db") as store,
        patch("lrbench.training.runner.open_pool", lambda *how, **more: _ready_pool(ready, *how, **more)),
    ):
        began = time.perf_counter()
        run(study, store, device="cpu", workers=workers, engine="serial")
        ended = time.perf_counter()
    print(json.dumps({"seconds": ended - began, "seconds once ready": ended - ready[0]}))


@contextmanager
def _ready_pool(
    ready: list[float], workers: Workers, setup: Setup, is_stopping: Callable[[], bool], *, gpus_per_worker: float
) -> Iterator[Pool]:
    """The pool that was asked for, once all of its workers are ready, and note when that was."""
    from lrbench.training.pools import open_pool

    with open_pool(workers, setup, is_stopping, gpus_per_worker=gpus_per_worker) as pool:
        heard = [pool.receive(PATIENCE) for _ in range(pool.size)]
        ready.append(time.perf_counter())
        yield HeardOf(pool, heard)


class HeardOf:
    """A pool whose first messages were listened to before; they are told again."""

    def __init__(self, pool: Pool, heard: list[tuple[int, Message] | None]) -> None:
        self.size = pool.size
        self._pool = pool
        self._heard = heard

    def give(self, worker: int, order: Order) -> None:
        self._pool.give(worker, order)

    def receive(self, timeout: float) -> tuple[int, Message] | None:
        return self._heard.pop(0) if self._heard else self._pool.receive(timeout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
