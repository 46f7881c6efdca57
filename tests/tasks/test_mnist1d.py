"""MNIST-1D, the embedded dataset."""

import random

import numpy as np
import pytest
import torch

from lrbench.errors import DataError
from lrbench.reproducible import callers_generators
from lrbench.tasks.datasets.mnist1d import mnist1d
from lrbench.tasks.make import DEFAULT_DATA_ROOT, load_data, load_task, read_dataset
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import datasets


@pytest.fixture(scope="module")
def made() -> RawData:
    return read_dataset(datasets.find("mnist1d"), {}, DEFAULT_DATA_ROOT, download=False)


def test_its_signals_are_bit_for_bit_those_of_the_authors_package(made: RawData) -> None:
    from mnist1d.data import get_dataset_args, make_dataset

    measuring = get_dataset_args()
    measuring.seed, measuring.num_samples, measuring.train_split = 43, 16_000, 0.5
    with callers_generators():
        standard, measured = make_dataset(), make_dataset(measuring)
    assert made.val is not None
    expected = ((standard, "x", "y"), (measured, "x", "y"), (measured, "x_test", "y_test"))
    for split, (package, inputs, targets) in zip((made.train, made.val, made.test), expected, strict=True):
        np.testing.assert_array_equal(split.inputs, package[inputs].astype(np.float32))
        np.testing.assert_array_equal(split.targets, package[targets])


def test_it_is_measured_on_signals_like_those_that_it_trains_on_and_on_none_of_them(made: RawData) -> None:
    assert made.val is not None
    splits = (made.train, made.val, made.test)
    assert [split.inputs.shape for split in splits] == [(4000, 40), (8000, 40), (8000, 40)]
    assert len(torch.unique(torch.cat([split.inputs for split in splits]), dim=0)) == 20_000
    for split in splits:
        np.testing.assert_allclose([split.inputs.mean(), split.inputs.std()], [0, 1], atol=0.03)
        assert (torch.bincount(split.targets) / len(split)).sub(0.1).abs().max() < 0.005


def test_a_split_cannot_be_taken_from_data_that_has_its_own() -> None:
    with pytest.raises(DataError, match="dataset 'mnist1d': it has a validation split of its own, 8,000 samples"):
        load_data("mnist1d", 0.5)
    with pytest.raises(DataError, match="split_seed, stratified and train_samples cannot be given"):
        load_task({"base": "mnist1d-mlp", "split_seed": 1})


def test_making_it_leaves_the_callers_random_numbers_alone() -> None:
    numpy_state, python_state = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    mnist1d(DEFAULT_DATA_ROOT, download=False)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], numpy_state["state"]["key"])  # noqa: NPY002
    assert random.getstate() == python_state
