"""Averages of weights, evaluated beside training: SWA, EMA and LAWA.

All parameters are averaged, also those that are no longer trained. Buffers are the network's own, unless batch
normalisation's statistics are recomputed for the average. Until there is an average, the network itself is evaluated.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.engine.modifier import Memory, Watcher
from lrbench.errors import TaskError
from lrbench.modifiers.means import Weights, window_mean
from lrbench.modifiers.registry import register_modifier
from lrbench.policy.kind import Bounds
from lrbench.policy.parameter import count, flag, number

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lrbench.engine import Training
    from lrbench.tasks import Task

    Update = Callable[[list[Tensor], list[Tensor], int], None]
    """A function of torch.optim.swa_utils: updates an average of n weights in place, given it, new weights and n."""


class Averaging(Watcher):
    """A watcher whose evaluated network has averaged weights."""

    takes_modes = False

    recompute_bn: bool

    @abstractmethod
    def average(self, memory: Memory) -> Weights:
        """The average so far; empty where there is none yet."""

    def evaluated(self, training: Training, memory: Memory, module: nn.Module) -> nn.Module:
        from lrbench.engine.network_copy import copy_with_batchnorm_recomputed, copy_with_weights

        average = self.average(memory)
        if not average:
            return module
        averaged = copy_with_weights(module, average)
        return copy_with_batchnorm_recomputed(averaged, training) if self.recompute_bn else averaged


class RunningAverage(Averaging):
    """An average that remembers one copy of the weights, updated by a function of `torch.optim.swa_utils`."""

    def begin(self, training: Training) -> Memory:
        return {"count": 0, "average": {}}

    def average(self, memory: Memory) -> Weights:
        average: Weights = memory["average"]
        return average

    def take(self, training: Training, memory: Memory, update: Update) -> None:
        """Take the network's weights into the average; the first are the average, as in torch's AveragedModel."""
        if memory["count"] == 0:
            memory["average"] = _copies(training.module)
        else:
            weights = [weight.detach() for weight in training.module.parameters()]
            update(list(memory["average"].values()), weights, memory["count"])
        memory["count"] += 1

    def facts(self, memory: Mapping[str, Any]) -> Mapping[str, str | float]:
        return {"averaged": memory["count"]}


@register_modifier
@dataclass(frozen=True)
class SWA(RunningAverage):
    """Stochastic weight averaging: the mean of the weights at regular times near the end (arXiv 1803.05407).

    The weights are taken every `every` epochs of the run, once the share `start` of the budget is over. It remembers
    one copy of the weights.
    """

    start: float = number(
        "when averaging begins", unit="budgets", bounds=Bounds(0.0, 1.0, high_open=True), default=0.75
    )
    every: float = number("how often weights are taken", unit="epochs", bounds=Bounds(0.0, low_open=True), default=1.0)
    recompute_bn: bool = flag("recompute batch normalisation's statistics for the average", default=True)

    def check(self, task: Task) -> None:
        _check_taken(self, task, task.iterations(self.every), self.start)

    def after_step(self, training: Training, memory: Memory) -> None:
        from torch.optim.swa_utils import get_swa_multi_avg_fn

        task = training.task
        if training.step >= self.start * task.steps and training.step % task.iterations(self.every) == 0:
            self.take(training, memory, get_swa_multi_avg_fn())


@register_modifier
@dataclass(frozen=True)
class EMA(RunningAverage):
    """Exponential moving average of the weights after every iteration, begun at the first (Polyak averaging's kin).

    average <- decay * average + (1 - decay) * weights. It remembers one copy of the weights. A decay d looks back about
    1/(1 - d) iterations: choose one that is short beside the budget.

    With `warmup` the decay rises to its value, so that the first weights do not stay in the average for long: it is
    min(decay, (1 + n) / (10 + n)), where n weights are in the average. That is the rule of `num_updates` of
    TensorFlow's `tf.train.ExponentialMovingAverage`.
    """

    decay: float = number("share of the average so far", bounds=Bounds(0.0, 1.0, high_open=True), default=0.999)
    recompute_bn: bool = flag("recompute batch normalisation's statistics for the average", default=False)
    warmup: bool = flag("let the decay rise from 2/11 at the second weights", default=False, added_later=True)

    def after_step(self, training: Training, memory: Memory) -> None:
        from torch.optim.swa_utils import get_ema_multi_avg_fn

        n = memory["count"]
        decay = min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay
        self.take(training, memory, get_ema_multi_avg_fn(decay))


@register_modifier
@dataclass(frozen=True)
class LAWA(Averaging):
    """Latest weight averaging: the mean of the weights at the ends of the last K epochs (arXiv 2209.14981).

    Until there are K, the mean is that of fewer. It remembers K copies of the weights. The default K is ours.
    """

    K: int = count("how many of the last weights are averaged", low=1, unit="weights", default=6)
    every: float = number("how often weights are taken", unit="epochs", bounds=Bounds(0.0, low_open=True), default=1.0)
    recompute_bn: bool = flag("recompute batch normalisation's statistics for the average", default=True)

    def check(self, task: Task) -> None:
        _check_taken(self, task, task.iterations(self.every))

    def begin(self, training: Training) -> Memory:
        return {"latest": []}

    def after_step(self, training: Training, memory: Memory) -> None:
        if training.step % training.task.iterations(self.every) == 0:
            memory["latest"] = [*memory["latest"], _copies(training.module)][-self.K :]

    def average(self, memory: Memory) -> Weights:
        return window_mean(memory["latest"]) if memory["latest"] else {}

    def facts(self, memory: Mapping[str, Any]) -> Mapping[str, str | float]:
        return {"averaged": len(memory["latest"])}


def _check_taken(average: Averaging, task: Task, every: int, start: float = 0.0) -> None:
    if task.steps // every * every < max(every, start * task.steps):
        raise TaskError(f"{average} takes no weights: every {every} iterations is too rarely for {task.steps} of them")


def _copies(network: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in network.named_parameters()}
