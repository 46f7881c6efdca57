"""Training as a pure function over a segment: `advance(task, state, lrs) -> (state, evaluations)`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lrbench.engine.batches import batch_indices
from lrbench.engine.evaluation import Evaluation, forward, predict, train_subset
from lrbench.engine.flops import step_flops
from lrbench.engine.state import State, TrainingLoss
from lrbench.streams import stream_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lrbench.tasks import Task


def begin(task: Task, seed: int) -> State:
    """The state before the first iteration: the initial weights that the seed stands for, on the task's device."""
    with _deterministic():
        torch.manual_seed(stream_seed(seed, "initial weights"))
        module = task.model().to(task.device)
        initial_loss = predict(task, module, task.data.val).loss
    return State(seed=seed, step=0, model=_clone(module.state_dict()), optimizer={}, initial_loss=initial_loss)


def advance(task: Task, state: State, lrs: NDArray[np.float64]) -> tuple[State, list[Evaluation]]:
    """Train `len(lrs)` iterations from a state.

    A run is a fold of `advance` over its learning rates, and how they are cut into segments changes nothing: on the
    CPU the results are equal bit for bit. An evaluation is made after every `task.eval_every` iterations and after
    iteration `task.steps`, the last. A run has diverged when a training loss, a weight or an evaluated loss is not
    finite, or when every training loss between two evaluations is over `task.divergence_factor` times the initial
    loss; then it ends: the state says at which iteration, and advancing it further returns it as it is.

    Args:
        task: what is trained; its data's device is where it is trained.
        state: where training stands; left as it is.
        lrs: the learning rates of iterations `state.step`, `state.step + 1`, ...: float64 [iterations].

    Returns:
        The state after the last iteration, and the evaluations made on the way, in order.

    Raises:
        ValueError: `lrs` goes past the task's budget.
    """
    if state.step + len(lrs) > task.steps:
        raise ValueError(f"{len(lrs)} iterations from iteration {state.step} on exceed the budget of {task.steps}")
    evaluations: list[Evaluation] = []
    with _deterministic():
        training = _Training(task, state)
        for stop in _stops(task, state.step, state.step + len(lrs)):
            training.run(lrs[training.step - state.step : stop - state.step].tolist())
            if training.diverged_at is None and _is_evaluated(task, stop):
                evaluations.extend(training.evaluate())
            if training.diverged_at is not None:
                break
        return training.state(), evaluations


def _is_evaluated(task: Task, step: int) -> bool:
    return step % task.eval_every == 0 or step == task.steps


def _stops(task: Task, start: int, stop: int) -> Iterator[int]:
    """Where training pauses between two steps: at every evaluation, and at the end."""
    while start < stop:
        start = min(start - start % task.eval_every + task.eval_every, stop)
        yield start


class _Training:
    """A state come to life: the module, the optimizer and the few numbers that a step changes."""

    def __init__(self, task: Task, state: State) -> None:
        self.task = task
        self.seed = state.seed
        self.step = state.step
        self.initial_loss = state.initial_loss
        self.since_evaluation = state.since_evaluation
        self.flops = state.flops
        self.diverged_at = state.diverged_at
        self.module = task.model().to(task.device).to(memory_format=torch.channels_last)
        if self.diverged_at is None:
            self.module.load_state_dict(state.model)
        self.parameters = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.optimizer = task.optimizer.build(self.parameters)
        self.ratios = _lr_ratios(self.optimizer)
        blank = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**blank, "state": _clone(state.optimizer)})

    def run(self, lrs: Sequence[float]) -> None:
        """Train one iteration for each learning rate, and note where a loss was not finite."""
        if self.diverged_at is not None:
            return
        task, data, module, parameters = self.task, self.task.data, self.module, self.parameters
        generator, augmentation = torch.default_generator, torch.Generator()
        seeds_cuda = task.device.type == "cuda"
        losses: list[Tensor] = []
        module.train()
        for lr, (step, indices) in zip(lrs, self._batches(len(lrs)), strict=True):
            inputs, targets = data.train.inputs[indices], data.train.targets[indices]
            if task.augment:
                augmentation.manual_seed(stream_seed(self.seed, "augmentation", step))
                for augment in task.augment:
                    inputs = augment(inputs, augmentation)
            seed = stream_seed(self.seed, "forward", step)
            generator.manual_seed(seed)
            if seeds_cuda:
                torch.cuda.manual_seed(seed)
            for parameter in parameters:
                parameter.grad = None
            loss = task.loss(forward(task, module, data.decode(inputs)), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            for group, ratio in zip(self.optimizer.param_groups, self.ratios, strict=True):
                group["lr"] = lr * ratio
            self.optimizer.step()
            losses.append(loss.detach())
        self._note(torch.stack(losses).tolist())

    def evaluate(self) -> Iterator[Evaluation]:
        """The evaluation at this step, if the run has not diverged."""
        task, module = self.task, self.module
        seen, self.since_evaluation = self.since_evaluation, TrainingLoss()
        if seen.lowest > task.divergence_factor * self.initial_loss or not _is_finite(module):
            self.diverged_at = self.step
            return
        val, test = predict(task, module, task.data.val), predict(task, module, task.data.test)
        if not (math.isfinite(val.loss) and math.isfinite(test.loss)):
            self.diverged_at = self.step
            return
        train = predict(task, module, train_subset(task)) if self.step == task.steps else None
        yield Evaluation(self.step, seen.mean, val, test, train)

    def state(self) -> State:
        """A copy of where training stands, that further training leaves as it is."""
        gone = self.diverged_at is not None
        return State(
            seed=self.seed,
            step=self.step,
            model={} if gone else _clone(self.module.state_dict()),
            optimizer={} if gone else _clone(self.optimizer.state_dict()["state"]),
            initial_loss=self.initial_loss,
            since_evaluation=TrainingLoss() if gone else self.since_evaluation,
            flops=self.flops,
            diverged_at=self.diverged_at,
        )

    def _batches(self, count: int) -> Iterator[tuple[int, Tensor]]:
        return enumerate(batch_indices(self.task, self.seed, self.step, self.step + count), self.step)

    def _note(self, losses: list[float]) -> None:
        finite = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
        if finite < len(losses):
            losses = losses[: finite + 1]
            self.diverged_at = self.step + len(losses)
        self.step += len(losses)
        self.flops += step_flops(self.task) * len(losses)
        self.since_evaluation = self.since_evaluation.after(losses)


@contextmanager
def _deterministic() -> Iterator[None]:
    """One thread, and the caller's random numbers untouched: sums over several threads depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)


def _lr_ratios(optimizer: torch.optim.Optimizer) -> list[float]:
    """Each parameter group's learning rate over that of the first, as the optimizer was built."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    return [rate / rates[0] for rate in rates]


def _is_finite(module: nn.Module) -> bool:
    tensors = [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
    return all(math.isfinite(norm) for norm in torch.stack(torch._foreach_norm(tensors, math.inf)).tolist())


def _clone(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _clone(item) for key, item in value.items()}
    return deepcopy(value)
