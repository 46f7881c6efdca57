"""What a run costs of K that are trained as one computation, beside the same run trained by the serial engine.

Both engines take turns in this process over the same iterations with their evaluations, in one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from harness import Candidate, Comparison, Measured, Settings, Size, alternate, timed

if TYPE_CHECKING:
    from lrbench.tasks import Task

ROUNDS = {Size.FULL: 5, Size.QUICK: 3, Size.TOY: 1}
LANES = (1, 8, 32, 128)
LR = 0.01


@dataclass(frozen=True)
class TrainingSummary:
    """A task, and how many iterations of it are a round."""

    make: Callable[[], Task]
    iterations: int


def mlp(*hidden: int) -> Task:
    from lrbench.tasks import load_task

    return load_task("mnist1d-mlp", model={"kind": "mlp", "hidden": list(hidden)})


def conv1d() -> Task:
    from lrbench.tasks import load_task

    return load_task("mnist1d-conv", eval_every=50)


def lenet() -> Task:
    """Caffe's LeNet as the task mnist-lenet trains it, on noise for images; iterations without an evaluation."""
    import torch

    from lrbench.tasks import Data, Task
    from lrbench.tasks.models.lenet import lenet as network

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1000, 1, 28, 28), dtype=torch.uint8, generator=generator)
    split = images, torch.arange(1000) % 10
    return Task(
        name="lenet",
        model=lambda: network((1, 28, 28), 10),
        data=Data.from_arrays(split, split, split),
        batch_size=100,
        steps=500,
        eval_every=500,
    )


TASKS = {
    "mlp 100-100": TrainingSummary(lambda: mlp(100, 100), 100),
    "mlp 32-32": TrainingSummary(lambda: mlp(32, 32), 100),
    "conv1d": TrainingSummary(conv1d, 50),
    "lenet": TrainingSummary(lenet, 2),
}
TOY = {"mlp 32-32": TrainingSummary(lambda: mlp(32, 32), 10)}


def compare(settings: Settings) -> list[Comparison]:
    from lrbench.reproducible import threads

    tasks, lanes = (TOY, LANES[:2]) if settings.size is Size.TOY else (TASKS, LANES)
    rounds = settings.rounds_or(ROUNDS)
    with threads(1):
        return list(chain.from_iterable(_compared(name, trained, lanes, rounds) for name, trained in tasks.items()))


def _compared(name: str, trained: TrainingSummary, lanes: tuple[int, ...], rounds: int) -> list[Comparison]:
    import numpy as np

    from lrbench.engine import advance, advance_stacked, begin

    task = trained.make()
    states = [begin(task, seed) for seed in range(max(lanes))]
    lrs = np.full(trained.iterations, LR)

    def serial() -> Measured:
        return {"seconds": timed(lambda: advance(task, states[0], lrs))}

    def stacked(count: int) -> Candidate:
        return lambda: {"seconds": timed(lambda: advance_stacked(task, states[:count], [lrs] * count)) / count}

    print(f" {name}", file=sys.stderr)
    alone = "the serial engine, a run"
    together = {f"{name}, {count} stacked, a run": stacked(count) for count in lanes}
    measured = alternate({alone: serial, **together}, rounds, warm_up=True)
    return [measured.compare(called, alone) for called in together]
