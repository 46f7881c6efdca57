"""A network as an ordered chain of units, so that it can be cut between any two."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from lrbench.errors import TaskError

NORMALISATIONS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)
"""Layers that belong to the layer before them, whatever parameters they have."""


def units_of(module: nn.Module) -> tuple[nn.Sequential, ...]:
    """The units of a network, in order: applying one after the other is applying the network.

    A network declares them by a method `units()` that returns an iterable of modules. One that does not, but is an
    `nn.Sequential` (of `nn.Sequential`s, to any depth), is cut before each layer that has parameters of its own and
    is no normalisation: a convolution with what follows it up to the next one, a whole residual block.

    Raises:
        TaskError: the network has neither, or has fewer than two units.
    """
    declared = getattr(module, "units", None)
    if callable(declared):
        units = [nn.Sequential(unit) for unit in declared()]
    elif isinstance(module, nn.Sequential):
        units = _grouped(_chain(module))
    else:
        raise TaskError(
            f"the model {type(module).__name__} declares no units: make it an nn.Sequential, "
            "or give it a method units() that returns its layers in order"
        )
    if len(units) < 2:
        raise TaskError(f"the model {type(module).__name__} has {len(units)} unit and cannot be cut: it needs two")
    return tuple(units)


def _chain(module: nn.Sequential) -> Iterator[nn.Module]:
    for child in module:
        if type(child) is nn.Sequential:
            yield from _chain(child)
        else:
            yield child


def _grouped(chain: Iterator[nn.Module]) -> list[nn.Sequential]:
    units: list[nn.Sequential] = []
    started = False
    for layer in chain:
        begins = next(layer.parameters(), None) is not None and not isinstance(layer, NORMALISATIONS)
        if not units or (begins and started):
            units.append(nn.Sequential())
        started = started or begins
        units[-1].append(layer)
    return units
