"""Leading units of a network that are no longer trained, and their outputs, computed once."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lrbench.engine.evaluation import BATCH, forward
from lrbench.engine.state import Flops, Frozen
from lrbench.engine.units import units_of
from lrbench.streams import stream_seed

if TYPE_CHECKING:
    from lrbench.tasks import Task


def split_network(module: nn.Module, units: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The first `units` units of a network, and the rest; together they share its parameters."""
    chain = units_of(module)
    return nn.Sequential(*chain[:units]), nn.Sequential(*chain[units:])


def frozen_features(task: Task, prefix: nn.Module, frozen: Frozen, seed: int) -> Tensor:
    """The prefix's outputs over the train split, in eval mode: [views, samples, ...], in the storage's type.

    With augmentation, view v of a batch is drawn from its own stream, so that rebuilding gives the same bits.
    """
    train = task.data.train
    dtype = torch.bfloat16 if frozen.storage == "bfloat16" else torch.float32
    generator = torch.Generator()
    views = []
    with torch.no_grad():
        for view in range(frozen.views):
            outputs = []
            for first in range(0, len(train), BATCH):
                inputs = train.inputs[first : first + BATCH]
                if task.augment:
                    generator.manual_seed(stream_seed(seed, f"view {view}", first))
                    for augment in task.augment:
                        inputs = augment(inputs, generator)
                outputs.append(forward(task, prefix, task.data.decode(inputs)).to(dtype))
            views.append(torch.cat(outputs))
    return torch.stack(views)


def features_bytes(task: Task, frozen: Frozen) -> int:
    """How much memory the stored outputs take."""
    width = {"float32": 4, "bfloat16": 2, "none": 0}[frozen.storage]
    return width * frozen.views * len(task.data.train) * prod(_prefix_shape(task, frozen.units))


def features_flops(task: Task, frozen: Frozen) -> Flops:
    """What computing the stored outputs costs."""
    return _prefix_flops(task, frozen.units) * (len(task.data.train) * frozen.views if frozen.stored else 0)


@lru_cache(maxsize=64)
def _prefix_flops(task: Task, units: int) -> Flops:
    """What one sample costs in the first units."""
    with torch.random.fork_rng(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        _prefix_output(task, units)
        return Flops(forward=counter.get_total_flops())


@lru_cache(maxsize=64)
def _prefix_shape(task: Task, units: int) -> tuple[int, ...]:
    with torch.random.fork_rng(), torch.no_grad():
        return tuple(_prefix_output(task, units).shape[1:])


def _prefix_output(task: Task, units: int) -> Tensor:
    prefix, _ = split_network(task.model().to(task.device).eval(), units)
    return forward(task, prefix, task.data.decode(task.data.train.inputs[:1]))
