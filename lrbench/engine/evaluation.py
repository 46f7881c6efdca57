"""Evaluations: the predictions of the current weights on the splits of a task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from lrbench.engine.clock import clock
from lrbench.errors import TaskError
from lrbench.streams import stream_seed
from lrbench.tasks.nested import concatenated, logits_of, mapped, shapes

if TYPE_CHECKING:
    from lrbench.tasks import Split, Task
    from lrbench.tasks.split import Batch


EvaluatedSplit = Literal["val", "test", "train"]


MOST_COMPILED = 10_000
"""Pieces of compiled code that a process may have."""


@dataclass(frozen=True)
class Predictions:
    """A network's outputs over a split, in eval mode.

    Outputs and targets are None where the task is judged by its loss alone.

    Attributes:
        outputs: float32 [N, ...] on the CPU, for a classifier its logits [N, classes].
        targets: the split's targets [N, ...] on the CPU, or its whole batches where these are no pairs.
        loss: the task's loss over the split, the mean over samples.
    """

    outputs: Any
    targets: Any
    loss: float


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a run at one step.

    Attributes:
        step: iterations done.
        train_loss: the mean training loss of the iterations since the evaluation before.
        predictions: by split, see `evaluated_splits`.
        evaluating: the wall time of making it, in seconds; its share, where lanes are evaluated together.
        watched: the evaluation of each watcher's network at the same step, by the watcher's text. A network whose
            losses are not finite does not end the run that it watches.
        watching: the wall time in seconds of each watcher's events since the evaluation before, by its text.
    """

    step: int
    train_loss: float
    predictions: Mapping[EvaluatedSplit, Predictions]
    evaluating: float
    watched: Mapping[str, Evaluation] = field(default_factory=dict)
    watching: Mapping[str, float] = field(default_factory=dict)

    @property
    def val(self) -> Predictions:
        """Predictions on the validation split; before the last step of the budget, on `task.samples_of_curve` of it."""
        return self.predictions["val"]

    @property
    def test(self) -> Predictions | None:
        """At the last step, predictions on the test split."""
        return self.predictions.get("test")

    @property
    def train(self) -> Predictions | None:
        """At the last step, predictions on a fixed subset of the train split.

        It is as large as the test split, or all of the train split, where that is smaller.
        """
        return self.predictions.get("train")

    @property
    def is_finite(self) -> bool:
        """Whether the losses on the validation and the test split are finite; a run has diverged where one is not."""
        return math.isfinite(self.val.loss) and (self.test is None or math.isfinite(self.test.loss))


def evaluated_splits(task: Task, step: int) -> dict[EvaluatedSplit, Split]:
    """Return the splits that are evaluated after `step` iterations.

    Only the last evaluation of a run is complete. Those before it make a curve, to look at and to react to.
    """
    if step == task.steps:
        return {"val": task.data.val, "test": task.data.test, "train": train_subset(task)}
    return {"val": task.data.val.evenly(task.samples_of_curve)}


def predict(task: Task, module: nn.Module, split: Split) -> Predictions:
    """Predict a split with a module in eval mode and without gradients; the modes of its parts are kept."""
    modes = [(part, part.training) for part in module.modules()]
    compiled(task, module).eval()
    scored: list[tuple[Any, Any]] = []

    def outputs(batch: Batch) -> Any:
        found = forward(task, module, task.data.decode(batch.inputs))
        if task.compares_outputs:
            scored.append(mapped(Tensor.cpu, (logits_of(found), task.data.scored(batch.targets))))
        return found

    with torch.inference_mode():
        loss = task.mean_loss(split, outputs)
    for part, training in modes:
        part.training = training
    try:
        found, targets = concatenated(scored) if scored else (None, None)
    except RuntimeError as error:
        different = " and ".join(sorted({shapes(batch) for batch in scored})[:2])
        raise TaskError(
            f"batches of the shapes {different} cannot be put together for a score: make them of one length, name the "
            "labels in them by target=, or judge the task by its loss"
        ) from error
    return Predictions(found, targets, loss)


def compiled(task: Task, module: nn.Module) -> nn.Module:
    """Return a module as it is; where the task says so, its calls run code that `torch.compile` makes at the first.

    Modules of one structure share the code, and one module has code for each of its modes and shapes of a batch.
    """
    if task.compile and module._compiled_call_impl is None:
        from torch._dynamo import config

        # Beyond these limits torch goes on without compiling. All modules of a process count together.
        config.cache_size_limit = config.accumulated_cache_size_limit = MOST_COMPILED
        clock.leave_out_compiling()
        module.compile(dynamic=False, mode=None if task.compile is True else task.compile)
    return module


def forward(task: Task, module: nn.Module, inputs: Any) -> Any:
    """Compute a module's outputs on decoded inputs in the task's precision, and return them as float32."""
    outputs = in_precision(task, module, inputs)
    if task.precision == "float32":
        return outputs
    return mapped(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor, outputs)


def in_precision(task: Task, module: nn.Module, inputs: Any) -> Any:
    """Compute a module's outputs as `forward` does, and return them in the type that they have inside of a network."""
    if isinstance(inputs, Tensor) and inputs.dim() == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    if task.precision == "float32":
        return module(inputs)
    with autocast(task):
        return module(inputs)


def autocast(task: Task) -> torch.autocast:
    """Compute in the task's precision."""
    dtype = getattr(torch, task.precision)
    return torch.autocast(task.device.type, dtype, enabled=task.precision != "float32")


def train_subset(task: Task) -> Split:
    """Return the part of the train split on which the train loss of the last evaluation is measured."""
    train = task.data.train
    if len(train) <= len(task.data.test):
        return train
    generator = torch.Generator().manual_seed(stream_seed(0, "train subset"))
    chosen = torch.randperm(len(train), generator=generator)[: len(task.data.test)].to(train.device)
    return train.take(chosen)
