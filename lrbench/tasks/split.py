"""Splits of data: in memory, or loaded from a dataset a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from lrbench.errors import DataError
from lrbench.tasks.loader import Draws, Loader, Request
from lrbench.tasks.mapped_arrays import MappedArrays
from lrbench.tasks.nested import moved


class Batch(NamedTuple):
    """Samples of a split: what the model is given, what the loss and scores compare its outputs with, and which."""

    inputs: Any
    targets: Any
    indices: Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs, uint8, int64 or float32 [N, ...], and targets: labels int64 [N], or others, int64 or float32 [N, ...]."""

    in_memory: ClassVar[bool] = True

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def device(self) -> torch.device:
        return self.inputs.device

    def to(self, device: torch.device | str) -> Split:
        return Split(self.inputs.to(device), self.targets.to(device))

    def take(self, indices: Tensor) -> Split:
        """Return the samples at `indices` (int64 [n]), in their order."""
        return Split(self.inputs[indices], self.targets[indices])

    def evenly(self, samples: int) -> Split:
        """Return at most `samples` samples, evenly picked from the first to the last."""
        if len(self) <= samples:
            return self
        picked = torch.linspace(0, len(self) - 1, samples, dtype=torch.float64).round().long()
        return self.take(picked.to(self.device))

    def batches(self, order: Iterable[Tensor], draws: Iterable[Draws]) -> Iterator[Batch]:
        """Yield the batches of training that `order` names, each with the samples' random draws."""
        for indices in order:
            yield Batch(self.inputs[indices], self.targets[indices], indices)

    def evaluated(self, size: int) -> Iterator[Batch]:
        """Yield the whole split in its order, `size` samples a batch, as evaluations see it."""
        for first in range(0, len(self), size):
            stop = min(first + size, len(self))
            yield Batch(self.inputs[first:stop], self.targets[first:stop], torch.arange(first, stop))

    def chunks(self) -> Iterator[Tensor]:
        """Yield the inputs, a part at a time; nothing where they are in no array."""
        yield self.inputs

    def first(self, samples: int) -> Batch:
        """Return the first samples as a batch; fewer where there are not so many."""
        return next(self.evaluated(samples))


class BatchwiseSplit(Split):
    """A split whose samples are in no tensor: batches are made when they are asked for."""

    in_memory = False

    _device: torch.device

    @property
    def inputs(self) -> Tensor:
        raise DataError("the inputs of this data are loaded a batch at a time, and are in no tensor")

    @property
    def targets(self) -> Tensor:
        raise DataError("the targets of this data are loaded a batch at a time, and are in no tensor")

    @property
    def device(self) -> torch.device:
        return self._device


class LoadedSplit(BatchwiseSplit):
    """A split whose samples a dataset gives, one by one.

    Attributes:
        loader: loads the batches.
        part, evaluated_part: the names of its dataset in training and in evaluations, which may transform otherwise.
        rows: the dataset's indices of the split's samples, int64 [N].
    """

    loader: Loader
    part: str
    evaluated_part: str
    rows: Tensor

    def __init__(
        self, loader: Loader, part: str, evaluated_part: str, rows: Tensor, device: torch.device | str = "cpu"
    ) -> None:
        held = {"loader": loader, "part": part, "evaluated_part": evaluated_part, "rows": rows}
        vars(self).update(held, _device=torch.device(device))

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> LoadedSplit:
        return LoadedSplit(self.loader, self.part, self.evaluated_part, self.rows, device)

    def take(self, indices: Tensor) -> LoadedSplit:
        rows = self.rows[indices.cpu()]
        return LoadedSplit(self.loader, self.part, self.evaluated_part, rows, self._device)

    def batches(self, order: Iterable[Tensor], draws: Iterable[Draws]) -> Iterator[Batch]:
        kept = [indices.cpu() for indices in order]
        requests = (Request(self.part, self.rows[one].tolist(), each) for one, each in zip(kept, draws, strict=True))
        loaded = self.loader.batches(requests, pinned=self._device.type == "cuda")
        for batch, indices in zip(loaded, kept, strict=True):
            yield self._batch(batch, indices)

    def evaluated(self, size: int) -> Iterator[Batch]:
        kept = torch.arange(len(self)).split(size)
        loaded = self.loader.batches(map(self._request, kept), pinned=self._device.type == "cuda")
        for batch, indices in zip(loaded, kept, strict=True):
            yield self._batch(batch, indices)

    def chunks(self) -> Iterator[Tensor]:
        dataset = self.loader.samples.datasets[self.part]
        return dataset.chunks(self.rows) if isinstance(dataset, MappedArrays) else iter(())

    def first(self, samples: int) -> Batch:
        rows: list[int] = self.rows[:samples].tolist()
        loaded = self.loader.batch(Request(self.part, rows, Draws(0, "first samples", rows)))
        return self._batch(loaded, torch.arange(len(rows)))

    def _request(self, indices: Tensor) -> Request:
        """Return the request of samples as evaluations see them, whose draws are those of the sample."""
        rows: list[int] = self.rows[indices].tolist()
        return Request(self.evaluated_part, rows, Draws(0, "evaluated sample", rows))

    def _batch(self, loaded: Any, indices: Tensor) -> Batch:
        """Make the batch of what is loaded; what is no pair of inputs and targets is both."""
        found = moved(loaded, self._device)
        inputs, targets = found if isinstance(found, list | tuple) and len(found) == 2 else (found, found)
        return Batch(inputs, targets, indices)
