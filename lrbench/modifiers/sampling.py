"""Periodic sampling over weight distributions: PSWA, PWALKS and PSWM (Tripathi et al., arXiv 1905.05774).

Weights are sampled as training passes through them, and at the end of every period training goes on from a mean of
what was sampled; the learning rate is left alone. (SWA, in contrast, averages beside training.)

    after iteration j = 1..N of a period: if j is in the tail, and with probability p: sample the weights
    after iteration N: if anything was sampled: weights <- a mean of the samples; forget the samples

What is known of it: the mechanism is verified in the authors' patent. Which name stands for which mean is our
reconstruction; the defaults, and PSWM's beta altogether, are ours.

Notice: the mechanism is described in the patent US 11,922,316 B2 of the method's authors. Whether that concerns your
use is for you to find out.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.engine.modifier import Memory, Modifier
from lrbench.errors import TaskError
from lrbench.modifiers.epochs import iterations
from lrbench.modifiers.means import Weights, momentum_of_means, running_mean, window_mean
from lrbench.modifiers.registry import register_modifier
from lrbench.policy.kind import Bounds
from lrbench.policy.parameter import count, flag, number
from lrbench.streams import stream_seed

if TYPE_CHECKING:
    from torch import nn

    from lrbench.engine import Training
    from lrbench.tasks import Task


def is_sampled(seed: int, step: int, p: float) -> bool:
    """Whether the weights after `step` iterations are sampled: a draw of its own stream, with probability p."""
    return stream_seed(seed, "weight sampling", step) < p * 2**63


def in_tail(position: int, period: int, tail: float) -> bool:
    """Whether iteration `position` (1..period) is in the last fraction `tail` of a period of so many iterations.

    The tail is what it rounds to in iterations, and at least the last one.
    """
    return position > period - max(1, round(tail * period))


class PeriodicSampling(Modifier):
    """What the three share: when weights are sampled, and that a mean of them replaces the weights.

    A subclass says what it keeps of a sample, and what mean it makes of what it kept. Unless told otherwise, optimizer
    state and running statistics of batch normalisation stay as they are. A last period that the budget cuts short
    replaces nothing.
    """

    rank = 30
    family = "weight-sampling"

    period: float
    p: float
    tail: float = 1.0
    recompute_bn: bool
    reset_optimizer: bool

    @abstractmethod
    def keep(self, weights: Weights, memory: Memory) -> None:
        """Take one more sample of the period into memory."""

    @abstractmethod
    def mean(self, memory: Memory) -> Weights:
        """The mean of the period's samples, which are then forgotten; empty where there is none."""

    def check(self, task: Task) -> None:
        period = iterations(self.period, task)
        if period > task.steps:
            raise TaskError(f"{self}: a period has {period} iterations, and the budget is {task.steps}")

    def after_step(self, training: Training, memory: Memory) -> None:
        period = iterations(self.period, training.task)
        position = (training.step - 1) % period + 1
        if in_tail(position, period, self.tail) and is_sampled(training.seed, training.step, self.p):
            self.keep(training.weights, memory)
        if position == period and (mean := self.mean(memory)):
            training.replace(mean)
            if self.reset_optimizer:
                training.reset_optimizer()

    def evaluated(self, training: Training, memory: Memory, module: nn.Module) -> nn.Module:
        from lrbench.modifiers.network_copy import copy_with_batchnorm_recomputed

        return copy_with_batchnorm_recomputed(module, training) if self.recompute_bn else module


def _period() -> Any:
    above_zero = Bounds(0.0, low_open=True)
    return number("length of a period; at least one iteration", unit="epochs", bounds=above_zero, default=1.0)


def _p() -> Any:
    return number("probability that an iteration's weights are sampled", bounds=Bounds(0.0, 1.0), default=0.5)


def _tail() -> Any:
    last = Bounds(0.0, 1.0, low_open=True)
    return number("last part of a period, in which weights are sampled", unit="periods", bounds=last, default=1.0)


def _recompute_bn() -> Any:
    return flag("recompute batch normalisation's statistics before evaluation, in a copy", default=False)


def _reset_optimizer() -> Any:
    return flag("forget momentum and other optimizer state where weights are replaced", default=False)


@register_modifier
@dataclass(frozen=True)
class PSWA(PeriodicSampling):
    """Periodically sampled weight averaging: a period ends at the mean of all its samples. Patented; see the notice.

    The mechanism is described in the authors' patent US 11,922,316 B2; that it is what the name stands for is a
    reconstruction. It remembers one copy of the weights.
    """

    period: float = _period()
    p: float = _p()
    recompute_bn: bool = _recompute_bn()
    reset_optimizer: bool = _reset_optimizer()

    def begin(self, training: Training) -> Memory:
        return {"n": 0, "mean": {}}

    def keep(self, weights: Weights, memory: Memory) -> None:
        memory["n"] += 1
        memory["mean"] = running_mean(memory["mean"], weights, memory["n"])

    def mean(self, memory: Memory) -> Weights:
        mean: Weights = memory["mean"]
        memory.update(n=0, mean={})
        return mean


@register_modifier
@dataclass(frozen=True)
class PWALKS(PeriodicSampling):
    """Periodic weight averaging over the last K samples of a period. Patented; see the notice.

    The mechanism is described in the authors' patent US 11,922,316 B2; that it is what the name stands for is a
    reconstruction. It remembers K copies of the weights.
    """

    period: float = _period()
    p: float = _p()
    tail: float = _tail()
    K: int = count("how many of the last samples are averaged", low=1, unit="samples", default=10)
    recompute_bn: bool = _recompute_bn()
    reset_optimizer: bool = _reset_optimizer()

    def begin(self, training: Training) -> Memory:
        return {"samples": []}

    def keep(self, weights: Weights, memory: Memory) -> None:
        sample = {name: weight.clone() for name, weight in weights.items()}
        memory["samples"] = [*memory["samples"], sample][-self.K :]

    def mean(self, memory: Memory) -> Weights:
        samples, memory["samples"] = memory["samples"], []
        return window_mean(samples) if samples else {}


@register_modifier
@dataclass(frozen=True)
class PSWM(PeriodicSampling):
    """Periodically sampled weight momentum: beta of the last period's mean, the rest of this one's. Patented.

    A period ends at beta * previous_mean + (1 - beta) * mean, where previous_mean is the mean of the samples of the
    last period that had any; the first period ends at its mean. With beta = 0 and tail = 1 it is PSWA.

    The mechanism is described in the authors' patent US 11,922,316 B2 (see the notice in this module); that it is what
    the name stands for is a reconstruction, and beta is ours. It remembers two copies of the weights.
    """

    period: float = _period()
    p: float = _p()
    tail: float = _tail()
    beta: float = number("share of the last period's mean", bounds=Bounds(0.0, 1.0, high_open=True), default=0.5)
    recompute_bn: bool = _recompute_bn()
    reset_optimizer: bool = _reset_optimizer()

    def begin(self, training: Training) -> Memory:
        return {"n": 0, "mean": {}, "previous": {}}

    def keep(self, weights: Weights, memory: Memory) -> None:
        memory["n"] += 1
        memory["mean"] = running_mean(memory["mean"], weights, memory["n"])

    def mean(self, memory: Memory) -> Weights:
        mean, previous = memory["mean"], memory["previous"]
        if not mean:
            return {}
        memory.update(n=0, mean={}, previous=mean)
        return momentum_of_means(previous, mean, self.beta)
