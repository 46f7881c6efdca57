"""A network as an ordered chain of units, so that it can be cut between any two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import nn

from lrbench.errors import TaskError
from lrbench.reproducible import callers_generators, seed_generators
from lrbench.tasks.depth import FOLLOWERS
from lrbench.tasks.nested import moved

if TYPE_CHECKING:
    from lrbench.tasks import Task


def units_of(module: nn.Module) -> tuple[nn.Sequential, ...]:
    """Cut a network into its units, in order: applying one after the other is applying the network.

    A network declares them by `units()`, which returns an iterable of modules. Otherwise an `nn.Sequential` (of
    `nn.Sequential`s, to any depth) is cut before each layer that has parameters of its own and is no normalisation or
    activation: a convolution with what follows it up to the next one, a whole residual block.

    Raises:
        TaskError: the network is neither, or has fewer than two units.
    """
    name = type(module).__name__
    declared = getattr(module, "units", None)
    if callable(declared) and not isinstance(declared, nn.Module):
        units = _declared(name, list(declared()))
    elif isinstance(module, nn.Sequential):
        units = _grouped(_chain(module))
    else:
        raise TaskError(
            f"the model {name} declares no units: make it an nn.Sequential, "
            "or give it a method units() that returns its layers in order"
        )
    if len(units) < 2:
        raise TaskError(f"the model {name} has {len(units)} unit and cannot be cut: it needs two")
    return tuple(units)


def check_units(task: Task) -> tuple[nn.Sequential, ...]:
    """Cut a task's network into units, and check that they are the network.

    Two samples go through the network and through its units, in training and in eval mode, on the CPU. The global
    random generators are left as they are.

    Raises:
        TaskError: the network has no units, two of them share parameters, or their outputs are not the network's bits.
    """
    inputs = moved(task.data.decode(task.data.train.first(2).inputs), "cpu")
    with callers_generators(), torch.no_grad():
        network = task.network().cpu()
        name, units = type(network).__name__, units_of(network)
        _check_parameters(name, network, units)
        initial = deepcopy(network.state_dict())
        for training in (True, False):
            network.train(training)
            outputs = []
            for module in (network, nn.Sequential(*units)):
                network.load_state_dict(initial)
                seed_generators(0, torch.device("cpu"))
                outputs.append(module(inputs))
            if not torch.equal(outputs[0], outputs[1]):
                mode = "training" if training else "eval"
                raise TaskError(f"the units of the model {name}, one after the other, are not the model in {mode} mode")
    return units


def _check_parameters(name: str, network: nn.Module, units: Sequence[nn.Module]) -> None:
    users = Counter(parameter for unit in units for parameter in set(unit.parameters()))
    if any(count > 1 for count in users.values()):
        raise TaskError(f"two units of the model {name} share parameters, so that it cannot be cut between them")
    if len(users) != len(list(network.parameters())):
        raise TaskError(f"the units of the model {name} leave out some of its parameters")


def _declared(name: str, units: Sequence[object]) -> list[nn.Sequential]:
    foreign = next((unit for unit in units if not isinstance(unit, nn.Module)), None)
    if foreign is not None:
        raise TaskError(f"units() of the model {name} returned a {type(foreign).__name__} where modules are needed")
    return [nn.Sequential(unit) for unit in units if isinstance(unit, nn.Module)]


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
        begins = next(layer.parameters(), None) is not None and not isinstance(layer, FOLLOWERS)
        if not units or (begins and started):
            units.append(nn.Sequential())
        started = started or begins
        units[-1].append(layer)
    return units
