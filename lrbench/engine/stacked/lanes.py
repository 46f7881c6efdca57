"""The numbers of many runs of one network, side by side: what the stacked layers and optimizers work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

ALIGNMENT = 16
"""Numbers to a multiple of which each parameter is padded: 64 bytes, so that every lane lies alike in memory. Where
numbers lie decides how some kernels sum them up."""


@dataclass(frozen=True)
class Layout:
    """Where each parameter of a network lies in one row of numbers.

    Attributes:
        shapes: the parameters' shapes by name, in the order of the network.
    """

    shapes: Mapping[str, torch.Size]

    @property
    def width(self) -> int:
        """The length of a row."""
        return sum(map(_padded, self.shapes.values()))

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """The parameters in rows [K, width], each as a view [K, *shape], by name."""
        views, first = {}, 0
        for name, shape in self.shapes.items():
            views[name] = rows[:, first : first + prod(shape)].unflatten(1, shape or (1,)).view(-1, *shape)
            first += _padded(shape)
        return views

    def rows(self, lanes: Sequence[Mapping[str, Tensor]], device: torch.device) -> Tensor:
        """Rows [K, width] of the parameters that each lane has by name; what a lane does not have is 0."""
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
        gradient_rows: where a backward pass writes the gradients [K, width]; it overwrites what was there.
        weights, gradients: views of the rows, [K, *shape] by name.
        buffers: the running statistics and counters, [K, *shape] by name.
        generators: one random generator a lane, seeded anew for each iteration.
    """

    def __init__(self, layout: Layout, rows: Tensor, buffers: Mapping[str, Tensor]) -> None:
        self.layout = layout
        self.training = True
        self.rows = rows
        self.gradient_rows = torch.zeros_like(rows)
        self.weights = layout.views(rows)
        self.gradients = layout.views(self.gradient_rows)
        self.buffers = dict(buffers)
        self.generators = [torch.Generator() for _ in range(len(rows))]

    @classmethod
    def of(cls, layout: Layout, models: Sequence[Mapping[str, Tensor]], device: torch.device) -> LaneTensors:
        """The lanes whose modules have these parameters and buffers by name."""
        names = [name for name in models[0] if name not in layout.shapes]
        buffers = {name: torch.stack([model[name] for model in models]).to(device) for name in names}
        return cls(layout, layout.rows(models, device), buffers)

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, lanes: Tensor) -> LaneTensors:
        """A copy of some of the lanes (int64 [n])."""
        buffers = {name: kept.index_select(0, lanes) for name, kept in self.buffers.items()}
        return LaneTensors(self.layout, self.rows.index_select(0, lanes), buffers)

    def finite(self) -> list[bool]:
        """Whether each lane's parameters and buffers are finite."""
        kept = [*self.weights.values(), *self.buffers.values()]
        numbers = [tensor.flatten(1) for tensor in kept if tensor.is_floating_point()]
        flags = torch.stack([tensor.isfinite().all(1) for tensor in numbers])
        answer: list[bool] = flags.all(0).tolist()
        return answer
