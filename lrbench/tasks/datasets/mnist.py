"""MNIST and its successors in the same file format (IDX), laid out as torchvision does."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrbench.errors import DataError
from lrbench.tasks.datasets.files import required_files, torchvision_download
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import Sources, register_dataset
from lrbench.tasks.split import Split

FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
KUZUSHIJI_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


def idx_files(dataset: str, torchvision_name: str) -> Sources:
    """Make the function that finds, or fetches, the four files of `<root>/<torchvision_name>/raw`."""

    def sources(root: Path, *, download: bool, **options: Any) -> tuple[Path, ...]:
        fetch = torchvision_download(root, torchvision_name) if download else None
        return required_files(dataset, root / torchvision_name / "raw", FILES, fetch)

    return sources


mnist_files = idx_files("mnist", "MNIST")
fashion_mnist_files = idx_files("fashion-mnist", "FashionMNIST")
kmnist_files = idx_files("kmnist", "KMNIST")


@register_dataset("mnist", version=1, sources=mnist_files)
def mnist(root: Path, download: bool) -> RawData:
    """MNIST: 60,000 train and 10,000 test digits, 28x28 grey, 10 classes; torchvision's files in MNIST/raw."""
    return read_idx_dataset(mnist_files(root, download=download))


@register_dataset("fashion-mnist", version=1, sources=fashion_mnist_files)
def fashion_mnist(root: Path, download: bool) -> RawData:
    """Fashion-MNIST: 60,000 train and 10,000 test pictures of clothes, 28x28 grey, 10 classes; FashionMNIST/raw."""
    return read_idx_dataset(fashion_mnist_files(root, download=download), FASHION_CLASSES)


@register_dataset("kmnist", version=1, sources=kmnist_files)
def kmnist(root: Path, download: bool) -> RawData:
    """Kuzushiji-MNIST: 60,000 train and 10,000 test Japanese characters, 28x28 grey, 10 classes; KMNIST/raw."""
    return read_idx_dataset(kmnist_files(root, download=download), KUZUSHIJI_CLASSES)


def read_idx_dataset(files: tuple[Path, ...], class_names: tuple[str, ...] | None = None) -> RawData:
    """Read train images, train labels, test images and test labels: uint8 [N, 1, H, W], 10 classes."""
    train_images, train_labels, test_images, test_labels = (read_idx(file) for file in files)
    train = Split(train_images.unsqueeze(1), train_labels.long())
    test = Split(test_images.unsqueeze(1), test_labels.long())
    return RawData(train, test, 10, class_names=class_names)


def read_idx(path: Path) -> Tensor:
    """Read the uint8 array of an IDX file, gzipped or not: zero, zero, type 8, rank, big-endian sizes, bytes.

    Raises:
        DataError: the file has another type, or fewer or more bytes than its header promises.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is not a whole gzip file ({error})") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 4:
        raise DataError(f"{path} is not an IDX file of unsigned bytes")
    rank = content[3]
    start = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:start]) if len(content) >= start else (0,)
    expected = start + int(np.prod(shape))
    if len(content) != expected:
        raise DataError(f"{path} has {len(content)} bytes where its header promises {expected}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())
