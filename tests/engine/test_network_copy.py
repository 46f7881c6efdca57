import numpy as np
import pytest
import torch
from torch import nn

from lrbench.engine import Training, advance, begin, identical
from lrbench.engine.network_copy import SAMPLES, copy_with_batchnorm_recomputed, copy_with_weights
from lrbench.modifiers.learn_and_drop.rest import Frozen, freeze
from lrbench.tasks.data import Data
from lrbench.tasks.task import Task


@pytest.fixture
def training(mlp_task: Task) -> Training:
    return Training(mlp_task, advance(mlp_task, begin(mlp_task, 0), np.full(5, 0.05))[0], [], [])


def test_a_copy_has_the_weights_that_it_was_given_and_the_rest_of_the_original(training: Training) -> None:
    copy = copy_with_weights(training.module, {"0.bias": torch.full((12,), 7.0)})
    given = copy.state_dict()
    assert bool((given.pop("0.bias") == 7).all())
    assert identical(given, {name: value for name, value in training.module.state_dict().items() if name != "0.bias"})


def test_copying_leaves_the_original_as_it_is(training: Training) -> None:
    before = training.state()
    copy_with_weights(training.module, {"0.bias": torch.zeros(12)})
    copy_with_batchnorm_recomputed(training.module, training)
    assert identical(training.state(), before)
    assert training.module.training


def test_weights_that_two_layers_share_are_shared_in_the_copy() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    copy = copy_with_weights(network, {"0.weight": torch.eye(4)})
    assert copy[1].weight is copy[0].weight  # type: ignore[index]
    assert torch.equal(copy[1].weight, torch.eye(4))  # type: ignore[index]


def normalised(inputs: torch.Tensor, batch_size: int) -> Training:
    labels = torch.arange(len(inputs)) % 2
    data = Data.from_arrays((inputs, labels), (inputs[:4], labels[:4]), (inputs[:4], labels[:4]))

    def network() -> nn.Module:
        return nn.Sequential(nn.BatchNorm1d(inputs.shape[1]), nn.Linear(inputs.shape[1], 2))

    task = Task(name="bn", model=network, data=data, batch_size=batch_size, steps=4)
    return Training(task, begin(task, 0), [], [])


def test_recomputed_statistics_are_the_plain_mean_over_batches_of_train_samples() -> None:
    inputs = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) * 3 + 5
    training = normalised(inputs, batch_size=64)
    layer = copy_with_batchnorm_recomputed(training.module, training)[0]  # type: ignore[index]
    torch.testing.assert_close(layer.running_mean, inputs.mean(0))
    torch.testing.assert_close(layer.running_var, inputs.var(0))
    assert layer.momentum == 0.1


class Added(nn.Module):
    """A network of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(3), nn.Linear(3, 2)

    def forward(self, both: list[torch.Tensor]) -> torch.Tensor:
        one, other = both
        return self.last(self.norm(one + other))


def test_statistics_of_a_network_of_two_inputs_are_those_of_both() -> None:
    one = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    samples = [((row, 10 * row), place % 2) for place, row in enumerate(one)]
    data = Data.from_datasets(samples, samples[:8], samples[:8], num_classes=2)
    task = Task(name="two inputs", model=Added, data=data, batch_size=64, steps=4)
    training = Training(task, begin(task, 0), [], [])
    layer = copy_with_batchnorm_recomputed(training.module, training).norm
    torch.testing.assert_close(layer.running_mean, (11 * one).mean(0))  # type: ignore[union-attr]


def test_statistics_are_recomputed_from_a_bounded_number_of_samples() -> None:
    inputs = torch.randn(3 * SAMPLES, 1)
    training = normalised(inputs, batch_size=SAMPLES // 2)
    layer = copy_with_batchnorm_recomputed(training.module, training)[0]  # type: ignore[index]
    assert layer.num_batches_tracked == 2


def test_recomputed_statistics_do_not_depend_on_what_was_drawn_before(training: Training) -> None:
    torch.manual_seed(1)
    one = copy_with_batchnorm_recomputed(training.module, training)
    torch.manual_seed(2)
    assert identical(copy_with_batchnorm_recomputed(training.module, training).state_dict(), one.state_dict())


def test_units_that_are_no_longer_trained_keep_their_statistics(mlp_task: Task) -> None:
    def network() -> nn.Module:
        return nn.Sequential(
            nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        )

    task = mlp_task.with_(model=network)
    state, _ = advance(task, begin(task, 0), np.full(5, 0.05))
    training = Training(task, state, [], [])
    freeze(training, Frozen(units=1, storage="none"))
    copy = copy_with_batchnorm_recomputed(training.module, training).state_dict()
    assert identical(copy["1.running_mean"], state.model["1.running_mean"])
    assert not identical(copy["4.running_mean"], state.model["4.running_mean"])
