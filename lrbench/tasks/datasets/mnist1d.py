"""MNIST-1D (Greydanus 2020, arXiv 2011.14439), made here and offline by its own package."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lrbench.reproducible import callers_generators
from lrbench.tasks.data import RawData, Split
from lrbench.tasks.registry import register_dataset


def no_sources(root: Path, *, download: bool, **options: Any) -> tuple[Path, ...]:
    return ()


@register_dataset("mnist1d", version=1, sources=no_sources)
def mnist1d(root: Path, download: bool) -> RawData:
    """MNIST-1D: 4,000 train and 1,000 test signals of 40 points, 10 classes; made offline, no download.

    The package's default arguments, seed 42; float32 [N, 40], standardised by the package.
    """
    from mnist1d.data import make_dataset

    with callers_generators():
        made = make_dataset()
    return RawData(_split(made["x"], made["y"]), _split(made["x_test"], made["y_test"]), 10)


def _split(x: NDArray[np.float64], y: NDArray[np.int64]) -> Split:
    return Split(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64)))
