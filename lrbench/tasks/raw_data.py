"""RawData: what a dataset is before a validation split is held out, and the check of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from lrbench.display.names import many
from lrbench.errors import DataError
from lrbench.tasks.arrays import as_numbers, describe
from lrbench.tasks.dataset_fingerprint import dataset_fingerprint
from lrbench.tasks.fingerprint import array_digest
from lrbench.tasks.loader import Loader, Samples
from lrbench.tasks.map_style import check_dataset, class_names_of
from lrbench.tasks.split import LoadedSplit, Split
from lrbench.tasks.windows import Language, Windows


@dataclass(frozen=True, eq=False)
class RawData:
    """The arrays of a dataset before the validation split is held out, and the classes.

    `class_names` are the names of the labels 0, 1, ...; they are shown, and change no number. With `known_as_numbers`,
    integer inputs have the digest of the float32 numbers that they equal, as which earlier versions trained on them:
    so stored runs keep their keys. `language` is what is known of a text, whose splits are `Windows`.
    """

    train: Split
    test: Split
    num_classes: int | None
    val: Split | None = None
    class_names: tuple[str, ...] | None = None
    known_as_numbers: bool = False
    target: str | int | None = None
    language: Language | None = None

    @classmethod
    def of_datasets(
        cls,
        train: Any,
        test: Any,
        val: Any = None,
        *,
        train_evaluated: Any = None,
        target: str | int | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        collate: Callable[[list[Any]], Any] = default_collate,
        loader_workers: int = 0,
        version: str | None = None,
    ) -> RawData:
        """Check datasets, and make data that loads their samples; the arguments are as for `Data.from_datasets`.

        Raises:
            DataError: a dataset or a setting cannot be used.
        """
        given = {"train": train, "evaluated train": train_evaluated, "val": val, "test": test}
        datasets = {name: dataset for name, dataset in given.items() if dataset is not None}
        for name, dataset in datasets.items():
            check_dataset(dataset, name)
        if train_evaluated is not None and len(train_evaluated) != len(train):
            lengths = f"{many(len(train_evaluated), 'sample')}, and train has {len(train):,}"
            raise DataError(f"train_evaluated has {lengths}: it must have the same samples")
        if type(loader_workers) is not int or loader_workers < 0:
            raise DataError(f"loader_workers = {loader_workers!r} must be an integer from 0 on")
        if not callable(collate):
            raise DataError(f"collate = {collate!r} must be a function of a list of samples")
        names = class_names_of(train, target) if class_names is None and num_classes is None else class_names
        loader = Loader(Samples(datasets, collate, version), loader_workers)
        evaluated = {"train": "train" if train_evaluated is None else "evaluated train"}
        splits = {}
        for name, dataset in datasets.items():
            splits[name] = LoadedSplit(loader, name, evaluated.get(name, name), torch.arange(len(dataset)))
            splits[name].first(1)
        return cls(
            splits["train"],
            splits["test"],
            len(names) if names and num_classes is None else num_classes,
            splits.get("val"),
            None if names is None else tuple(names),
            target=target,
        )

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The arrays by name (`train-inputs`, `train-targets`, ...), sharing memory with splits; none of datasets."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return {
            f"{name}-{part}": getattr(split, part).numpy()
            for name, split in splits.items()
            if split is not None and split.in_memory
            for part in ("inputs", "targets")
        }

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """A digest of each array's type, shape and bytes, by name; one of all datasets and of what makes batches.

        Of a text they are that of its tokens, and one for the windows of each split.
        """
        if isinstance(self.train, Windows):
            splits = {"train": self.train, "val": self.val, "test": self.test}
            windows = {name: split.digest for name, split in splits.items() if isinstance(split, Windows)}
            return {"tokens": array_digest(self.train.tokens), **windows}
        if isinstance(self.train, LoadedSplit):
            samples = self.train.loader.samples
            return {
                "datasets": dataset_fingerprint((dict(samples.datasets), samples.collate, self.target), samples.version)
            }
        known = {name: self.known_as_numbers and name.endswith("inputs") for name in self.arrays}
        return {name: array_digest(as_numbers(array) if known[name] else array) for name, array in self.arrays.items()}


def check_raw(raw: RawData) -> None:
    """Check that arrays can be trained on.

    Raises:
        DataError: the first reason why they cannot.
    """
    if raw.num_classes is not None and type(raw.num_classes) is not int:
        raise DataError(f"num_classes = {raw.num_classes!r} must be an integer")
    if raw.class_names is not None:
        if len(raw.class_names) != raw.num_classes:
            raise DataError(f"class_names has {len(raw.class_names)} names where num_classes = {raw.num_classes}")
        unnamed = [name for name in raw.class_names if not isinstance(name, str)]
        if unnamed:
            raise DataError(f"class_names has {unnamed[0]!r}, which must be text")
    for where, split in (("train", raw.train), ("val", raw.val), ("test", raw.test)):
        if split is not None and split.in_memory:
            check_split(split, where, raw.train, raw.num_classes)


def check_split(split: Split, where: str, train: Split, num_classes: int | None) -> None:
    inputs, targets = split.inputs, split.targets
    if inputs.ndim < 2:
        raise DataError(f"the {where} inputs have shape {list(inputs.shape)}; they must be [N, ...]")
    if len(inputs) == 0:
        raise DataError(f"the {where} split is empty")
    if targets.ndim == 0 or len(targets) != len(inputs):
        shape = list(targets.shape)
        raise DataError(f"the {where} split has {len(inputs)} inputs but its targets have shape {shape}")
    if describe(inputs) != describe(train.inputs):
        raise DataError(
            f"the {where} inputs are {describe(inputs)} each while the train inputs are {describe(train.inputs)}"
        )
    if num_classes is None and describe(targets) != describe(train.targets):
        found, expected = describe(targets), describe(train.targets)
        raise DataError(f"the {where} targets are {found} each while the train targets are {expected}")
    for what, tensor in (("inputs", inputs), ("targets", targets)):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            first = int((~torch.isfinite(tensor)).flatten(1 if tensor.ndim > 1 else 0).nonzero()[0, 0])
            raise DataError(f"the {where} {what} are not finite (first at sample {first})")
    if num_classes is not None:
        check_labels(targets, where, num_classes)


def check_labels(targets: Tensor | None, where: str, num_classes: int) -> None:
    if targets is None:
        raise DataError(f"the {where} targets are no class labels, which must be integers [N]")
    if targets.is_floating_point() or targets.ndim != 1:
        raise DataError(f"the {where} targets are {describe(targets)} each; class labels must be integers [N]")
    if num_classes < 2:
        raise DataError(f"the data has {num_classes} class; a classification needs at least 2")
    wrong = ((targets < 0) | (targets >= num_classes)).nonzero()
    if len(wrong):
        first = int(wrong[0, 0])
        raise DataError(
            f"the {where} label {int(targets[first])} (sample {first}) is out of range; "
            f"labels must be 0..{num_classes - 1}; targets of a regression must be floating-point"
        )
