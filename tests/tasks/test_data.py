"""Data: three splits in memory, checked when built, decoded a batch at a time."""

from typing import Any

import numpy as np
import pytest
import torch

from lrbench.errors import DataError
from lrbench.tasks import Data, RawData, Split

RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (40, 3, 8, 6), dtype=np.uint8)
SIGNALS = RNG.normal(size=(40, 5))
LABELS = np.arange(40) % 4
TOKENS = RNG.integers(0, 1000, (40, 5))


def test_numpy_arrays_and_tensors_give_the_same_data() -> None:
    arrays = Data.from_arrays((SIGNALS, LABELS), (SIGNALS, LABELS))
    tensors = Data.from_arrays(
        (torch.tensor(SIGNALS), torch.tensor(LABELS)), (torch.tensor(SIGNALS), torch.tensor(LABELS))
    )
    assert arrays.checksum == tensors.checksum
    assert arrays.train.inputs.dtype == torch.float32
    assert arrays.train.targets.dtype == torch.int64
    assert (len(arrays.train), len(arrays.val), len(arrays.test)) == (32, 8, 40)
    assert arrays.num_classes == 4


def test_images_stay_uint8_until_a_batch_is_decoded() -> None:
    data = Data.from_arrays((PHOTOS, LABELS), (PHOTOS, LABELS))
    assert data.train.inputs.dtype == torch.uint8
    batch = data.decode(data.train.inputs[:4])
    assert batch.dtype == torch.float32
    assert batch.shape == (4, 3, 8, 6)


def test_mean_and_std_are_per_channel_over_the_train_split_without_validation() -> None:
    data = Data.from_arrays((PHOTOS, LABELS), (PHOTOS // 2, LABELS), val=(PHOTOS // 4, LABELS))
    assert data.mean is not None
    assert data.std is not None
    np.testing.assert_allclose(data.mean, (PHOTOS / 255).mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(data.std, (PHOTOS / 255).std(axis=(0, 2, 3)), rtol=1e-6)


def test_a_decoded_train_split_has_mean_zero_and_std_one_in_each_channel() -> None:
    data = Data.from_arrays((PHOTOS, LABELS), (PHOTOS, LABELS))
    decoded = data.decode(data.train.inputs).double()
    torch.testing.assert_close(decoded.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(decoded.std((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-5, rtol=0)


def test_a_constant_channel_is_centred_and_not_divided_by_zero() -> None:
    grey = np.full((10, 1, 2, 2), 100, np.uint8)
    data = Data.from_arrays((grey, LABELS[:10]), (grey, LABELS[:10]))
    assert torch.all(data.decode(data.train.inputs).abs() < 1e-6)


def test_floating_point_inputs_are_used_as_they_are() -> None:
    data = Data.from_arrays((SIGNALS, LABELS), (SIGNALS, LABELS))
    assert data.mean is None
    assert torch.equal(data.decode(data.test.inputs), torch.tensor(SIGNALS, dtype=torch.float32))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_integer_inputs_stay_integers(dtype: type) -> None:
    tokens: np.ndarray = (TOKENS % 100).astype(dtype)
    for given in (tokens, torch.from_numpy(tokens)):
        data = Data.from_arrays((given, LABELS), (given, LABELS))
        batch = data.decode(data.test.inputs[:3])
        assert batch.dtype == torch.int64
        assert batch.tolist() == tokens[:3].tolist()


def test_large_ids_keep_every_digit() -> None:
    ids = TOKENS + 2**40 + 1
    data = Data.from_arrays((ids, LABELS), (ids, LABELS))
    assert np.array_equal(data.decode(data.test.inputs).numpy(), ids)
    assert (
        data.checksum != Data.from_arrays((ids.astype(np.float32), LABELS), (ids.astype(np.float32), LABELS)).checksum
    )


def test_integers_have_the_checksum_that_they_had_as_float32_numbers() -> None:
    as_floats = TOKENS.astype(np.float32)
    floats = Data.from_arrays((as_floats, LABELS), (as_floats, LABELS))
    assert Data.from_arrays((TOKENS, LABELS), (TOKENS, LABELS)).checksum == floats.checksum


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble, bool])
def test_other_numbers_are_float32(dtype: type) -> None:
    signals: np.ndarray = SIGNALS.astype(np.float16).astype(dtype)
    data = Data.from_arrays((signals, LABELS), (signals, LABELS))
    assert data.train.inputs.dtype == torch.float32
    assert np.array_equal(data.test.inputs.numpy(), signals)


def test_integer_targets_of_another_shape_are_no_labels_and_are_kept() -> None:
    targets = np.where(TOKENS % 7 == 0, -100, TOKENS)
    data = Data.from_arrays((TOKENS, targets), (TOKENS, targets))
    assert data.num_classes is None
    assert data.test.targets.dtype == torch.int64
    assert np.array_equal(data.test.targets.numpy(), targets)


def test_decoding_leaves_the_data_untouched() -> None:
    data = Data.from_arrays((PHOTOS, LABELS), (PHOTOS, LABELS))
    before = data.test.inputs.clone()
    data.decode(data.test.inputs).zero_()
    assert torch.equal(data.test.inputs, before)


def test_the_data_is_a_copy_of_the_arrays() -> None:
    signals = SIGNALS.astype(np.float32)
    data = Data.from_arrays((signals, LABELS), (signals, LABELS), val=(torch.from_numpy(signals), LABELS))
    signals[:] = 0
    assert all(bool((split.inputs != 0).all()) for split in (data.train, data.val, data.test))


def test_floating_point_targets_make_a_regression() -> None:
    data = Data.from_arrays((SIGNALS, SIGNALS[:, 0]), (SIGNALS, SIGNALS[:, 0]))
    assert data.num_classes is None
    assert data.train.targets.dtype == torch.float32


@pytest.mark.parametrize(
    "change",
    [
        lambda a: {**a, "train": (a["train"][0] + 1, a["train"][1])},
        lambda a: {**a, "train": (a["train"][0], (a["train"][1] + 1) % 4)},
        lambda a: {**a, "test": (a["test"][0] + 1, a["test"][1])},
        lambda a: {**a, "split_seed": 1},
        lambda a: {**a, "val": 0.3},
        lambda a: {**a, "val": (SIGNALS, LABELS)},
        lambda a: {**a, "stratified": True},
        lambda a: {**a, "num_classes": 5},
    ],
)
def test_the_checksum_changes_with_everything_that_determines_the_splits(change: Any) -> None:
    arguments: dict[str, Any] = {"train": (SIGNALS, LABELS), "test": (SIGNALS, LABELS)}
    assert Data.from_arrays(**change(arguments)).checksum != Data.from_arrays(**arguments).checksum


def test_names_of_classes_count_them_and_change_no_number() -> None:
    named = Data.from_arrays((SIGNALS, LABELS), (SIGNALS, LABELS), class_names=["a", "b", "c", "d"])
    assert named.class_names == ("a", "b", "c", "d")
    assert named.evaluated_on(4).class_names == named.class_names
    assert named.checksum == Data.from_arrays((SIGNALS, LABELS), (SIGNALS, LABELS), num_classes=4).checksum
    more = Data.from_arrays((SIGNALS, LABELS), (SIGNALS, LABELS), class_names=["a", "b", "c", "d", "in no sample"])
    assert more.num_classes == 5


NOT_FINITE = np.where(np.arange(200).reshape(40, 5) == 17, np.nan, SIGNALS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": (SIGNALS[:0], LABELS[:0])}, "the train split is empty"),
        ({"test": (SIGNALS[:0], LABELS[:0])}, "the test split is empty"),
        ({"val": (SIGNALS[:0], LABELS[:0])}, "the val split is empty"),
        ({"train": (SIGNALS, LABELS[:39])}, "40 inputs but its targets have shape \\[39\\]"),
        ({"test": (SIGNALS[:, :4], LABELS)}, "the test inputs are float32 \\[4\\] each while the train inputs are"),
        ({"test": (PHOTOS, LABELS)}, "the test inputs are uint8"),
        ({"train": (NOT_FINITE, LABELS)}, "the train inputs are not finite \\(first at sample 3\\)"),
        ({"train": (SIGNALS * 1e300, LABELS)}, "the train inputs are not finite"),
        ({"train": (SIGNALS, NOT_FINITE[:, 2]), "test": (SIGNALS, SIGNALS[:, 0])}, "train targets are not finite"),
        ({"test": (SIGNALS, LABELS + 1)}, "the test label 4 \\(sample 3\\) is out of range; labels must be 0..3"),
        ({"train": (SIGNALS, LABELS - 1)}, "the train label -1 \\(sample 0\\) is out of range"),
        ({"num_classes": 3}, "the train label 3 \\(sample 3\\) is out of range; labels must be 0..2"),
        ({"train": (SIGNALS, LABELS * 0), "test": (SIGNALS, LABELS * 0)}, "1 class; a classification needs at least 2"),
        ({"test": (SIGNALS, LABELS / 2)}, "class labels must be integers"),
        (
            {"train": (SIGNALS, np.eye(4, dtype=int)[LABELS])},
            "the test targets are int64 \\[\\] each while the train targets are int64 \\[4\\]",
        ),
        ({"train": (SIGNALS, np.eye(4, dtype=int)[LABELS]), "num_classes": 4}, "class labels must be integers \\[N\\]"),
        ({"test": (TOKENS, LABELS)}, "the test inputs are int64 \\[5\\] each while the train inputs are float32"),
        (
            {"train": (TOKENS.astype(np.uint64) + 2**63, LABELS)},
            "the integer 92233720368547\\d+, which is beyond int64",
        ),
        (
            {"train": (TOKENS, TOKENS), "test": (TOKENS, TOKENS), "stratified": True},
            "stratified = True needs class labels \\[N\\], and the targets are int64 \\[5\\] each",
        ),
        ({"train": (SIGNALS[:, 0], LABELS)}, "they must be \\[N, ...\\]"),
        ({"train": (np.array(["a"] * 40), LABELS)}, "the train inputs must be numbers"),
        ({"train": (SIGNALS.astype(object), LABELS)}, "the train inputs must be numbers"),
        ({"train": SIGNALS}, "the train data must be a pair \\(inputs, targets\\), not ndarray"),
        ({"train": ([[1, 2], [3]], LABELS[:2])}, "the train inputs are not one array"),
        ({"train": (SIGNALS + 1j, LABELS)}, "the train inputs must be numbers"),
        ({"train": (torch.ones(40, 5) + 1j, LABELS)}, "the train inputs must be numbers"),
        ({"num_classes": "4"}, "num_classes = '4' must be an integer"),
        ({"class_names": ["a", "b"], "num_classes": 4}, "class_names has 2 names where num_classes = 4"),
        ({"class_names": ["a", "b", "c", 4]}, "class_names has 4, which must be text"),
        ({"val": 40}, "holds out 40 of 40 train samples"),
        ({"val": 0.0}, "validation = 0.0"),
    ],
)
def test_unusable_arrays_are_refused_in_one_sentence(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"train": (SIGNALS, LABELS), "test": (SIGNALS, LABELS)}
    with pytest.raises(DataError, match=message) as refusal:
        Data.from_arrays(**{**good, **arguments})
    assert "\n" not in str(refusal.value)


def test_a_dataset_with_its_own_validation_split_keeps_it() -> None:
    split = Split(torch.tensor(SIGNALS, dtype=torch.float32), torch.tensor(LABELS))
    data = Data.from_raw(RawData(split, split, 4, val=split.take(torch.arange(7))))
    assert (len(data.train), len(data.val)) == (40, 7)


def test_data_evaluated_on_fewer_samples_have_some_of_all_of_a_sorted_split_and_are_other_data() -> None:
    inputs, labels = torch.arange(100.0)[:, None], torch.arange(100) // 10
    data = Data.from_arrays((inputs, labels), (inputs, labels), (inputs[:15], labels[:15]))

    fewer = data.evaluated_on(20)

    assert (len(fewer.train), len(fewer.val), len(fewer.test)) == (100, 15, 20)
    assert fewer.test.targets.bincount().tolist() == [2] * 10
    assert torch.equal(fewer.test.inputs[:, 0].long() // 10, fewer.test.targets)
    assert fewer.checksum != data.checksum
    assert data.evaluated_on(100) is data


@pytest.mark.gpu
def test_data_moves_to_a_device_and_decodes_there() -> None:
    data = Data.from_arrays((PHOTOS, LABELS), (PHOTOS, LABELS))
    moved = data.to("cuda")
    torch.testing.assert_close(moved.decode(moved.test.inputs).cpu(), data.decode(data.test.inputs))
