"""The weights of many runs of one network, side by side, for the stacked layers and optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

ALIGNMENT = 16
"""Each parameter is padded to a multiple of this many numbers: 64 bytes, so that every lane lies alike in memory. The
place of numbers in memory decides the order in which some kernels add them."""


@dataclass(frozen=True)
class Layout:
    """The place of each parameter of a network in one row of numbers.

    Attributes:
        shapes: the parameters' shapes by name, in the order of the network.
    """

    shapes: Mapping[str, torch.Size]

    @property
    def width(self) -> int:
        """The length of a row."""
        return sum(map(_padded, self.shapes.values()))

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the parameters in rows [K, width], each as a view [K, *shape], by name."""
        views, first = {}, 0
        for name, shape in self.shapes.items():
            views[name] = rows[:, first : first + prod(shape)].unflatten(1, shape or (1,)).view(-1, *shape)
            first += _padded(shape)
        return views

    def rows(self, lanes: Sequence[Mapping[str, Tensor]], device: torch.device) -> Tensor:
        """Make rows [K, width] of the parameters of each lane, by name; those that a lane does not have are 0."""
        rows = torch.zeros(len(lanes), self.width, device=device)
        for name, view in self.views(rows).items():
            for row, lane in zip(view, lanes, strict=True):
                if name in lane:
                    row.copy_(lane[name])
        return rows


def _padded(shape: torch.Size) -> int:
    return -(-prod(shape) // ALIGNMENT) * ALIGNMENT


class LaneTensors:
    """The weights, gradients and buffers of K lanes while they are trained.

    Attributes:
        training: whether the layers are in training mode.
        rows: the weights [K, width].
        gradient_rows: the gradients [K, width], which a backward pass overwrites.
        weights, gradients: views of the rows, [K, *shape] by name.
        buffers: the running statistics and counters, [K, *shape] by name.
        generators: one random generator a lane, seeded anew for each iteration.
    """

    def __init__(self, layout: Layout, rows: Tensor, buffers: Mapping[str, Tensor]) -> None:
        self.layout = layout
        self.training = True
        self.rows = rows
        self.weights = layout.views(rows)
        self.buffers = dict(buffers)
        self.generators = [torch.Generator() for _ in range(len(rows))]

    @classmethod
    def of(cls, layout: Layout, models: Sequence[Mapping[str, Tensor]], device: torch.device) -> LaneTensors:
        """Make the lanes of modules that have these parameters and buffers by name."""
        names = [name for name in models[0] if name not in layout.shapes]
        buffers = {name: torch.stack([model[name] for model in models]).to(device) for name in names}
        return cls(layout, layout.rows(models, device), buffers)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def gradient_rows(self) -> Tensor:
        return torch.zeros_like(self.rows)

    @cached_property
    def gradients(self) -> Mapping[str, Tensor]:
        return self.layout.views(self.gradient_rows)

    def only(self, lanes: Tensor) -> LaneTensors:
        """Copy some of the lanes (int64 [n])."""
        buffers = {name: kept.index_select(0, lanes) for name, kept in self.buffers.items()}
        return LaneTensors(self.layout, self.rows.index_select(0, lanes), buffers)

    def part(self, lanes: slice) -> LaneTensors:
        """Return some of the lanes, whose weights and buffers are these."""
        buffers = {name: kept[lanes] for name, kept in self.buffers.items()}
        return LaneTensors(self.layout, self.rows[lanes], buffers)

    def finite(self) -> list[bool]:
        """Return for each lane whether its parameters and buffers are finite."""
        kept = [*self.weights.values(), *self.buffers.values()]
        flags = [tensor.flatten(1).isfinite().all(1) for tensor in kept if tensor.is_floating_point()]
        finite: list[bool] = torch.stack(flags).all(0).tolist()
        return finite
