"""Optimizers as values: a frozen specification that builds a torch optimizer for parameters, or groups of them.

The learning rate is not part of it: the optimizer is built with LR 1.0, which the engine replaces before each step.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import nn

from lrbench.errors import TaskError, did_you_mean
from lrbench.policy.budget import read_number
from lrbench.policy.kind import short_repr
from lrbench.registry import Registry
from lrbench.tasks.caffe_sgd import CaffeSGDOptimizer
from lrbench.tasks.library_optimizers import PLACEHOLDER_LR, LibraryOptimizer, library_optimizer, library_optimizers
from lrbench.tasks.specification import registering, specification_named

Parameters: TypeAlias = Iterable[Any]
"""Parameters, or the dicts of parameter groups, as torch's optimizers take them."""


@runtime_checkable
class OptimizerSpec(Protocol):
    """Anything that builds a torch optimizer.

    Groups that it makes itself, with different LRs, keep the ratios of these to the first group's; a group that has an
    `lr_ratio` has that ratio to the policy's. For a task with `groups` it is given the dicts of parameter groups.
    """

    def build(self, params: Parameters) -> torch.optim.Optimizer: ...


OPTIMIZERS: Registry[type[OptimizerSpec]] = Registry("optimizer", TaskError)

register_optimizer = registering(OPTIMIZERS, "build")
"""Class decorator: makes a frozen dataclass, an `OptimizerSpec`, known to study files by its class's name."""


def optimizer_named(kind: str, options: Mapping[str, Any]) -> OptimizerSpec:
    """Build the specification of a registered optimizer, or of one of torch or an installed library.

    Raises:
        TaskError: there is none of this name, it has no such option, or it cannot be used.
    """
    if kind in OPTIMIZERS:
        return specification_named(OPTIMIZERS, kind, options)
    spec = library_optimizer(kind, options)
    if spec is None:
        hint = did_you_mean(kind, [*OPTIMIZERS, *(name for name, *_ in library_optimizers())])
        raise TaskError(
            f"there is no optimizer named {short_repr(kind)}{hint}: there are {', '.join(OPTIMIZERS)} and those of "
            "torch.optim, and of schedulefree, prodigyopt and pytorch_optimizer where these are installed"
        )
    return spec


def optimizer_with(base: OptimizerSpec, options: Mapping[str, Any]) -> OptimizerSpec:
    """Build the specification of the same optimizer with other options.

    Raises:
        TaskError: it has no such option.
    """
    if isinstance(base, CustomOptimizer):
        raise TaskError(f"the optimizer function {base} has no options; name an optimizer instead")
    if isinstance(base, LibraryOptimizer):
        return optimizer_named(f"{base.library}.{base.name}", {**dict(base.settings), **options})
    return optimizer_named(type(base).__name__, {**vars(base), **options})


@register_optimizer
@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent as PyTorch defines it: V = momentum*V + (g + weight_decay*w); w -= lr*V."""

    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_settings(self)
        if self.nesterov and self.momentum == 0:
            raise TaskError("optimizer SGD: nesterov needs a momentum above 0")

    def build(self, params: Parameters) -> torch.optim.Optimizer:
        params = list(params)
        return _uncompiled(torch.optim.SGD)(params, lr=PLACEHOLDER_LR, fused=_has_fused_kernel(params), **asdict(self))


@register_optimizer
@dataclass(frozen=True)
class CaffeSGD:
    """Stochastic gradient descent as Caffe defines it: V = momentum*V + lr*(g + weight_decay*w); w -= V.

    It differs from `SGD` whenever the LR changes, because the velocity remembers the LRs it was made with.
    """

    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_settings(self)

    def build(self, params: Parameters) -> torch.optim.Optimizer:
        return CaffeSGDOptimizer(params, lr=PLACEHOLDER_LR, **asdict(self))


@register_optimizer
@dataclass(frozen=True)
class Adam:
    """Adam (arXiv 1412.6980); weight decay is added to the gradient."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_settings(self)

    def build(self, params: Parameters) -> torch.optim.Optimizer:
        params, betas = list(params), (self.beta1, self.beta2)
        fused = _has_fused_kernel(params)
        return _uncompiled(torch.optim.Adam)(
            params, lr=PLACEHOLDER_LR, betas=betas, eps=self.eps, weight_decay=self.weight_decay, fused=fused
        )


@register_optimizer
@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (arXiv 1711.05101), which is multiplied by the LR."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        _check_settings(self)

    def build(self, params: Parameters) -> torch.optim.Optimizer:
        params, betas = list(params), (self.beta1, self.beta2)
        fused = _has_fused_kernel(params)
        return _uncompiled(torch.optim.AdamW)(
            params, lr=PLACEHOLDER_LR, betas=betas, eps=self.eps, weight_decay=self.weight_decay, fused=fused
        )


@register_optimizer
@dataclass(frozen=True)
class RMSprop:
    """RMSprop as PyTorch defines it (uncentred)."""

    alpha: float = 0.99
    momentum: float = 0.0
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_settings(self)

    def build(self, params: Parameters) -> torch.optim.Optimizer:
        return _uncompiled(torch.optim.RMSprop)(params, lr=PLACEHOLDER_LR, **asdict(self))


@register_optimizer
@dataclass(frozen=True)
class MuonWithAdamW:
    """Muon for weight matrices, AdamW for other weights and groups with `use_muon = false`; needs pytorch_optimizer.

    Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) takes weights of two dimensions or more; others are
    AdamW's, and by custom embeddings and the last layer, for which a task has `groups`. Muon's updates are scaled to
    the root mean square of AdamW's (Liu et al., arXiv 2502.16982): one learning rate serves both. `momentum` and
    `nesterov` are Muon's, `beta1`, `beta2` and `eps` are AdamW's; the weight decay of both is decoupled.
    """

    use_muon: bool = True
    momentum: float = 0.95
    nesterov: bool = True
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _check_settings(self)

    def build(self, params: Parameters) -> torch.optim.Optimizer:
        try:
            from pytorch_optimizer import Muon
        except ImportError as error:
            raise TaskError(
                "optimizer MuonWithAdamW needs pytorch_optimizer: pip install 'lrbench[optimizers]'"
            ) from error
        parts = list(params)
        if not isinstance(parts[0], dict):
            kinds = ([weight for weight in parts if (weight.ndim > 1) is is_matrix] for is_matrix in (True, False))
            parts = [{"params": weights} for weights in kinds if weights]
        groups = [part if "use_muon" in part else {**self.settings(part["params"]), **part} for part in parts]
        if any(group["use_muon"] and weight.ndim < 2 for group in groups for weight in group["params"]):
            raise TaskError(
                "optimizer MuonWithAdamW takes no weights of one dimension in a group with matrices: part them by the "
                'groups of the task, such as { "ndim<2" = { weight_decay = 0 } }'
            )
        return Muon([{"lr": PLACEHOLDER_LR, **group} for group in groups])

    def settings(self, weights: Sequence[nn.Parameter]) -> Mapping[str, Any]:
        """Return the settings of a group of these weights; one without any matrix is AdamW's."""
        if not self.use_muon or all(weight.ndim < 2 for weight in weights):
            adamw = {"betas": (self.beta1, self.beta2), "eps": self.eps}
            return {"use_muon": False, "weight_decay": self.weight_decay, **adamw}
        muon = {"momentum": self.momentum, "nesterov": self.nesterov, "use_adjusted_lr": True}
        return {"use_muon": True, "weight_decay": self.weight_decay, **muon}


@dataclass(frozen=True)
class CustomOptimizer:
    """A user's own `function(params) -> torch.optim.Optimizer`, of parameters or the dicts of parameter groups."""

    function: Callable[[list[Any]], torch.optim.Optimizer]

    def build(self, params: Parameters) -> torch.optim.Optimizer:
        return self.function(list(params))

    def __str__(self) -> str:
        return str(getattr(self.function, "__name__", self.function))


def _check_settings(spec: Any) -> None:
    """Every number finite and >= 0; decay rates (momentum, betas, alpha) below 1; flags true or false."""
    for name, value in asdict(spec).items():
        where = f"optimizer {type(spec).__name__}: {name} = {short_repr(value)}"
        if name in ("nesterov", "use_muon"):
            if not isinstance(value, bool):
                raise TaskError(f"{where} must be true or false")
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TaskError(f"{where} must be a number")
        rate, number = name in ("momentum", "beta1", "beta2", "alpha"), read_number(value)
        if number is None or number < 0 or (rate and number >= 1):
            raise TaskError(f"{where} must be {'in [0, 1)' if rate else 'a finite number >= 0'}")
        object.__setattr__(spec, name, number)


@cache
def _uncompiled(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return the class with steps that do not import torch's compiler, which takes seconds, to break its graphs."""
    return type(kind.__name__, (kind,), {"step": torch.no_grad()(inspect.unwrap(kind.step))})


def _has_fused_kernel(params: list[Any]) -> bool:
    weights: list[nn.Parameter] = [p for each in params for p in (each["params"] if isinstance(each, dict) else [each])]
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in weights)
