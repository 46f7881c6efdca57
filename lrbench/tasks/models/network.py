"""The form of all networks here: ordered units, then a head."""

from collections import OrderedDict
from collections.abc import Iterable

from torch import nn

from lrbench.errors import TaskError


def network(units: Iterable[nn.Module], head: nn.Module) -> nn.Sequential:
    """Make `head(unit_n(...unit_1(x)))`: a Sequential with the children `features` (the units in order) and `head`."""
    return nn.Sequential(OrderedDict(features=nn.Sequential(*units), head=head))


def image_shape(model: str, input_shape: tuple[int, ...], least: int) -> tuple[int, int, int]:
    """Return the (channels, height, width) of inputs; raise TaskError where they are no images or are too small."""
    if len(input_shape) != 3:
        raise TaskError(f"model '{model}' needs images [C, H, W], and the inputs have shape {list(input_shape)}")
    channels, height, width = input_shape
    if min(height, width) < least:
        raise TaskError(f"model '{model}' needs images of at least {least}x{least}, and these are {height}x{width}")
    return channels, height, width
