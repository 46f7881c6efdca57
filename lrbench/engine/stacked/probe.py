"""The number of lanes to stack, measured, since it depends on the network, the batch and the machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from lrbench.engine.loop import Training
from lrbench.engine.stacked.network import why_not_stacked
from lrbench.engine.stacked.stack import Stack
from lrbench.engine.state import State
from lrbench.reproducible import callers_generators, deterministic
from lrbench.tasks.remembered import once_per_task
from lrbench.tasks.snapshot import copied

if TYPE_CHECKING:
    from lrbench.tasks import Task

CLEARLY = 1.2
"""The factor by which stacked lanes must be faster than the serial engine."""
ALIKE = 1.05
"""Where more lanes are faster by less than this factor, fewer are taken: they need less memory."""
HOPELESS = 4
"""From this number of lanes on, no more are tried where they are slower than the serial engine."""
LANES = {"cpu": (2, 4, 8, 16, 32)}
LANES_ON_A_GPU = (2, 8, 32, 128, 512)
ROUNDS = 5
SECONDS = 0.005
"""The time of the serial engine in a round, about: at least one iteration, at most ten."""


def fastest_lanes(task: Task, at_most: int) -> int:
    """Measure how many runs of a task, at most `at_most`, are trained fastest when stacked; 1 for the serial engine.

    Both engines train some iterations, in turns, and the shortest time of each counts, so that other load on the
    machine does not decide. Lanes are stacked only where that is clearly faster. The measurement takes a fraction of a
    second for small networks and some iterations for large ones, once a task.
    """
    if at_most < 2 or why_not_stacked(task) is not None:
        return 1
    gains = _gains(task)
    best = min(lanes for lanes, gain in gains.items() if gain * ALIKE >= max(gains.values()))
    measured = max(lanes for lanes in gains if lanes <= min(best, at_most))
    return min(best, at_most) if gains[measured] >= CLEARLY else 1


@once_per_task
def _gains(task: Task) -> Mapping[int, float]:
    """Return by number of lanes how many times faster per run they are than the serial engine."""
    with callers_generators():
        torch.manual_seed(0)
        model = copied(task.network().state_dict())
        state = State(seed=0, step=0, model=model, optimizer={}, initial_loss=math.nan)
        engines = {1: _serial(task, state)}
        alone = min(_seconds(engines[1], 1) for _ in range(2))
        for lanes in LANES.get(task.device.type, LANES_ON_A_GPU):
            try:
                engine = _stacked(task, state, lanes)
                together = min(_seconds(engine, 1) for _ in range(2))
            except torch.OutOfMemoryError:
                break
            if lanes >= HOPELESS and together > alone * lanes:
                break
            engines[lanes] = engine
        iterations = min(10, max(1, int(SECONDS / alone)))
        seconds = dict.fromkeys(engines, math.inf)
        for _ in range(ROUNDS):
            for lanes, engine in engines.items():
                seconds[lanes] = min(seconds[lanes], _seconds(engine, iterations))
    return {lanes: seconds[1] * lanes / taken for lanes, taken in seconds.items()}


def _serial(task: Task, state: State) -> Callable[[int], object]:
    with deterministic():
        serial = Training(task, state, (), ())

    def train(iterations: int) -> None:
        with deterministic():
            serial.run([0.0] * iterations)

    return train


def _stacked(task: Task, state: State, lanes: int) -> Callable[[int], object]:
    stack = Stack(task, [state] * lanes)
    return lambda iterations: stack.run(range(lanes), [0] * lanes, np.zeros((iterations, lanes)))


def _seconds(train: Callable[[int], object], iterations: int) -> float:
    began = time.perf_counter()
    train(iterations)
    return time.perf_counter() - began
