"""Two steps of training when a Task is made, which find what a run would lose between two segments.

A segment passes its network's parameters and buffers and its optimizer's state and groups on to the next. So the second
step is made twice: by the network and the optimizer of the first, and by new ones with the parameters, buffers, state
and groups of these. All that differs is kept elsewhere, and would be lost.
"""

import io
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrbench.errors import TaskError, one_line
from lrbench.files import working_directory_kept
from lrbench.reproducible import seed_generators
from lrbench.tasks.fingerprint import OF_EVERY_MODULE, from_library
from lrbench.tasks.nested import shapes
from lrbench.tasks.optimizer_state import (
    Groups,
    HasModes,
    changed_groups,
    group_settings,
    keeps_more_than_state,
    restore,
)
from lrbench.tasks.snapshot import copied, identical

LR = 1e-3
"""The LR of the steps, or the highest of the parameter groups'."""
TOLERANCE = 1e-5
"""Numbers may differ by this, relative to the largest of a tensor, for a network whose sums are not reproducible."""
QUOTED = 300
"""The most characters of a user's error that are quoted."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None))

Loss = Callable[[Any, Any], Tensor]
Samples = tuple[Any, Any]
Build = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def check_network(
    where: str, anew: Callable[[], nn.Module], loss: Loss, samples: Samples, held: Callable[[], str]
) -> None:
    """Refuse a network that would lose a part of what it keeps at the start of each segment.

    Args:
        where: the beginning of the error.
        anew: makes the network, the same one each time.
        loss: the task's.
        samples: inputs and targets, the same ones for both steps.
        held: makes a digest of the values that the code of model and loss holds: objects, closures, class attributes
            and globals.

    Raises:
        TaskError: a part would be lost, or a step fails.
    """
    going = anew()
    kind = type(going).__name__
    backpropagate(where, going, loss, samples, 0)
    with torch.no_grad():
        for weight in going.parameters():
            if weight.grad is not None:
                weight.sub_(weight.grad, alpha=LR)
    other = anew()
    notice = f"{where}: a checkpoint does not bring back the model {kind}"
    attempt(notice, lambda: other.load_state_dict(_through_a_checkpoint(dict(going.state_dict()))))
    seen, holds = [], []
    for network in (going, other):
        found = backpropagate(where, network, loss, samples, 1)
        gradients = [weight.grad for weight in network.parameters()]
        seen.append([found, gradients, dict(network.state_dict())])
        holds.append(held())
    for name, module in going.named_modules():
        lost = _lost(module, other.get_submodule(name))
        if lost is not None:
            raise TaskError(
                f"{where}: {type(module).__name__}.{lost} is kept from step to step and is no part of the model's "
                "state_dict, so that it would start over at every evaluation: register it as a buffer "
                "(register_buffer), or do without it"
            )
    if holds[0] != holds[1]:
        raise TaskError(
            f"{where}: the code of the model or the loss keeps something from step to step (in an object, a closure, a "
            "class attribute or a global), which is no part of a run: make it a buffer of the model, or, where it has "
            'no part in training, give the task version="..."'
        )
    if not _alike(seen[0], seen[1]):
        raise TaskError(
            f"{where}: the model {kind}, made anew with the same parameters and buffers, gives other gradients: what "
            "it or the loss keeps from step to step must be a buffer of it (register_buffer), and what they draw must "
            "come from a global random generator"
        )


def backpropagate(where: str, network: nn.Module, loss: Loss, samples: Samples, step: int) -> Tensor:
    """Compute the loss of a step, and its gradients in the network.

    Raises:
        TaskError: a pass fails.
    """
    inputs, targets = samples
    network.train().zero_grad()
    seed_generators(step, torch.device("cpu"))

    def passes() -> Tensor:
        found = loss(network(inputs), targets)
        found.backward()
        return found

    found: Tensor = attempt(f"{where}: a training step on a batch of shape {shapes(inputs)} fails", passes)
    return found


def check_optimizer(where: str, build: Build, weights: Sequence[nn.Parameter]) -> bool:
    """Refuse an optimizer that would lose a part of what it keeps at the start of each segment.

    Args:
        where: the beginning of the error.
        build: makes the optimizer of some parameters.
        weights: parameters with their gradients; left as they are.

    Returns:
        Whether the optimizer keeps more than its state by parameter: in its groups, or in modes of training and
        evaluation.

    Raises:
        TaskError: a part would be lost, or a step fails.
    """
    one, same = (_steppable(build, weights) for _ in range(2))
    method = type(one.optimizer).__name__
    failing = f"{where}: the step of the optimizer {method} fails"
    attempt(failing, one.step, 0)
    groups = changed_groups(one.built, group_settings(one.optimizer))
    kept = [one.optimizer.state_dict()["state"], groups]
    notice = f"{where}: a checkpoint does not bring back the optimizer {method}"
    attempt(notice, lambda: restore(same.optimizer, *_through_a_checkpoint(kept)))
    for weight, moved in zip(same.weights, one.weights, strict=True):
        weight.data.copy_(moved.data)
    for each in (one, same):
        attempt(failing, each.step, 1)
    of_every_optimizer = frozenset(vars(torch.optim.SGD([nn.Parameter(torch.zeros(1))])))
    lost = _first_difference(vars(one.optimizer), vars(same.optimizer), of_every_optimizer)
    pairs = zip(one.weights, same.weights, strict=True)
    if lost is not None or not all(identical(weight.data, other.data) for weight, other in pairs):
        what = "what it keeps from step to step" if lost is None else f"its attribute {lost}"
        raise TaskError(
            f"{where}: the optimizer {method} would start over in part at every evaluation, for {what} is neither in "
            "its state nor in its param_groups: keep it there"
        )
    return keeps_more_than_state(one.optimizer, one.built)


@dataclass(frozen=True)
class _Steppable:
    """An optimizer of copies of some weights."""

    weights: Sequence[nn.Parameter]
    gradients: Sequence[Tensor | None]
    optimizer: torch.optim.Optimizer
    built: Groups

    def step(self, number: int) -> None:
        """Make step `number`, with other gradients than those of the one before."""
        seed_generators(number, torch.device("cpu"))
        for weight, gradient in zip(self.weights, self.gradients, strict=True):
            weight.grad = None if gradient is None else gradient / (1 + number)
        self.optimizer.step()


def _steppable(build: Build, weights: Sequence[nn.Parameter]) -> _Steppable:
    copies = [nn.Parameter(copied(weight)) for weight in weights]
    optimizer = build(copies)
    if isinstance(optimizer, HasModes):
        optimizer.train()
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = LR * rate / (max(rates) or 1.0)
    return _Steppable(copies, [copied(weight.grad) for weight in weights], optimizer, group_settings(optimizer))


def _through_a_checkpoint(value: Any) -> Any:
    """Write a value to a checkpoint, and read it back."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@working_directory_kept()
def attempt(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a user's function; raise TaskError with its error on one line."""
    try:
        return function(*arguments)
    except TaskError:
        raise
    except (Exception, SystemExit) as error:
        raise TaskError(f"{what}: {_one_line(error)}") from error


def _lost(module: nn.Module, anew: nn.Module) -> str | None:
    """Name an attribute of a user's module that a step has changed and that its `state_dict` does not have."""
    if from_library(type(module).__module__):
        return None
    left_out = module._non_persistent_buffers_set
    one, other = ({**vars(m), **{name: m._buffers.get(name) for name in left_out}} for m in (module, anew))
    return _first_difference(one, other, OF_EVERY_MODULE)


def _first_difference(one: Mapping[str, Any], other: Mapping[str, Any], ignored: frozenset[str]) -> str | None:
    names = (name for name in one if name not in ignored)
    return next((name for name in names if name not in other or not _alike(one[name], other[name])), None)


def _alike(one: Any, other: Any, inside: tuple[int, ...] = ()) -> bool:
    """Return whether two values are the same but for rounding, as far as they can be compared; `inside` ends cycles."""
    if id(one) in inside:
        return True
    alike = partial(_alike, inside=(*inside, id(one)))
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _tensors_alike(one.detach(), other.detach())
    if isinstance(one, np.ndarray | np.generic) and isinstance(other, np.ndarray | np.generic):
        return one.shape == other.shape and all(map(alike, one.ravel().tolist(), other.ravel().tolist()))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=TOLERANCE) or (one != one and other != other)
    if isinstance(one, _PLAIN) or isinstance(other, _PLAIN):
        return type(one) is type(other) and bool(one == other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple | deque) and isinstance(other, list | tuple | deque):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, set | frozenset) and isinstance(other, set | frozenset):
        return len(one) == len(other)
    return all(map(alike, _hidden(one), _hidden(other)))


def _tensors_alike(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if identical(one, other) or not one.is_floating_point() or not one.numel():
        return identical(one, other)
    within = TOLERANCE * float(one.double().nan_to_num(posinf=0, neginf=0).abs().max())
    return torch.allclose(one.double(), other.double(), rtol=0, atol=within, equal_nan=True)


def _hidden(value: Any) -> Iterator[Any]:
    """Yield the values that an object of another kind holds: a generator's state, a user's object's attributes."""
    if isinstance(value, torch.Generator):
        yield value.get_state()
    elif isinstance(value, random.Random):
        yield value.getstate()
    elif isinstance(value, np.random.Generator):
        yield value.bit_generator.state
    elif isinstance(value, np.random.RandomState):
        yield value.get_state(legacy=False)
    elif not isinstance(value, nn.Module | type) and not callable(value) and not from_library(type(value).__module__):
        yield from vars(value).values() if hasattr(value, "__dict__") else ()


def _one_line(error: BaseException) -> str:
    text = one_line(error)
    text = text if len(text) <= QUOTED else f"{text[:QUOTED]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
