"""MNIST-1D (Greydanus 2020, arXiv 2011.14439), made here and offline.

The signals are those of the authors' package `mnist1d` bit for bit, made together rather than one by one.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray

from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import register_dataset
from lrbench.tasks.split import Split

DIGITS = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
"""The pen's horizontal positions in each digit, from the top down; zeros follow them in a signal."""
PADDING = 36, 60
"""The fewest and the most zeros."""
LENGTH = len(DIGITS[0]) + PADDING[1]
POINTS = 40
"""The length of a signal while it is changed, and in the end."""


def no_sources(root: Path, *, download: bool, **options: Any) -> tuple[Path, ...]:
    return ()


@register_dataset("mnist1d", version=2, sources=no_sources)
def mnist1d(root: Path, download: bool) -> RawData:
    """MNIST-1D: 4,000 train, 8,000 validation and 8,000 test signals of 40 points, 10 classes; made offline.

    The train split is that of the package's default arguments, seed 42. Its 1,000 test signals are not used: a score on
    so few is mostly noise, and signals cost nothing to make, so validation and test come from a second data set of
    16,000 signals, seed 43. float32 [N, 40], each of the two standardised by itself.
    """
    train, _ = _signals(seed=42, number=5_000, first=4_000)
    val, test = _signals(seed=43, number=16_000, first=8_000)
    return RawData(train=train, val=val, test=test, num_classes=len(DIGITS))


def _signals(seed: int, number: int, first: int) -> tuple[Split, Split]:
    """Make signals of all digits in random order, standardised together, and split off the first ones."""
    from scipy.ndimage import gaussian_filter1d

    random = RandomState(seed)
    labels = np.repeat(np.arange(len(DIGITS)), number // len(DIGITS))
    drawn = [(random.rand(), random.rand(), random.randint(48), random.randn(2, LENGTH), random.rand()) for _ in labels]
    padding, scale, shift, noise, shear = map(np.array, zip(*drawn, strict=True))
    fewest, most = PADDING
    digits = np.stack([_stretched(_templates(zeros), LENGTH) for zeros in range(fewest, most + 1)])
    signals = digits[(padding * len(digits)).astype(int), labels] * (1 + 0.4 * (scale - 0.5))[:, None]
    signals = np.take_along_axis(signals, (np.arange(LENGTH) - shift[:, None]) % LENGTH, 1)
    signals = np.where(signals != 0, signals, gaussian_filter1d(0.25 * noise[:, 0], 2)) + 0.02 * noise[:, 1]
    signals -= (0.75 * (shear - 0.5))[:, None] * np.linspace(-0.5, 0.5, LENGTH)
    order = random.permutation(number)
    signals, targets = _stretched(signals, POINTS)[order], torch.from_numpy(labels[order])
    inputs = torch.from_numpy(((signals - signals.mean()) / signals.std()).astype(np.float32))
    return Split(inputs[:first], targets[:first]), Split(inputs[first:], targets[first:])


def _templates(zeros: int) -> NDArray[np.float64]:
    """Return the digits, each whitened and shifted to begin at 0, with some zeros after it."""
    digits = np.array(DIGITS)
    digits = digits - digits.mean(1, keepdims=True)
    digits /= digits.std(1, keepdims=True)
    # The small number tells a digit's own zeros from those after it, which become noise.
    return np.pad((digits - digits[:, :1]) / 6 + 1e-8, ((0, 0), (0, zeros)))


def _stretched(signals: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Interpolate each signal linearly at `length` points."""
    places, points = np.linspace(0, 1, signals.shape[1]), np.linspace(0, 1, length)
    return np.stack([np.interp(points, places, signal) for signal in signals])
