"""The registered models, against the papers' sizes and against torchvision's own networks."""

import math
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lrbench.errors import TaskError
from lrbench.tasks.models.cifar_resnet import ResidualBlock
from lrbench.tasks.models.layers import WithinChannelLRN
from lrbench.tasks.registry import models

SHAPES = {"mlp": (40,), "conv1d": (40,), "lenet": (1, 28, 28)}
SMALL = ["mlp", "conv1d", "lenet", "cnn3", "resnet20", "vgg11", "resnet18"]


def build(
    model: str, shape: tuple[int, ...] | None = None, classes: int = 10, seed: int = 0, **options: Any
) -> nn.Module:
    torch.manual_seed(seed)
    network = models.find(model).build(shape or SHAPES.get(model, (3, 32, 32)), classes, **options)
    assert isinstance(network, nn.Module)
    return network


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lenet", 431_080),  # Caffe's LeNet: 520 + 25,050 + 400,500 + 5,010
        ("cnn3", 89_578),  # cifar10_full: 2,432 + 25,632 + 51,264 + 10,250
        ("resnet20", 269_722),  # He et al., table 6: 0.27M, option A
        ("resnet32", 464_154),  # 0.46M
        ("resnet56", 853_018),  # 0.85M
        ("mlp", 15_210),
        ("conv1d", 5_210),  # 150 + 1,900 + 1,900 + 1,260
    ],
)
def test_a_network_has_as_many_parameters_as_its_source_says(name: str, parameters: int) -> None:
    assert size(build(name)) == parameters


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name: str) -> None:
    def weights(seed: int) -> Tensor:
        return nn.utils.parameters_to_vector(build(name, seed=seed).parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("name", [*SMALL, "googlenet"])
def test_a_network_is_ordered_units_and_a_head(name: str) -> None:
    network = build(name, classes=7).eval()
    x = torch.randn(2, *SHAPES.get(name, (3, 32, 32)))
    with torch.no_grad():
        through = x
        for unit in network.get_submodule("features").children():
            assert next(unit.parameters(), None) is not None
            through = unit(through)
        outputs = network.get_submodule("head")(through)
        assert outputs.shape == (2, 7)
        torch.testing.assert_close(outputs, network(x))


@pytest.mark.parametrize(
    ("name", "units"), [("resnet20", 10), ("vgg11", 8), ("vgg19", 16), ("resnet18", 9), ("cnn3", 3)]
)
def test_a_unit_is_a_convolution_or_a_residual_block(name: str, units: int) -> None:
    assert len(list(build(name).get_submodule("features").children())) == units


@pytest.mark.parametrize("name", ["lenet", "cnn3", "resnet20", "vgg11", "resnet18"])
def test_image_networks_take_any_number_of_channels_and_larger_images(name: str) -> None:
    network = build(name, (2, 40, 36)).eval()
    assert network(torch.randn(1, 2, 40, 36)).shape == (1, 10)


def test_lenets_weights_are_caffes_xavier() -> None:
    first, second, third, fourth = [p.detach() for p in build("lenet").parameters() if p.ndim > 1]
    for weight, fan_in in ((first, 25), (second, 500), (third, 800), (fourth, 500)):
        bound = math.sqrt(3 / fan_in)
        assert bool((weight.abs() <= bound).all())
        assert float(weight.abs().max()) > 0.9 * bound
    assert all(bool((p == 0).all()) for p in build("lenet").parameters() if p.ndim == 1)


def test_cnn3s_weights_are_caffes_gaussians() -> None:
    weights = [p.detach() for p in build("cnn3").parameters() if p.ndim > 1]
    for weight, std in zip(weights, (0.0001, 0.01, 0.01, 0.01), strict=True):
        assert float(weight.std()) == pytest.approx(std, rel=0.1)


def test_local_response_normalisation_is_caffes_within_channel() -> None:
    normalised = WithinChannelLRN(size=3, alpha=0.9, beta=0.75)(torch.ones(1, 2, 3, 3))
    # The mean of the squares over 3x3 counts the zeros outside: 9/9 in the centre, 6/9 at an edge, 4/9 in a corner.
    centre, edge, corner = 1.9**-0.75, 1.6**-0.75, 1.4**-0.75
    expected = torch.tensor([[corner, edge, corner], [edge, centre, edge], [corner, edge, corner]])
    torch.testing.assert_close(normalised, expected.expand(1, 2, 3, 3))


def test_the_option_a_shortcut_takes_every_second_pixel_and_adds_zero_channels() -> None:
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    shortcut = ResidualBlock(2, 4).shortcut(x)
    torch.testing.assert_close(shortcut[:, :2], x[:, :, ::2, ::2])
    assert bool((shortcut[:, 2:] == 0).all())
    assert ResidualBlock(2, 2).shortcut(x) is x


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("name", ["vgg11", "vgg16"])
def test_vggs_convolutions_are_torchvisions(name: str, batch_norm: bool) -> None:
    ours = build(name, batch_norm=batch_norm).eval().get_submodule("features")
    layers = torchvision.models.vgg.cfgs[{"vgg11": "A", "vgg16": "D"}[name]]
    theirs = torchvision.models.vgg.make_layers(layers, batch_norm=batch_norm)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), theirs.eval()(x))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnets_are_torchvisions_but_for_the_stem(name: str) -> None:
    ours = build(name).eval()
    theirs = torchvision.models.get_model(name, weights=None, num_classes=10)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(ours(x), theirs.eval()(x), rtol=1e-4, atol=1e-4)


def test_googlenet_is_torchvisions_but_for_the_stem() -> None:
    ours = build("googlenet").eval()
    theirs = torchvision.models.GoogLeNet(num_classes=10, aux_logits=False, init_weights=False)
    theirs.conv1.conv = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool1, theirs.maxpool2 = nn.Identity(), nn.Identity()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(ours(x), theirs.eval()(x), rtol=1e-4, atol=1e-4)


def test_any_torchvision_network_is_built_by_name() -> None:
    network = build("torchvision", (3, 64, 64), name="mobilenet_v3_small").eval()
    assert network(torch.randn(1, 3, 64, 64)).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        ("mlp", (40,), {"hidden": []}, "hidden = \\[\\] must be a list of widths >= 1"),
        ("mlp", (40,), {"hidden": [0]}, "hidden = \\[0\\]"),
        ("mlp", (40,), {"hidden": 100}, "hidden = 100 must be a list"),
        ("mlp", (40,), {"hidden": ["a"]}, "hidden = \\['a'\\]"),
        ("conv1d", (3, 28, 28), {}, "'conv1d' needs signals \\[L\\] or \\[C, L\\]"),
        ("conv1d", (40,), {"channels": 0}, "channels = 0 must be an integer >= 1"),
        ("lenet", (40,), {}, "'lenet' needs images \\[C, H, W\\], and the inputs have shape \\[40\\]"),
        ("lenet", (1, 8, 8), {}, "'lenet' needs images of at least 14x14, and these are 8x8"),
        ("vgg16", (3, 28, 28), {}, "'vgg16' needs images of at least 32x32, and these are 28x28"),
        ("vgg11", (3, 32, 32), {"batch_norm": "yes"}, "'vgg11': batch_norm = 'yes' must be true or false"),
        ("googlenet", (3, 32, 32), {"dropout": 1.5}, "dropout = 1.5 must be in \\[0, 1\\)"),
        ("cnn3", (3, 32, 32), {"input_scale": 0}, "input_scale = 0 must be a number above 0"),
        ("torchvision", (3, 32, 32), {"name": "resnet_18"}, "no classification model 'resnet_18' \\(did you mean"),
    ],
)
def test_bad_shapes_and_options_are_refused(
    name: str, shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        models.find(name).build(shape, 10, **options)
