"""The small convolutional network that comes with MNIST-1D (Greydanus 2020, arXiv 2011.14439)."""

from itertools import pairwise

from torch import nn

from lrbench.errors import TaskError
from lrbench.tasks.models.network import network
from lrbench.tasks.registry import register_model


@register_model("conv1d", version=1)
def conv1d(input_shape: tuple[int, ...], num_classes: int, *, channels: int = 25) -> nn.Sequential:
    """Three convolutions over signals [L] or [C, L], kernels 5, 3, 3 with stride 2, and a linear layer.

    Weights are initialised as PyTorch does by default.
    """
    if type(channels) is not int or channels < 1:
        raise TaskError(f"model 'conv1d': channels = {channels!r} must be an integer >= 1")
    if len(input_shape) not in (1, 2) or input_shape[-1] < 5:
        raise TaskError(
            f"model 'conv1d' needs signals [L] or [C, L] of length 5 or more, and the inputs have shape "
            f"{list(input_shape)}"
        )
    length = input_shape[-1]
    widths = [input_shape[0] if len(input_shape) == 2 else 1, channels, channels, channels]
    units = []
    for (inside, outside), kernel in zip(pairwise(widths), (5, 3, 3), strict=True):
        units.append(nn.Sequential(nn.Conv1d(inside, outside, kernel, stride=2, padding=1), nn.ReLU()))
        length = (length + 2 - kernel) // 2 + 1
    if len(input_shape) == 1:
        units[0].insert(0, nn.Unflatten(1, (1, input_shape[0])))
    return network(units, nn.Sequential(nn.Flatten(), nn.Linear(channels * length, num_classes)))
