"""MAT-files, as scipy writes them and damaged in every way."""

import io
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from lrbench.errors import DataError
from lrbench.tasks.datasets.mat import read_mat_arrays
from lrbench.tasks.datasets.svhn import read_mat

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 2), dtype=np.uint8)


def mat(compressed: bool, **variables: Any) -> bytes:
    file = io.BytesIO()
    savemat(file, variables or {"X": IMAGES, "y": np.array([[1.0], [10.0]])}, do_compression=compressed)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_arrays_are_those_that_scipy_reads(compressed: bool, dtype: str) -> None:
    arrays: dict[str, NDArray[Any]] = {"a": np.arange(6, dtype=dtype).reshape(1, 2, 3), "one": np.ones((1, 1), dtype)}
    content = mat(compressed, text="cat", cell=np.array([1, "x"], object), imaginary=np.ones(2) * 1j, **arrays)
    found, theirs = read_mat_arrays(content), loadmat(io.BytesIO(content))
    assert found.keys() == arrays.keys()
    for name, values in found.items():
        np.testing.assert_array_equal(values, theirs[name], strict=True)


def test_numbers_that_matlab_stored_in_a_smaller_type_are_read() -> None:
    content = mat(False, y=np.array([[1.0], [10.0]]))
    stored = struct.pack("<2I2d", 9, 16, 1.0, 10.0)
    assert stored in content
    size = struct.unpack("<I", content[132:136])[0]
    smaller = (
        content[:132]
        + struct.pack("<I", size - 16)
        + content[136:].replace(stored, struct.pack("<HH4B", 2, 2, 1, 10, 0, 0))
    )
    np.testing.assert_array_equal(read_mat_arrays(smaller)["y"], [[1.0], [10.0]], strict=True)
    np.testing.assert_array_equal(loadmat(io.BytesIO(smaller))["y"], [[1], [10]])


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_read_or_named_in_one_sentence(tmp_path: Path, compressed: bool) -> None:
    generator, whole, path = random.Random(0), mat(compressed), tmp_path / "train.mat"
    refusals = []
    for number in range(400):
        content = bytearray(whole)
        if number % 2:
            del content[generator.randrange(len(whole)) :]
        else:
            # most of the bytes of an uncompressed file are pixels, which are right whatever they are
            place = generator.choice([generator.randrange(120, 220), generator.randrange(len(whole) - 90, len(whole))])
            content[place] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        try:
            read_mat(path)
        except DataError as error:
            refusals.append(str(error))
    assert len(refusals) > 200
    assert all(said.startswith(f"{path} is not a whole SVHN file with X and y (") for said in refusals)
    assert not any("\n" in said for said in refusals)


def test_no_more_is_decompressed_than_a_file_promises() -> None:
    bomb = zlib.compress(struct.pack("<2I", 14, 64) + bytes(100_000_000))
    with pytest.raises(ValueError, match="it promises 64 bytes where more or fewer are compressed"):
        read_mat_arrays(mat(False)[:128] + struct.pack("<2I", 15, len(bomb)) + bomb)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89HDF\r\n\x1a\n" + bytes(200), bytes(200)])
def test_a_file_of_another_kind_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="it is no MAT-file of version 6 or 7"):
        read_mat_arrays(content)
