"""What an iteration costs on a GPU: one run beside hand-written loops, and one of K stacked runs beside both.

    python tests/benchmarks gpu --json gpu.json            about two minutes on a data-centre GPU
    python tests/benchmarks gpu --device cpu --toy         shows that everything runs

The plain loop has a DataLoader over tensors on the CPU and torch's default optimizer; the indexed loop has the data on
the device, one index a batch, channels last and a fused optimizer, in the manner of airbench. A turn of lrbench's is a
segment with all that is prepared for one, of as many iterations as take about a third of a second, at most 1,000. Its
microseconds are wall time over iterations, from an idle device to an idle device. Images and labels are random. `peak
MiB` is what a turn takes of the device's memory beside what all candidates keep between turns: data, weights and the
optimizer's state. What is measured of stacked runs is divided by their number.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from baselines.on_device import LR, MOMENTUM, PADDING, WEIGHT_DECAY, Train, Training, indexed, plain
from harness import Candidate, Comparison, Measured, Rounds, Settings, Size, alternate
from torch import nn

from lrbench.engine import advance, advance_stacked, begin
from lrbench.reproducible import threads
from lrbench.tasks import SGD, Data, Task
from lrbench.tasks.augment import HorizontalFlip, RandomCrop
from lrbench.tasks.limits import GRAPHS, Precision
from lrbench.tasks.models.cifar_resnet import resnet20
from lrbench.tasks.models.lenet import lenet

ROUNDS = {Size.FULL: 5, Size.QUICK: 3, Size.TOY: 1}
SECONDS = 0.3
LARGEST_TURN = {Size.FULL: 1000, Size.QUICK: 200, Size.TOY: 1}
LANES = {Size.FULL: (1, 4, 16, 64, 256), Size.QUICK: (1, 16, 256), Size.TOY: (1, 4)}
CALIBRATING = {Size.FULL: 10, Size.QUICK: 10, Size.TOY: 1}
"""Iterations whose time decides how many a turn has."""
MOST = 1000
ENDLESS = 10**7
EVALUATED = 100

MICROSECONDS, PEAK = "us an iteration", "peak MiB"
PLAIN = "a plain loop"
INDEXED = "a loop over indexed tensors on the device"
SERIAL = "the serial engine"


@dataclass(frozen=True)
class Network:
    """A network with the data that it is trained on."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    samples: int
    batch: int


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(40, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))


LENET = Network(lambda: lenet((1, 28, 28), 10), (1, 28, 28), 20_000, 100)
RESNET20 = Network(lambda: resnet20((3, 32, 32), 10), (3, 32, 32), 20_000, 128)
MLP = Network(mlp, (40,), 4_000, 64)

ALONE: dict[str, tuple[Network, Precision, bool]] = {
    "LeNet, float32": (LENET, "float32", False),
    "LeNet, bfloat16": (LENET, "bfloat16", False),
    "ResNet-20, float32": (RESNET20, "float32", False),
    "ResNet-20, bfloat16": (RESNET20, "bfloat16", False),
    "ResNet-20, bfloat16, augmented": (RESNET20, "bfloat16", True),
}
STACKED = {"perceptron 40-100-100-10": MLP, "LeNet": LENET}


def compare(settings: Settings) -> list[Comparison]:
    with threads(1):
        alone = (_alone(settings, name, *what) for name, what in ALONE.items())
        stacked = (_stacked(settings, name, network) for name, network in STACKED.items())
        return list(chain.from_iterable(chain(alone, stacked)))


def _alone(
    settings: Settings, name: str, network: Network, precision: Precision, augmented: bool
) -> Iterator[Comparison]:
    training = _training(settings, network, precision, augmented)
    trains = {name: _serial(_task(training)), INDEXED: indexed(training)}
    if not augmented:
        trains[PLAIN] = plain(training)
    if training.device.type == "cuda":
        trains[f"{name}, compiled, by CUDA graphs"] = _serial(_task(training).with_(compile=GRAPHS))
    rounds = _in_turns(settings, name, {called: (train, 1) for called, train in trains.items()})
    for loop in list(trains)[1:]:
        yield from _compared(rounds, name, loop)


def _stacked(settings: Settings, name: str, network: Network) -> Iterator[Comparison]:
    training = _training(settings, network)
    task = _task(training)
    trains = {SERIAL: (_serial(task), 1), INDEXED: (indexed(training), 1)}
    together = {f"{name}, {lanes} stacked, a run": (_lanes(task, lanes), lanes) for lanes in LANES[settings.size]}
    rounds = _in_turns(settings, name, {**trains, **together})
    for called in together:
        for other in trains:
            yield from _compared(rounds, called, other)


def _training(
    settings: Settings, network: Network, precision: Precision = "float32", augmented: bool = False
) -> Training:
    if settings.size is Size.TOY:
        network = replace(network, samples=100, batch=4)
    generator = torch.Generator().manual_seed(0)
    shape = (network.samples, *network.shape)
    if len(network.shape) == 3:
        inputs = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    else:
        inputs = torch.randn(shape, generator=generator)
    labels = torch.randint(0, 10, (network.samples,), generator=generator)
    device = torch.device(settings.device)
    return Training(network.make, inputs, labels, network.batch, precision, augmented, device)


def _task(training: Training) -> Task:
    """Make the same training as a task, which is not evaluated."""
    split = training.inputs, training.labels
    few = training.inputs[:EVALUATED], training.labels[:EVALUATED]
    task = Task(
        name="gpu",
        model=training.network,
        data=Data.from_arrays(split, few, few),
        optimizer=SGD(momentum=MOMENTUM, weight_decay=WEIGHT_DECAY),
        batch_size=training.batch,
        precision=training.precision,
        augment=(HorizontalFlip(), RandomCrop(PADDING)) if training.augmented else (),
        steps=ENDLESS,
        eval_every=ENDLESS,
    )
    return task.to(training.device)


def _serial(task: Task) -> Train:
    state = begin(task, 0)

    def train(iterations: int) -> None:
        nonlocal state
        state, _ = advance(task, state, np.full(iterations, LR))
        assert state.diverged_at is None

    return train


def _lanes(task: Task, lanes: int) -> Train:
    states = [begin(task, seed) for seed in range(lanes)]

    def train(iterations: int) -> None:
        nonlocal states
        states = [state for state, _ in advance_stacked(task, states, [np.full(iterations, LR)] * lanes)]
        assert all(state.diverged_at is None for state in states)

    return train


def _in_turns(settings: Settings, name: str, trains: dict[str, tuple[Train, int]]) -> Rounds:
    """Let each train in its turn; what it measures is divided by the runs that it trains at once."""
    print(f" {name}", file=sys.stderr)
    device = torch.device(settings.device)
    candidates = {called: _candidate(settings.size, device, *what) for called, what in trains.items()}
    return alternate(candidates, settings.rounds_or(ROUNDS))


def _candidate(size: Size, device: torch.device, train: Train, runs: int) -> Candidate:
    few = CALIBRATING[size]
    train(few)
    further = _timed(train, 2 * few, device) - _timed(train, few, device)
    iterations = min(LARGEST_TURN[size], max(few, round(SECONDS * few / max(further, 1e-6))))

    def measure() -> Measured:
        before = 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        took = _timed(train, iterations, device)
        measured = {MICROSECONDS: 1e6 * took / iterations / runs, "iterations": iterations}
        if device.type == "cuda":
            measured[PEAK] = (torch.cuda.max_memory_allocated(device) - before) / 2**20 / runs
        return measured

    return measure


def _timed(train: Train, iterations: int, device: torch.device) -> float:
    """The wall seconds of some iterations, from an idle device to an idle device."""
    _wait(device)
    began = time.perf_counter()
    train(iterations)
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _compared(rounds: Rounds, ours: str, theirs: str) -> Iterator[Comparison]:
    for measure in (MICROSECONDS, PEAK):
        if measure in rounds[ours][0]:
            yield rounds.compare(ours, theirs, measure)
