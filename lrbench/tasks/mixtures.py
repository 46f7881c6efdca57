"""Mixtures: train samples that are mixed with others of their batch, and their targets with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from lrbench.errors import TaskError
from lrbench.policy.budget import read_number
from lrbench.policy.kind import short_repr
from lrbench.registry import Registry
from lrbench.tasks.specification import registering, specification_named


@runtime_checkable
class Mixture(Protocol):
    """A change of a train batch: decoded inputs [N, ...] and probabilities of the classes [N, classes], to the same.

    It draws from torch's global generator, which the engine seeds. torchvision's `v2.MixUp()` and `v2.CutMix()` do.
    """

    def __call__(self, inputs: Tensor, targets: Tensor, /) -> tuple[Tensor, Tensor]: ...


MIXTURES: Registry[type[Mixture]] = Registry("mixture", TaskError)

register_mixture = registering(MIXTURES, "__call__")
"""Register a frozen dataclass that is a `Mixture`, so that study files can name its class."""


def mixture_named(kind: str, options: Mapping[str, Any]) -> Mixture:
    """Build the mixture called `kind`; raise TaskError for an unknown kind or option."""
    return specification_named(MIXTURES, kind, options)


@dataclass(frozen=True)
class _OfTorchvision:
    alpha: float = 1.0

    def __post_init__(self) -> None:
        number = read_number(self.alpha)
        if number is None or number <= 0:
            name = type(self).__name__
            raise TaskError(f"mixture {name}: alpha = {short_repr(self.alpha)} must be a finite number above 0")

    @cached_property
    def _transform(self) -> nn.Module:
        from torchvision.transforms import v2

        transform: nn.Module = getattr(v2, type(self).__name__)(alpha=self.alpha)
        return transform

    def __call__(self, inputs: Tensor, targets: Tensor, /) -> tuple[Tensor, Tensor]:
        mixed: tuple[Tensor, Tensor] = self._transform(inputs, targets)
        return mixed


@register_mixture
@dataclass(frozen=True)
class MixUp(_OfTorchvision):
    """Weighted mean of each image and the next, the weight drawn from Beta(`alpha`, `alpha`) (arXiv 1710.09412)."""


@register_mixture
@dataclass(frozen=True)
class CutMix(_OfTorchvision):
    """A box of each image from the next, its share of the area drawn from Beta(`alpha`, `alpha`) (arXiv 1905.04899)."""
