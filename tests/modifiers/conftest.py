from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrbench.engine import State, advance, begin
from lrbench.tasks.augment import HorizontalFlip, RandomCrop
from lrbench.tasks.data import Data
from lrbench.tasks.optimizers import SGD
from lrbench.tasks.task import Task

LR = 0.05

Weights = dict[str, Tensor]
Trajectory = Callable[..., list[State]]


def vectors(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (samples,), generator=generator)
    inputs = torch.randn(samples, 8, generator=generator)
    inputs[torch.arange(samples), 2 * labels] += 2
    return inputs, labels


def images(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (samples,), generator=generator)
    inputs = torch.randint(0, 200, (samples, 3, 6, 6), generator=generator, dtype=torch.uint8)
    inputs[torch.arange(samples), labels] += 50
    return inputs, labels


def mlp() -> nn.Module:
    """With both batch normalisation and dropout."""
    return nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 3))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


@pytest.fixture(scope="session")
def mlp_task() -> Task:
    """6 iterations an epoch, 26 in all: the last epoch is cut short."""
    data = Data.from_arrays(vectors(120, 1), vectors(30, 2))
    return Task(name="mlp", model=mlp, data=data, batch_size=16, steps=26, eval_every=5)


@pytest.fixture(scope="session")
def cnn_task() -> Task:
    return Task(
        name="cnn",
        model=cnn,
        data=Data.from_arrays(images(60, 1), images(20, 2)),
        optimizer=SGD(momentum=0.9, weight_decay=1e-3),
        augment=(RandomCrop(padding=1), HorizontalFlip()),
        batch_size=8,
        steps=20,
        eval_every=7,
    )


@pytest.fixture(scope="session", params=["mlp", "cnn"])
def task(request: pytest.FixtureRequest, mlp_task: Task, cnn_task: Task) -> Task:
    return {"mlp": mlp_task, "cnn": cnn_task}[request.param]


@pytest.fixture(scope="session")
def weights_of() -> Callable[[Task, State], Weights]:
    """The parameters in a state, without its buffers."""

    def parameters(task: Task, state: State) -> Weights:
        return {name: state.model[name] for name, _ in task.model().named_parameters()}

    return parameters


@pytest.fixture(scope="session")
def by_hand() -> Callable[..., Iterator[State]]:
    """Training one iteration at a time, where `then(step, state)` gives the weights to go on from, or None."""

    def states(task: Task, then: Callable[[int, State], Weights | None], steps: int | None = None) -> Iterator[State]:
        state = begin(task, 0)
        for step in range(1, (steps or task.steps) + 1):
            state, _ = advance(task, state, np.full(1, LR))
            if (weights := then(step, state)) is not None:
                state = replace(state, model={**state.model, **weights})
            yield state

    return states
