"""What K runs trained as one computation cost a run, beside the same run trained by itself.

Both engines take turns over the same iterations with their evaluations, in one thread; `extra_info` has the medians
and their ratio: how many times faster a run is when stacked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from lrbench.engine import advance, advance_stacked, begin
from lrbench.tasks import Data, Task, load_task
from lrbench.tasks.models.lenet import lenet

ROUNDS = 5
LR = 0.01


def lenet_task() -> Task:
    """Caffe's LeNet as the task mnist-lenet trains it, on noise for images; iterations without an evaluation."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1000, 1, 28, 28), dtype=torch.uint8, generator=generator)
    split = images, torch.arange(1000) % 10
    return Task(
        name="lenet",
        model=lambda: lenet((1, 28, 28), 10),
        data=Data.from_arrays(split, split, split),
        batch_size=100,
        steps=500,
        eval_every=500,
    )


TASKS: dict[str, tuple[Callable[[], Task], int]] = {
    "mlp-100-100": (lambda: load_task("mnist1d-mlp"), 100),
    "mlp-32-32": (lambda: load_task("mnist1d-mlp", model={"kind": "mlp", "hidden": [32, 32]}), 100),
    "conv1d": (lambda: load_task("mnist1d-conv", eval_every=50), 50),
    "lenet": (lenet_task, 2),
}
"""Each with the iterations of a round."""


@pytest.mark.parametrize("lanes", [1, 8, 32, 128])
@pytest.mark.parametrize("name", TASKS)
def test_stacked_lanes_against_the_serial_engine(benchmark: BenchmarkFixture, name: str, lanes: int) -> None:
    make, iterations = TASKS[name]
    task = make()
    states = [begin(task, seed) for seed in range(lanes)]
    lrs = np.full(iterations, LR)
    alone: list[float] = []
    together: list[float] = []

    def serial() -> None:
        alone.append(_seconds(lambda: advance(task, states[0], lrs)))

    def stacked() -> None:
        together.append(_seconds(lambda: advance_stacked(task, states, [lrs] * lanes)))

    benchmark.pedantic(stacked, setup=serial, rounds=ROUNDS, warmup_rounds=1)
    serial_step, stacked_step = median(alone) / iterations, median(together) / iterations / lanes
    benchmark.extra_info.update(
        task=name,
        lanes=lanes,
        serial_seconds_a_step=serial_step,
        stacked_seconds_a_step_and_lane=stacked_step,
        ratio=serial_step / stacked_step,
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
