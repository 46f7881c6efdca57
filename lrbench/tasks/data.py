"""Data: the three splits of a task, decoded once and held in memory, or loaded from datasets a batch at a time.

In memory, images stay uint8 [N, C, H, W] until a batch is decoded; other inputs are float32, or int64 (as token ids)
[N, ...]. What datasets give is used as it is.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import DataError
from lrbench.tasks.arrays import (
    Arrays,
    as_split,
    channel_statistics,
    count_classes,
    describe,
    is_integer,
)
from lrbench.tasks.fingerprint import array_digest, text_digest
from lrbench.tasks.map_style import SampleWeights, labels_of, weights_of
from lrbench.tasks.mapped_arrays import MappedArrays, is_on_disk
from lrbench.tasks.raw_data import RawData, check_labels, check_raw
from lrbench.tasks.split import Batch, LoadedSplit, Split
from lrbench.tasks.validation import HELD_OUT, Validation, split_indices
from lrbench.tasks.windows import Language

IGNORED = -100
"""The label of a sample that torch's losses leave out."""


@dataclass(frozen=True, eq=False, repr=False)
class Data(Readable):
    """The splits of a task.

    Attributes:
        num_classes: None where the targets are no class labels.
        mean, std: float32 [C], per channel, over the train split, on the 0..1 scale of uint8 images; None for other
            inputs, which are used as they are.
        checksum: a digest of the arrays and of how they were split.
        class_names: the names of the classes in pictures, in place of their labels.
        target: the key of the labels in a batch that is no pair, None where it has none.
        sample_weights: float64 [N] on the CPU, with which train samples are drawn, with replacement; None: each once an
            epoch.
        language: what is known of a text; None for other data.
    """

    train: Split
    val: Split
    test: Split
    num_classes: int | None
    mean: Tensor | None
    std: Tensor | None
    checksum: str
    class_names: tuple[str, ...] | None = None
    target: str | int | None = None
    sample_weights: Tensor | None = None
    language: Language | None = None

    @classmethod
    def from_arrays(
        cls,
        train: Arrays,
        test: Arrays,
        val: Validation | Arrays = HELD_OUT,
        *,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        split_seed: int = 0,
        stratified: bool = False,
        sample_weights: SampleWeights = None,
    ) -> "Data":
        """Make data from `(inputs, targets)` pairs of tensors or NumPy arrays.

        `val` is the fraction (0 < val < 1) or the number of train samples to hold out, or a pair of its own.
        Integer targets [N] are class labels. `num_classes` is by default the number of `class_names`, else one more
        than the largest train label. Floating-point targets [N, ...] make it a regression. Integer targets of another
        shape ([N, L] for a token each) go to the loss as they are. Both need a metric. `sample_weights` are as for
        `from_datasets`.

        An array may be the path of a `.npy` file, or a `np.memmap`: then nothing is read into memory but batches and
        labels, and values are not checked to be finite. The data is known by the content of the files.

        Types, by the array's:

        - inputs uint8: images, scaled to 0..1 and standardised per channel a batch at a time; give token ids another
          integer type
        - inputs of other integers (token ids): int64, for the model too; numbers that are no ids must be
          floating-point (lrbench's own models take no ids, and get float32)
        - inputs of floating point, float64 (NumPy's default) too: float32, the type of networks
        - inputs of bool: float32, 0.0 and 1.0
        - targets of integers and bool: int64; of floating point: float32

        Raises:
            DataError: a split is empty, lengths or shapes differ, values are not finite (as float32), labels are out of
                range, integers are beyond int64, or types are no real numbers (complex, text).
        """
        names = None if class_names is None else tuple(class_names)
        classes = len(names) if names and num_classes is None else num_classes
        how: dict[str, Any] = {"split_seed": split_seed, "stratified": stratified, "sample_weights": sample_weights}
        given = {"train": train, "test": test, **({} if isinstance(val, int | float) else {"val": val})}
        if any(map(is_on_disk, given.values())):
            files = {name: MappedArrays(arrays, name) for name, arrays in given.items()}
            classes = count_classes(files["train"].labels, classes)
            for name, part in files.items():
                if classes is not None:
                    check_labels(part.labels, name, classes)
            held_out = files.get("val", val)
            return cls.from_datasets(
                files["train"], files["test"], held_out, num_classes=classes, class_names=names, **how
            )
        splits = {name: as_split(arrays, name) for name, arrays in given.items()}
        classes = count_classes(splits["train"].targets, classes)
        raw = RawData(splits["train"], splits["test"], classes, splits.get("val"), names, known_as_numbers=True)
        return cls.from_raw(raw, val if isinstance(val, int | float) else None, **how)

    @classmethod
    def from_datasets(
        cls,
        train: Any,
        test: Any,
        val: Validation | Any = HELD_OUT,
        *,
        train_evaluated: Any = None,
        target: str | int | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        split_seed: int = 0,
        stratified: bool = False,
        sample_weights: SampleWeights = None,
        collate: Callable[[list[Any]], Any] = default_collate,
        loader_workers: int = 0,
        version: str | None = None,
    ) -> "Data":
        """Make data from map-style datasets, whose samples are loaded a batch at a time by torch's DataLoader.

        A dataset has `__getitem__(index)` and `__len__()`: torchvision's, Hugging Face's, a `TensorDataset`, one's own.
        What its samples draw, they draw from the global generators of torch, NumPy or Python. These are seeded by the
        run's seed, the epoch and the sample's place in it, so that any number of workers gives the same numbers.

        A batch that is a pair is (inputs, targets): `model(inputs)`, `loss(outputs, targets)`. Any other goes as it is
        to both: `model(batch)`, `loss(outputs, batch)`. Batches are used as they are, but for float64, which becomes
        float32.

        Args:
            train, test: the datasets.
            val: the fraction or the number of train samples to hold out, or a dataset of its own.
            train_evaluated: the samples of `train` as evaluations see them, with other transforms, say. Held-out ones
                come from it, and those on which the train loss at the end is measured; from `train` unless given.
            target: the key of the labels in a batch that is no pair. Scores then compare them with outputs, which are a
                tensor [N, classes] or have one as `logits`; without it, a metric is given whole batches.
            num_classes: by default the number of `class_names`, which are by default those of the train dataset
                (`classes`, as torchvision has them). Without either the targets are no class labels, and need a metric.
            split_seed, stratified: as for `load_data`; labels are the dataset's `targets`, or its column `target`.
            sample_weights: one for each sample of `train`, or "balanced": by the frequency of its class. Samples are
                then drawn with replacement, by their weights, in place of each once an epoch.
            collate: makes a batch of a list of samples.
            loader_workers: processes that load batches ahead; 0: none. It changes no number.
            version: stands for the code of the datasets and for what they hold, in what data is known by.

        Raises:
            DataError: a dataset has no length or no index, is empty, or fails on its first sample, or settings do not
                fit it.
        """
        held_out = val if isinstance(val, int | float) else None
        raw = RawData.of_datasets(
            train,
            test,
            None if isinstance(val, int | float) else val,
            train_evaluated=train_evaluated,
            target=target,
            num_classes=num_classes,
            class_names=class_names,
            collate=collate,
            loader_workers=loader_workers,
            version=version,
        )
        return cls.from_raw(raw, held_out, split_seed=split_seed, stratified=stratified, sample_weights=sample_weights)

    @classmethod
    def from_raw(
        cls,
        raw: RawData,
        validation: Validation | None = None,
        *,
        split_seed: int = 0,
        stratified: bool = False,
        train_samples: int | None = None,
        sample_weights: SampleWeights = None,
    ) -> "Data":
        """Check the arrays of a dataset, and split and normalise them.

        Raises:
            DataError: the data cannot be trained on, or has a validation split of its own where a split is asked for.
        """
        check_raw(raw)
        if raw.val is not None and (validation is not None or split_seed or stratified or train_samples is not None):
            raise DataError(
                f"it has a validation split of its own, {many(len(raw.val), 'sample')}, so that "
                "validation, split_seed, stratified and train_samples cannot be given"
            )
        kept = torch.arange(len(raw.train))
        if raw.val is None:
            labels = labels_of(raw.train, raw.target) if stratified else None
            if labels is not None and labels.ndim != 1:
                raise DataError(
                    f"stratified = True needs class labels [N], and the targets are {describe(labels)} each"
                )
            validation = HELD_OUT if validation is None else validation
            kept, held_out = split_indices(len(raw.train), validation, split_seed, labels, train_samples)
            train, val = raw.train.take(kept), raw.train.take(held_out)
            how = f"validation={validation!r} split_seed={split_seed} stratified={stratified}"
            how += "" if train_samples is None else f" train_samples={train_samples}"
        else:
            train, val, how = raw.train, raw.val, "validation given"
        mean, std = channel_statistics(train.chunks())
        weights = None
        if sample_weights is not None:
            weights = weights_of(sample_weights, len(raw.train), kept, lambda: labels_of(train, raw.target))
        weighted = () if weights is None else (array_digest(weights.numpy()),)
        checksum = text_digest(*raw.digests.values(), str(raw.num_classes), how, *weighted)
        known = raw.num_classes, mean, std, checksum, raw.class_names, raw.target, weights, raw.language
        return cls(train, val, raw.test, *known)

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        counts = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in ("train", "val", "test"))
        if self.language is not None:
            yield f"{counts} windows of {self.input_shape[0]:,} tokens; {self.language}"
            return
        first = self.train.first(1)
        whole = first.inputs is first.targets
        targets = f"targets {describe(first.targets)}"
        classes = targets if self.num_classes is None else f"{self.num_classes:,} classes"
        what = f"batches {describe(first.inputs)}" if whole else f"inputs {describe(first.inputs)}"
        yield f"{counts} samples; {what}" + ("" if whole and self.num_classes is None else f", {classes}")

    @property
    def in_memory(self) -> bool:
        """Whether all samples are in memory, as tensors; else they are loaded from datasets."""
        return self.train.in_memory

    @property
    def device(self) -> torch.device:
        """Where the data lies, or is loaded to."""
        return self.train.device

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, without the batch dimension; () where inputs are no tensor."""
        inputs = self.train.first(1).inputs
        return tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else ()

    def scored(self, targets: Any) -> Any:
        """Return the part of a batch's targets that scores compare outputs with."""
        return targets if self.target is None else targets[self.target]

    @contextmanager
    def naming_labels(self, split: Split, batch: Batch) -> Iterator[None]:
        """Name a class label that is out of range where computing on a loaded batch fails, as on the CPU it does.

        Labels in memory were checked before.

        Raises:
            DataError: the batch has such a label.
        """
        try:
            yield
        except Exception as error:
            if isinstance(split, LoadedSplit) and (reason := self._label_out_of_range(split, batch)):
                raise DataError(reason) from error
            raise

    def _label_out_of_range(self, split: LoadedSplit, batch: Batch) -> str:
        labels, classes = self.scored(batch.targets), self.num_classes
        if (
            classes is None
            or not isinstance(labels, Tensor)
            or labels.is_floating_point()
            or labels.device.type != "cpu"
        ):
            return ""
        wrong = (((labels < 0) & (labels != IGNORED)) | (labels >= classes)).nonzero()
        if not len(wrong):
            return ""
        place = int(wrong[0, 0])
        sample = int(split.rows[batch.indices[place]])
        return (
            f"the {split.part} label {int(labels[place])} (sample {sample}) is out of range; "
            f"the data has {classes} classes, so that labels must be 0..{classes - 1}"
        )

    def evaluated_on(self, samples: int) -> "Data":
        """Return the same data with at most `samples` validation and test samples, evenly picked."""
        if len(self.val) <= samples and len(self.test) <= samples:
            return self
        val, test = self.val.evenly(samples), self.test.evenly(samples)
        checksum = text_digest(self.checksum, f"evaluated on {samples}")
        return replace(self, val=val, test=test, checksum=checksum)

    def to(self, device: torch.device | str) -> "Data":
        mean = None if self.mean is None else self.mean.to(device)
        std = None if self.std is None else self.std.to(device)
        splits = {name: getattr(self, name).to(device) for name in ("train", "val", "test")}
        return replace(self, **splits, mean=mean, std=std)

    def decode(self, inputs: Any) -> Any:
        """Decode a batch for the model: uint8 inputs are scaled to 0..1 and standardised per channel.

        Other integers stay as they are; all else becomes float32. What datasets give stays as it is.
        """
        if self._affine is None:
            return inputs if not self.in_memory or is_integer(inputs) else inputs.to(torch.float32)
        scale, shift = self._affine
        return inputs.to(torch.float32).mul_(scale).add_(shift)

    def as_numbers(self) -> "Data":
        """Return the same data with integer inputs as float32, for a model that takes no ids; uint8 ones stay."""
        if not self.in_memory or not is_integer(self.train.inputs):
            return self

        def numbers(split: Split) -> Split:
            return Split(split.inputs.to(torch.float32), split.targets)

        return replace(self, train=numbers(self.train), val=numbers(self.val), test=numbers(self.test))

    @cached_property
    def _affine(self) -> tuple[Tensor, Tensor] | None:
        """(x/255 - mean)/std as x*scale + shift, shaped to broadcast over a batch."""
        if self.mean is None or self.std is None:
            return None
        shape = (-1, *(1 for _ in self.input_shape[1:]))
        return (1 / (255 * self.std)).reshape(shape), (-self.mean / self.std).reshape(shape)
