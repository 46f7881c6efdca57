"""What is asked of datasets, and what is refused."""

from collections.abc import Callable, Iterator
from typing import Any

import datasets as huggingface
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from lrbench.engine import advance, begin
from lrbench.errors import LRBenchError
from lrbench.tasks.data import Data
from lrbench.tasks.map_style import labels_of
from lrbench.tasks.task import Task

X, Y = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
PAIRS = TensorDataset(X, Y)
NAMED = huggingface.Dataset.from_dict(
    {"x": X.tolist(), "labels": Y.tolist()},
    features=huggingface.Features(
        {"x": huggingface.List(huggingface.Value("float32")), "labels": huggingface.ClassLabel(names=["even", "odd"])}
    ),
).with_format("torch")


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        yield 1


class WithoutLength(Dataset[int]):
    def __getitem__(self, index: int) -> int:
        return index


class Ragged(Dataset[tuple[Tensor, int]]):
    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.zeros(3 + index % 2), 0


class Broken(Dataset[tuple[Tensor, int]]):
    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 0:
            raise OSError("the file\nis truncated")
        return torch.zeros(3), 0


def task_on(data: Data, **settings: Any) -> Task:
    return Task(name="mine", data=data, **{"model": lambda: nn.Linear(3, 2), "batch_size": 4, "steps": 4, **settings})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Data.from_datasets(Stream(), PAIRS), "train data is a Stream, which gives its samples in an order of"),
        (lambda: Data.from_datasets(PAIRS, WithoutLength()), "the test dataset WithoutLength has no length"),
        (lambda: Data.from_datasets(PAIRS, PAIRS, Subset(PAIRS, [])), "the val dataset Subset is empty"),
        (lambda: Data.from_datasets(5, PAIRS), "the train data is a int where a dataset with __getitem__"),
        (lambda: Data.from_datasets((X, Y), PAIRS), "the train data is a tuple: .* arrays to Data.from_arrays"),
        (lambda: Data.from_datasets(huggingface.DatasetDict(a=NAMED), PAIRS), "of several: give one of a"),
        (
            lambda: Data.from_datasets(Broken(), PAIRS),
            "the train sample 0 cannot be loaded: OSError: the file is trunc",
        ),
        (lambda: Data.from_datasets(PAIRS, PAIRS, val=0.999), r"validation = 0.999 holds out 40 of 40"),
        (lambda: Data.from_datasets(PAIRS, PAIRS, loader_workers=-1), "loader_workers = -1 must be an integer from 0"),
        (lambda: Data.from_datasets(PAIRS, PAIRS, collate=3), "collate = 3 must be a function"),  # type: ignore[arg-type]
        (
            lambda: Data.from_datasets(PAIRS, PAIRS, train_evaluated=Ragged()),
            "train_evaluated has 20 samples, and train",
        ),
        (lambda: Data.from_datasets(PAIRS, PAIRS, sample_weights=[1.0]), r"shape \[1\] where one for each of 40"),
        (
            lambda: Data.from_datasets(PAIRS, PAIRS, sample_weights=[-1.0] * 40),
            "finite numbers from 0 on, and not all 0",
        ),
        (
            lambda: Data.from_datasets(Ragged(), PAIRS, stratified=True),
            "labels of the train dataset Ragged are not known",
        ),
        (lambda: task_on(Data.from_datasets(PAIRS, PAIRS)), "where they are, give the data num_classes"),
        (lambda: task_on(Data.from_datasets(PAIRS, PAIRS, num_classes=3)), r"output has shape \[2, 2\]; \[2, 3\]"),
        (
            lambda: task_on(Data.from_datasets(Ragged(), Ragged(), num_classes=2)),
            r"train samples \d+ and \d+ cannot be in",
        ),
        (
            lambda: task_on(Data.from_datasets(NAMED, NAMED, num_classes=2), model=OfBatches, loss=of_batches),
            "target= names them",
        ),
        (
            lambda: task_on(
                Data.from_datasets(NAMED, NAMED, num_classes=2, target="y"), model=OfBatches, loss=of_batches
            ),
            r"a batch {x: \[2, 3\], labels: \[2\]} has no 'y'",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_a_sentence(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(LRBenchError, match=sentence) as refused:
        make()
    assert "\n" not in str(refused.value)


class OfBatches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.layer(batch["x"])}


def of_batches(outputs: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(outputs["logits"], batch["labels"])


def test_names_of_classes_are_those_of_the_dataset() -> None:
    data = Data.from_datasets(NAMED, NAMED, target="labels")
    assert (data.class_names, data.num_classes) == (("even", "odd"), 2)


@pytest.mark.parametrize(
    "dataset", [PAIRS, Subset(PAIRS, list(range(39, -1, -1))), NAMED], ids=lambda d: type(d).__name__
)
def test_labels_are_known_without_loading_samples(dataset: Any) -> None:
    data = Data.from_datasets(dataset, PAIRS, num_classes=2, target="labels" if dataset is NAMED else None)
    expected = [int(dataset[i]["labels"] if dataset is NAMED else dataset[i][1]) for i in data.train.rows.tolist()]  # type: ignore[attr-defined]
    assert labels_of(data.train, data.target).tolist() == expected


def test_held_out_samples_are_the_others_seen_as_evaluations_see_them() -> None:
    doubled = TensorDataset(2 * X, Y)
    data = Data.from_datasets(PAIRS, PAIRS, val=10, train_evaluated=doubled, num_classes=2)
    held_out = torch.cat([batch.inputs for batch in data.val.evaluated(4)])
    kept = torch.cat([batch.inputs for batch in data.train.evaluated(7)])
    assert torch.equal(torch.cat([held_out, kept]).sort(0).values, (2 * X).sort(0).values)
    assert torch.isin(data.train.first(3).inputs, X).all()


def test_predictions_are_kept_only_where_scores_need_them() -> None:
    regression = TensorDataset(X, X.sum(1, keepdim=True).double())
    data = Data.from_datasets(regression, regression)
    task = task_on(data, model=lambda: nn.Linear(3, 1), loss=nn.functional.mse_loss, metric="loss", steps=60)
    _, seen = advance(task, begin(task, 0), np.full(60, 0.05))
    assert seen[-1].val.outputs is None
    assert seen[-1].val.loss < 0.1 * task.chance
