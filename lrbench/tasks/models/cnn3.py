"""CNN3: the network that Caffe calls cifar10_full."""

import math

from torch import nn

from lrbench.errors import TaskError
from lrbench.tasks.models.layers import Scale, WithinChannelLRN
from lrbench.tasks.models.network import image_shape, network
from lrbench.tasks.registry import register_model


@register_model("cnn3", version=1)
def cnn3(input_shape: tuple[int, ...], num_classes: int, *, input_scale: float = 64.0) -> nn.Sequential:
    """Caffe's cifar10_full: three 5x5 convolutions (32, 32, 64) with pooling and LRN, one linear layer.

    Source: BVLC/caffe, `examples/cifar10/cifar10_full_train_test.prototxt`, with its Gaussian initialisation (std
    0.0001, 0.01, 0.01, and 0.01 for the linear layer; biases 0). Caffe feeds it pixels 0..255 minus the mean image,
    whose standard deviation is about 64 on CIFAR-10; standardised inputs are multiplied by `input_scale` to be in
    those units, for which its LRs were chosen. Not taken over: the doubled LR of biases, and the 250-fold weight decay
    of the linear layer.
    """
    number = isinstance(input_scale, int | float) and not isinstance(input_scale, bool)
    if not number or not 0 < input_scale < math.inf:
        raise TaskError(f"model 'cnn3': input_scale = {input_scale!r} must be a number above 0")
    channels, height, width = image_shape("cnn3", input_shape, 8)
    units = [
        nn.Sequential(
            Scale(input_scale), nn.Conv2d(channels, 32, 5, padding=2), _max_pool(), nn.ReLU(), WithinChannelLRN()
        ),
        nn.Sequential(nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), _average_pool(), WithinChannelLRN()),
        nn.Sequential(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), _average_pool()),
    ]
    sides = [_pooled(_pooled(_pooled(side))) for side in (height, width)]
    head = nn.Sequential(nn.Flatten(), nn.Linear(64 * math.prod(sides), num_classes))
    model = network(units, head)
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer, std in zip(layers, (0.0001, 0.01, 0.01, 0.01), strict=True):
        nn.init.normal_(layer.weight, std=std)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    return model


def _max_pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _average_pool() -> nn.AvgPool2d:
    return nn.AvgPool2d(3, stride=2, ceil_mode=True)


def _pooled(side: int) -> int:
    """Return a side after 3x3 pooling with stride 2 that rounds up, as Caffe's does."""
    return math.ceil((side - 3) / 2) + 1
