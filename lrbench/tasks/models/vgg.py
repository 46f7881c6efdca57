"""VGG (Simonyan and Zisserman, arXiv 1409.1556, table 1) for small images."""

from torch import nn

from lrbench.errors import TaskError
from lrbench.tasks.models.network import image_shape, network
from lrbench.tasks.registry import register_model

WIDTHS = (64, 128, 256, 512, 512)


@register_model("vgg11", version=1)
def vgg11(input_shape: tuple[int, ...], num_classes: int, *, batch_norm: bool = True) -> nn.Sequential:
    """VGG-11 with one linear layer for small images (from 32x32); option batch_norm."""
    return vgg("vgg11", input_shape, num_classes, depths=(1, 1, 2, 2, 2), batch_norm=batch_norm)


@register_model("vgg13", version=1)
def vgg13(input_shape: tuple[int, ...], num_classes: int, *, batch_norm: bool = True) -> nn.Sequential:
    """VGG-13 with one linear layer for small images (from 32x32); option batch_norm."""
    return vgg("vgg13", input_shape, num_classes, depths=(2, 2, 2, 2, 2), batch_norm=batch_norm)


@register_model("vgg16", version=1)
def vgg16(input_shape: tuple[int, ...], num_classes: int, *, batch_norm: bool = True) -> nn.Sequential:
    """VGG-16 with one linear layer for small images (from 32x32); option batch_norm."""
    return vgg("vgg16", input_shape, num_classes, depths=(2, 2, 3, 3, 3), batch_norm=batch_norm)


@register_model("vgg19", version=1)
def vgg19(input_shape: tuple[int, ...], num_classes: int, *, batch_norm: bool = True) -> nn.Sequential:
    """VGG-19 with one linear layer for small images (from 32x32); option batch_norm."""
    return vgg("vgg19", input_shape, num_classes, depths=(2, 2, 4, 4, 4), batch_norm=batch_norm)


def vgg(
    name: str, input_shape: tuple[int, ...], num_classes: int, *, depths: tuple[int, ...], batch_norm: bool
) -> nn.Sequential:
    """Make `depths` 3x3 convolutions of each width 64, 128, 256, 512, 512, with a max pooling after each group.

    The convolutional part is torchvision's `VGG.features`, layer by layer, and so is the initialisation; its three
    linear layers of 4096, made for 224x224 images, are one linear layer on the spatial mean.
    """
    if type(batch_norm) is not bool:
        raise TaskError(f"model '{name}': batch_norm = {batch_norm!r} must be true or false")
    inside, _, _ = image_shape(name, input_shape, 32)
    units = []
    for width, depth in zip(WIDTHS, depths, strict=True):
        for _ in range(depth):
            units.append(_unit(inside, width, batch_norm))
            inside = width
        units[-1].append(nn.MaxPool2d(2))
    classifier = nn.Linear(inside, num_classes)
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
    return network(units, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier))


def _unit(inside: int, outside: int, batch_norm: bool) -> nn.Sequential:
    convolution = nn.Conv2d(inside, outside, 3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    normalisation = [nn.BatchNorm2d(outside)] if batch_norm else []
    return nn.Sequential(convolution, *normalisation, nn.ReLU())
