"""Arrays in files as a dataset: rows are read when they are asked for, so that the arrays may be larger than memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lrbench.errors import DataError, one_line

CHUNK = 2**24
"""The most numbers that are read at once where a whole array is gone through."""


def is_on_disk(arrays: Any) -> bool:
    """Return whether one of a pair of arrays is a path or a memory map."""
    return isinstance(arrays, list | tuple) and any(isinstance(each, str | os.PathLike | np.memmap) for each in arrays)


class MappedArrays(Dataset[tuple[Tensor, Tensor]]):
    """Inputs and targets [N, ...], each an array or the path of a `.npy` file; rows have the types that Data has.

    Raises:
        DataError: a file is no array, an array has no numbers, or the two differ in length.
    """

    def __init__(self, arrays: Any, where: str) -> None:
        if len(arrays) != 2:
            raise DataError(f"the {where} data must be a pair (inputs, targets), not {len(arrays)} arrays")
        self.inputs = opened(arrays[0], f"{where} inputs")
        self.targets = opened(arrays[1], f"{where} targets")
        if self.inputs.ndim < 2:
            raise DataError(f"the {where} inputs have shape {list(self.inputs.shape)}; they must be [N, ...]")
        if self.targets.ndim == 0 or len(self.targets) != len(self.inputs):
            shape = list(self.targets.shape)
            raise DataError(f"the {where} split has {len(self.inputs)} inputs but its targets have shape {shape}")

    @property
    def labels(self) -> Tensor | None:
        """The targets as class labels, int64 [N]; None where they are none."""
        if self.targets.ndim != 1 or self.targets.dtype.kind not in "biu":
            return None
        return torch.from_numpy(self.targets.astype(np.int64))

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, targets = self.inputs[index], self.targets[index]
        kept = np.uint8 if inputs.dtype == np.uint8 else np.int64 if inputs.dtype.kind in "iu" else np.float32
        wanted = np.float32 if targets.dtype.kind == "f" else np.int64
        return torch.from_numpy(np.array(inputs, kept)), torch.from_numpy(np.array(targets, wanted))

    def chunks(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield the inputs of some rows, as many at once as are no large amount of memory."""
        for some in rows.split(max(1, CHUNK // max(1, self.inputs[0].size))):
            yield torch.from_numpy(np.asarray(self.inputs[some.numpy()]))


def opened(array: Any, what: str) -> NDArray[Any]:
    """Map an array from its `.npy` file; return one that is an array as it is.

    Raises:
        DataError: it cannot be read, or has no numbers.
    """
    if isinstance(array, str | os.PathLike):
        try:
            opened = np.load(Path(array), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"the {what} cannot be read from {os.fspath(array)}: {one_line(error)}") from error
        if not isinstance(opened, np.ndarray):
            raise DataError(f"the {what} cannot be read from {os.fspath(array)}, which is no .npy file")
        array = opened
    values: NDArray[Any] = array if isinstance(array, np.ndarray) else np.asarray(array)
    if values.dtype.kind not in "biuf":
        raise DataError(f"the {what} must be numbers, not an array of type {values.dtype}")
    return values
