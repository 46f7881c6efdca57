"""A copy of a network that is evaluated in its place: with other weights, with recomputed normalisation statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lrbench.engine.batches import augmented
from lrbench.engine.evaluation import autocast, forward
from lrbench.engine.loop import Training
from lrbench.reproducible import seed_numpy_and_python
from lrbench.streams import stream_seed
from lrbench.tasks.loader import Draws

SAMPLES = 4096
"""Train samples that normalisation statistics are computed from, at most (one batch at least)."""


def copy_with_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Copy a network with other weights, which the copy shares; it shares those that have no name there, too."""
    known: dict[int, nn.Parameter] = {}
    for name, parameter in network.named_parameters():
        known[id(parameter)] = nn.Parameter(weights.get(name, parameter).detach(), requires_grad=False)
    return deepcopy(network, known)


def copy_with_batchnorm_recomputed(network: nn.Module, training: Training) -> nn.Module:
    """Copy a network, and recompute the copy's statistics of batch normalisation on train batches.

    They are the plain mean (`torch.optim.swa_utils.update_bn`) over batches of the task's size, augmented as in
    training, of at most `SAMPLES` randomly chosen train samples. The samples and every draw follow from the run's
    seed alone. Leading units that are no longer trained keep their statistics.
    """
    network = copy_with_weights(network, {})
    task = training.task
    ahead, trained = training.trainable.split(network)
    with torch.no_grad(), autocast(task):
        # `update_bn` gives a network the first member of a batch that is a tuple.
        update_bn(((forward(task, ahead, inputs),) for inputs in _train_batches(training)), trained)
    return network


def _train_batches(training: Training) -> Iterator[Any]:
    task, seed, size = training.task, training.seed, training.task.batch_size
    generator = torch.Generator().manual_seed(stream_seed(seed, "normalisation samples"))
    order = torch.randperm(len(task.data.train), generator=generator).to(task.device)
    count = min(task.steps_per_epoch, max(1, SAMPLES // size))
    draws = [Draws(seed, "normalisation sample", range(first, first + size)) for first in range(0, count * size, size)]
    for batch, (found, _, _) in enumerate(task.data.train.batches(order.split(size)[:count], draws)):
        inputs = augmented(task, found, seed, "normalisation augmentation", batch, generator)
        drawn = stream_seed(seed, "normalisation forward", batch)
        torch.manual_seed(drawn)
        if task.draws_elsewhere:
            seed_numpy_and_python(drawn)
        yield task.data.decode(inputs)
