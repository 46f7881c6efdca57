"""What lrbench asks of a map-style dataset: an index and a length; for some settings, labels."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, Subset, TensorDataset

from lrbench.errors import DataError
from lrbench.tasks.mapped_arrays import MappedArrays
from lrbench.tasks.split import LoadedSplit, Split

BALANCED: Literal["balanced"] = "balanced"
SampleWeights = Literal["balanced"] | Sequence[float] | Tensor | None


def check_dataset(dataset: Any, name: str) -> None:
    """Raise DataError unless a dataset has samples that can be asked for by their index."""
    kind = type(dataset).__name__
    if isinstance(dataset, IterableDataset) or (hasattr(dataset, "__iter__") and not hasattr(dataset, "__getitem__")):
        raise DataError(
            f"the {name} data is a {kind}, which gives its samples in an order of its own, so that runs could not be "
            "resumed: give a dataset with __getitem__(index) and __len__()"
        )
    if isinstance(dataset, tuple):
        raise DataError(f"the {name} data is a tuple: give a dataset here, and arrays to Data.from_arrays")
    if isinstance(dataset, Mapping):
        raise DataError(f"the {name} data is a {kind} of several: give one of {', '.join(map(str, dataset))}")
    if not hasattr(dataset, "__getitem__"):
        raise DataError(f"the {name} data is a {kind} where a dataset with __getitem__(index) and __len__() is needed")
    try:
        samples = len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise DataError(f"the {name} dataset {kind} has no length: give it a __len__()") from error
    if not samples:
        raise DataError(f"the {name} dataset {kind} is empty")


def class_names_of(dataset: Any, target: str | int | None) -> tuple[str, ...] | None:
    """Return the names of the classes that a dataset has: torchvision's `classes`, those of Hugging Face's column."""
    names = getattr(dataset, "classes", None)
    if names is None and target is not None:
        features = getattr(dataset, "features", None)
        names = getattr(features.get(target), "names", None) if isinstance(features, Mapping) else None
    named = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if names and named else None


def labels_of(split: Split, target: str | int | None) -> Tensor:
    """Return the labels of a split, int64 [N].

    Raises:
        DataError: its dataset does not have them apart from its samples.
    """
    if not isinstance(split, LoadedSplit):
        return split.targets
    dataset = split.loader.samples.datasets[split.part]
    found = _labels(dataset, target)
    if found is None:
        raise DataError(
            f"the labels of the {split.part} dataset {type(dataset).__name__} are not known without loading its "
            "samples: give it an attribute `targets`, or weights as numbers"
        )
    return torch.as_tensor(np.asarray(found), dtype=torch.int64)[split.rows]


def _labels(dataset: Any, target: str | int | None) -> Any:
    if isinstance(dataset, Subset):
        found = _labels(dataset.dataset, target)
        return None if found is None else np.asarray(found)[np.asarray(dataset.indices)]
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[-1]
    if isinstance(dataset, MappedArrays):
        return dataset.labels
    if target is not None and target in getattr(dataset, "column_names", ()):
        return dataset[target]
    return getattr(dataset, "targets", None)


def weights_of(given: Any, samples: int, kept: Tensor, labels: Callable[[], Tensor]) -> Tensor:
    """Return the weights, float64 [n], of the samples at `kept` (int64 [n]) of `samples`.

    "balanced" gives every class the same weight in all, by the labels [n] of these.

    Raises:
        DataError: they are not one number >= 0 for each sample, or all are 0.
    """
    if isinstance(given, str):
        if given != BALANCED:
            raise DataError(f'sample_weights = {given!r} must be "{BALANCED}" or a number for each train sample')
        classes = labels()
        if classes.ndim != 1 or classes.is_floating_point():
            raise DataError(f'sample_weights = "{BALANCED}" needs class labels [N]')
        return 1 / torch.bincount(classes.cpu()).double()[classes.cpu()]
    weights = torch.as_tensor(given, dtype=torch.float64, device="cpu")
    if weights.shape != (samples,):
        raise DataError(
            f"sample_weights has the shape {list(weights.shape)} where one for each of {samples:,} is needed"
        )
    if not bool((weights >= 0).all()) or not math.isfinite(float(weights.sum())) or not bool(weights.any()):
        raise DataError("sample_weights must be finite numbers from 0 on, and not all 0")
    return weights[kept]
