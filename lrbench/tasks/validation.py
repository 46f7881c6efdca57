"""The train samples that are held out for validation: a pure function of the sizes and the task's own seed."""

import torch
from torch import Tensor

from lrbench.errors import DataError
from lrbench.policy.kind import short_repr
from lrbench.streams import stream_seed

Validation = float | int
"""A fraction of the train set (a float, 0 < v < 1) or a number of samples (an int)."""

HELD_OUT: Validation = 0.2
"""What is held out of the train set where neither the user nor the data set gives a validation split."""


def split_indices(
    size: int, validation: Validation, split_seed: int, labels: Tensor | None = None, train_samples: int | None = None
) -> tuple[Tensor, Tensor]:
    """Split a train set of `size` samples; return the sorted int64 indices (kept for training, held out).

    With `labels` (int64 [size]) each class is held out in the same proportion, to the nearest sample. With
    `train_samples` only so many of the others are kept, in the same proportion too.

    Raises:
        DataError: either part would be empty, or there are not so many samples to keep.
    """
    count = held_out_count(size, validation)
    generator = torch.Generator().manual_seed(stream_seed(split_seed, "validation split"))
    order = torch.randperm(size, generator=generator)
    if labels is not None:
        order = interleave_classes(order, labels)
    stop = size if train_samples is None else count + train_samples
    if stop > size:
        at_most = f"must be at most {size - count}, for {count} of {size} train samples are held out"
        raise DataError(f"train_samples = {short_repr(train_samples)} {at_most}")
    held_out, kept = order[:count], order[count:stop]
    return kept.sort().values, held_out.sort().values


def check_train_samples(train_samples: object) -> None:
    """Raise DataError unless it is a number of samples (an int >= 1)."""
    if type(train_samples) is not int or train_samples < 1:
        raise DataError(f"train_samples = {short_repr(train_samples)} must be a number of samples, at least 1")


def check_validation(validation: object) -> None:
    """Raise DataError unless it is a fraction between 0 and 1 (a float) or a number of samples (an int >= 1)."""
    if isinstance(validation, bool) or not isinstance(validation, (int, float)):
        raise DataError(
            f"validation = {short_repr(validation)} must be a fraction between 0 and 1 or a number of samples"
        )
    if isinstance(validation, float) and not 0 < validation < 1:
        raise DataError(
            f"validation = {short_repr(validation)} must be a fraction between 0 and 1, or an integer for a number"
        )
    if isinstance(validation, int) and validation < 1:
        raise DataError(f"validation = {short_repr(validation)} must hold out at least one sample")


def held_out_count(size: int, validation: Validation) -> int:
    """Return the number of samples that are held out of `size`; raise DataError where either part would be empty."""
    check_validation(validation)
    count = round(validation * size) if isinstance(validation, float) else validation
    if not 0 < count < size:
        raise DataError(
            f"validation = {short_repr(validation)} holds out {short_repr(count)} of {size} train samples; "
            "both the train and the validation split need at least one"
        )
    return count


def interleave_classes(order: Tensor, labels: Tensor) -> Tensor:
    """Rearrange `order` so that every prefix has each class in proportion, as nearly as whole samples allow."""
    shuffled = labels[order]
    position = torch.empty(len(order), dtype=torch.float64)
    for label in sorted(set(shuffled.tolist())):
        members = (shuffled == label).nonzero().flatten()
        position[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return order[position.argsort(stable=True)]
