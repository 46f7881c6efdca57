from collections.abc import Callable

import pytest
import torch
from torch import nn

from lrbench.tasks.augment import HorizontalFlip, RandomCrop
from lrbench.tasks.data import Data
from lrbench.tasks.optimizers import SGD, OptimizerSpec
from lrbench.tasks.task import Task


def vectors(samples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes in eight dimensions, told apart by which third of a noisy vector is largest."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (samples,), generator=generator)
    inputs = torch.randn(samples, 8, generator=generator)
    inputs[torch.arange(samples), 2 * labels] += 2
    return inputs, labels


def images(samples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (samples,), generator=generator)
    inputs = torch.randint(0, 200, (samples, 3, 8, 8), generator=generator, dtype=torch.uint8)
    inputs[torch.arange(samples), labels] += 50
    return inputs, labels


def dropout_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def batchnorm_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)
    )


@pytest.fixture(scope="session")
def mlp_task() -> Task:
    data = Data.from_arrays(vectors(150, 1), vectors(40, 2))
    return Task(name="dropout-mlp", model=dropout_mlp, data=data, batch_size=16, steps=40, eval_every=8)


@pytest.fixture(scope="session")
def cnn_task() -> Task:
    return Task(
        name="batchnorm-cnn",
        model=batchnorm_cnn,
        data=Data.from_arrays(images(100, 1), images(30, 2)),
        augment=(RandomCrop(padding=1), HorizontalFlip()),
        batch_size=16,
        steps=30,
        eval_every=7,
    )


@pytest.fixture(scope="session")
def task_with(mlp_task: Task, cnn_task: Task) -> Callable[..., Task]:
    tasks = {"mlp": mlp_task, "cnn": cnn_task}

    def build(model: str, optimizer: OptimizerSpec | None = None) -> Task:
        return tasks[model].with_(optimizer=optimizer or SGD())

    return build
