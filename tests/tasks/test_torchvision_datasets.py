"""Datasets in torchvision's layout, from tiny files of the real formats."""

import gzip
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat

from lrbench.errors import DataError
from lrbench.tasks import Data, RawData
from lrbench.tasks.datasets.mnist import read_idx
from lrbench.tasks.make import read_dataset
from lrbench.tasks.registry import datasets

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8)
DIGITS = (np.arange(20) % 10).astype(np.uint8)
ROWS = RNG.integers(0, 256, (10, 3072), dtype=np.uint8)


def load(name: str, root: Path) -> RawData:
    return read_dataset(datasets.find(name), {}, root, download=False)


def idx(array: NDArray[np.uint8]) -> bytes:
    """An IDX file: magic (unsigned byte, rank), big-endian sizes, bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(root: Path, folder: str = "MNIST", compress: bool = False) -> Path:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for part, images, labels in (("train", GREY, DIGITS), ("t10k", GREY[:10] // 2, DIGITS[:10])):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            file = raw / f"{part}-{kind}-ubyte"
            if compress:
                file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                file.write_bytes(idx(array))
    return raw


def write_cifar10(root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for i, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        (folder / name).write_bytes(pickle.dumps({"data": ROWS + i, "labels": list(range(10))}, protocol=2))
    return folder


def write_cifar100(root: Path) -> Path:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name in ("train", "test"):
        content = {"data": ROWS, "fine_labels": list(range(90, 100)), "coarse_labels": [0] * 10}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


def write_svhn(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name in ("train_32x32.mat", "test_32x32.mat"):
        images = ROWS.reshape(10, 3, 32, 32).transpose(2, 3, 1, 0)
        savemat(root / name, {"X": images, "y": np.arange(1, 11)[:, None]})
    return root


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
@pytest.mark.parametrize("compress", [False, True])
def test_idx_files_are_read_from_torchvisions_folder_packed_or_not(
    tmp_path: Path, name: str, folder: str, compress: bool
) -> None:
    write_mnist(tmp_path, folder, compress)
    raw = load(name, tmp_path)
    np.testing.assert_array_equal(raw.train.inputs, GREY[:, None])
    np.testing.assert_array_equal(raw.train.targets, DIGITS)
    np.testing.assert_array_equal(raw.test.inputs, GREY[:10, None] // 2)
    assert raw.num_classes == 10


@pytest.mark.parametrize(("name", "folder"), [("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")])
def test_classes_have_torchvisions_names(tmp_path: Path, name: str, folder: str) -> None:
    import torchvision

    write_mnist(tmp_path, folder)
    assert load(name, tmp_path).class_names == tuple(getattr(torchvision.datasets, folder).classes)


def test_torchvision_reads_the_same_mnist(tmp_path: Path) -> None:
    from torchvision.datasets import MNIST

    write_mnist(tmp_path)
    theirs = MNIST(tmp_path, train=True)
    ours = load("mnist", tmp_path)
    assert torch.equal(ours.train.inputs.squeeze(1), theirs.data)
    assert torch.equal(ours.train.targets, theirs.targets)


def test_cifar10_joins_its_batches_in_order(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    raw = load("cifar10", tmp_path)
    assert raw.train.inputs.shape == (50, 3, 32, 32)
    np.testing.assert_array_equal(raw.train.inputs[10, 1, 2, 3], (ROWS + 1)[0, 1024 + 2 * 32 + 3])
    np.testing.assert_array_equal(raw.test.inputs, (ROWS + 5).reshape(10, 3, 32, 32))
    assert raw.train.targets.tolist() == list(range(10)) * 5


def test_cifar100_has_its_fine_labels(tmp_path: Path) -> None:
    write_cifar100(tmp_path)
    raw = load("cifar100", tmp_path)
    assert raw.num_classes == 100
    assert raw.test.targets.tolist() == list(range(90, 100))


def test_svhns_label_ten_is_the_digit_zero(tmp_path: Path) -> None:
    write_svhn(tmp_path)
    raw = load("svhn", tmp_path)
    assert raw.train.targets.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    np.testing.assert_array_equal(raw.train.inputs, ROWS.reshape(10, 3, 32, 32))


def test_a_second_load_comes_from_the_cache_and_is_the_same(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    first, second = load("cifar10", tmp_path), load("cifar10", tmp_path)
    assert first.digests == second.digests
    assert Data.from_raw(first, 5).checksum == Data.from_raw(second, 5).checksum


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", "needs train-images-idx3-ubyte, .*, t10k-labels-idx1-ubyte in .*MNIST/raw; put them there"),
        ("cifar10", "needs data_batch_1, .*, test_batch in .*cifar-10-batches-py"),
        ("cifar100", "needs train, test in .*cifar-100-python"),
        ("svhn", "needs train_32x32.mat, test_32x32.mat in .* choose another --data-root, or pass --download"),
    ],
)
def test_missing_files_are_named_with_the_folder_and_the_remedy(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=f"dataset '{name}' {message}"):
        load(name, tmp_path)


def test_only_what_is_missing_is_named(tmp_path: Path) -> None:
    (write_mnist(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="'mnist' needs t10k-labels-idx1-ubyte in"):
        load("mnist", tmp_path)


Damage = Callable[[bytes], bytes]
DAMAGES: list[tuple[Callable[[Path], Path], str, str, Damage, str]] = [
    (write_mnist, "mnist", "train-images-idx3-ubyte", lambda b: b[:-1], "has 15695 bytes where .* promises 15696"),
    (write_mnist, "mnist", "train-images-idx3-ubyte", lambda b: b + b"x", "has 15697 bytes"),
    (write_mnist, "mnist", "train-labels-idx1-ubyte", lambda b: b[:6], "has 6 bytes"),
    (write_mnist, "mnist", "t10k-labels-idx1-ubyte", lambda b: b"", "is not an IDX file"),
    (write_mnist, "mnist", "t10k-labels-idx1-ubyte", lambda b: b"<html>", "is not an IDX file"),
    (write_cifar10, "cifar10", "data_batch_3", lambda b: b[:-5], "is not a whole CIFAR batch"),
    (write_cifar10, "cifar10", "data_batch_3", lambda b: b"", "is not a whole CIFAR batch"),
    (write_cifar10, "cifar10", "test_batch", lambda b: pickle.dumps({"data": ROWS}), "with data and labels"),
    (write_cifar10, "cifar10", "test_batch", lambda b: pickle.dumps([1]), "is not a whole CIFAR batch"),
    (write_cifar10, "cifar10", "test_batch", lambda b: pickle.dumps({"data": ROWS, "labels": [1]}), "whole CIFAR"),
    (write_cifar100, "cifar100", "train", lambda b: b"<html>", "with data and fine_labels"),
    (write_svhn, "svhn", "test_32x32.mat", lambda b: b[:200], "is not a whole SVHN file"),
    (write_svhn, "svhn", "test_32x32.mat", lambda b: b"<html>", "is not a whole SVHN file"),
]


@pytest.mark.parametrize(("write", "name", "file", "damage", "message"), DAMAGES)
def test_a_truncated_or_foreign_file_is_named_in_one_sentence(
    tmp_path: Path, write: Callable[[Path], Path], name: str, file: str, damage: Damage, message: str
) -> None:
    path = write(tmp_path) / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message) as refusal:
        load(name, tmp_path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"not gzip", gzip.compress(b"x" * 99, mtime=0)[:-9]])
def test_a_torn_gzip_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"labels\.gz is not"):
        read_idx(path)


class Malicious:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("ran"),))


def test_a_pickle_that_asks_for_anything_but_arrays_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (write_cifar10(tmp_path) / "data_batch_1").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(DataError, match="it asks for"):
        load("cifar10", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_labels_out_of_range_are_refused(tmp_path: Path) -> None:
    path = write_mnist(tmp_path) / "train-labels-idx1-ubyte"
    path.write_bytes(idx(np.full(20, 10, np.uint8)))
    with pytest.raises(DataError, match=r"train label 10 \(sample 0\) is out of range; labels must be 0..9"):
        Data.from_raw(load("mnist", tmp_path))
