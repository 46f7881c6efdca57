"""Layers that many lanes go through at once.

Activations lie in memory as [K, features..., B]: K lanes, the features as the serial layer has them, and the batch
last. So every matrix product is a batched one with the batch as its long inner side, whatever the layer's width, and
elementwise work, pooling and batch statistics run over contiguous numbers.

A layer with weights computes its own gradients and writes them where `Live` wants them; torch's autograd does the rest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.engine.stacked.lanes import Live
from lrbench.tasks.models.cnn3 import Scale, WithinChannelLRN

Layer = Callable[[Tensor, Live], Tensor]
"""Takes the activations [K, features..., B] of K lanes, and their weights."""

ELEMENTWISE = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    Scale,
)
PER_CHANNEL = (
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.MaxPool1d,
    nn.MaxPool2d,
    WithinChannelLRN,
)
"""Each channel of an image or signal by itself."""
PER_SAMPLE = (nn.LocalResponseNorm,)
"""Each sample by itself."""


@dataclass(frozen=True)
class Elementwise:
    """A module that treats each number by itself."""

    module: nn.Module

    def __call__(self, x: Tensor, live: Live) -> Tensor:
        y: Tensor = self.module(x)
        return y


@dataclass(frozen=True)
class PerChannel:
    """A module that treats each channel by itself: it is given the batch as the channels of K*C images."""

    module: nn.Module

    def __call__(self, x: Tensor, live: Live) -> Tensor:
        y: Tensor = self.module(x.flatten(0, 1).movedim(-1, 1)).movedim(1, -1).unflatten(0, x.shape[:2])
        return y


@dataclass(frozen=True)
class PerSample:
    """A module that treats each sample by itself: it is given the lanes as one batch."""

    module: nn.Module

    def __call__(self, x: Tensor, live: Live) -> Tensor:
        samples = x.movedim(-1, 1)
        y: Tensor = self.module(samples.flatten(0, 1)).unflatten(0, samples.shape[:2]).movedim(1, -1)
        return y


@dataclass(frozen=True)
class Flatten:
    """nn.Flatten; `first` and `last` are feature dimensions, counted from 1."""

    first: int
    last: int

    def __call__(self, x: Tensor, live: Live) -> Tensor:
        features = x.dim() - 1
        return x.flatten(self.first % features, self.last % features)


@dataclass(frozen=True)
class Unflatten:
    """nn.Unflatten."""

    dimension: int
    sizes: tuple[int, ...]

    def __call__(self, x: Tensor, live: Live) -> Tensor:
        y: Tensor = x.unflatten(self.dimension % (x.dim() - 1), self.sizes)
        return y


@dataclass(frozen=True)
class Linear:
    """nn.Linear on [K, in, B]; `name` is that of the module."""

    name: str
    has_bias: bool

    def __call__(self, x: Tensor, live: Live) -> Tensor:
        weight, into = live.weights[f"{self.name}weight"], live.gradients[f"{self.name}weight"]
        return _product(self, x, weight, into, live)


@dataclass(frozen=True)
class Conv:
    """nn.Conv1d or nn.Conv2d on [K, C, (H,) W, B], as a matrix product with the patches under the kernel.

    `padding` is (left, right) or (left, right, top, bottom); the other lengths have one number a side of the image.
    """

    name: str
    has_bias: bool
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def __call__(self, x: Tensor, live: Live) -> Tensor:
        padded = F.pad(x, (0, 0, *self.padding)) if any(self.padding) else x
        sides = tuple(
            (length - dilation * (kernel - 1) - 1) // stride + 1
            for length, kernel, stride, dilation in zip(
                padded.shape[2:-1], self.kernel, self.stride, self.dilation, strict=True
            )
        )
        patches = _Patches.apply(padded, self, sides)
        weight, into = live.weights[f"{self.name}weight"], live.gradients[f"{self.name}weight"]
        y = _product(self, patches, weight.flatten(2), into.flatten(2), live)
        return y.view(*y.shape[:2], *sides, x.shape[-1])

    def windows(self, padded: Tensor, sides: tuple[int, ...]) -> Tensor:
        """A view [K, C, kernel..., sides..., B] of what each output sees of [K, C, padded sides..., B]."""
        lane, channel, *steps, sample = padded.stride()
        under = [step * dilation for step, dilation in zip(steps, self.dilation, strict=True)]
        across = [step * stride for step, stride in zip(steps, self.stride, strict=True)]
        shape = (*padded.shape[:2], *self.kernel, *sides, padded.shape[-1])
        return padded.as_strided(shape, (lane, channel, *under, *across, sample), padded.storage_offset())


@dataclass(frozen=True)
class BatchNorm:
    """nn.BatchNorm1d or 2d on [K, C, ..., B]: the lanes' channels are K*C channels of one."""

    name: str
    eps: float
    momentum: float
    affine: bool

    def __call__(self, x: Tensor, live: Live) -> Tensor:
        mean, variance = (live.buffers[f"{self.name}running_{kept}"].view(-1) for kept in ("mean", "var"))
        live.buffers[f"{self.name}num_batches_tracked"].add_(int(live.training))
        channels = x.reshape(1, x.shape[0] * x.shape[1], -1)
        y = F.batch_norm(channels, mean, variance, None, None, live.training, self.momentum, self.eps).view(x.shape)
        if not self.affine:
            return y
        names = f"{self.name}weight", f"{self.name}bias"
        (weight, bias), (into, into_bias) = ([of[name] for name in names] for of in (live.weights, live.gradients))
        return _apply(_Affine, y.flatten(2), live.anchor, weight, bias, into, into_bias).view(x.shape)


@dataclass(frozen=True)
class Dropout:
    """nn.Dropout on the CPU, with the draws that the serial engine makes.

    Attributes:
        p: the probability of 0.
        serial: a tensor of the shape and the strides that the serial engine's inputs to this layer have, which say in
            which order its numbers are drawn.
    """

    p: float
    serial: Tensor

    def __call__(self, x: Tensor, live: Live) -> Tensor:
        if not live.training or self.p == 0:
            return x
        noise = torch.empty_like(x)
        for lane, generator in zip(noise, live.generators, strict=True):
            lane.copy_(self._draw(generator).movedim(0, -1))
        return x * noise

    def _draw(self, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(self.serial)
        if self.p == 1:
            return noise.zero_()
        return noise.bernoulli_(1 - self.p, generator=generator).div_(1 - self.p)


def out_of_place(module: nn.Module) -> nn.Module:
    """The module, or a copy of it that does not overwrite its inputs, on which another layer may depend."""
    if not getattr(module, "inplace", False):
        return module
    module = copy.copy(module)
    module.inplace = False  # type: ignore[assignment]
    return module


class _Product(torch.autograd.Function):
    """weight [K, out, in] @ x [K, in, n] + bias [K, out]; the gradients of weight and bias are written aside."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, anchor: Tensor, weight: Tensor, bias: Tensor | None, into: Tensor, into_bias: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.into = into, into_bias
        return torch.bmm(weight, x) if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        into, into_bias = ctx.into
        torch.bmm(dy, x.mT, out=into)
        if into_bias is not None:
            torch.sum(dy, 2, out=into_bias)
        return torch.bmm(weight.mT, dy) if ctx.needs_input_grad[0] else None, None, None, None, None, None


class _Patches(torch.autograd.Function):
    """[K, C, padded sides..., B] to the patches under a kernel, [K, C * kernel, sides * B]."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, conv: Conv, sides: tuple[int, ...]) -> Tensor:
        ctx.conv, ctx.sides, ctx.shape = conv, sides, padded.shape
        windows = conv.windows(padded, sides)
        first = 2 + len(sides)
        return windows.reshape(len(padded), windows.shape[1:first].numel(), windows.shape[first:].numel())

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.needs_input_grad[0]:
            return None, None, None
        dx = dy.new_zeros(ctx.shape)
        windows = ctx.conv.windows(dx, ctx.sides)
        patches = dy.view(windows.shape)
        for position in product(*map(range, ctx.conv.kernel)):
            here: tuple[slice | int, ...] = (slice(None), slice(None), *position)
            windows[here].add_(patches[here])
        return dx, None, None


class _Affine(torch.autograd.Function):
    """x [K, C, n] * weight [K, C] + bias [K, C]; the gradients of weight and bias are written aside."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, anchor: Tensor, weight: Tensor, bias: Tensor, into: Tensor, into_bias: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.into = into, into_bias
        return torch.addcmul(bias.unsqueeze(2), x, weight.unsqueeze(2))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        into, into_bias = ctx.into
        torch.sum(dy * x, 2, out=into)
        torch.sum(dy, 2, out=into_bias)
        return dy * weight.unsqueeze(2), None, None, None, None, None


def _product(layer: Linear | Conv, x: Tensor, weight: Tensor, into: Tensor, live: Live) -> Tensor:
    bias, into_bias = (
        (live.weights[f"{layer.name}bias"], live.gradients[f"{layer.name}bias"]) if layer.has_bias else (None, None)
    )
    return _apply(_Product, x, live.anchor, weight, bias, into, into_bias)


def _apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    result: Tensor = function.apply(*arguments)
    return result
