"""Training on datasets whose samples are loaded a batch at a time."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms import v2

from lrbench.engine import State, advance, begin, identical
from lrbench.engine.batches import batch_indices
from lrbench.errors import DataError, TaskError
from lrbench.modifiers import PSWA, LearnAndDrop
from lrbench.reproducible import generator_states
from lrbench.tasks.data import Data
from lrbench.tasks.loader import Draws
from lrbench.tasks.metric import Metric
from lrbench.tasks.mixtures import Mixture, MixUp
from lrbench.tasks.task import Task
from lrbench.training.measure import objective
from tests.present import present

IN_TRAINING = v2.Compose([v2.RandomCrop(8), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)])
IN_EVALUATION = v2.Compose([v2.CenterCrop(8), v2.ToDtype(torch.float32, scale=True)])


class Images(Dataset[tuple[Tensor, int]]):
    """Images of three classes, each brighter in the channel of its class; the third is rare."""

    classes = ("red", "green", "blue")

    def __init__(self, samples: int, seed: int, transform: Callable[[Tensor], Tensor]) -> None:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.rand(samples, generator=generator).mul(2.4).long()
        self.images = torch.randint(0, 200, (samples, 3, 10, 10), generator=generator, dtype=torch.uint8)
        self.images[torch.arange(samples), labels] += 50
        self.targets = labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = random.random() + float(np.random.rand())  # noqa: NPY002
        return self.transform(self.images[index]) + 0.01 * noise, self.targets[index]


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)
    )


def task_with(workers: int = 0, **settings: Any) -> Task:
    data = Data.from_datasets(
        Images(110, 0, IN_TRAINING),
        Images(20, 1, IN_EVALUATION),
        train_evaluated=Images(110, 0, IN_EVALUATION),
        sample_weights="balanced",
        loader_workers=workers,
    )
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 2.0]))
    given = {"model": cnn, "loss": loss, "batch_size": 16, "steps": 20, "eval_every": 7, **settings}
    return Task(name="images", data=data, **given)


def in_pieces(task: Task, lrs: np.ndarray, cuts: list[int]) -> Iterator[tuple[State, list[Any]]]:
    state = begin(task, 3)
    for start, stop in zip([0, *cuts], [*cuts, len(lrs)], strict=True):
        state, seen = advance(task, state, lrs[start:stop])
        yield state, seen


def test_pieces_and_loader_workers_change_no_bit_of_training_on_a_dataset() -> None:
    whole, seen = advance(task_with(), begin(task_with(), 3), lrs := np.linspace(0.1, 0.01, 20))
    for workers in (0, 2):
        pieces = list(in_pieces(task_with(workers), lrs, [3, 7, 12]))
        assert identical(pieces[-1][0].facts(), whole.facts())
        last = pieces[-1][1][-1]
        assert identical(vars(last.test), vars(seen[-1].test))
        assert last.val.loss == seen[-1].val.loss


@pytest.mark.gpu
def test_what_loader_workers_bring_is_trained_on_cuda_as_on_the_cpu() -> None:
    lrs = np.linspace(0.1, 0.01, 20)
    cpu, _ = advance(task_with(), begin(task_with(), 3), lrs)
    *_, (cuda, _) = in_pieces(task_with(2).to("cuda"), lrs, [3, 7, 12])
    assert cuda.model["0.weight"].is_cuda
    torch.testing.assert_close(cuda.model["0.weight"].cpu(), cpu.model["0.weight"], rtol=1e-3, atol=1e-3)


def test_a_fork_goes_on_as_if_trained_alone() -> None:
    task = task_with(2)
    lrs, others = np.full(20, 0.05), np.full(20, 0.01)
    trunk, _ = advance(task, begin(task, 0), lrs[:9])
    branches = [advance(task, trunk, rates[9:])[0] for rates in (others, lrs)]
    alone, _ = advance(task, begin(task, 0), lrs)
    assert identical(branches[1].facts(), alone.facts())
    assert not identical(branches[0].facts(), alone.facts())


def test_learning_on_a_dataset_beats_chance() -> None:
    task = task_with(steps=40)
    _, seen = advance(task, begin(task, 0), np.full(40, 0.05))
    test = present(seen[-1].test)
    assert (test.outputs.argmax(1) == test.targets).float().mean() > 0.6


def test_the_callers_generators_stay_as_they_were() -> None:
    task = task_with()
    before = generator_states()
    advance(task, begin(task, 0), np.full(3, 0.05))
    task.data.train.first(2)
    list(task.data.val.evaluated(16))
    assert identical(before, generator_states())


def test_balanced_weights_draw_rare_classes_as_often_as_others() -> None:
    task = task_with()
    labels = torch.tensor([int(task.data.train.take(torch.tensor([i])).first(1).targets) for i in range(88)])
    drawn = torch.cat([labels[batch] for batch in batch_indices(task, 0, 0, 200)])
    shares = torch.bincount(drawn) / len(drawn)
    assert torch.bincount(labels)[2] < 20
    assert torch.allclose(shares, torch.full((3,), 1 / 3), atol=0.03)


@pytest.mark.parametrize(
    "modifier", [LearnAndDrop(tau=1, delta=100, warmup=0, window=2, patience=1), PSWA(recompute_bn=True)], ids=str
)
def test_modifiers_work_on_a_dataset_and_resume_exactly(modifier: Any) -> None:
    task = task_with(2, eval_every=5)
    lrs = np.full(20, 0.02)
    whole, seen = advance(task, begin(task, 0), lrs, [modifier])
    half, _ = advance(task, begin(task, 0), lrs[:12], [modifier])
    rest, last = advance(task, half, lrs[12:], [modifier])
    assert identical(rest.facts(), whole.facts())
    assert identical(vars(last[-1].val), vars(seen[-1].val))


def test_a_sample_that_is_drawn_twice_is_transformed_anew() -> None:
    task = task_with()
    batch = torch.zeros(2, dtype=torch.int64)
    (found,) = task.data.train.batches([batch], [Draws(0, "sample", range(2))])
    assert not torch.equal(found.inputs[0], found.inputs[1])


class Texts(Dataset[dict[str, Tensor]]):
    """Texts of different lengths as ids, and whether most of them are large."""

    def __len__(self) -> int:
        return 90

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        label = index % 2
        ids = torch.randint(5 * label, 5 * label + 8, (3 + index % 4,), generator=generator)
        return {"ids": ids, "labels": torch.tensor(label)}


def padded(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    ids = nn.utils.rnn.pad_sequence([sample["ids"] for sample in samples], batch_first=True, padding_value=13)
    return {"ids": ids, "labels": torch.stack([sample["labels"] for sample in samples])}


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(14, 8, padding_idx=13)
        self.head = nn.Linear(8, 2)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.head(self.embedding(batch["ids"]))}


def of_texts(outputs: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(outputs["logits"], batch["labels"])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_dicts_of_padded_texts_are_classified_by_the_labels_in_them(precision: str) -> None:
    data = Data.from_datasets(Texts(), Texts(), target="labels", num_classes=2, collate=padded, loader_workers=2)
    task = Task(name="texts", model=Classifier, data=data, loss=of_texts, steps=60, batch_size=9, precision=precision)  # type: ignore[arg-type]
    _, seen = advance(task, begin(task, 0), np.full(60, 1.0))
    test = present(seen[-1].test)
    assert test.outputs.shape == (90, 2)
    assert test.targets.tolist() == [0, 1] * 45
    assert (test.outputs.argmax(1) == test.targets).float().mean() > 0.8


def test_micro_batches_of_dicts_have_the_gradients_of_the_whole() -> None:
    data = Data.from_datasets(Texts(), Texts(), target="labels", num_classes=2, collate=padded)
    task = Task(name="texts", model=Classifier, data=data, loss=of_texts, steps=10, batch_size=9)
    ends = [advance(one, begin(one, 0), np.full(10, 0.5))[0].model for one in (task, task.with_(micro_batch=4))]
    torch.testing.assert_close(*ends)


def test_a_metric_is_given_whole_batches_where_no_target_is_named() -> None:
    def in_one_length(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        batch = padded(samples)
        return {**batch, "ids": nn.functional.pad(batch["ids"], (0, 6 - batch["ids"].shape[1]), value=13)}

    def accuracy(outputs: Tensor, batch: dict[str, Tensor]) -> float:
        return float((outputs.argmax(1) == batch["labels"]).float().mean())

    metric = Metric("accuracy", accuracy, chance=0.5)
    settings: dict[str, Any] = {"model": Classifier, "loss": of_texts, "metric": metric, "steps": 3, "batch_size": 9}
    task = Task(name="texts", data=Data.from_datasets(Texts(), Texts(), collate=in_one_length), **settings)
    _, seen = advance(task, begin(task, 0), np.full(3, 0.5))
    assert round(objective(task, seen[-1].val) * 18, 3) in range(19)
    other = Task(name="texts", data=Data.from_datasets(Texts(), Texts(), collate=padded), **settings)
    with pytest.raises(TaskError, match=r"batches of the shapes .*ids: \[9, \d\].* cannot be put together for a score"):
        advance(other, begin(other, 0), np.full(3, 0.5))


@pytest.mark.parametrize(("label", "place"), [(3, 0), (-1, 5), (7, 60)])
@pytest.mark.parametrize("mix", [(), (MixUp(),)])
def test_a_loaded_label_out_of_range_is_named_with_its_sample_and_the_classes(
    label: int, place: int, mix: tuple[Mixture, ...]
) -> None:
    wrong, right = (Images(64, seed, IN_EVALUATION) for seed in range(2))
    wrong.targets[place] = label

    def trained(*splits: Images) -> None:
        task = Task(name="images", data=Data.from_datasets(*splits), model=cnn, batch_size=16, steps=4, mix=mix)
        advance(task, begin(task, 0), np.full(4, 0.1))

    sentence = rf"label {label} \(sample {place}\) is out of range; the data has 3 classes, so that labels must be 0..2"
    with pytest.raises(DataError, match=f"the train {sentence}"):
        trained(wrong, right, right)
    with pytest.raises(DataError, match=f"the val {sentence}"):
        trained(right, right, wrong)


def test_a_label_that_the_loss_leaves_out_is_no_wrong_one() -> None:
    train, test = (Images(64, seed, IN_EVALUATION) for seed in range(2))
    train.targets[7] = -100
    task = Task(name="images", data=Data.from_datasets(train, test), model=cnn, batch_size=16, steps=4)
    assert advance(task, begin(task, 0), np.full(4, 0.1))[1]


def test_the_weights_of_a_loss_go_to_the_device_with_the_data() -> None:
    task = task_with()
    moved: Any = task.to("meta").loss
    assert moved.weight.device.type == "meta"
    assert task.loss.weight.device.type == "cpu"  # type: ignore[attr-defined]
