"""Training many runs of a task at once: `advance_stacked`, which equals `advance` in each lane within rounding."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from lrbench.engine.evaluation import Evaluation, evaluated_splits
from lrbench.engine.flops import step_flops
from lrbench.engine.segment import advance, check_budget, is_evaluated, stops
from lrbench.engine.stacked.network import why_not_stacked
from lrbench.engine.stacked.stack import Stack
from lrbench.engine.state import State, TrainingLoss, up_to_divergence
from lrbench.reproducible import callers_generators, threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lrbench.engine.modifier import Modifier, Watcher
    from lrbench.tasks import Task

Advanced = tuple[State, list[Evaluation]]


def advance_stacked(
    task: Task,
    states: Sequence[State],
    lrs: Sequence[NDArray[np.float64]],
    modifiers: Sequence[Modifier] = (),
    watchers: Sequence[Watcher] = (),
) -> list[Advanced]:
    """Train several runs of a task at once, each as `advance` trains it.

    The lanes have the task in common, and may differ in seed, step and number of iterations. Each lane's numbers are
    those of the serial engine but for rounding, which training amplifies: after a few iterations weights differ by
    about 1e-6 of the largest, more where an optimizer divides by gradients that are nearly 0. A state goes from either
    engine to the other at any step. A lane that diverges ends by the rules of `advance`, and changes no other.

    On the CPU, where the batch size is a multiple of 16, the segments of a lane, the lanes beside it and the number of
    threads change no bit of it; for other sizes they change its rounding, and on some processors the number of threads
    changes that of convolutions of images. The stacked engine takes as many threads as torch has
    (`torch.get_num_threads`), each with a part of the lanes, so that a loss of the user's is called from several; the
    serial engine takes one.

    Where the device's memory does not hold them all, each half of the lanes is trained by itself.

    Args:
        task: what is trained, on the device of its data.
        states: the state of each lane; left as they are.
        lrs: for each lane the learning rates of its next iterations, float64 [iterations].
        modifiers, watchers: parts of training beside the policy; `why_not_stacked` names those that cannot be stacked.

    Returns:
        For each lane the state after its last iteration, and the evaluations on the way.

    Raises:
        ValueError: the task cannot be stacked, a state has modifiers' memories, or learning rates go past the budget.
    """
    reason = why_not_stacked(task, modifiers, watchers)
    if reason is not None:
        raise ValueError(f"task '{task.name}' cannot be stacked: {reason}")
    for state, rates in zip(states, lrs, strict=True):
        check_budget(task, state, rates)
        if state.memories:
            raise ValueError(f"a lane was trained with {next(iter(state.memories))}, unknown to the stacked engine")
    try:
        return _advanced(task, states, lrs)
    except torch.OutOfMemoryError:
        if len(states) == 1:
            raise
    torch.cuda.empty_cache()
    half = len(states) // 2
    return [
        *advance_stacked(task, states[:half], lrs[:half]),
        *advance_stacked(task, states[half:], lrs[half:]),
    ]


def _advanced(task: Task, states: Sequence[State], lrs: Sequence[NDArray[np.float64]]) -> list[Advanced]:
    results: dict[int, Advanced] = {}
    lanes = []
    for place, (state, rates) in enumerate(zip(states, lrs, strict=True)):
        if state.diverged_at is not None or not len(rates):
            results[place] = advance(task, state, rates[:0])
        else:
            lanes.append(LaneProgress(task, place, state, rates))
    stack = Stack(task, [lane.start for lane in lanes]) if lanes else None
    with callers_generators(), threads(1):
        while stack is not None and lanes:
            iterations = min(lane.until_stop for lane in lanes)
            seen = stack.run(
                [lane.seed for lane in lanes],
                [lane.step for lane in lanes],
                np.stack([lane.next_lrs(iterations) for lane in lanes], axis=1),
            )
            for lane, lane_losses in zip(lanes, seen, strict=True):
                lane.note(lane_losses)
            _evaluate(task, stack, lanes)
            for row, lane in enumerate(lanes):
                if lane.ended:
                    results[lane.place] = lane.state(stack, row), lane.evaluations
            going = [row for row, lane in enumerate(lanes) if not lane.ended]
            if 0 < len(going) < len(lanes):
                stack.keep(going)
            lanes = [lanes[row] for row in going]
    return [results[place] for place in range(len(states))]


class LaneProgress:
    """The progress of a run, on the host, while the stack trains it."""

    def __init__(self, task: Task, place: int, start: State, lrs: NDArray[np.float64]) -> None:
        self.task = task
        self.place = place
        self.start = start
        self.lrs = lrs
        self.seed = start.seed
        self.step = start.step
        self.flops = start.flops
        self.since_evaluation = start.since_evaluation
        self.diverged_at: int | None = None
        self.evaluations: list[Evaluation] = []

    @property
    def ended(self) -> bool:
        return self.diverged_at is not None or self.step == self.start.step + len(self.lrs)

    @property
    def until_stop(self) -> int:
        """Iterations until the lane is evaluated or ends."""
        return next(stops(self.task, self.step, self.start.step + len(self.lrs))) - self.step

    def next_lrs(self, iterations: int) -> NDArray[np.float64]:
        done = self.step - self.start.step
        return self.lrs[done : done + iterations]

    def note(self, losses: Sequence[float]) -> None:
        """Count the iterations since the last stop, and add up their losses."""
        made = up_to_divergence(losses)
        self.step += len(made)
        if not math.isfinite(made[-1]):
            self.diverged_at = self.step
        self.flops += step_flops(self.task) * len(made)
        self.since_evaluation = self.since_evaluation.after(made)

    def state(self, stack: Stack, row: int) -> State:
        if self.diverged_at is not None:
            return State.diverged(self.seed, self.step, self.start.initial_loss, self.flops)
        return State(
            seed=self.seed,
            step=self.step,
            model=stack.model(row),
            optimizer=stack.optimizer_state(row),
            initial_loss=self.start.initial_loss,
            since_evaluation=self.since_evaluation,
            flops=self.flops,
        )


def _evaluate(task: Task, stack: Stack, lanes: Sequence[LaneProgress]) -> None:
    """Evaluate the lanes that have come to an evaluation, or note that they have diverged."""
    due = [row for row, lane in enumerate(lanes) if lane.diverged_at is None and is_evaluated(task, lane.step)]
    if not due:
        return
    finite = stack.live.finite()
    seen = {}
    for row in due:
        lane = lanes[row]
        seen[row], lane.since_evaluation = lane.since_evaluation, TrainingLoss()
        if seen[row].has_left(lane.start.initial_loss, task.divergence_factor) or not finite[row]:
            lane.diverged_at = lane.step
    for last in (False, True):
        rows = [row for row in due if lanes[row].diverged_at is None and (lanes[row].step == task.steps) == last]
        if not rows:
            continue
        began = time.perf_counter()
        splits = evaluated_splits(task, lanes[rows[0]].step)
        predicted = stack.predictions(rows, list(splits.values()))
        share = (time.perf_counter() - began) / len(rows)
        for row, predictions in zip(rows, predicted, strict=True):
            lane = lanes[row]
            evaluation = Evaluation(lane.step, seen[row].mean, dict(zip(splits, predictions, strict=True)), share)
            if evaluation.is_finite:
                lane.evaluations.append(evaluation)
            else:
                lane.diverged_at = lane.step
