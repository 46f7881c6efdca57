"""MNIST for the benchmarks: the real one where it lies, else random images in its files' format."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

REAL = "the real images"
SYNTHETIC = "random images of the same shape, as the real ones are not there"


def there(root: Path) -> bool:
    return (root / "MNIST" / "raw" / "train-images-idx3-ubyte").exists()


def write_synthetic(root: Path) -> None:
    """Write what torchvision and lrbench take for MNIST: 60,000 and 10,000 random images with random labels."""
    draw = np.random.default_rng(0)
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, samples in (("train", 60_000), ("t10k", 10_000)):
        _write(folder / f"{part}-images-idx3-ubyte", draw.integers(0, 256, (samples, 28, 28), dtype=np.uint8))
        _write(folder / f"{part}-labels-idx1-ubyte", draw.integers(0, 10, samples, dtype=np.uint8))


def _write(file: Path, array: np.ndarray) -> None:
    """An IDX file: zero, zero, 8 for unsigned bytes, the rank, the big-endian sizes, the bytes."""
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    file.write_bytes(header + array.tobytes())
