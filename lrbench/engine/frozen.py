"""Leading units of a network that are no longer trained, and their outputs, computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lrbench.engine.batches import augmented
from lrbench.engine.evaluation import forward
from lrbench.engine.state import Frozen
from lrbench.engine.units import units_of
from lrbench.reproducible import callers_generators, seed_generators
from lrbench.streams import stream_seed

if TYPE_CHECKING:
    from lrbench.tasks import Task

BYTES = {"float32": 4, "bfloat16": 2, "none": 0}
"""What a stored number takes."""


def split_network(module: nn.Module, units: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The first `units` units of a network, and the rest; together they share its parameters.

    Raises:
        TaskError: the network has no units.
        ValueError: nothing would be left to train.
    """
    chain = units_of(module)
    if not 0 <= units < len(chain):
        raise ValueError(f"{units} units cannot be frozen in a network of {len(chain)}")
    return nn.Sequential(*chain[:units]), nn.Sequential(*chain[units:])


def frozen_features(task: Task, prefix: nn.Module, frozen: Frozen, seed: int) -> Tensor:
    """The outputs of the frozen units (`prefix`, in eval mode) over the train split, in the storage's type.

    They are computed in batches of the task's size, so that each has the bits that it would have in training, for
    some kernels sum in another order for another size; the last batch overlaps the one before. With augmentation,
    view v of a batch is drawn from its own stream, so that computing them again gives the same bits.

    Returns:
        [views, samples, ...], images with their channels last.
    """
    generator = torch.Generator()

    def inputs(view: int, batch: slice) -> Tensor:
        samples = augmented(task, task.data.train.inputs[batch], seed, f"view {view}", batch.start, generator)
        if task.draws_elsewhere:
            seed_generators(stream_seed(seed, f"frozen units, view {view}", batch.start), samples.device)
        return task.data.decode(samples)

    return _outputs(task, prefix, frozen, inputs)


def extends(frozen: Frozen, before: Frozen) -> bool:
    """Whether the outputs of `frozen` can be computed from those of `before`, and have the same bits as anew."""
    return before.stored and before.storage == "float32" and frozen.stored and frozen.views == before.views


def extended_features(task: Task, units: nn.Module, frozen: Frozen, features: Tensor) -> Tensor:
    """The outputs of `units`, in eval mode, over those of the units before them: `features`, stored as float32."""
    return _outputs(task, units, frozen, lambda view, batch: _unpacked(features[view, batch]))


def stored_batch(features: Tensor, views: Tensor, indices: Tensor) -> Tensor:
    """The stored outputs of samples `indices` (int64 [n]), each in the view that `views` (int64 [n]) says; float32."""
    rows = features.flatten(0, 1).index_select(0, views * features.shape[1] + indices)
    return _unpacked(rows.float())


def features_bytes(task: Task, frozen: Frozen) -> int:
    """How much memory the stored outputs take."""
    numbers = prod(unit_shapes(task)[frozen.units - 1]) if frozen.units else 0
    return BYTES[frozen.storage] * frozen.views * len(task.data.train) * numbers


@lru_cache(maxsize=64)
def unit_shapes(task: Task) -> tuple[tuple[int, ...], ...]:
    """The shape of what each unit of a task's network puts out for one sample."""
    with callers_generators(), torch.no_grad():
        outputs, shapes = task.data.decode(task.data.train.inputs[:1]), []
        for unit in units_of(task.network().eval()):
            outputs = forward(task, unit, outputs)
            shapes.append(tuple(outputs.shape[1:]))
    return tuple(shapes)


def feature_batches(task: Task) -> list[slice]:
    """The batches in which a view of the train split is put through the frozen units."""
    samples, size = len(task.data.train), task.batch_size
    return [slice(first, first + size) for first in (*range(0, samples - size, size), samples - size)]


def _outputs(task: Task, module: nn.Module, frozen: Frozen, inputs: Callable[[int, slice], Tensor]) -> Tensor:
    dtype = torch.bfloat16 if frozen.storage == "bfloat16" else torch.float32
    features = torch.empty(0)
    with torch.no_grad():
        for view in range(frozen.views):
            for batch in feature_batches(task):
                outputs = _packed(forward(task, module, inputs(view, batch)))
                if not len(features):
                    shape = (frozen.views, len(task.data.train), *outputs.shape[1:])
                    features = torch.empty(shape, dtype=dtype, device=outputs.device)
                features[view, batch] = outputs
    return features


def _packed(outputs: Tensor) -> Tensor:
    """Channels last, as the engine's convolutions have them, so that a sample's outputs lie side by side."""
    return outputs.movedim(1, -1) if outputs.dim() == 4 else outputs


def _unpacked(outputs: Tensor) -> Tensor:
    return outputs.movedim(-1, 1) if outputs.dim() == 4 else outputs
