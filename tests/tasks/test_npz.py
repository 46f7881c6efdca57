"""A user's own arrays in a .npz file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrbench.errors import DataError
from lrbench.tasks import Choice, Data
from lrbench.tasks.make import load_data

RNG = np.random.default_rng(0)
ARRAYS: dict[str, Any] = {
    "x_train": RNG.integers(0, 256, (30, 4, 4), dtype=np.uint8),
    "y_train": np.arange(30) % 3,
    "x_test": RNG.integers(0, 256, (12, 4, 4), dtype=np.uint8),
    "y_test": np.arange(12) % 3,
}


def load(root: Path, arrays: dict[str, Any] | None = None, **options: Any) -> Data:
    if arrays is not None:
        np.savez(root / "mine.npz", **arrays)
    dataset = Choice("npz", {"path": "mine.npz", **options})
    return load_data(dataset, data_root=root)


def test_grey_images_get_a_channel_and_labels_are_counted(tmp_path: Path) -> None:
    data = load(tmp_path, ARRAYS)
    assert data.input_shape == (1, 4, 4)
    assert data.num_classes == 3
    np.testing.assert_array_equal(data.test.inputs[:, 0], ARRAYS["x_test"])


def test_channels_last_images_are_turned(tmp_path: Path) -> None:
    photos = RNG.integers(0, 256, (30, 4, 5, 3), dtype=np.uint8)
    data = load(tmp_path, {**ARRAYS, "x_train": photos, "x_test": photos[:12]}, channels_last=True)
    np.testing.assert_array_equal(data.test.inputs, photos[:12].transpose(0, 3, 1, 2))


def test_labels_in_a_column_are_taken_as_labels(tmp_path: Path) -> None:
    data = load(tmp_path, {**ARRAYS, "y_train": ARRAYS["y_train"][:, None].astype(np.uint8)})
    assert data.train.targets.shape == (24,)


def test_a_compressed_file_is_read_as_well(tmp_path: Path) -> None:
    plain = load(tmp_path, ARRAYS)
    np.savez_compressed(tmp_path / "mine.npz", **ARRAYS)
    assert load(tmp_path).checksum == plain.checksum


def test_a_validation_split_of_its_own_is_used(tmp_path: Path) -> None:
    data = load(tmp_path, {**ARRAYS, "x_val": ARRAYS["x_test"][:5], "y_val": ARRAYS["y_test"][:5]})
    assert (len(data.train), len(data.val)) == (30, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": None}, "has no array x_train; it has y_train, x_test, y_test"),
        ({"x_train": None, "X_train": ARRAYS["x_train"]}, "has no array x_train \\(did you mean 'X_train'\\?\\)"),
        ({"y_test": None, "x_val": ARRAYS["x_test"]}, "has no array y_test"),
        ({"x_val": ARRAYS["x_test"]}, "has only one of x_val and y_val; give both or neither"),
        ({"x_train": np.array([None] * 30)}, "is not a whole .npz file of plain arrays"),
        ({"y_train": np.array(["cat"] * 30)}, "dataset 'npz': the train targets must be numbers"),
        ({"y_test": ARRAYS["y_test"] + 1}, "dataset 'npz': the test label 3 \\(sample 2\\) is out of range"),
        ({"y_test": ARRAYS["y_test"] - 1}, "the test label -1"),
        ({"x_train": ARRAYS["x_train"][:29]}, "29 inputs but its targets have shape \\[30\\]"),
        ({"x_test": ARRAYS["x_test"][:0], "y_test": ARRAYS["y_test"][:0]}, "the test split is empty"),
        ({"x_test": ARRAYS["x_test"][:, :3]}, "the test inputs are uint8 \\[1, 3, 4\\] each while"),
    ],
)
def test_wrong_arrays_are_refused_in_one_sentence(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    arrays = {key: array for key, array in {**ARRAYS, **change}.items() if array is not None}
    with pytest.raises(DataError, match=message) as refusal:
        load(tmp_path, arrays)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("keep", [0, 1, 10, 200, 1000, -1, -30])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    np.savez(tmp_path / "mine.npz", **ARRAYS)
    path = tmp_path / "mine.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"mine.npz is not a whole .npz file"):
        load(tmp_path)


def test_a_file_altered_in_the_middle_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **ARRAYS)
    path = tmp_path / "mine.npz"
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mine.npz is not a whole .npz file"):
        load(tmp_path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_text("x_train,y_train\n")
    with pytest.raises(DataError, match=r"mine.npz is not a whole .npz file"):
        load(tmp_path)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "mine.npz").open("wb") as file:
        np.save(file, ARRAYS["x_train"])
    with pytest.raises(DataError, match=r"mine.npz is not a whole .npz file"):
        load(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path / 'mine.npz'} does not exist"):
        load(tmp_path)
