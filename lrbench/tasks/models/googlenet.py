"""torchvision's GoogLeNet with a stem for small images."""

from torch import nn

from lrbench.errors import TaskError
from lrbench.tasks.models.network import image_shape, network
from lrbench.tasks.registry import register_model


@register_model("googlenet", version=1)
def googlenet(input_shape: tuple[int, ...], num_classes: int, *, dropout: float = 0.2) -> nn.Sequential:
    """torchvision's GoogLeNet (batch-normalised, no auxiliary classifiers) with a CIFAR stem; option dropout.

    The stem is torchvision's three convolutions (64, 64, 192) without stride and pooling, so a 32x32 image enters the
    inception blocks at 32x32. Weights are initialised as PyTorch does by default: torchvision's truncated normal with
    std 0.01 was made for a network without batch normalisation.
    """
    from torchvision.models import GoogLeNet
    from torchvision.models.googlenet import BasicConv2d

    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise TaskError(f"model 'googlenet': dropout = {dropout!r} must be in [0, 1)")
    channels, _, _ = image_shape("googlenet", input_shape, 8)
    net = GoogLeNet(num_classes=num_classes, aux_logits=False, init_weights=False, dropout=dropout)
    units = [
        BasicConv2d(channels, 64, kernel_size=3, padding=1),
        net.conv2,
        net.conv3,
        net.inception3a,
        nn.Sequential(net.inception3b, net.maxpool3),
        net.inception4a,
        net.inception4b,
        net.inception4c,
        net.inception4d,
        nn.Sequential(net.inception4e, net.maxpool4),
        net.inception5a,
        net.inception5b,
    ]
    return network(units, nn.Sequential(net.avgpool, nn.Flatten(), net.dropout, net.fc))
