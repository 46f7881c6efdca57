"""One run of the quickstart in a plain PyTorch loop: an MLP on MNIST-1D, evaluated every 50 iterations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch
from mnist1d.data import get_dataset_args, make_dataset
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from baselines.schedules import STEPS, Schedule

BATCH = 64
EVERY = 50
CURVE = 500
"""Validation samples of the evaluations before the last."""

Split = tuple[Tensor, Tensor]
Batches = Callable[[Split], Iterable[Split]]
"""One epoch over the train split in random order, without its incomplete last batch."""


class Report(Protocol):
    """Is told the accuracies of each evaluation; that on the test split is measured at the end, nan before."""

    def __call__(self, val: float, test: float) -> None: ...


@dataclass(frozen=True)
class Data:
    train: Split
    val: Split
    test: Split

    @classmethod
    def made(cls) -> Data:
        """MNIST-1D with validation and test splits of another seed, as the quickstart has it."""
        measuring = get_dataset_args()
        measuring.seed, measuring.num_samples, measuring.train_split = 43, 16_000, 0.5
        standard, measured = make_dataset(), make_dataset(measuring)
        parts = (
            (standard["x"], standard["y"]),
            (measured["x"], measured["y"]),
            (measured["x_test"], measured["y_test"]),
        )
        return cls(*((torch.from_numpy(inputs).float(), torch.from_numpy(targets)) for inputs, targets in parts))


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(40, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))


def by_loader(split: Split) -> Iterable[Split]:
    """As most people do it."""
    return DataLoader(TensorDataset(*split), batch_size=BATCH, shuffle=True, drop_last=True)


def by_index(split: Split) -> Iterator[Split]:
    """As those do it who have noticed that a DataLoader takes longer than the training of a small network."""
    inputs, targets = split
    for chosen in torch.randperm(len(inputs)).split(BATCH)[: len(inputs) // BATCH]:
        yield inputs[chosen], targets[chosen]


def train(
    data: Data, schedule: Schedule, seed: int, batches: Batches = by_loader, report: Report | None = None
) -> tuple[float, float]:
    """Train for 1,000 iterations; the accuracies on the validation and the test split at the end."""
    torch.manual_seed(seed)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    scheduler = LambdaLR(optimizer, schedule)
    curve = data.val[0][:CURVE], data.val[1][:CURVE]
    for step, (inputs, targets) in enumerate(islice(_epochs(data.train, batches), STEPS), start=1):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
        if step % EVERY == 0 and step < STEPS:
            seen = accuracy(model, curve)
            if report is not None:
                report(seen, math.nan)
    val, test = accuracy(model, data.val), accuracy(model, data.test)
    if report is not None:
        report(val, test)
    return val, test


def accuracy(model: nn.Module, split: Split) -> float:
    inputs, targets = split
    model.eval()
    with torch.inference_mode():
        correct = (model(inputs).argmax(1) == targets).float().mean()
    model.train()
    return float(correct)


def _epochs(split: Split, batches: Batches) -> Iterator[Split]:
    while True:
        yield from batches(split)
