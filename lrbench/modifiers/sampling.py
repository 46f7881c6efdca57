"""Sampling over weight distributions: PSWA, PWALKS, PSWM and SWM (Tripathi et al., arXiv 1905.05774).

Weights are sampled as training passes through them, and at the end of every period training goes on from a mean of
what was sampled; the learning rate is left alone. (SWA, in contrast, averages beside training.)

    after iteration j = 1..N of a period: if j is in the tail, and with probability p: sample the weights
    after iteration N: if anything was sampled: weights <- a mean of the samples; forget the samples

What is known of it: the mechanism is verified in the authors' patent. Which name stands for which mean is our
reconstruction; the defaults, and PSWM's beta altogether, are ours. SWM, "sampled weight momentum", is the fifth of the
names in the paper's second version, and the one that is not periodic; all of it but the name is our reconstruction.

Another method is called PSWA too: periodic SWA (arXiv 2201.00519) starts training anew from SWA's means. It is not
here; PSWA is the one of arXiv 1905.05774.

Notice: the mechanism is described in the authors' patent US 11,922,316 B2. Whether that concerns your use is for you
to find out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.engine.modifier import Memory, Modifier
from lrbench.errors import TaskError
from lrbench.modifiers.means import Weights, momentum_of_means, running_mean, window_mean
from lrbench.modifiers.registry import register_modifier
from lrbench.policy.kind import Bounds
from lrbench.policy.parameter import count, flag, number
from lrbench.streams import stream_seed

if TYPE_CHECKING:
    from torch import nn

    from lrbench.engine import Training
    from lrbench.tasks import Task


ROUNDING = 1e-9
"""Of a product that is a whole number but for rounding."""


def is_sampled(seed: int, step: int, p: float) -> bool:
    """Whether the weights after `step` iterations are sampled: a draw of its own stream, with probability p."""
    return stream_seed(seed, "weight sampling", step) < p * 2**63


def in_tail(position: int, period: int, tail: float) -> bool:
    """Whether iteration `position` (1..period) is in the last fraction `tail` of a period: at least the last one.

    >>> [position for position in range(1, 6) if in_tail(position, period=5, tail=0.5)]
    [3, 4, 5]
    """
    return position > (1 - tail) * period + ROUNDING


class WeightSampling(Modifier):
    """A modifier that samples weights, and replaces them by a mean of the samples."""

    rank = 30
    family = "weight-sampling"
    takes_modes = False

    p: float
    recompute_bn: bool
    reset_optimizer: bool

    def go_on_from(self, training: Training, memory: Memory, mean: Weights) -> None:
        """Replace the weights."""
        memory["means"] = memory.get("means", 0) + 1
        training.replace(mean)
        if self.reset_optimizer:
            training.reset_optimizer()

    def facts(self, memory: Mapping[str, Any]) -> Mapping[str, str | float]:
        return {"means": memory.get("means", 0), "samples": memory.get("taken", 0)}

    def evaluated(self, training: Training, memory: Memory, module: nn.Module) -> nn.Module:
        from lrbench.engine.network_copy import copy_with_batchnorm_recomputed

        return copy_with_batchnorm_recomputed(module, training) if self.recompute_bn else module


class PeriodicSampling(WeightSampling):
    """A modifier that samples weights, and replaces them by a mean of the samples when a period ends.

    It keeps the running mean of a period's samples; a subclass may keep something else, and makes the mean from what
    was kept. A last period that the budget cuts short replaces nothing.
    """

    period: float
    tail: float = 1.0

    def keep(self, weights: Weights, memory: Memory) -> None:
        """Take one more sample of the period into memory."""
        memory["n"] += 1
        memory["mean"] = running_mean(memory["mean"], weights, memory["n"])

    @abstractmethod
    def mean(self, memory: Memory) -> Weights:
        """Return the mean of the period's samples, and forget them; empty where there is none."""

    def begin(self, training: Training) -> Memory:
        return {"n": 0, "mean": {}}

    def check(self, task: Task) -> None:
        period = task.iterations(self.period)
        if period > task.steps:
            raise TaskError(f"{self}: a period has {period} iterations, and the budget is {task.steps}")

    def after_step(self, training: Training, memory: Memory) -> None:
        period = training.task.iterations(self.period)
        position = (training.step - 1) % period + 1
        if in_tail(position, period, self.tail) and is_sampled(training.seed, training.step, self.p):
            self.keep(training.weights, memory)
            memory["taken"] = memory.get("taken", 0) + 1
        if position == period and (mean := self.mean(memory)):
            self.go_on_from(training, memory, mean)


_ABOVE_0 = Bounds(0.0, low_open=True)
_PERIOD = number("length of a period; at least one iteration", unit="epochs", bounds=_ABOVE_0, default=1.0)
_P = number("probability that an iteration's weights are sampled", bounds=Bounds(0.0, 1.0), default=0.5)
_TAIL = number(
    "last part of a period, in which weights are sampled",
    unit="periods",
    bounds=Bounds(0.0, 1.0, low_open=True),
    default=1.0,
)
_RECOMPUTE_BN = flag("recompute batch normalisation's statistics before evaluation, in a copy", default=False)
_RESET_OPTIMIZER = flag("forget momentum and other optimizer state where weights are replaced", default=False)


@register_modifier
@dataclass(frozen=True)
class PSWA(PeriodicSampling):
    """Periodically sampled weight averaging: a period ends at the mean of all its samples. Patented; see the notice.

    The mechanism is described in the authors' patent US 11,922,316 B2; that it is what the name stands for is a
    reconstruction. It is not the periodic SWA of arXiv 2201.00519, which is called PSWA too. It remembers one copy of
    the weights.
    """

    period: float = _PERIOD
    p: float = _P
    recompute_bn: bool = _RECOMPUTE_BN
    reset_optimizer: bool = _RESET_OPTIMIZER

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

    period: float = _PERIOD
    p: float = _P
    tail: float = _TAIL
    K: int = count("how many of the last samples are averaged", low=1, unit="samples", default=10)
    recompute_bn: bool = _RECOMPUTE_BN
    reset_optimizer: bool = _RESET_OPTIMIZER

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

    period: float = _PERIOD
    p: float = _P
    tail: float = _TAIL
    beta: float = number("share of the last period's mean", bounds=Bounds(0.0, 1.0, high_open=True), default=0.5)
    recompute_bn: bool = _RECOMPUTE_BN
    reset_optimizer: bool = _RESET_OPTIMIZER

    def begin(self, training: Training) -> Memory:
        return {**super().begin(training), "previous": {}}

    def mean(self, memory: Memory) -> Weights:
        mean, previous = memory["mean"], memory["previous"]
        if not mean:
            return {}
        memory.update(n=0, mean={}, previous=mean)
        return momentum_of_means(previous, mean, self.beta)


@register_modifier
@dataclass(frozen=True)
class SWM(WeightSampling):
    """Sampled weight momentum: at every sample, go on from beta of the samples so far, the rest of it. See the notice.

    The samples so far are weighed by momentum <- beta * momentum + (1 - beta) * weights, and training goes on from
    that; the first sample is left as it is: Lookahead with steps back at random times. The paper has the name, and
    says that it is not periodic; the rule and its defaults are our reconstruction, after PSWM. It remembers one copy
    of the weights.
    """

    p: float = number("probability that an iteration's weights are sampled", bounds=Bounds(0.0, 1.0), default=0.1)
    beta: float = number("share of the samples so far", bounds=Bounds(0.0, 1.0, high_open=True), default=0.5)
    recompute_bn: bool = _RECOMPUTE_BN
    reset_optimizer: bool = _RESET_OPTIMIZER

    def begin(self, training: Training) -> Memory:
        return {"momentum": {}}

    def after_step(self, training: Training, memory: Memory) -> None:
        if is_sampled(training.seed, training.step, self.p):
            sample = {name: weight.clone() for name, weight in training.weights.items()}
            memory["momentum"] = momentum_of_means(memory["momentum"], sample, self.beta)
            memory["taken"] = memory.get("taken", 0) + 1
            self.go_on_from(training, memory, memory["momentum"])
