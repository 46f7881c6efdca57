"""torchvision's residual networks with a stem for small images: a 3x3 convolution with stride 1 and no pooling."""

from torch import nn

from lrbench.tasks.models.network import image_shape, network
from lrbench.tasks.registry import register_model


@register_model("resnet18", version=1)
def resnet18(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """torchvision's ResNet-18 with a CIFAR stem (3x3 convolution, no pooling)."""
    return resnet("resnet18", input_shape, num_classes)


@register_model("resnet34", version=1)
def resnet34(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """torchvision's ResNet-34 with a CIFAR stem (3x3 convolution, no pooling)."""
    return resnet("resnet34", input_shape, num_classes)


@register_model("resnet50", version=1)
def resnet50(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """torchvision's ResNet-50 with a CIFAR stem (3x3 convolution, no pooling)."""
    return resnet("resnet50", input_shape, num_classes)


@register_model("resnet101", version=1)
def resnet101(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """torchvision's ResNet-101 with a CIFAR stem (3x3 convolution, no pooling)."""
    return resnet("resnet101", input_shape, num_classes)


@register_model("resnet152", version=1)
def resnet152(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """torchvision's ResNet-152 with a CIFAR stem (3x3 convolution, no pooling)."""
    return resnet("resnet152", input_shape, num_classes)


def resnet(name: str, input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """Make torchvision's network `name`, untrained, with its blocks as units and another stem."""
    from torchvision import models

    channels, _, _ = image_shape(name, input_shape, 8)
    original = models.get_model(name, weights=None, num_classes=num_classes)
    convolution = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    stem = nn.Sequential(convolution, original.bn1, original.relu)
    stages = (original.layer1, original.layer2, original.layer3, original.layer4)
    blocks = [block for stage in stages for block in stage]
    return network([stem, *blocks], nn.Sequential(original.avgpool, nn.Flatten(), original.fc))
