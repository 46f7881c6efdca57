import pytest
import torch
from torch import nn

from lrbench.modifiers.learn_and_drop.savings import forward_flops, saved_share
from lrbench.tasks.models.vgg import vgg11


def test_each_unit_has_its_own_operations() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5), nn.Linear(5, 2))
    conv = 2 * 3 * 9 * 4 * 16  # a multiply-add is two operations, at each of 4 * 4 places
    assert forward_flops(network, (3, 6, 6)) == [conv, 2 * 64 * 5, 2 * 5 * 2]


def test_a_network_without_memory_has_the_operations_of_one_with_weights() -> None:
    with torch.device("meta"):
        without = vgg11((3, 32, 32), 10)
    assert forward_flops(without, (3, 32, 32)) == forward_flops(vgg11((3, 32, 32), 10), (3, 32, 32))


def test_a_drop_saves_its_units_for_the_epochs_to_come_and_costs_a_pass() -> None:
    assert saved_share([2, 2, 4], {}, epochs=10) == 0
    assert saved_share([2, 2, 4], {5: 1}, epochs=10) == pytest.approx((5 - 1) * 2 / 80)
    # The second drop stores from what was stored: unit two is passed once more, unit one is not.
    assert saved_share([2, 2, 4], {5: 1, 8: 2}, epochs=10) == pytest.approx((4 * 2 + 1 * 2) / 80)
    assert saved_share([2, 2, 4], {9: 2}, epochs=10) == 0
