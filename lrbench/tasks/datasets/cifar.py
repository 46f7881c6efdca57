"""CIFAR-10 and CIFAR-100 from the Python version's batches, laid out as torchvision does.

The batches are pickles. They are read by `plain_pickle`, so that a file from somebody else can run no code.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lrbench.errors import DataError, one_line
from lrbench.tasks.datasets.files import required_files, torchvision_download
from lrbench.tasks.datasets.plain_pickle import Array, read_plain_pickle
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import register_dataset
from lrbench.tasks.split import Split

CIFAR10_FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
CIFAR100_FILES = ("train", "test")

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar10_files(root: Path, *, download: bool, **options: Any) -> tuple[Path, ...]:
    """Find the five train batches and the test batch in `<root>/cifar-10-batches-py`."""
    fetch = torchvision_download(root, "CIFAR10") if download else None
    return required_files("cifar10", root / "cifar-10-batches-py", CIFAR10_FILES, fetch)


def cifar100_files(root: Path, *, download: bool, **options: Any) -> tuple[Path, ...]:
    """Find the train and the test file in `<root>/cifar-100-python`."""
    fetch = torchvision_download(root, "CIFAR100") if download else None
    return required_files("cifar100", root / "cifar-100-python", CIFAR100_FILES, fetch)


@register_dataset("cifar10", version=1, sources=cifar10_files)
def cifar10(root: Path, download: bool) -> RawData:
    """CIFAR-10: 50,000 train and 10,000 test photographs, 32x32 colour, 10 classes; cifar-10-batches-py."""
    *train, test = cifar10_files(root, download=download)
    return RawData(read_batches(train, "labels"), read_batches([test], "labels"), 10, class_names=CIFAR10_CLASSES)


@register_dataset("cifar100", version=1, sources=cifar100_files)
def cifar100(root: Path, download: bool) -> RawData:
    """CIFAR-100: 50,000 train and 10,000 test photographs, 32x32 colour, 100 classes; cifar-100-python."""
    train, test = cifar100_files(root, download=download)
    return RawData(read_batches([train], "fine_labels"), read_batches([test], "fine_labels"), 100)


def read_batches(paths: Sequence[Path], labels_key: str) -> Split:
    """Read batch files, joined in order: images uint8 [N, 3, 32, 32] and labels int64 [N]."""
    batches = [_read_batch(path, labels_key) for path in paths]
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def _read_batch(path: Path, labels_key: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    try:
        batch = read_plain_pickle(path.read_bytes())
        images = _integers(batch["data"], np.uint8).reshape(-1, 3, 32, 32)
        labels = _integers(batch[labels_key], np.int64).reshape(len(images))
    except OSError:
        raise
    except Exception as error:
        raise DataError(f"{path} is not a whole CIFAR batch with data and {labels_key} ({one_line(error)})") from error
    return images, labels


def _integers(value: object, dtype: type[np.integer[Any]]) -> np.ndarray[Any, Any]:
    if isinstance(value, Array):
        return value.values.astype(dtype, copy=False)
    # NumPy would follow a list that holds itself for ever.
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        return np.asarray(value, dtype)
    raise ValueError("it has something else where an array or a list of integers belongs")
