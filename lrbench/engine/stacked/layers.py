"""Layers that compute many lanes at once, forward and backward.

Activations lie in memory as [K, features..., B]: K lanes, the features as the serial layer has them, and the batch
last. So every matrix product is a batched one with the batch as its long inner side, whatever the layer's width, and
elementwise work, pooling and batch statistics run over contiguous numbers.

Layers with weights have backward passes of their own, which write gradients to the optimizer's rows. This spares
autograd's bookkeeping, which takes as long as the arithmetic of small layers. Other layers leave the backward pass to
autograd.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.engine.stacked.lanes import LaneTensors
from lrbench.tasks.models.layers import Scale, WithinChannelLRN

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
"""Layers that change each number by itself."""
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
"""Layers that change each channel of an image or signal by itself."""
PER_SAMPLE = (nn.LocalResponseNorm,)
"""Layers that change each sample by itself."""

SMALL = 4096
"""The numbers of a weight below which its gradients are computed in contiguous memory and then copied to their rows:
elsewhere torch multiplies the matrices of a batch one by one."""


class Layer(ABC):
    """A layer of K lanes, for activations [K, features..., B]; autograd does not record it."""

    has_weights = False
    owns_output = False
    """Whether the layer does not read its outputs again, so that the next layer may overwrite them."""

    @abstractmethod
    def forward(self, x: Tensor, live: LaneTensors) -> tuple[Tensor, Any]:
        """Compute the outputs, and return with them what the backward pass needs."""

    @abstractmethod
    def backward(self, dy: Tensor, saved: Any, live: LaneTensors, need_input_grad: bool) -> Tensor:
        """Compute the gradient of the inputs from that of the outputs; write gradients of weights into `live`.

        Without `need_input_grad`, the returned tensor means nothing.
        """


@dataclass(frozen=True)
class WithoutWeights(Layer):
    """A module without weights that changes each number by itself."""

    module: nn.Module

    def apply(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x)
        return y

    def forward(self, x: Tensor, live: LaneTensors) -> tuple[Tensor, Any]:
        if not live.training:
            return self.apply(x), None
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = self.apply(x)
        return y.detach(), (x, y)

    def backward(self, dy: Tensor, saved: Any, live: LaneTensors, need_input_grad: bool) -> Tensor:
        x, y = saved
        dx: Tensor = torch.autograd.grad(y, x, dy)[0]
        return dx


@dataclass(frozen=True)
class PerChannel(WithoutWeights):
    """A module that changes each channel by itself: it gets the batch as the channels of K*C images."""

    def apply(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x.flatten(0, 1).movedim(-1, 1)).movedim(1, -1)
        return y.reshape(*x.shape[:2], *y.shape[1:])


@dataclass(frozen=True)
class PerSample(WithoutWeights):
    """A module that changes each sample by itself: it gets the lanes as one batch."""

    def apply(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x.movedim(-1, 1).flatten(0, 1))
        return y.view(len(x), -1, *y.shape[1:]).movedim(1, -1)


@dataclass(frozen=True)
class ReLU(Layer):
    """nn.ReLU."""

    in_place: bool

    def forward(self, x: Tensor, live: LaneTensors) -> tuple[Tensor, Any]:
        y = x.relu_() if self.in_place else x.relu()
        return y, y

    def backward(self, dy: Tensor, saved: Any, live: LaneTensors, need_input_grad: bool) -> Tensor:
        dx: Tensor = torch.ops.aten.threshold_backward(dy, saved, 0)
        return dx


class View(Layer):
    """A layer that changes the dimensions of the features alone."""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor: ...

    def forward(self, x: Tensor, live: LaneTensors) -> tuple[Tensor, Any]:
        return self.apply(x), x.shape

    def backward(self, dy: Tensor, saved: Any, live: LaneTensors, need_input_grad: bool) -> Tensor:
        return dy.reshape(saved)


@dataclass(frozen=True)
class Flatten(View):
    """nn.Flatten."""

    first: int
    last: int

    def apply(self, x: Tensor) -> Tensor:
        dimensions = x.dim() - 1
        return x.flatten(self.first % dimensions, self.last % dimensions)


@dataclass(frozen=True)
class Unflatten(View):
    """nn.Unflatten."""

    dimension: int
    sizes: tuple[int, ...]

    def apply(self, x: Tensor) -> Tensor:
        y: Tensor = x.unflatten(self.dimension % (x.dim() - 1), self.sizes)
        return y


@dataclass(frozen=True)
class Linear(Layer):
    """nn.Linear on [K, in, B]; `name` is the beginning of its weights' names."""

    name: str
    has_bias: bool
    has_weights = True
    owns_output = True

    def forward(self, x: Tensor, live: LaneTensors) -> tuple[Tensor, Any]:
        weight = live.weights[f"{self.name}weight"].flatten(2)
        if not self.has_bias:
            return torch.bmm(weight, x), x
        return torch.baddbmm(live.weights[f"{self.name}bias"].unsqueeze(2), weight, x), x

    def backward(self, dy: Tensor, saved: Any, live: LaneTensors, need_input_grad: bool) -> Tensor:
        into = live.gradients[f"{self.name}weight"].flatten(2)
        if into[0].numel() < SMALL:
            into.copy_(torch.bmm(dy, saved.mT))
        else:
            torch.bmm(dy, saved.mT, out=into)
        if self.has_bias:
            torch.sum(dy, 2, out=live.gradients[f"{self.name}bias"])
        return torch.bmm(live.weights[f"{self.name}weight"].flatten(2).mT, dy) if need_input_grad else dy


@dataclass(frozen=True)
class Conv(Layer):
    """nn.Conv1d or nn.Conv2d on [K, C, (H,) W, B], as a matrix product with the patches under the kernel.

    On a CPU two-dimensional convolutions gain nothing from it, nor from grouped ones. LeNet's second, one by one in
    channels-last order, runs at 65 GFLOP/s on a core whose batched matrix products reach 77: at most 1.2 times faster
    is possible. The patches are 25 times the input, and copying them halves the speed; one grouped convolution of all
    lanes runs at 0.85 of it, or 0.98 in channels-last order. The guide has the measurement.

    `padding` is (left, right) or (left, right, top, bottom); the other lengths have one number a side of the image.
    """

    name: str
    has_bias: bool
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    has_weights = True
    owns_output = True

    def forward(self, x: Tensor, live: LaneTensors) -> tuple[Tensor, Any]:
        padded = F.pad(x, (0, 0, *self.padding)) if any(self.padding) else x
        windows = self._windows(padded)
        taps = 2 + len(self.kernel)
        patches = windows.reshape(len(x), windows.shape[1:taps].numel(), -1)
        y, _ = self._product.forward(patches, live)
        return y.view(*y.shape[:2], *windows.shape[taps:]), (patches, padded.shape)

    def backward(self, dy: Tensor, saved: Any, live: LaneTensors, need_input_grad: bool) -> Tensor:
        patches, shape = saved
        gradients = self._product.backward(dy.flatten(2), patches, live, need_input_grad)
        if not need_input_grad:
            return dy
        padded = dy.new_zeros(shape)
        windows = self._windows(padded)
        gradients = gradients.view(windows.shape)
        for tap in product(*map(range, self.kernel)):
            here: tuple[slice | int, ...] = (slice(None), slice(None), *tap)
            windows[here].add_(gradients[here])
        return F.pad(padded, (0, 0, *(-width for width in self.padding))) if any(self.padding) else padded

    @property
    def _product(self) -> Linear:
        return Linear(self.name, self.has_bias)

    def _windows(self, padded: Tensor) -> Tensor:
        """Return a view [K, C, kernel..., sides..., B] of the patch of each output in [K, C, padded sides..., B]."""
        lane, channel, *steps, sample = padded.stride()
        lengths = zip(padded.shape[2:-1], self.kernel, self.stride, self.dilation, strict=True)
        sides = [(length - dilation * (kernel - 1) - 1) // stride + 1 for length, kernel, stride, dilation in lengths]
        under = [step * dilation for step, dilation in zip(steps, self.dilation, strict=True)]
        across = [step * stride for step, stride in zip(steps, self.stride, strict=True)]
        shape = (*padded.shape[:2], *self.kernel, *sides, padded.shape[-1])
        return padded.as_strided(shape, (lane, channel, *under, *across, sample), padded.storage_offset())


@dataclass(frozen=True)
class BatchNorm(Layer):
    """nn.BatchNorm1d or 2d on [K, C, ..., B]: the lanes' channels are K*C channels of one."""

    name: str
    eps: float
    momentum: float
    affine: bool
    has_weights = True
    owns_output = True

    def forward(self, x: Tensor, live: LaneTensors) -> tuple[Tensor, Any]:
        mean, variance = self._running(live)
        weight, bias = self._affine(live)
        channels = x.reshape(1, x.shape[0] * x.shape[1], -1)
        if not live.training:
            return F.batch_norm(channels, mean, variance, weight, bias, False, 0.0, self.eps).view(x.shape), None
        live.buffers[f"{self.name}num_batches_tracked"].add_(1)
        y, *moments = torch.native_batch_norm(channels, weight, bias, mean, variance, True, self.momentum, self.eps)
        return y.view(x.shape), (channels, *moments)

    def backward(self, dy: Tensor, saved: Any, live: LaneTensors, need_input_grad: bool) -> Tensor:
        channels, *moments = saved
        weight, _ = self._affine(live)
        needed = [True, self.affine, self.affine]
        dx, *of_weights = torch.ops.aten.native_batch_norm_backward(
            dy.reshape(channels.shape), channels, weight, *self._running(live), *moments, True, self.eps, needed
        )
        if self.affine:
            for kind, of_weight in zip(("weight", "bias"), of_weights, strict=True):
                into = live.gradients[f"{self.name}{kind}"]
                into.copy_(of_weight.view(into.shape))
        gradient: Tensor = dx.view(dy.shape)
        return gradient

    def _running(self, live: LaneTensors) -> tuple[Tensor, Tensor]:
        mean, variance = (live.buffers[f"{self.name}running_{kind}"].view(-1) for kind in ("mean", "var"))
        return mean, variance

    def _affine(self, live: LaneTensors) -> tuple[Tensor, Tensor] | tuple[None, None]:
        if not self.affine:
            return None, None
        return live.weights[f"{self.name}weight"].reshape(-1), live.weights[f"{self.name}bias"].reshape(-1)


@dataclass(frozen=True)
class Dropout(Layer):
    """nn.Dropout on the CPU, with the draws of the serial engine.

    Attributes:
        p: the probability of 0, above 0.
        serial: a tensor with the shape and the strides of the serial engine's inputs to this layer, which decide the
            order of its draws.
    """

    p: float
    serial: Tensor

    def forward(self, x: Tensor, live: LaneTensors) -> tuple[Tensor, Any]:
        if not live.training:
            return x, None
        noise = torch.empty(x.shape)
        for lane, generator in zip(noise, live.generators, strict=True):
            lane.copy_(self._draw(generator).movedim(0, -1))
        return x * noise, noise

    def backward(self, dy: Tensor, saved: Any, live: LaneTensors, need_input_grad: bool) -> Tensor:
        dx: Tensor = dy * saved
        return dx

    def _draw(self, generator: torch.Generator) -> Tensor:
        noise = torch.zeros_like(self.serial)
        if self.p < 1:
            noise.bernoulli_(1 - self.p, generator=generator).div_(1 - self.p)
        return noise


def out_of_place(module: nn.Module) -> nn.Module:
    """Return the module, or a copy of it that does not overwrite its inputs, which another layer may need."""
    if not getattr(module, "inplace", False):
        return module
    module = copy.copy(module)
    module.inplace = False  # type: ignore[assignment]
    return module
