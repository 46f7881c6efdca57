"""LeNet as Caffe defines it."""

import math

from torch import nn

from lrbench.tasks.models.network import image_shape, network
from lrbench.tasks.registry import register_model


@register_model("lenet", version=1)
def lenet(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """Caffe's LeNet: conv 20@5x5, max pool 2, conv 50@5x5, max pool 2, fully connected 500, ReLU, classes.

    Source: BVLC/caffe, `examples/mnist/lenet_train_test.prototxt`, with its initialisation ("xavier": uniform with
    variance 1/fan_in; biases 0). Two things of that file are not taken over: the doubled LR of biases, and the
    input scale (pixels/256 there, standardised per channel here).
    """
    channels, height, width = image_shape("lenet", input_shape, 14)
    features = 50 * _pooled(_pooled(height)) * _pooled(_pooled(width))
    units = [_unit(channels, 20), _unit(20, 50)]
    head = nn.Sequential(nn.Flatten(), nn.Linear(features, 500), nn.ReLU(), nn.Linear(500, num_classes))
    model = network(units, head)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            caffe_xavier_(module)
    return model


def caffe_xavier_(layer: nn.Conv2d | nn.Linear) -> None:
    """Draw uniform weights in +-sqrt(3/fan_in), and set biases to 0 (Caffe's XavierFiller with FAN_IN)."""
    bound = math.sqrt(3 / layer.weight[0].numel())
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _unit(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 5), nn.MaxPool2d(2, ceil_mode=True))


def _pooled(size: int) -> int:
    """Return a side after a 5x5 convolution and a 2x2 pooling that rounds up, as Caffe's does."""
    return math.ceil((size - 4) / 2)
