import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrbench.engine import State, advance, begin
from lrbench.errors import TaskError
from lrbench.modifiers import DEMON, LearnAndDrop
from lrbench.modifiers.demon import decayed
from lrbench.tasks.data import Data
from lrbench.tasks.metric import Metric
from lrbench.tasks.optimizers import SGD, Adam
from lrbench.tasks.task import Task


def two() -> nn.Module:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    return network


def square(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the square of the one weight, whose gradient is the weight."""
    return outputs.square().mean() / 2


@pytest.fixture
def one_weight() -> Task:
    ones = (torch.ones(8, 1), torch.zeros(8, 1))
    return Task(
        name="one weight",
        model=two,
        data=Data.from_arrays(ones, ones, ones),
        optimizer=SGD(momentum=0.9, weight_decay=0.0),
        loss=square,
        metric=Metric("weight", lambda outputs, _: float(outputs.mean()), chance=0.0),
        batch_size=4,
        steps=10,
    )


def test_what_a_gradient_adds_to_later_updates_falls_linearly() -> None:
    for step in range(10):
        momentum = decayed(0.9, step, 10)
        assert momentum / (1 - momentum) == pytest.approx((1 - step / 10) * 0.9 / 0.1)
    assert decayed(0.9, 10, 10) == 0


def test_the_momentum_of_sgd_is_that_of_the_iteration(one_weight: Task) -> None:
    weight, velocity = 2.0, 0.0
    for step in range(10):
        velocity = decayed(0.8, step, 10) * velocity + weight
        weight -= 0.1 * velocity
    state = trained(one_weight, DEMON(beta=0.8))
    assert state.model["weight"].item() == pytest.approx(weight, rel=1e-5)
    assert trained(one_weight).model["weight"].item() != pytest.approx(weight, rel=1e-3)


def test_the_first_beta_of_adam_is_that_of_the_iteration(one_weight: Task) -> None:
    parameter = torch.tensor([2.0], requires_grad=True)
    adam = torch.optim.Adam([parameter], lr=0.1)
    for step in range(10):
        parameter.grad = parameter.detach().clone()
        adam.param_groups[0]["betas"] = (decayed(0.9, step, 10), 0.999)
        adam.step()
    state = trained(one_weight.with_(optimizer=Adam()), DEMON())
    assert state.model["weight"].item() == pytest.approx(parameter.item(), rel=1e-5)


def test_an_optimizer_without_momentum_is_refused_in_a_sentence(one_weight: Task) -> None:
    with pytest.raises(TaskError, match=r"DEMON.* decays momentum, and .* of task 'one weight' has none"):
        DEMON().check(one_weight.with_(optimizer=SGD(momentum=0.0)))
    DEMON().check(one_weight)
    DEMON().check(one_weight.with_(optimizer=Adam()))


def trained(task: Task, *modifiers: DEMON | LearnAndDrop) -> State:
    return advance(task, begin(task, 0), np.full(10, 0.1), modifiers)[0]


def test_momentum_is_looked_for_in_every_group_of_the_task_s_own_optimizer(mlp_task: Task) -> None:
    def split(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        half = len(weights) // 2
        groups = [{"params": weights[:half], "momentum": 0.9}, {"params": weights[half:], "momentum": 0.0}]
        return torch.optim.SGD(groups, lr=0.1)

    with pytest.raises(TaskError, match=r"DEMON.* decays momentum, and .* has none"):
        DEMON().check(mlp_task.with_(optimizer=split, version="split"))
