"""The samples of each step, as a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lrbench.reproducible import seed_generators
from lrbench.streams import stream_seed

if TYPE_CHECKING:
    from lrbench.tasks import Task


def batch_order(seed: int, epoch: int, samples: int) -> Tensor:
    """Draw the order in which an epoch visits the train split: a permutation of 0..samples-1, int64, on the CPU."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "batch order", epoch))
    return torch.randperm(samples, generator=generator)


def batch_indices(task: Task, seed: int, start: int, stop: int) -> Tensor:
    """Draw the sample indices of the batches of iterations `start` to `stop - 1`: int64 [n, batch size], on the CPU.

    An epoch is `task.steps_per_epoch` batches of one permutation. The samples that fill no batch are left out, others
    in each epoch.
    """
    size, per_epoch = task.batch_size, task.steps_per_epoch
    pieces = []
    for epoch in range(start // per_epoch, (stop - 1) // per_epoch + 1):
        order = batch_order(seed, epoch, len(task.data.train))[: per_epoch * size].view(per_epoch, size)
        pieces.append(order[max(0, start - epoch * per_epoch) : stop - epoch * per_epoch])
    return torch.cat(pieces)


def in_micro_batches(task: Task, inputs: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut a batch into those that go through the network at once; the last may be smaller."""
    size = task.micro_batch or len(targets)
    return zip(inputs.split(size), targets.split(size), strict=True)


def augmented(task: Task, inputs: Tensor, seed: int, stream: str, index: int, generator: torch.Generator) -> Tensor:
    """Augment train inputs that are not decoded, by the draws of `stream` at `index`.

    An augmentation draws from the generator that it is given, or from the global ones: each is seeded, the global ones
    only where they may be used.
    """
    if not task.augment:
        return inputs
    generator.manual_seed(stream_seed(seed, stream, index))
    if task.augments_elsewhere:
        seed_generators(stream_seed(seed, f"{stream}, global generators", index), inputs.device)
    for augment in task.augment:
        inputs = augment(inputs, generator)
    return inputs


def train_batch(task: Task, seed: int, step: int, indices: Tensor, generator: torch.Generator) -> Tensor:
    """Return the train inputs at `indices` as iteration `step` has them: augmented, not decoded."""
    return augmented(task, task.data.train.inputs[indices], seed, "augmentation", step, generator)
