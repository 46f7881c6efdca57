"""MNIST-1D, the embedded dataset."""

import random

import numpy as np
import pytest
import torch

from lrbench.errors import DataError
from lrbench.tasks.datasets.mnist1d import mnist1d
from lrbench.tasks.make import DEFAULT_DATA_ROOT, load_data, load_task, read_dataset
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import datasets


@pytest.fixture(scope="module")
def made() -> RawData:
    return read_dataset(datasets.find("mnist1d"), {}, DEFAULT_DATA_ROOT, download=False)


def test_its_train_split_is_what_its_package_makes_by_default(made: RawData) -> None:
    from mnist1d.data import make_dataset

    state = np.random.get_state()  # noqa: NPY002 (the package seeds it)
    expected = make_dataset()
    np.random.set_state(state)  # noqa: NPY002
    np.testing.assert_array_equal(made.train.inputs, expected["x"].astype(np.float32))
    np.testing.assert_array_equal(made.train.targets, expected["y"])


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
