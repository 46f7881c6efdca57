"""Batches of CIFAR from somebody else; hostile ones are read in a process of its own, whose exit code would tell."""

import pickle
import random
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from lrbench.tasks.datasets.cifar import read_batches
from lrbench.tasks.datasets.plain_pickle import PlainPickleError, read_plain_pickle

ROWS = np.random.default_rng(0).integers(0, 256, (2, 3072), dtype=np.uint8)

READ_ALL = """
import sys
from pathlib import Path
from lrbench.errors import DataError
from lrbench.tasks.datasets.cifar import read_batches

for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        images = read_batches([path], "labels").inputs
        print("images", images.sum().item())
    except DataError as error:
        print(str(error))
"""


def answers(batches: Iterable[bytes], folder: Path) -> list[str]:
    """What another process says of each batch, a line each, once it has ended well."""
    folder.mkdir()
    for number, content in enumerate(batches):
        (folder / f"{number:04}").write_bytes(content)
    command = [sys.executable, "-c", READ_ALL, str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.splitlines()


def text(value: str) -> bytes:
    """A text as Python 2 pickles it."""
    return b"T" + struct.pack("<I", len(value)) + value.encode("latin1")


def python_2_batch(
    dtype: bytes = b"K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t",
    shape: bytes = b"K\x02M\x00\x0c\x86",
    labels: bytes = b"K\x03K\x04",
) -> bytes:
    """A batch as Python 2's cPickle wrote those of CIFAR, with another state of its dtype, shape or labels."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01"
        + shape
        + b"cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09("
        + dtype
        + b"b\x89"
        + text(ROWS.tobytes().decode("latin1"))
        + b"tb"
    )
    return b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(" + labels + b"eU\x04dataq\x04" + array + b"u."


def with_data(data: bytes) -> bytes:
    return b"\x80\x02}(U\x06labels](K\x03eU\x04data" + data + b"u."


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_batches_of_every_protocol_that_numpy_writes_are_read(tmp_path: Path, protocol: int) -> None:
    content = {"data": np.asfortranarray(ROWS), "labels": [1, 9], "batch_label": "one", "none": None, b"x": (1, 2, 3)}
    (tmp_path / "batch").write_bytes(pickle.dumps(content, protocol))
    split = read_batches([tmp_path / "batch"], "labels")
    np.testing.assert_array_equal(split.inputs, ROWS.reshape(2, 3, 32, 32))
    assert split.targets.tolist() == [1, 9]


@pytest.mark.parametrize("dtype", ["<i8", ">i4", "u1"])
def test_labels_may_be_an_array_of_any_integers(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": ROWS, "labels": np.array([1, 9], dtype)}))
    assert read_batches([tmp_path / "batch"], "labels").targets.tolist() == [1, 9]


def test_a_batch_of_python_2_is_read(tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(python_2_batch())
    split = read_batches([tmp_path / "batch"], "labels")
    np.testing.assert_array_equal(split.inputs, ROWS.reshape(2, 3, 32, 32))
    assert split.targets.tolist() == [3, 4]
    assert pickle.loads(python_2_batch(), encoding="latin1")["labels"] == [3, 4]


def test_a_dtypes_flags_and_sizes_are_not_believed(tmp_path: Path) -> None:
    flags = b"K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ft"
    size = b"K\x03U\x01|NNNM\xff\xffM\xff\xffK\x00t"
    fields = b"K\x03U\x01|NU\x01a\x85}U\x01aU\x02u1M\xff\xff\x86sJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ft"
    said = answers([python_2_batch(dtype) for dtype in (flags, size, fields)], tmp_path / "batches")
    assert said == [f"images {ROWS.sum()}"] * 3


HOSTILE = [
    pickle.dumps({"data": np.array([object()] * 4), "labels": [1]}, 2),
    pickle.dumps({"data": np.zeros(2, [("a", "O"), ("b", "u1")]), "labels": [1]}),
    python_2_batch(shape=b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"),
    python_2_batch(shape=b"J\xfe\xff\xff\xffM\x00\x0c\x86"),
    python_2_batch(shape=b"\x8a\x20" + b"\xff" * 31 + b"\x7f\x85"),
    with_data(b"(" + b"K\x01" * 1000 + b"t"),
    with_data(b"N" + b"\x85" * 1_000_000),
    b"\x80\x02}N" + b"\x85" * 1_000_000 + b"Ns.",
    python_2_batch(labels=b"h\x03h\x03"),
    b"\x80\x02Nq\x00" + b"h\x00h\x00\x86q\x00" * 100 + b"h\x00\x93.",
    b"\x80\x02Nr\xff\xff\xff\xff.",
    b"\x80\x02j\xff\xff\xff\xff.",
    b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fx.",
    b"\x80\x02I" + b"9" * 100_000 + b"\n.",
    b"\x80\x02tR.",
    b"\x80\x02.",
    with_data(b"c_codecs\nencode\nq\x00U\x01xU\x06latin1\x86q\x01R" + b"h\x00h\x01R" * 1000),
]


def test_a_hostile_batch_is_one_sentence_and_no_crash(tmp_path: Path) -> None:
    said = answers(HOSTILE, tmp_path / "batches")
    assert len(said) == len(HOSTILE)
    assert all("is not a whole CIFAR batch with data and labels" in line and len(line) < 400 for line in said)


def test_a_damaged_batch_never_crashes(tmp_path: Path) -> None:
    generator = random.Random(0)
    whole = [pickle.dumps({"data": ROWS, "labels": [1, 9]}, protocol) for protocol in (2, 4, 5)] + [python_2_batch()]
    damaged = []
    for number in range(400):
        content = bytearray(whole[number % len(whole)])
        frame = [place for place in range(len(content)) if not 150 < place < len(content) - 150]
        for place in generator.sample(frame, 3):
            content[place] = generator.randrange(256)
        damaged.append(bytes(content[: generator.choice([None, generator.randrange(len(content))])]))
    assert len(answers(damaged, tmp_path / "batches")) == len(damaged)


@pytest.mark.parametrize("content", [pickle.dumps(print), pickle.dumps(Path("x")), pickle.dumps({1, 2}), b"\x80\x02(i"])
def test_whatever_is_no_plain_value_or_array_is_refused(content: bytes) -> None:
    with pytest.raises((PlainPickleError, ValueError)):
        read_plain_pickle(content)
