"""From predictions to numbers."""

import random

import numpy as np
import torch
from torch import Tensor, nn

from lrbench.engine import Predictions
from lrbench.tasks import Data, Metric, Task
from lrbench.training.measure import objective


def bootstrapped(outputs: Tensor, targets: Tensor) -> float:
    """A mean over samples that are drawn from every global generator."""
    rows = [*torch.randint(len(outputs), (5,)), *np.random.randint(len(outputs), size=5)]  # noqa: NPY002
    return float(outputs[[int(row) for row in rows]].mean()) + random.random()


def generators() -> tuple[object, ...]:
    """What the global generators of PyTorch, NumPy and Python would draw from next."""
    numpy = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    return torch.get_rng_state().tolist(), numpy, random.getstate()


def test_a_metric_that_draws_gives_one_number_and_leaves_the_callers_generators() -> None:
    inputs, targets = torch.randn(40, 4), torch.randn(40, 1)
    data = Data.from_arrays((inputs, targets), (inputs, targets))
    metric = Metric("bootstrapped", bootstrapped, 0.0)
    task = Task(
        name="drawn",
        batch_size=8,
        model=lambda: nn.Linear(4, 1),
        data=data,
        steps=5,
        loss=nn.functional.mse_loss,
        metric=metric,
    )
    predictions = Predictions(torch.randn(40, 1), targets, 0.0)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    before = generators()
    first = objective(task, predictions)
    assert generators() == before
    random.seed(1)
    assert objective(task, predictions) == first
