"""SVHN, cropped digits (Netzer et al. 2011), from its .mat files, laid out as torchvision does."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lrbench.errors import DataError, one_line
from lrbench.tasks.datasets.files import required_files
from lrbench.tasks.datasets.mat import read_mat_arrays
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import register_dataset
from lrbench.tasks.split import Split

FILES = ("train_32x32.mat", "test_32x32.mat")


def svhn_files(root: Path, *, download: bool, **options: Any) -> tuple[Path, ...]:
    """Find the train and the test file in `root`."""

    def fetch() -> None:
        from torchvision.datasets import SVHN

        for split in ("train", "test"):
            SVHN(root, split, download=True)

    return required_files("svhn", root, FILES, fetch if download else None)


@register_dataset("svhn", version=1, sources=svhn_files)
def svhn(root: Path, download: bool) -> RawData:
    """SVHN: 73,257 train and 26,032 test house-number digits, 32x32 colour, 10 classes; *_32x32.mat."""
    train, test = svhn_files(root, download=download)
    return RawData(read_mat(train), read_mat(test), 10)


def read_mat(path: Path) -> Split:
    """Read images uint8 [N, 3, 32, 32] and labels int64 [N]; the file's label 10 is the digit 0."""
    try:
        content = read_mat_arrays(path.read_bytes())
        images = np.asarray(content["X"], dtype=np.uint8).transpose(3, 2, 0, 1)
        with np.errstate(invalid="raise"):
            labels = np.asarray(content["y"], dtype=np.int64).reshape(len(images))
    except OSError:
        raise
    except Exception as error:
        raise DataError(f"{path} is not a whole SVHN file with X and y ({one_line(error)})") from error
    digits = np.where(labels == 10, 0, labels)
    return Split(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(digits))
