"""Arrays of users as tensors: their types, their classes and the statistics of images."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrbench.errors import DataError
from lrbench.tasks.nested import mapped, shapes
from lrbench.tasks.split import Split

Arrays = tuple[Any, Any]
"""Inputs and targets, as tensors, NumPy arrays or sequences."""


def as_split(arrays: Arrays, where: str) -> Split:
    """Make a split of tensors, NumPy arrays or sequences, in the types that lrbench trains on."""
    if not isinstance(arrays, Sequence) or len(arrays) != 2:
        raise DataError(f"the {where} data must be a pair (inputs, targets), not {type(arrays).__name__}")
    inputs, targets = as_tensor(arrays[0], f"{where} inputs"), as_tensor(arrays[1], f"{where} targets")
    if inputs.dtype != torch.uint8:
        inputs = inputs.to(torch.int64 if is_integer(inputs) else torch.float32)
    targets = targets.to(torch.float32 if targets.is_floating_point() else torch.int64)
    return Split(inputs.contiguous(), targets.contiguous())


def as_tensor(array: Any, where: str) -> Tensor:
    """Copy an array to the CPU, so that no later change of the caller's array reaches the data."""
    if isinstance(array, Tensor):
        if array.is_complex():
            raise DataError(f"the {where} must be numbers, not a tensor of type {array.dtype}")
        if array.dtype not in (torch.uint16, torch.uint32, torch.uint64):
            return array.detach().cpu().clone()
        array = array.cpu().numpy()
    try:
        values: NDArray[Any] = np.array(array)
    except ValueError as error:
        raise DataError(f"the {where} are not one array: {error}") from error
    if values.dtype.kind not in "biuf":
        raise DataError(f"the {where} must be numbers, not an array of type {values.dtype}")
    if values.dtype.kind == "u" and values.dtype != np.uint8:
        if values.size and int(values.max()) > np.iinfo(np.int64).max:
            raise DataError(f"the {where} have the integer {int(values.max())}, which is beyond int64")
        values = values.astype(np.int64)
    if values.dtype == np.longdouble:
        values = values.astype(np.float64)
    return torch.from_numpy(values)


def is_integer(inputs: Tensor) -> bool:
    """Return whether inputs are integers that are no images."""
    return not inputs.is_floating_point() and inputs.dtype not in (torch.uint8, torch.bool)


def count_classes(targets: Tensor | None, num_classes: int | None) -> int | None:
    """Return the number of classes of integer targets [N]; None for others, which are no class labels."""
    if (
        targets is None
        or targets.is_floating_point()
        or targets.ndim != 1
        or num_classes is not None
        or not len(targets)
    ):
        return num_classes
    return int(targets.max()) + 1


def describe(batch: Any) -> str:
    """Write the type and the shape of a sample of a batch."""
    if isinstance(batch, Tensor):
        return f"{str(batch.dtype).removeprefix('torch.')} {list(batch.shape[1:])}"
    return shapes(mapped(lambda tensor: tensor[0], batch))


def as_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """Return integers as float32, where that changes none of them; other arrays as they are."""
    if array.dtype.kind not in "iu" or array.dtype == np.uint8:
        return array
    numbers = array.astype(np.float32)
    return numbers if np.array_equal(numbers.astype(np.float64), array.astype(np.float64)) else array


def channel_statistics(chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Compute mean and population std per channel (dimension 1 of [N, C, ...]; all of [N, F]) of uint8 inputs / 255.

    They are computed from the exact histogram of the 256 values, so that the order of a sum changes nothing. A constant
    channel has std 1. Other inputs have none. The inputs come in chunks.
    """
    histograms: Tensor | None = None
    for inputs in chunks:
        if inputs.dtype != torch.uint8:
            return None, None
        channels = [inputs] if inputs.ndim == 2 else [inputs[:, c] for c in range(inputs.shape[1])]
        found = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in channels])
        histograms = found if histograms is None else histograms + found
    if histograms is None:
        return None, None
    counts = histograms.double()
    levels = torch.arange(256, dtype=torch.float64) / 255
    weights = counts / counts.sum(dim=1, keepdim=True)
    mean = weights @ levels
    variance = (weights * (levels - mean[:, None]) ** 2).sum(dim=1)
    std = torch.where(variance > 0, variance, torch.ones_like(variance)).sqrt()
    return mean.float(), std.float()
