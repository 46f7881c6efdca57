"""Training as a pure function over a segment: `advance(task, state, lrs) -> (state, evaluations)`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lrbench.engine.evaluation import Evaluation, predict
from lrbench.engine.loop import Training, initial_network
from lrbench.engine.modifier import Modifier, Watcher, in_order
from lrbench.engine.state import State
from lrbench.reproducible import deterministic
from lrbench.tasks.remembered import once_per_task
from lrbench.tasks.snapshot import copied

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lrbench.tasks import Task


def begin(task: Task, seed: int) -> State:
    """Make the state before the first iteration: the seed's initial weights, on the task's device."""
    with deterministic():
        weights = copied(initial_network(task, seed).state_dict())
    return State(seed=seed, step=0, model=weights, optimizer={}, initial_loss=initial_loss(task, seed))


@once_per_task
def initial_loss(task: Task, seed: int) -> float:
    """Compute the validation loss before the first iteration, which is the same for all policies."""
    with deterministic():
        return predict(task, initial_network(task, seed), task.data.val).loss


def advance(
    task: Task,
    state: State,
    lrs: NDArray[np.float64],
    modifiers: Sequence[Modifier] = (),
    watchers: Sequence[Watcher] = (),
    ahead: Sequence[float] | NDArray[np.float64] = (),
) -> tuple[State, list[Evaluation]]:
    """Train `len(lrs)` iterations from a state.

    A run is a fold of `advance` over its learning rates. Its segments change no number: on the CPU the results are
    equal bit for bit. An evaluation is made after every `task.eval_every` iterations and after the last, iteration
    `task.steps`. A run has diverged when a training loss, a weight or an evaluated loss is not finite, or when every
    training loss between two evaluations is over `task.divergence_factor` times the initial loss. It ends then: the
    state has the iteration, and `advance` returns it as it is.

    Args:
        task: what is trained, on the device of its data.
        state: the state to train from; left as it is.
        lrs: the learning rates of iterations `state.step`, `state.step + 1`, ...: float64 [iterations].
        modifiers: those that change training, the same ones throughout a run; they are called in order of rank.
        watchers: those that average or measure beside it, the same ones throughout a run.
        ahead: the learning rates after `lrs` up to the budget, as far as they are known, for modifiers that look ahead.

    Returns:
        The state after the last iteration, and the evaluations made on the way, in order.

    Raises:
        ValueError: `lrs` goes past the task's budget.
        TaskError: two of the modifiers exclude each other.
    """
    check_budget(task, state, lrs)
    evaluations: list[Evaluation] = []
    with deterministic():
        training = Training(task, state, in_order(modifiers), watchers)
        training.know(np.concatenate([lrs, ahead]))
        for stop in stops(task, state.step, state.step + len(lrs)):
            training.run(lrs[training.step - state.step : stop - state.step].tolist())
            if training.diverged_at is None and is_evaluated(task, stop):
                evaluations.extend(training.evaluate())
            if training.diverged_at is not None:
                break
        return training.state(), evaluations


def check_budget(task: Task, state: State, lrs: NDArray[np.float64]) -> None:
    """Raise ValueError where the learning rates go past the task's budget."""
    if state.step + len(lrs) > task.steps:
        raise ValueError(f"{len(lrs)} iterations from iteration {state.step} on exceed the budget of {task.steps}")


def is_evaluated(task: Task, step: int) -> bool:
    """Return whether an evaluation is made after `step` iterations."""
    return step % task.eval_every == 0 or step == task.steps


def stops(task: Task, start: int, stop: int) -> Iterator[int]:
    """Yield the steps at which training pauses between two others: every evaluation, and the end."""
    while start < stop:
        start = min(start - start % task.eval_every + task.eval_every, stop)
        yield start
