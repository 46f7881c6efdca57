"""The optimizers of `lrbench.tasks.optimizers` over rows of weights, with a learning rate for each row.

Each does what torch's (or Caffe's) does to every lane; only rounding differs. Rows are [K, width], and what differs
from lane to lane is [K, 1]. An optimizer's slots are rows too; they start at 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrbench.tasks.optimizers import SGD, Adam, AdamW, CaffeSGD, RMSprop

Rows = Mapping[str, Tensor]


class StackedOptimizer(ABC):
    """The step of an optimizer for the weights of all lanes."""

    counted: bool = False
    """Whether torch keeps the number of updates beside each parameter, as "step"."""
    counter_on_device: bool = False
    """Whether torch keeps that number on the parameter's device, and not on the CPU."""

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """The names under which torch keeps a parameter's state."""

    def rates(self, lrs: Tensor, updates: Tensor) -> Sequence[Tensor]:
        """Return the numbers [n, K, 1] that `update` needs of n iterations.

        Args:
            lrs: the learning rates, float64 [n, K, 1].
            updates: the numbers of the updates, counted from 1, float64 [n, K, 1].
        """
        return (-lrs,)

    @abstractmethod
    def update(self, weights: Tensor, gradients: Tensor, slots: Rows, rates: Sequence[Tensor]) -> None:
        """Change the weights and the slots by one iteration; the gradients may be overwritten."""


@dataclass(frozen=True)
class StackedSGD(StackedOptimizer):
    """V = momentum*V + (g + weight_decay*w); w -= lr*V, and with Nesterov's momentum w -= lr*(g + momentum*V)."""

    spec: SGD

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.spec.momentum else ()

    def update(self, weights: Tensor, gradients: Tensor, slots: Rows, rates: Sequence[Tensor]) -> None:
        decayed(weights, gradients, self.spec.weight_decay)
        if not self.spec.momentum:
            weights.addcmul_(gradients, rates[0])
            return
        velocity = slots["momentum_buffer"]
        torch.add(gradients, velocity, alpha=self.spec.momentum, out=velocity)
        direction = gradients.add_(velocity, alpha=self.spec.momentum) if self.spec.nesterov else velocity
        weights.addcmul_(direction, rates[0])


@dataclass(frozen=True)
class StackedCaffeSGD(StackedOptimizer):
    """V = momentum*V + lr*(g + weight_decay*w); w -= V."""

    spec: CaffeSGD

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",)

    def rates(self, lrs: Tensor, updates: Tensor) -> Sequence[Tensor]:
        return (lrs,)

    def update(self, weights: Tensor, gradients: Tensor, slots: Rows, rates: Sequence[Tensor]) -> None:
        decayed(weights, gradients, self.spec.weight_decay)
        weights.sub_(slots["velocity"].mul_(self.spec.momentum).addcmul_(gradients, rates[0]))


@dataclass(frozen=True)
class StackedAdam(StackedOptimizer):
    """Adam (arXiv 1412.6980), with weight decay in the gradient or, for AdamW (arXiv 1711.05101), beside it.

    With c1 = 1 - beta1^t and c2 = sqrt(1 - beta2^t), the update lr * (m/c1) / (sqrt(v)/c2 + eps) is computed as
    (lr*c2/c1) * m / (sqrt(v) + eps*c2), whose first and last factor are one number a lane.
    """

    spec: Adam | AdamW
    counted = True
    counter_on_device = True

    @property
    def slots(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def rates(self, lrs: Tensor, updates: Tensor) -> Sequence[Tensor]:
        c1, c2 = 1 - self.spec.beta1**updates, (1 - self.spec.beta2**updates).sqrt()
        return lrs * c2 / c1, self.spec.eps * c2, 1 - lrs * self.spec.weight_decay

    def update(self, weights: Tensor, gradients: Tensor, slots: Rows, rates: Sequence[Tensor]) -> None:
        rate, eps, kept = rates
        if isinstance(self.spec, Adam):
            decayed(weights, gradients, self.spec.weight_decay)
        elif self.spec.weight_decay:
            weights.mul_(kept)
        mean, square = slots["exp_avg"], slots["exp_avg_sq"]
        mean.lerp_(gradients, 1 - self.spec.beta1)
        square.mul_(self.spec.beta2).addcmul_(gradients, gradients, value=1 - self.spec.beta2)
        scale = torch.sqrt(square, out=gradients).add_(eps)
        weights.sub_(torch.div(mean, scale, out=scale).mul_(rate))


@dataclass(frozen=True)
class StackedRMSprop(StackedOptimizer):
    """S = alpha*S + (1-alpha)*g^2; d = g / (sqrt(S) + eps); with momentum V = momentum*V + d, d = V; w -= lr*d."""

    spec: RMSprop
    counted = True

    @property
    def slots(self) -> tuple[str, ...]:
        return ("square_avg", "momentum_buffer") if self.spec.momentum else ("square_avg",)

    def update(self, weights: Tensor, gradients: Tensor, slots: Rows, rates: Sequence[Tensor]) -> None:
        decayed(weights, gradients, self.spec.weight_decay)
        square = slots["square_avg"].mul_(self.spec.alpha).addcmul_(gradients, gradients, value=1 - self.spec.alpha)
        direction = gradients.div_(square.sqrt().add_(self.spec.eps))
        if self.spec.momentum:
            velocity = slots["momentum_buffer"]
            direction = torch.add(direction, velocity, alpha=self.spec.momentum, out=velocity)
        weights.addcmul_(direction, rates[0])


STACKED: Mapping[type, Callable[[Any], StackedOptimizer]] = {
    SGD: StackedSGD,
    CaffeSGD: StackedCaffeSGD,
    Adam: StackedAdam,
    AdamW: StackedAdam,
    RMSprop: StackedRMSprop,
}


def decayed(weights: Tensor, gradients: Tensor, weight_decay: float) -> None:
    """Add the gradient of weight decay to the gradients."""
    if weight_decay:
        gradients.add_(weights, alpha=weight_decay)
