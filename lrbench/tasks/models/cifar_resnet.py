"""The residual networks that He et al. made for CIFAR (arXiv 1512.03385, section 4.2)."""

from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.tasks.models.network import image_shape, network
from lrbench.tasks.registry import register_model


@register_model("resnet20", version=1)
def resnet20(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """He et al.'s 20-layer residual network for CIFAR, 0.27 million parameters, option A shortcuts."""
    return cifar_resnet("resnet20", input_shape, num_classes, blocks=3)


@register_model("resnet32", version=1)
def resnet32(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """He et al.'s 32-layer residual network for CIFAR, 0.46 million parameters, option A shortcuts."""
    return cifar_resnet("resnet32", input_shape, num_classes, blocks=5)


@register_model("resnet56", version=1)
def resnet56(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """He et al.'s 56-layer residual network for CIFAR, 0.85 million parameters, option A shortcuts."""
    return cifar_resnet("resnet56", input_shape, num_classes, blocks=9)


def cifar_resnet(name: str, input_shape: tuple[int, ...], num_classes: int, *, blocks: int) -> nn.Sequential:
    """Make 6*blocks + 2 layers: a convolution, `blocks` residual blocks of each width 16, 32, 64, and a linear layer.

    Convolutions are initialised as in the paper's reference 13 (normal, variance 2/fan_in), the linear layer as
    PyTorch does by default.
    """
    channels, _, _ = image_shape(name, input_shape, 4)
    units: list[nn.Module] = [nn.Sequential(_conv3x3(channels, 16), nn.BatchNorm2d(16), nn.ReLU())]
    inside = 16
    for width in (16, 32, 64):
        for _ in range(blocks):
            units.append(ResidualBlock(inside, width))
            inside = width
    model = network(units, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes)))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return model


class ResidualBlock(nn.Module):
    """relu(shortcut(x) + bn(conv(relu(bn(conv(x)))))), halving the image where the width grows.

    The shortcut is the paper's option A: where shapes differ, every second pixel with zero channels appended; it has
    no parameters.
    """

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.stride = 1 if inside == outside else 2
        self.new_channels = outside - inside
        self.conv1 = _conv3x3(inside, outside, self.stride)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = _conv3x3(outside, outside)
        self.bn2 = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + residual)

    def shortcut(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return x
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


def _conv3x3(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
