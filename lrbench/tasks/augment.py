"""Augmentation: random changes of a whole batch at once, drawn from the generator that is passed in.

The draws are made on the CPU whatever the device of the batch, so that every device sees the same augmentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from lrbench.errors import TaskError
from lrbench.registry import Registry
from lrbench.tasks.nested import sent
from lrbench.tasks.specification import registering, specification_named


@runtime_checkable
class Augmentation(Protocol):
    """A change of a batch, uint8 or float [N, C, H, W], that keeps type and shape; it draws from a CPU generator."""

    def __call__(self, batch: Tensor, generator: torch.Generator, /) -> Tensor: ...


AUGMENTATIONS: Registry[type[Augmentation]] = Registry("augmentation", TaskError)

register_augmentation = registering(AUGMENTATIONS, "__call__")
"""Register a frozen dataclass that is an `Augmentation`, so that study files can name its class."""


def augmentation_named(kind: str, options: Mapping[str, Any]) -> Augmentation:
    """Build the augmentation called `kind`; raise TaskError for an unknown kind or option."""
    return specification_named(AUGMENTATIONS, kind, options)


@register_augmentation
@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror each image left to right with probability `p`."""

    p: float = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.p, bool) or not isinstance(self.p, (int, float)) or not 0 <= self.p <= 1:
            raise TaskError(f"augmentation HorizontalFlip: p = {self.p!r} must be a probability in [0, 1]")

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        flipped = sent(torch.rand(len(batch), generator=generator) < self.p, batch.device)
        return torch.where(flipped[:, None, None, None], batch.flip(-1), batch)


@register_augmentation
@dataclass(frozen=True)
class RandomCrop:
    """Pad each image by `padding` zero pixels on every side, and crop it to its old size at a random place."""

    padding: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.padding, bool) or not isinstance(self.padding, int) or self.padding < 1:
            raise TaskError(f"augmentation RandomCrop: padding = {self.padding!r} must be an integer >= 1 (pixels)")

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        n, _, height, width = batch.shape
        offsets = sent(torch.randint(0, 2 * self.padding + 1, (2, n, 1), generator=generator), batch.device)
        padded = F.pad(batch, (self.padding,) * 4)
        rows = offsets[0] + torch.arange(height, device=batch.device)
        columns = offsets[1] + torch.arange(width, device=batch.device)
        samples = torch.arange(n, device=batch.device)[:, None, None]
        cropped = padded.permute(0, 2, 3, 1)[samples, rows[:, :, None], columns[:, None, :]]
        return cropped.permute(0, 3, 1, 2).contiguous()
