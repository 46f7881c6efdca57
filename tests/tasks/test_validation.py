"""The train set is split into train and validation by the task's own seed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrbench.errors import DataError
from lrbench.tasks.validation import split_indices


@given(size=st.integers(2, 300), fraction=st.floats(0.05, 0.95), seed=st.integers(0, 2**31))
def test_the_two_parts_are_sorted_disjoint_and_together_the_whole(size: int, fraction: float, seed: int) -> None:
    count = min(max(round(fraction * size), 1), size - 1)
    kept, held_out = split_indices(size, count, seed)
    assert len(held_out) == count
    assert torch.equal(torch.cat([kept, held_out]).sort().values, torch.arange(size))
    assert torch.equal(kept, kept.sort().values)


def test_a_fraction_is_rounded_to_samples_and_an_integer_is_a_number_of_them() -> None:
    assert len(split_indices(101, 0.2, 0)[1]) == 20
    assert len(split_indices(101, 1, 0)[1]) == 1


def test_the_split_depends_on_its_seed_and_on_nothing_else() -> None:
    first = split_indices(100, 0.3, 7)[1]
    torch.manual_seed(1)
    assert torch.equal(first, split_indices(100, 0.3, 7)[1])
    assert not torch.equal(first, split_indices(100, 0.3, 8)[1])


@given(labels=st.lists(st.integers(0, 4), min_size=10, max_size=200), seed=st.integers(0, 1000))
def test_a_stratified_split_holds_out_each_class_in_proportion_to_the_sample(labels: list[int], seed: int) -> None:
    targets = torch.tensor(labels)
    count = len(labels) // 5
    _, held_out = split_indices(len(labels), count, seed, targets)
    for label in range(5):
        share = int((targets == label).sum()) * count / len(labels)
        assert abs(int((targets[held_out] == label).sum()) - share) <= 1.5


@given(labels=st.lists(st.integers(0, 4), min_size=10, max_size=200), seed=st.integers(0, 1000), data=st.data())
def test_fewer_train_samples_leave_the_held_out_ones_and_are_of_each_class_in_proportion(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    targets = torch.tensor(labels)
    count = len(labels) // 5
    few = data.draw(st.integers(1, len(labels) - count))
    whole, held_out = split_indices(len(labels), count, seed, targets)
    kept, same = split_indices(len(labels), count, seed, targets, few)
    assert torch.equal(held_out, same)
    assert len(kept) == few
    assert set(kept.tolist()) <= set(whole.tolist())
    for label in range(5):
        share = int((targets == label).sum()) * few / len(labels)
        assert abs(int((targets[kept] == label).sum()) - share) <= 2


def test_more_train_samples_than_are_left_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"^train_samples = 9 must be at most 8, for 2 of 10 train samples are held out$"
    ):
        split_indices(10, 2, 0, train_samples=9)


@pytest.mark.parametrize("validation", [0.0, 1.0, -0.1, 1.5, float("nan"), 0, -3, 10, 11, True, "0.2", None])
def test_a_split_that_leaves_one_part_empty_is_refused(validation: object) -> None:
    with pytest.raises(DataError, match="validation = "):
        split_indices(10, validation, 0)  # type: ignore[arg-type]
