"""Callbacks that let the trainers of other libraries train a run: Lightning's, and Hugging Face's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from lrbench.errors import TaskError
from lrbench.policy.torch_scheduler import lr_ratios

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback
    from transformers import TrainerCallback

    from lrbench.tasks.training_run import TrainingRun

Evaluate = Callable[[Any], float | Mapping[str, Any]]
"""It gets the network, in evaluation mode and without gradients, and returns `val`, or what `report` takes by name."""


class Following:
    """What a callback does in either library: it sets the learning rates of each step, and reports when due."""

    def __init__(self, run: TrainingRun, evaluate: Evaluate) -> None:
        self.run = run
        self._evaluate = evaluate
        self._ratios: list[float] = []
        self._done = 0

    def begin(self, library: str, steps: int, done: int) -> None:
        """Begin after the steps that are done, which a trainer has restored, of those that it will make."""
        if steps != self.run.steps:
            raise TaskError(f"{library} has max_steps={steps}: give it max_steps=run.steps, which is {self.run.steps}")
        self._done = done

    def set_lrs(self, optimizer: torch.optim.Optimizer) -> None:
        """Set the learning rates of the next step; groups keep their ratios, as under a `PolicyLR`."""
        if not self._ratios:
            groups = optimizer.param_groups
            rates = [group.get("initial_lr", group["lr"]) for group in groups]
            self._ratios = lr_ratios(rates, [group.get("lr_ratio") for group in groups])
        lr = self.run.lr(self._done + 1)
        for group, ratio in zip(optimizer.param_groups, self._ratios, strict=True):
            group["lr"] = lr * ratio

    def after_step(self, step: int, network: torch.nn.Module) -> None:
        """Report on a step if one is done (not at each batch of an accumulation) and due."""
        if step == self._done:
            return
        self._done = step
        if not self.run.is_due(step):
            return
        network.eval()
        with torch.no_grad():
            numbers = self._evaluate(network)
        network.train()
        self.run.report(step, **(numbers if isinstance(numbers, Mapping) else {"val": numbers}))


def lightning_callback(run: TrainingRun, evaluate: Evaluate) -> Callback:
    """Make the callback for Lightning's Trainer: see `TrainingRun.lightning_callback`."""
    from lightning.pytorch.callbacks import Callback

    class Follow(Callback):
        def __init__(self) -> None:
            self.following = Following(run, evaluate)

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.following.begin("Lightning's Trainer", trainer.max_steps, trainer.global_step)
            if len(trainer.optimizers) != 1 or trainer.lr_scheduler_configs:
                raise TaskError("configure_optimizers must return one optimizer and no scheduler: the run sets its LRs")

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            self.following.set_lrs(trainer.optimizers[0])

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.following.after_step(trainer.global_step, pl_module)
            trainer.should_stop |= run.should_stop

    return Follow()


def transformers_callback(run: TrainingRun, evaluate: Evaluate) -> TrainerCallback:
    """Make the callback for Hugging Face's Trainer: see `TrainingRun.transformers_callback`."""
    from transformers import TrainerCallback

    class Follow(TrainerCallback):
        def __init__(self) -> None:
            self.following = Following(run, evaluate)

        def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.following.begin("Hugging Face's Trainer", state.max_steps, state.global_step)

        def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.following.set_lrs(given["optimizer"])

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.following.after_step(state.global_step, given["model"])
            control.should_training_stop |= run.should_stop

    return Follow()
