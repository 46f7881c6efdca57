"""What was left out of the stacked engine, and what it could gain at most: bare loops of its products, and no more.

Perceptrons in bfloat16: products of bfloat16 with weights, gradients and updates in float32. Convolutions of several
runs at once: as one grouped convolution, and as products of unfolded images, beside one run after another, which is
what the serial engine does. Batches, losses, optimizers and evaluations, which these need as well, are in none of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from harness import Candidate, Comparison, Measured, Settings, Size, alternate, timed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ROUNDS = {Size.FULL: 9, Size.QUICK: 5, Size.TOY: 1}
ITERATIONS = {Size.FULL: 200, Size.QUICK: 100, Size.TOY: 2}
LANES, BATCH = 32, 64
WIDTHS = (40, 100, 100, 10)
CONV_LANES, CONV_BATCH = 8, 100
CONVS = ((1, 20, 28), (20, 50, 12))
"""The convolutions of LeNet: channels in and out, and the height and width of what comes in; the kernel is 5 x 5."""


def compare(settings: Settings) -> list[Comparison]:
    from lrbench.reproducible import threads

    rounds, iterations = settings.rounds_or(ROUNDS), ITERATIONS[settings.size]
    with threads(1):
        return [*_precisions(rounds, iterations), *_convolutions(rounds, max(iterations // 20, 1))]


def _precisions(rounds: int, iterations: int) -> list[Comparison]:
    import torch

    print(f" {LANES} perceptrons {WIDTHS}", file=sys.stderr)
    half, single = "its products in bfloat16", f"a perceptron of {LANES}, its products in float32"
    candidates = {half: _perceptrons(torch.bfloat16, iterations), single: _perceptrons(torch.float32, iterations)}
    return [alternate(candidates, rounds, warm_up=True).compare(half, single)]


def _perceptrons(dtype: torch.dtype, iterations: int) -> Candidate:
    """Return the forward and backward products of stacked perceptrons, with updates in float32."""
    import torch

    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(LANES, *ends, generator=generator) / ends[0] ** 0.5 for ends in pairwise(WIDTHS)]
    inputs = torch.randn(LANES, BATCH, WIDTHS[0], generator=generator)

    def train() -> None:
        for _ in range(iterations):
            cast = [weight.to(dtype) for weight in weights]
            seen = [inputs.to(dtype)]
            for weight in cast[:-1]:
                seen.append(torch.bmm(seen[-1], weight).relu_())
            delta = torch.bmm(seen[-1], cast[-1]).softmax(2)
            for place in reversed(range(len(weights))):
                weights[place].add_(torch.bmm(seen[place].transpose(1, 2), delta).float(), alpha=-1e-6)
                if place:
                    delta = torch.bmm(delta, cast[place].transpose(1, 2)) * (seen[place] > 0)

    return lambda: _seconds(train, iterations * LANES)


def _convolutions(rounds: int, iterations: int) -> list[Comparison]:
    print(f" convolutions of {CONV_LANES} LeNets", file=sys.stderr)
    alone = "the convolutions of LeNet, a run after another"
    ways = {"as one grouped convolution": _grouped, "as products of unfolded images": _unfolded, alone: _one_by_one}
    measured = alternate({name: _convolved(way, iterations) for name, way in ways.items()}, rounds, warm_up=True)
    return [measured.compare(name, alone) for name in ways if name != alone]


def _convolved(way: Callable[[Tensor, Tensor], Tensor], iterations: int) -> Candidate:
    """Return both convolutions, forward and backward, of images [K, N, C, H, W] and kernels [K, C', C, 5, 5]."""
    import torch

    made = torch.Generator().manual_seed(0)
    layers = [
        (
            torch.randn(CONV_LANES, CONV_BATCH, into, size, size, generator=made, requires_grad=into > 1),
            torch.randn(CONV_LANES, out, into, 5, 5, generator=made, requires_grad=True),
        )
        for into, out, size in CONVS
    ]

    def train() -> None:
        for _ in range(iterations):
            for images, kernels in layers:
                outputs = way(images, kernels)
                torch.autograd.grad(outputs, [one for one in (images, kernels) if one.requires_grad], outputs)

    return lambda: _seconds(train, iterations * CONV_LANES)


def _one_by_one(images: Tensor, kernels: Tensor) -> Tensor:
    import torch

    return torch.stack([torch.conv2d(*lane) for lane in zip(images, kernels, strict=True)])


def _grouped(images: Tensor, kernels: Tensor) -> Tensor:
    import torch

    return torch.conv2d(images.transpose(0, 1).flatten(1, 2), kernels.flatten(0, 1), groups=len(images))


def _unfolded(images: Tensor, kernels: Tensor) -> Tensor:
    import torch

    lanes, batch = images.shape[:2]
    columns = torch.nn.functional.unfold(images.flatten(0, 1), 5)  # [K N, C 25, positions]
    rows = columns.view(lanes, batch, *columns.shape[1:]).permute(0, 2, 1, 3).flatten(2)
    return torch.bmm(kernels.flatten(2), rows)


def _seconds(work: Callable[[], object], count: int) -> Measured:
    return {"seconds": timed(work) / count}
