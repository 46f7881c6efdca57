"""MNIST-1D, the embedded dataset."""

import random

import numpy as np

from lrbench.tasks.datasets.mnist1d import mnist1d
from lrbench.tasks.make import DEFAULT_DATA_ROOT, read_dataset
from lrbench.tasks.registry import datasets


def test_it_is_what_its_package_makes_by_default() -> None:
    from mnist1d.data import make_dataset

    state = np.random.get_state()  # noqa: NPY002 (the package seeds it)
    expected = make_dataset()
    np.random.set_state(state)  # noqa: NPY002
    made = read_dataset(datasets.find("mnist1d"), {}, DEFAULT_DATA_ROOT, download=False)
    np.testing.assert_array_equal(made.train.inputs, expected["x"].astype(np.float32))
    np.testing.assert_array_equal(made.test.targets, expected["y_test"])
    assert made.train.inputs.shape == (4000, 40)
    assert made.test.inputs.shape == (1000, 40)
    assert made.num_classes == 10


def test_making_it_leaves_the_callers_random_numbers_alone() -> None:
    numpy_state, python_state = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    mnist1d(DEFAULT_DATA_ROOT, download=False)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], numpy_state["state"]["key"])  # noqa: NPY002
    assert random.getstate() == python_state
