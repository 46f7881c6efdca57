"""Optimizers of torch and of installed libraries by their names, with settings that their signatures declare."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from lrbench.errors import TaskError, did_you_mean, one_line
from lrbench.policy.budget import read_number
from lrbench.policy.kind import short_repr
from lrbench.tasks.optimizer_state import HasModes

PLACEHOLDER_LR = 1.0
"""The LR with which optimizers are built; the engine replaces it before each step."""

STEPS_TRIED, LR_TRIED = 16, 0.01
"""The steps with which an optimizer is tried, and their learning rate; some gather gradients for ten before one."""

LIBRARIES = ("torch.optim", "schedulefree", "prodigyopt", "pytorch_optimizer")
"""The modules whose optimizers have names, in the order in which a name is looked up."""

NOT_SET = frozenset({"params", "lr", "maximize", "foreach", "fused", "capturable", "differentiable"})
"""Parameters that are no settings: the engine sets them, or they choose among computations of the same update."""


@dataclass(frozen=True, repr=False)
class LibraryOptimizer:
    """An optimizer of a library, with the settings that differ from its defaults."""

    library: str
    name: str
    settings: tuple[tuple[str, Any], ...] = ()

    def build(self, params: Iterable[Any]) -> torch.optim.Optimizer:
        make: Callable[..., torch.optim.Optimizer] = _classes(self.library)[self.name]
        return make(list(params), lr=PLACEHOLDER_LR, **dict(self.settings))

    def __repr__(self) -> str:
        return f"{self.library}.{self.name}({', '.join(f'{name}={value!r}' for name, value in self.settings)})"


def library_optimizer(name: str, settings: Mapping[str, Any]) -> LibraryOptimizer | None:
    """Find the optimizer of a name such as "NAdam" or "torch.optim.NAdam", and try some steps of it.

    Returns:
        None where no library has an optimizer of the name.

    Raises:
        TaskError: it has no such setting, a value is not allowed, or a training loop cannot use it.
    """
    module, _, bare = name.rpartition(".")
    library = next((one for one in LIBRARIES if module in ("", one) and bare in _classes(one)), None)
    if library is None:
        return None
    kind = _classes(library)[bare]
    if reason := _unusable(kind):
        raise TaskError(f"optimizer '{name}' cannot be used: {reason}")
    defaults = settings_of(kind)
    for given in settings:
        if given not in defaults:
            raise TaskError(
                f"optimizer '{name}' has no option '{given}'{did_you_mean(given, defaults)}; "
                f"its options are {', '.join(defaults)}"
            )
    read = {key: _read(name, key, value, defaults[key]) for key, value in settings.items()}
    chosen = tuple((key, read[key]) for key in defaults if key in read and read[key] != defaults[key])
    spec = LibraryOptimizer(library, bare, chosen)
    _try_out(spec)
    return spec


def library_optimizers() -> Iterator[tuple[str, str, type[torch.optim.Optimizer]]]:
    """List the optimizers that a training loop can use: name, library and class, in the order of the libraries."""
    seen: set[str] = set()
    for library in LIBRARIES:
        for name, kind in _classes(library).items():
            with suppress(TaskError):
                if name not in seen and library_optimizer(f"{library}.{name}", {}) is not None:
                    seen.add(name)
                    yield name, library, kind


def settings_of(kind: type) -> Mapping[str, Any]:
    """Return the defaults of an optimizer's settings by name: those that a study file can write."""
    parameters = inspect.signature(kind).parameters
    return {
        name: one.default
        for name, one in parameters.items()
        if name not in NOT_SET and isinstance(one.default, bool | int | float | str | tuple | None)
    }


@cache
def _classes(library: str) -> Mapping[str, type[torch.optim.Optimizer]]:
    """Return the optimizers of a library by name; none where it is not installed."""
    if find_spec(library) is None:
        return {}
    module = import_module(library)
    found = {name: getattr(module, name) for name in sorted(dir(module))}
    base = torch.optim.Optimizer
    return {n: kind for n, kind in found.items() if isinstance(kind, type) and issubclass(kind, base) and kind != base}


def _unusable(kind: type[torch.optim.Optimizer]) -> str:
    """Say why no training loop of lrbench can use an optimizer; an empty text where its signatures allow it."""
    parameters = inspect.signature(kind).parameters
    varying = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [n for n, one in parameters.items() if one.default is one.empty and one.kind not in varying]
    if needed != ["params"]:
        return f"it needs {', '.join(name for name in needed if name != 'params') or 'no parameters'}"
    if "lr" not in parameters:
        return "it has no learning rate"
    closure = inspect.signature(kind.step).parameters.get("closure")
    return "each of its steps needs a closure" if closure and closure.default is closure.empty else ""


def _read(optimizer: str, name: str, value: object, default: object) -> Any:
    """Return a value in the type of the setting's default; whole numbers of floats and of ints are the same."""
    where = f"optimizer '{optimizer}': {name} = {short_repr(value)} must be"
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise TaskError(f"{where} true or false")
    elif isinstance(default, int | float):
        number = read_number(value)
        if number is None:
            raise TaskError(f"{where} a finite number")
        return int(number) if isinstance(default, int) and number.is_integer() else number
    elif default is not None and not isinstance(value, type(default)):
        raise TaskError(f"{where} {'a list' if isinstance(default, tuple) else 'a text'}")
    return value


def _try_out(spec: LibraryOptimizer) -> None:
    """Make some steps, and refuse an optimizer that fails in them, or that trains alike whatever the policy is."""
    try:
        follows = _follows_lr(spec)
    except Exception as error:
        raise TaskError(f"optimizer {spec} cannot be used: {one_line(error)}") from error
    if not follows:
        raise TaskError(f"optimizer {spec} cannot be used: no step but the first follows the learning rate")


def _follows_lr(spec: LibraryOptimizer) -> bool:
    """Find whether weights of two runs differ whose learning rates do from the second step on, in `STEPS_TRIED`."""
    weights = [nn.Parameter(torch.zeros(4, 4)) for _ in range(2)]
    with torch.random.fork_rng(devices=[]), redirect_stdout(io.StringIO()):
        optimizers = [spec.build([weight]) for weight in weights]
        for optimizer in optimizers:
            if isinstance(optimizer, HasModes):
                optimizer.train()
        for step in range(STEPS_TRIED):
            for optimizer, weight, factor in zip(optimizers, weights, (1.0, 2.0), strict=True):
                torch.manual_seed(step)
                for group in optimizer.param_groups:
                    group["lr"] = LR_TRIED * (factor if step else 1.0)
                weight.grad = torch.randn(weight.shape)
                optimizer.step()
            if not torch.equal(*weights):
                return True
    return False
