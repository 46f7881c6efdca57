"""The samples of each step, as a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrbench.reproducible import seed_generators
from lrbench.streams import stream_seed
from lrbench.tasks.loader import Draws
from lrbench.tasks.nested import mapped

if TYPE_CHECKING:
    from lrbench.tasks import Task
    from lrbench.tasks.split import Batch


def batch_order(seed: int, epoch: int, samples: int, weights: Tensor | None = None) -> Tensor:
    """Draw the order in which an epoch visits the train split: a permutation of 0..samples-1, int64, on the CPU.

    With weights [samples], samples are drawn with replacement, in proportion to them.
    """
    generator = torch.Generator().manual_seed(stream_seed(seed, "batch order", epoch))
    if weights is None:
        return torch.randperm(samples, generator=generator)
    shares = weights.cumsum(0)
    drawn = torch.rand(samples, dtype=torch.float64, generator=generator) * shares[-1]
    return torch.searchsorted(shares, drawn, right=True).clamp_(max=int(weights.nonzero()[-1]))


def batch_indices(task: Task, seed: int, start: int, stop: int) -> Tensor:
    """Draw the sample indices of the batches of iterations `start` to `stop - 1`: int64 [n, batch size], on the CPU.

    An epoch is `task.steps_per_epoch` batches of one permutation. The samples that fill no batch are left out, others
    in each epoch.
    """
    size, per_epoch = task.batch_size, task.steps_per_epoch
    pieces = []
    for epoch in range(start // per_epoch, (stop - 1) // per_epoch + 1):
        order = batch_order(seed, epoch, len(task.data.train), task.data.sample_weights)[: per_epoch * size].view(
            per_epoch, size
        )
        pieces.append(order[max(0, start - epoch * per_epoch) : stop - epoch * per_epoch])
    return torch.cat(pieces)


def in_micro_batches(task: Task, inputs: Any, targets: Any) -> Iterator[tuple[Any, Any, float]]:
    """Cut a batch into those that go through the network at once, each with its share; the last may be smaller."""
    whole = task.batch_size
    size = task.micro_batch or whole
    for first in range(0, whole, size):
        part = slice(first, min(first + size, whole))
        cut = [
            mapped(lambda tensor, part=part: tensor[part] if tensor.ndim else tensor, each)
            for each in (inputs, targets)
        ]
        yield cut[0], cut[1], (part.stop - first) / whole


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


def mixed(task: Task, seed: int, step: int, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mix a decoded batch by one of the task's mixtures, its class labels as probabilities."""
    seed_generators(stream_seed(seed, "mixture", step), inputs.device)
    mixture = task.mix[int(torch.randint(len(task.mix), ()))]
    return mixture(inputs, task.as_probabilities(targets))


def train_batches(task: Task, seed: int, start: int, stop: int) -> Iterator[Batch]:
    """Yield the batches of iterations `start` to `stop - 1`, neither augmented nor decoded.

    What samples of datasets draw follows from the seed, the epoch and their place in its order.
    """
    size, per_epoch = task.batch_size, task.steps_per_epoch

    def draws() -> Iterator[Draws]:
        for step in range(start, stop):
            first = step % per_epoch * size
            yield Draws(seed, f"sample, epoch {step // per_epoch}", range(first, first + size))

    return task.data.train.batches(batch_indices(task, seed, start, stop).to(task.device), draws())


def train_inputs(task: Task, seed: int, step: int, inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Return train inputs as iteration `step` has them: augmented, not decoded."""
    return augmented(task, inputs, seed, "augmentation", step, generator)
