"""A user's own arrays in a .npz file."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrbench.errors import DataError, did_you_mean, one_line
from lrbench.files import user_path
from lrbench.tasks.arrays import as_split, count_classes
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import register_dataset

REQUIRED = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL = ("x_val", "y_val")


@register_dataset("npz", version=1)
def npz(
    root: Path, download: bool, *, path: str, num_classes: int | None = None, channels_last: bool = False
) -> RawData:
    """Your own arrays x_train, y_train, x_test, y_test (x_val, y_val) in one .npz file; option path.

    `path` is relative to the data root (or absolute). Inputs are uint8 images [N, C, H, W] (or [N, H, W], or
    [N, H, W, C] with `channels_last`) or arrays [N, ...] of numbers, whose types change as in `Data.from_arrays`;
    integer targets [N] are labels 0..classes-1.

    Raises:
        DataError: the file is missing, torn or foreign, holds pickled objects or lacks an array.
    """
    file = root / user_path(path)
    arrays = read_npz(file)
    splits = {
        part: as_split((_images(arrays[f"x_{part}"], channels_last), _labels(arrays[f"y_{part}"])), part)
        for part in ("train", "val", "test")
        if f"x_{part}" in arrays
    }
    classes = count_classes(splits["train"].targets, num_classes)
    return RawData(splits["train"], splits["test"], classes, splits.get("val"), known_as_numbers=True)


def read_npz(file: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file, by key; nothing in it is unpickled."""
    where = f"dataset 'npz': {file}"
    if not os.path.isfile(file):
        raise DataError(f"{where} does not exist")
    try:
        with np.load(file, allow_pickle=False) as archive:
            present = list(archive.files)
            arrays = {key: archive[key] for key in (*REQUIRED, *OPTIONAL) if key in present}
    except Exception as error:
        raise DataError(f"{where} is not a whole .npz file of plain arrays ({one_line(error)})") from error
    missing = next((key for key in REQUIRED if key not in arrays), None)
    if missing is not None:
        hint = did_you_mean(missing, set(present) - {*REQUIRED, *OPTIONAL})
        raise DataError(f"{where} has no array {missing}{hint}; it has {', '.join(present) or 'none'}")
    if ("x_val" in arrays) != ("y_val" in arrays):
        raise DataError(f"{where} has only one of x_val and y_val; give both or neither")
    return arrays


def _images(inputs: NDArray[Any], channels_last: bool) -> NDArray[Any]:
    """Give uint8 [N, H, W] a channel dimension, and turn [N, H, W, C] to [N, C, H, W] with `channels_last`."""
    if channels_last and inputs.ndim == 4:
        return np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    return inputs[:, None] if inputs.dtype == np.uint8 and inputs.ndim == 3 else inputs


def _labels(targets: NDArray[Any]) -> NDArray[Any]:
    """Turn integer labels [N, 1] to [N]."""
    column = targets.ndim == 2 and targets.shape[1] == 1 and targets.dtype.kind in "iu"
    return targets[:, 0] if column else targets
