"""A multilayer perceptron."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from lrbench.errors import TaskError
from lrbench.tasks.models.network import network
from lrbench.tasks.registry import register_model


@register_model("mlp", version=1)
def mlp(input_shape: tuple[int, ...], num_classes: int, *, hidden: Sequence[int] = (100, 100)) -> nn.Sequential:
    """Fully connected layers with ReLU on flattened inputs; option hidden: the widths of the hidden layers.

    Weights are initialised as PyTorch does by default.
    """
    widths_given = isinstance(hidden, Sequence) and bool(hidden)
    if not widths_given or not all(type(width) is int and width > 0 for width in hidden):
        raise TaskError(f"model 'mlp': hidden = {hidden!r} must be a list of widths >= 1")
    widths = [math.prod(input_shape), *hidden]
    units = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths)]
    units[0].insert(0, nn.Flatten())
    return network(units, nn.Linear(widths[-1], num_classes))
