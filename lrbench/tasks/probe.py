"""Two steps of training at the making of a Task, which find what a run would lose between two segments.

From one segment to the next a run is its network's parameters and buffers and its optimizer's state and groups. So the
second step is made twice: once going on, and once by a network and an optimizer that are made anew and given these.
Whatever differs then is kept elsewhere.
"""

import io
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrbench.errors import TaskError
from lrbench.generators import seed_generators
from lrbench.tasks.fingerprint import OF_TORCH_OR_OURS, from_library, package_of
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
"""The LR of the steps; those of the parameter groups keep their ratios."""
TOLERANCE = 1e-5
"""How far numbers may differ, relative to the largest of a tensor, for a network whose sums are not reproducible."""
QUOTED = 300
"""Characters of a user's error that are quoted at most."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Trainee:
    """A network and its optimizer for two steps on the same few samples."""

    network: nn.Module
    optimizer: torch.optim.Optimizer

    def __post_init__(self) -> None:
        self.network.train()
        if isinstance(self.optimizer, HasModes):
            self.optimizer.train()
        self.built: Groups = group_settings(self.optimizer)
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = LR * rate / (max(rates) or 1.0)

    def backpropagate(self, loss: Loss, inputs: Tensor, targets: Tensor, step: int) -> list[Any]:
        """The forward and the backward pass of a step: its loss and gradients, and then the network's state."""
        for weight in self.network.parameters():
            weight.grad = None
        seed_generators(step, inputs.device)
        found = loss(self.network(inputs), targets)
        found.backward()
        gradients = [weight.grad for weight in self.network.parameters()]
        seen: list[Any] = copied([found, gradients, dict(self.network.state_dict())])
        return seen

    def kept(self) -> bytes:
        """What a checkpoint holds of network and optimizer."""
        groups = changed_groups(self.built, group_settings(self.optimizer))
        buffer = io.BytesIO()
        torch.save([dict(self.network.state_dict()), self.optimizer.state_dict()["state"], groups], buffer)
        return buffer.getvalue()

    def take(self, kept: bytes) -> None:
        model, state, groups = torch.load(io.BytesIO(kept), weights_only=True)
        self.network.load_state_dict(model)
        restore(self.optimizer, state, groups)


def check_going_on(where: str, anew: Callable[[], Trainee], loss: Loss, samples: tuple[Tensor, Tensor]) -> bool:
    """Refuse a network or an optimizer that starts over in part where a run goes on in another segment.

    Args:
        where: what the error begins with.
        anew: makes a network and its optimizer, the same ones each time.
        loss: the task's.
        samples: inputs and targets, the same ones for every step.

    Returns:
        Whether the optimizer keeps more than its state by parameter: in its groups, or in modes of training and
        evaluation.

    Raises:
        TaskError: what starts over, or what fails.
    """
    (inputs, targets), going = samples, anew()
    kind, method = type(going.network).__name__, type(going.optimizer).__name__
    failing = f"{where}: a training step on a batch of shape {list(inputs.shape)} fails"
    attempt(failing, going.backpropagate, loss, inputs, targets, 0)
    attempt(f"{where}: the step of the optimizer {method} fails", going.optimizer.step)
    kept = going.kept()
    other = anew()
    attempt(f"{where}: a checkpoint does not bring back the model {kind} or the optimizer {method}", other.take, kept)
    seen = [attempt(failing, trainee.backpropagate, loss, inputs, targets, 1) for trainee in (going, other)]
    for name, module in going.network.named_modules():
        lost = _lost(module, other.network.get_submodule(name))
        if lost is not None:
            raise TaskError(
                f"{where}: {type(module).__name__}.{lost} is kept from step to step and is no part of the model's "
                "state_dict, so that it would start over at every evaluation: register it as a buffer "
                "(register_buffer), or do without it"
            )
    if not _alike(*seen):
        raise TaskError(
            f"{where}: the model {kind}, made anew with the same parameters and buffers, gives other gradients: what "
            "it keeps from step to step must be a buffer (register_buffer), and what it draws must come from a global "
            "random generator"
        )
    if package_of(going.optimizer) not in OF_TORCH_OR_OURS:
        _check_optimizer(where, going, other)
    return keeps_more_than_state(going.optimizer, going.built)


def attempt(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the user's function returns; raises TaskError with its error on one line."""
    try:
        return function(*arguments)
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(f"{what}: {_one_line(error)}") from error


def _check_optimizer(where: str, going: Trainee, other: Trainee) -> None:
    """Let both optimizers step with the same gradients from the same weights."""
    pairs = list(zip(going.network.parameters(), other.network.parameters(), strict=True))
    for one, same in pairs:
        same.data.copy_(one.data)
        same.grad = copied(one.grad)
    method = type(going.optimizer).__name__
    for trainee in (going, other):
        seed_generators(2, torch.device("cpu"))
        attempt(f"{where}: the step of the optimizer {method} fails", trainee.optimizer.step)
    of_every_optimizer = frozenset(vars(torch.optim.SGD([nn.Parameter(torch.zeros(1))])))
    lost = _first_difference(vars(going.optimizer), vars(other.optimizer), of_every_optimizer)
    if lost is None and all(identical(one.data, same.data) for one, same in pairs):
        return
    what = "what it keeps from step to step" if lost is None else f"its attribute {lost}"
    raise TaskError(
        f"{where}: the optimizer {method} would start over in part at every evaluation, for {what} is neither in its "
        "state nor in its param_groups: keep it there"
    )


def _lost(module: nn.Module, anew: nn.Module) -> str | None:
    """The name of what a user's module keeps of steps before the last, besides what its `state_dict` has."""
    if from_library(type(module).__module__):
        return None
    left_out = module._non_persistent_buffers_set
    one, other = ({**vars(m), **{name: m._buffers.get(name) for name in left_out}} for m in (module, anew))
    return _first_difference(one, other, _OF_EVERY_MODULE)


def _first_difference(one: Mapping[str, Any], other: Mapping[str, Any], ignored: frozenset[str]) -> str | None:
    names = (name for name in one if name not in ignored)
    return next((name for name in names if name not in other or not _alike(one[name], other[name])), None)


def _alike(one: Any, other: Any, inside: tuple[int, ...] = ()) -> bool:
    """Whether two values are the same but for rounding, as far as they can be compared; `inside` ends cycles."""
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
    """What an object of another kind holds: a generator's state, a user's object's attributes."""
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


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    text = text if len(text) <= QUOTED else f"{text[:QUOTED]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
