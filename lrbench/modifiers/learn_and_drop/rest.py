"""The rest of a network, trained behind units that are frozen, whose outputs are computed once or each iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from lrbench.engine import Flops, Trainable, Training
from lrbench.engine.batches import augmented
from lrbench.engine.evaluation import in_precision
from lrbench.engine.flops import counted, counted_flops
from lrbench.modifiers.learn_and_drop.units import units_of
from lrbench.reproducible import callers_generators, seed_generators
from lrbench.streams import stream_seed
from lrbench.tasks.remembered import once_per_task

if TYPE_CHECKING:
    from lrbench.tasks import Task
    from lrbench.tasks.split import Batch

Storage = Literal["float32", "bfloat16", "none"]

BYTES = {"float32": 4, "bfloat16": 2, "none": 0}
"""Bytes of a stored number."""


@dataclass(frozen=True)
class Frozen:
    """How many leading units are out of training, and how their outputs over the train split are kept.

    Attributes:
        units: how many; 0 for none.
        storage: the type that the outputs are stored in, or "none" where they are computed anew each iteration,
            without gradients, from freshly augmented inputs.
        views: how many augmented views of each sample are stored, of which each iteration draws one; 1 without
            augmentation.
    """

    units: int = 0
    storage: Storage = "none"
    views: int = 1

    @property
    def stored(self) -> bool:
        return self.units > 0 and self.storage != "none"


class Rest(Trainable):
    """What follows the frozen units of a network, given their outputs.

    Raises:
        TaskError: the network has no units.
        ValueError: nothing would be left to train.
    """

    def __init__(
        self, task: Task, network: nn.Module, seed: int, frozen: Frozen, features: Tensor | None = None
    ) -> None:
        self.frozen = frozen
        self.features = features
        super().__init__(task, network, seed)

    @cached_property
    def flops(self) -> Flops:
        return _step_flops(self.task, self.frozen)

    def split(self, network: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
        chain, units = units_of(network), self.frozen.units
        if not 0 <= units < len(chain):
            raise ValueError(f"{units} units cannot be frozen in a network of {len(chain)}")
        return nn.Sequential(*chain[:units]).eval(), nn.Sequential(*chain[units:])

    def inputs(self, step: int, batch: Batch) -> Any:
        if not self.frozen.stored:
            with torch.no_grad():
                inputs = super().inputs(step, batch)
                if self.task.draws_elsewhere:
                    seed_generators(stream_seed(self.seed, "frozen units", step), self.task.device)
                return in_precision(self.task, self.ahead, inputs)
        if self.features is None:
            self.features = frozen_features(self.task, self.ahead, self.frozen, self.seed)
        generator = self._generator.manual_seed(stream_seed(self.seed, "stored view", step))
        views = torch.randint(self.frozen.views, (len(batch.indices),), generator=generator).to(self.task.device)
        rows = self.features.flatten(0, 1).index_select(0, views * self.features.shape[1] + batch.indices)
        return _unpacked(rows.to(_dtype(self.task, self.frozen.units)))


def freeze(training: Training, frozen: Frozen) -> None:
    """Take leading units out of training: out of the forward and the backward pass, and of the optimizer.

    Unless the storage is "none", their outputs over the train split are computed now, which `flops` counts, and
    training goes on from those. In `resume`, a modifier trains a `Rest` of the same units.

    Raises:
        TaskError: the network has no units.
        ValueError: there are fewer units than are frozen already, or all of them.
    """
    whole, task = training.trainable, training.task
    before = whole.frozen if isinstance(whole, Rest) else Frozen()
    if frozen.units < before.units:
        raise ValueError(f"{before.units} units are frozen, and {frozen.units} of them cannot be trained again")
    rest = Rest(task, training.module, training.seed, frozen)
    training.train_only(rest)
    if whole.features is not None and _extends(frozen, before):
        units = nn.Sequential(*units_of(training.module)[before.units : frozen.units])
        features, dtype = whole.features, _dtype(task, before.units)
        rest.features = _outputs(task, units, frozen, lambda view, batch: _unpacked(features[view, batch].to(dtype)))
    elif frozen.stored:
        rest.features = frozen_features(task, rest.ahead, frozen, training.seed)
    training.flops += _features_flops(task, frozen, before)


def frozen_features(task: Task, prefix: nn.Module, frozen: Frozen, seed: int) -> Tensor:
    """Compute the outputs of the frozen units (`prefix`, in eval mode) over the train split, in the storage's type.

    Batches have the task's size, since some kernels sum in another order for another one: each output has the bits
    that it would have in training. The last batch overlaps the one before. Each view of a batch is drawn from its own
    stream, so that computing it again gives the same bits.

    Returns:
        [views, samples, ...], images with their channels last.
    """
    generator = torch.Generator()

    def inputs(view: int, batch: slice) -> Tensor:
        samples = augmented(task, task.data.train.inputs[batch], seed, f"view {view}", batch.start, generator)
        if task.draws_elsewhere:
            seed_generators(stream_seed(seed, f"frozen units, view {view}", batch.start), samples.device)
        decoded: Tensor = task.data.decode(samples)
        return decoded

    return _outputs(task, prefix, frozen, inputs)


def _extends(frozen: Frozen, before: Frozen) -> bool:
    """Whether the outputs of `frozen` can be computed from those of `before`, and have the same bits as anew."""
    return before.stored and before.storage == "float32" and frozen.stored and frozen.views == before.views


def features_bytes(task: Task, frozen: Frozen) -> int:
    """Compute the memory that the stored outputs take, in bytes."""
    numbers = _measured_units(task).numbers[frozen.units - 1] if frozen.units else 0
    return BYTES[frozen.storage] * frozen.views * len(task.data.train) * numbers


class Measured(NamedTuple):
    """The units of a network: for each, the numbers of its output for a sample, their type, and its FLOPs a batch."""

    numbers: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...]
    flops: tuple[int, ...]


def _dtype(task: Task, units: int) -> torch.dtype:
    """Return the type in which the next unit gets the outputs of the frozen ones, however they are stored."""
    return _measured_units(task).dtypes[units - 1]


@once_per_task
def _measured_units(task: Task) -> Measured:
    """Measure each unit of a task's network in a forward pass."""
    numbers, dtypes, flops = [], [], []
    with callers_generators(), torch.no_grad():
        outputs = task.data.decode(task.data.train.first(task.batch_size).inputs)
        for unit in units_of(task.network().eval()):
            with counted() as counter:
                outputs = in_precision(task, unit, outputs)
            flops.append(counter.get_total_flops())
            numbers.append(outputs.shape[1:].numel())
            dtypes.append(outputs.dtype)
    return Measured(tuple(numbers), tuple(dtypes), tuple(flops))


def _feature_batches(task: Task) -> list[slice]:
    """Cut the train split into the batches that the frozen units are given."""
    samples, size = len(task.data.train), task.batch_size
    return [slice(first, first + size) for first in (*range(0, samples - size, size), samples - size)]


@once_per_task
def _step_flops(task: Task, frozen: Frozen) -> Flops:
    """Count what a training iteration costs; frozen units cost their forward pass, unless their outputs are stored."""
    with callers_generators():
        rest, batch = Rest(task, task.network(), 0, frozen), task.data.train.first(task.batch_size)
        with torch.no_grad():
            inputs = in_precision(task, rest.ahead, task.data.decode(batch.inputs))
        ahead = Flops() if frozen.stored else Flops(forward=sum(_measured_units(task).flops[: frozen.units]))
        return ahead + counted_flops(task, rest.trained, inputs, batch.targets)


def _features_flops(task: Task, frozen: Frozen, before: Frozen) -> Flops:
    """Count what the outputs of frozen units over the train split cost, where those of `before` are stored."""
    if not frozen.stored:
        return Flops()
    first = before.units if _extends(frozen, before) else 0
    batch = Flops(forward=sum(_measured_units(task).flops[first : frozen.units]))
    return batch * len(_feature_batches(task)) * frozen.views


def _outputs(task: Task, module: nn.Module, frozen: Frozen, inputs: Callable[[int, slice], Tensor]) -> Tensor:
    dtype = torch.bfloat16 if frozen.storage == "bfloat16" else torch.float32
    features = torch.empty(0)
    with torch.no_grad():
        for view in range(frozen.views):
            for batch in _feature_batches(task):
                outputs = _packed(in_precision(task, module, inputs(view, batch)))
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
