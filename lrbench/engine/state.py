"""The complete state of a training run between two steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class TrainingLoss:
    """The training losses of the steps since the last evaluation: their sum, number and minimum."""

    total: float = 0.0
    count: int = 0
    lowest: float = math.inf

    def after(self, losses: Sequence[float]) -> TrainingLoss:
        """Add the losses of further steps, one by one, so that splitting a segment changes no bit."""
        total = self.total
        for loss in losses:
            total += loss
        return TrainingLoss(total, self.count + len(losses), min([self.lowest, *losses]))

    def has_left(self, initial: float, factor: float) -> bool:
        """Whether all of them exceed `factor` times the initial loss; never where that is not positive."""
        return self.lowest > factor * initial > 0

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else math.nan


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of training, as torch's counter counts them: matrix products and convolutions."""

    forward: int = 0
    backward: int = 0

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.forward + other.forward, self.backward + other.backward)

    def __mul__(self, times: int) -> Flops:
        return Flops(self.forward * times, self.backward * times)

    @property
    def total(self) -> int:
        return self.forward + self.backward


@dataclass(frozen=True)
class State:
    """Everything that training from `step` on depends on, besides the task and the learning rates.

    It holds no random-number state: every draw is derived from the seed, the name of its stream and the epoch or
    step (`lrbench.streams`), so that a state can be stored, forked and replayed at any step. States are values:
    `advance` never changes the tensors of a state.

    Attributes:
        seed: the run's seed; initial weights, batch order, augmentation and dropout follow from it.
        step: iterations done so far; the next update is that of iteration `step`, counted from 0.
        model: the module's parameters and buffers by name; empty for a run that has diverged.
        optimizer: the optimizer's state by parameter index, as torch's `state_dict()["state"]` has it.
        groups: the settings of each of the optimizer's parameter groups that have changed since it was built, but for
            its LR; empty where none has.
        initial_loss: the validation loss of the initial weights, by which divergence is judged.
        since_evaluation: the training losses since the last evaluation.
        flops: floating-point operations of training so far.
        memories: the memory of each modifier and watcher, by its text.
        scaler: the state of the loss's scaler (`torch.amp.GradScaler`), and the number of steps that it has skipped;
            empty where the task's precision needs none.
        features: inputs of the part that is trained, where a modifier keeps them (`Trainable`). They follow from the
            rest, so that they are no part of the state's identity, and neither copied nor saved with it.
        diverged_at: the number of iterations after which the run was found to have diverged, or None.
    """

    seed: int
    step: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[int, Mapping[str, Any]]
    initial_loss: float
    since_evaluation: TrainingLoss = field(default_factory=TrainingLoss)
    flops: Flops = field(default_factory=Flops)
    memories: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    diverged_at: int | None = None
    groups: Sequence[Mapping[str, Any]] = ()
    scaler: Mapping[str, float] = field(default_factory=dict)
    features: Tensor | None = field(default=None, compare=False)

    @classmethod
    def diverged(cls, seed: int, step: int, initial_loss: float, flops: Flops) -> State:
        """Make the state of a run that was found to have diverged after `step` iterations."""
        return cls(
            seed=seed, step=step, model={}, optimizer={}, initial_loss=initial_loss, flops=flops, diverged_at=step
        )

    def facts(self) -> dict[str, Any]:
        """Return the fields of the state's identity, by name."""
        return {name: value for name, value in vars(self).items() if name != "features"}


def up_to_divergence(losses: Sequence[float]) -> Sequence[float]:
    """Return the losses of iterations in a row, to the first one that is not finite: with it the run has diverged."""
    first = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    return losses[: first + 1]
