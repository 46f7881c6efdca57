from collections.abc import Callable, Iterable

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from lrbench.errors import TaskError
from lrbench.modifiers.learn_and_drop.units import check_units, units_of
from lrbench.tasks.data import Data
from lrbench.tasks.task import Task

UNITS = {
    "lenet": ((1, 28, 28), 4),  # 2 convolutions, 2 linear layers
    "cnn3": ((3, 32, 32), 4),  # 3 convolutions, 1 linear layer
    "vgg11": ((3, 32, 32), 9),  # 8 convolutions, 1 linear layer
    "vgg13": ((3, 32, 32), 11),
    "vgg16": ((3, 32, 32), 14),
    "vgg19": ((3, 32, 32), 17),
    "resnet20": ((3, 8, 8), 11),  # the stem, 3 x 3 blocks, 1 linear layer
    "resnet32": ((3, 8, 8), 17),
    "resnet56": ((3, 8, 8), 29),
    "resnet18": ((3, 8, 8), 10),  # the stem, 2 + 2 + 2 + 2 blocks, 1 linear layer
    "resnet34": ((3, 8, 8), 18),  # 3 + 4 + 6 + 3 blocks
    "resnet50": ((3, 8, 8), 18),
    "resnet101": ((3, 8, 8), 35),  # 3 + 4 + 23 + 3 blocks
    "resnet152": ((3, 8, 8), 52),  # 3 + 8 + 36 + 3 blocks
    "googlenet": ((3, 8, 8), 13),  # 3 convolutions, 9 inception blocks, 1 linear layer
    "mlp": ((40,), 3),
    "conv1d": ((40,), 4),
}


def task_of(model: str | Callable[[], nn.Module], shape: tuple[int, ...] = (3, 8, 8)) -> Task:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(8, *shape, generator=generator)
    labels = torch.arange(8) % 2
    data = Data.from_arrays((inputs, labels), (inputs, labels), val=(inputs, labels))
    return Task(name="units", model=model, data=data, batch_size=4, steps=1)


@pytest.mark.parametrize(("model", "shape", "units"), [(name, *known) for name, known in UNITS.items()])
def test_a_registered_network_is_its_units_one_after_the_other(model: str, shape: tuple[int, ...], units: int) -> None:
    assert len(check_units(task_of(model, shape))) == units


def conv_net() -> nn.Sequential:
    return nn.Sequential(
        nn.ZeroPad2d(1),
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.PReLU(),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1)),
        nn.Flatten(),
        nn.Linear(4, 2),
    )


def test_a_unit_begins_at_each_layer_with_parameters_and_ends_before_the_next() -> None:
    kinds = [[type(layer).__name__ for layer in unit] for unit in units_of(conv_net())]
    assert kinds == [
        ["ZeroPad2d", "Conv2d", "BatchNorm2d", "PReLU"],
        ["Conv2d", "ReLU", "Dropout", "AdaptiveAvgPool2d", "Flatten"],
        ["Linear"],
    ]


def test_a_residual_block_is_never_cut() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4)))
    assert [type(unit[0]) for unit in units_of(network)] == [nn.Conv2d, BasicBlock, BasicBlock]


def test_the_units_share_the_networks_parameters() -> None:
    network = conv_net()
    shared = [parameter for unit in units_of(network) for parameter in unit.parameters()]
    assert [id(parameter) for parameter in shared] == [id(parameter) for parameter in network.parameters()]


class Declared(nn.Module):
    """Three layers, the last of which is used as `last` says."""

    def __init__(self, last: Callable[[nn.Module, torch.Tensor], torch.Tensor] = lambda layer, x: layer(x)) -> None:
        super().__init__()
        self.first, self.middle, self.head = nn.Flatten(), nn.Linear(192, 5), nn.Linear(5, 2)
        self.last = last

    def units(self) -> Iterable[nn.Module]:
        return [nn.Sequential(self.first, self.middle), self.head]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.last(self.head, self.middle(self.first(inputs)))


def test_a_network_of_any_class_may_declare_its_units() -> None:
    assert len(check_units(task_of(Declared))) == 2


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs)


def test_a_network_without_units_is_refused_and_told_how_to_have_them() -> None:
    with pytest.raises(TaskError, match=r"the model Plain declares no units: make it .*a method units\(\)"):
        check_units(task_of(Plain))


def test_a_network_of_one_unit_is_refused() -> None:
    with pytest.raises(TaskError, match="the model Sequential has 1 unit and cannot be cut"):
        check_units(task_of(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 2))))


def test_a_member_that_happens_to_be_called_units_is_no_declaration() -> None:
    network = Plain()
    network.units = nn.ModuleList([nn.Linear(1, 1)])
    with pytest.raises(TaskError, match="declares no units"):
        units_of(network)


def test_units_that_are_no_modules_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Plain()
    monkeypatch.setattr(network, "units", lambda: [network.layers, torch.relu], raising=False)
    with pytest.raises(TaskError, match=r"units\(\) of the model Plain returned a builtin_function_or_method"):
        units_of(network)


def test_units_that_are_not_the_network_are_refused() -> None:
    doubled = task_of(lambda: Declared(lambda layer, x: layer(x) * 2))
    with pytest.raises(TaskError, match="one after the other, are not the model in training mode"):
        check_units(doubled)


def test_units_that_leave_out_a_dropout_are_refused() -> None:
    forgetful = task_of(lambda: Declared(lambda layer, x: layer(nn.functional.dropout(x, training=layer.training))))
    with pytest.raises(TaskError, match="are not the model in training mode"):
        check_units(forgetful)


def test_units_that_differ_only_when_evaluated_are_refused() -> None:
    two_faced = task_of(lambda: Declared(lambda layer, x: layer(x) if layer.training else layer(x) + 1))
    with pytest.raises(TaskError, match="are not the model in eval mode"):
        check_units(two_faced)


def test_units_that_share_a_layer_are_refused() -> None:
    def tied() -> nn.Module:
        layer = nn.Linear(4, 4)
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 4), layer, nn.ReLU(), layer, nn.Linear(4, 2))

    with pytest.raises(TaskError, match="two units of the model Sequential share parameters"):
        check_units(task_of(tied))


def test_units_that_leave_out_parameters_are_refused() -> None:
    class Unused(Declared):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.Linear(2, 2)

    with pytest.raises(TaskError, match="the units of the model Unused leave out some of its parameters"):
        check_units(task_of(Unused))


def test_checking_leaves_torchs_random_numbers_as_they_are() -> None:
    task = task_of(conv_net)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check_units(task)
    assert torch.equal(torch.rand(2), expected)
