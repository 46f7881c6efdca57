"""Arrays in files, which are read a batch at a time."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrbench.engine import advance, begin, identical
from lrbench.errors import DataError
from lrbench.tasks.data import Data
from lrbench.tasks.task import Task
from lrbench.training.pools.pickling import pickled

RNG = np.random.default_rng(0)


def write(folder: Path, inputs: np.ndarray[Any, Any], name: str, classes: int = 3) -> tuple[Path, Path]:
    files = folder / f"{name}-x.npy", folder / f"{name}-y.npy"
    np.save(files[0], inputs)
    np.save(files[1], np.arange(len(inputs)) % classes)
    return files


def task_on(data: Data) -> Task:
    return Task(
        name="mapped", model=lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), data=data, steps=12, batch_size=8
    )


def in_private_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def test_arrays_in_files_are_trained_on_as_those_in_memory(tmp_path: Path) -> None:
    train, test = (RNG.integers(0, 256, (n, 3, 4, 4), np.uint8) for n in (80, 20))
    files = write(tmp_path, train, "train"), write(tmp_path, test, "test")
    ends = []
    for data in (Data.from_arrays(*files), Data.from_arrays(*((np.load(x), np.load(y)) for x, y in files))):
        state, seen = advance(task_on(data), begin(task_on(data), 0), np.full(12, 0.05))
        ends.append((state.model, seen[-1].val.outputs.argmax(1), data.mean, data.std, data.num_classes))
    assert identical(*ends)


def test_nothing_larger_than_a_batch_is_read_into_memory(tmp_path: Path) -> None:
    size = (40_000, 1000)
    inputs = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, size)
    np.save(tmp_path / "y.npy", np.arange(size[0]) % 3)
    before = in_private_memory()
    data = Data.from_arrays(
        (tmp_path / "x.npy", tmp_path / "y.npy"), write(tmp_path, np.zeros((9, 1000), "f4"), "test")
    )
    task = task_on(data).with_(curve_samples=64)
    assert len(pickled(task)) < 10**6
    list(zip(range(3), data.val.evaluated(64), strict=False))
    assert in_private_memory() - before < inputs.nbytes / 4


def test_another_process_maps_the_same_file(tmp_path: Path) -> None:
    whole = np.load(write(tmp_path, np.arange(12.0).reshape(6, 2), "train")[0], mmap_mode="r")
    again, part = pickle.loads(pickled([whole, whole[2:4]]))
    assert isinstance(again, np.memmap)
    assert again.filename == whole.filename
    np.testing.assert_array_equal(again, whole)
    np.testing.assert_array_equal(part, whole[2:4])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float64", "bool"])
def test_rows_have_the_types_of_arrays_in_memory(tmp_path: Path, dtype: str) -> None:
    files = write(tmp_path, np.arange(16).reshape(8, 2).astype(dtype), "train")
    kept = Data.from_arrays(tuple(map(np.load, files)), tuple(map(np.load, files))).train.inputs.dtype
    assert Data.from_arrays(files, files).train.first(1).inputs.dtype == kept


def test_files_with_other_content_are_other_data(tmp_path: Path) -> None:
    test = write(tmp_path, np.zeros((9, 2)), "test")
    one, same, other = (write(tmp_path, np.full((9, 2), value), str(i)) for i, value in enumerate((1, 1, 2)))
    found = [Data.from_arrays(files, test).checksum for files in (one, same, other)]
    assert found[0] == found[1] != found[2]


def test_balanced_weights_and_stratified_splits_know_the_labels_of_files(tmp_path: Path) -> None:
    files = write(tmp_path, np.zeros((30, 2)), "train")
    data = Data.from_arrays(files, files, val=15, stratified=True, sample_weights="balanced")
    assert torch.equal(data.sample_weights, torch.full((15,), 0.2, dtype=torch.float64))  # type: ignore[arg-type]


def test_what_is_no_array_is_refused_in_a_sentence(tmp_path: Path) -> None:
    good = write(tmp_path, np.zeros((6, 2)), "good")
    (tmp_path / "bad.npy").write_bytes(b"no array")
    np.savez(tmp_path / "several.npz", a=np.zeros(3))
    np.save(tmp_path / "short.npy", np.zeros(3))
    cases = {
        "the train inputs cannot be read from .*bad.npy": (tmp_path / "bad.npy", good[1]),
        "the train inputs cannot be read from .*missing.npy: .*No such file": (tmp_path / "missing.npy", good[1]),
        "several.npz, which is no .npy file": (tmp_path / "several.npz", good[1]),
        r"6 inputs but its targets have shape \[3\]": (good[0], tmp_path / "short.npy"),
        r"the train inputs have shape \[6\]; they must be \[N, ...\]": (good[1], good[1]),
    }
    for sentence, arrays in cases.items():
        with pytest.raises(DataError, match=sentence):
            Data.from_arrays(arrays, good)
    with pytest.raises(DataError, match=r"the test label 2 \(sample 2\) is out of range; labels must be 0..1"):
        Data.from_arrays(write(tmp_path, np.zeros((6, 2)), "two", 2), good)
