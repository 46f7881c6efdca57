"""MNIST-1D (Greydanus 2020, arXiv 2011.14439), made here and offline by its own package."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lrbench.reproducible import callers_generators
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import register_dataset
from lrbench.tasks.split import Split


def no_sources(root: Path, *, download: bool, **options: Any) -> tuple[Path, ...]:
    return ()


@register_dataset("mnist1d", version=2, sources=no_sources)
def mnist1d(root: Path, download: bool) -> RawData:
    """MNIST-1D: 4,000 train, 8,000 validation and 8,000 test signals of 40 points, 10 classes; made offline.

    The train split is that of the package's default arguments, seed 42. Its 1,000 test signals are not used: a score on
    so few is mostly noise, and signals cost nothing to make, so validation and test come from a second data set of
    16,000 signals, seed 43. float32 [N, 40], each of the two standardised by the package.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    measuring = get_dataset_args()
    measuring.seed, measuring.num_samples, measuring.train_split = 43, 16_000, 0.5
    with callers_generators():
        standard, measured = make_dataset(), make_dataset(measuring)
    return RawData(
        train=_split(standard["x"], standard["y"]),
        val=_split(measured["x"], measured["y"]),
        test=_split(measured["x_test"], measured["y_test"]),
        num_classes=10,
    )


def _split(x: NDArray[np.float64], y: NDArray[np.int64]) -> Split:
    return Split(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64)))
