"""Training many runs of a task at once: `advance_stacked`, which equals `advance` in each lane within rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lrbench.engine.batches import augmented, batch_table
from lrbench.engine.evaluation import BATCH, Evaluation, Predictions, train_subset
from lrbench.engine.flops import step_flops
from lrbench.engine.stacked.lanes import ALIGNMENT, Live
from lrbench.engine.stacked.network import losses, stacked_network, why_not_stacked
from lrbench.engine.stacked.optimizers import stacked_optimizer
from lrbench.engine.state import Frozen, State, TrainingLoss, up_to_divergence
from lrbench.engine.training import advance, check_budget, deterministic, is_evaluated, stops
from lrbench.streams import stream_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lrbench.engine.modifier import Modifier, Watcher
    from lrbench.tasks import Split, Task

Advanced = tuple[State, list[Evaluation]]

PLANNED = 256
"""Iterations whose batches and learning rates are laid out at once."""


def advance_stacked(
    task: Task,
    states: Sequence[State],
    lrs: Sequence[NDArray[np.float64]],
    modifiers: Sequence[Modifier] = (),
    watchers: Sequence[Watcher] = (),
) -> list[Advanced]:
    """Train several runs of a task at once, each as `advance` trains it.

    The lanes need have nothing in common but the task: neither seed nor step nor number of iterations. Each lane's
    numbers are those of the serial engine but for rounding, which grows as training amplifies it: weights are within
    a relative 1e-5 after a few iterations. A state goes from either engine to the other at any step. On the CPU, how
    a lane is cut into segments and which lanes are trained beside it changes no bit of it. A lane that diverges ends
    by the rules of `advance`, and touches no other.

    Where the device's memory does not hold them all, each half of the lanes is trained by itself.

    Args:
        task: what is trained; its data's device is where it is trained.
        states: where each lane stands; left as they are.
        lrs: for each lane the learning rates of its next iterations, float64 [iterations].
        modifiers, watchers: training methods; `why_not_stacked` says of which the stacked engine knows.

    Returns:
        For each lane the state after its last iteration, and the evaluations made on the way.

    Raises:
        ValueError: the task cannot be stacked, a state has frozen units, or learning rates go past the budget.
    """
    reason = why_not_stacked(task, modifiers, watchers)
    if reason is not None:
        raise ValueError(f"task '{task.name}' cannot be stacked: {reason}")
    for state, rates in zip(states, lrs, strict=True):
        check_budget(task, state, rates)
        if state.frozen.units:
            raise ValueError(f"{state.frozen.units} units of a lane are frozen, which the stacked engine does not know")
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
            lanes.append(Lane(task, place, state, rates))
    with deterministic():
        stack = Stack(task, [lane.start for lane in lanes]) if lanes else None
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


class Lane:
    """What is known of a run on the host while the stack trains it."""

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
        """Take in the losses of the iterations since the last stop."""
        made = up_to_divergence(losses)
        self.step += len(made)
        if not math.isfinite(made[-1]):
            self.diverged_at = self.step
        self.flops += step_flops(self.task, Frozen()) * len(made)
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


class Stack:
    """K training states come to life together."""

    def __init__(self, task: Task, states: Sequence[State]) -> None:
        self.task = task
        self.network = stacked_network(task)
        layout = self.network.layout
        optimizer = stacked_optimizer(task.optimizer)
        assert optimizer is not None
        self.optimizer = optimizer
        self.live = Live.of(layout, [state.model for state in states], task.device)
        kept = [_by_name(layout.shapes, state.optimizer) for state in states]
        self.slots = {
            slot: layout.rows([{name: of[slot] for name, of in lane.items()} for lane in kept], task.device)
            for slot in optimizer.slots
        }
        self.updates = (
            [max((int(of["step"]) for of in lane.values()), default=0) for lane in kept]
            if (optimizer.counted)
            else [0] * len(states)
        )
        self._augmentation = torch.Generator()

    def run(self, seeds: Sequence[int], steps: Sequence[int], lrs: NDArray[np.float64]) -> list[list[float]]:
        """Train with the learning rates [iterations, K], and return the losses, [K][iterations]."""
        found = []
        for first in range(0, len(lrs), PLANNED):
            planned = lrs[first : first + PLANNED]
            found += self._run(seeds, [step + first for step in steps], planned)
        self.updates = [updates + len(lrs) for updates in self.updates]
        losses: list[list[float]] = torch.stack(found, 1).tolist()
        return losses

    def predictions(self, lanes: Sequence[int], splits: Sequence[Split]) -> list[list[Predictions]]:
        """For each of some lanes, what it predicts on each split."""
        live = self.live if len(lanes) == len(self.live) else self.live.only(self._index(lanes))
        live.training = False
        with torch.inference_mode():
            found = [self._predictions(live, split) for split in splits]
        live.training = True
        return [list(of_lane) for of_lane in zip(*found, strict=True)]

    def keep(self, lanes: Sequence[int]) -> None:
        """Go on with some of the lanes only."""
        index = self._index(lanes)
        self.live = self.live.only(index)
        self.slots = {slot: rows.index_select(0, index) for slot, rows in self.slots.items()}
        self.updates = [self.updates[lane] for lane in lanes]

    def model(self, lane: int) -> dict[str, Tensor]:
        """A copy of a lane's parameters and buffers, as torch's `state_dict` has them."""
        kept = {**self.live.weights, **self.live.buffers}
        return {name: _laid_out(kept[name][lane]) for name in self.network.names}

    def optimizer_state(self, lane: int) -> dict[int, dict[str, Any]]:
        """A copy of a lane's optimizer state, as torch's `state_dict()["state"]` has it."""
        slots = {slot: self.network.layout.views(rows) for slot, rows in self.slots.items()}
        if not slots:
            return {}
        device = self.task.device if self.optimizer.counter_on_device else "cpu"
        counter = torch.tensor(float(self.updates[lane]), device=device)
        return {
            index: {
                **({"step": counter.clone()} if self.optimizer.counted else {}),
                **{slot: _laid_out(views[name][lane]) for slot, views in slots.items()},
            }
            for index, name in enumerate(self.network.layout.shapes)
        }

    def finite(self) -> list[bool]:
        return self.live.finite()

    def _run(self, seeds: Sequence[int], steps: Sequence[int], lrs: NDArray[np.float64]) -> list[Tensor]:
        """Train without a word from the device; the losses [K] of each iteration."""
        live, task = self.live, self.task
        found = []
        rates = self._rates(lrs)
        with torch.no_grad():
            for iteration, indices in enumerate(self._batches(seeds, steps, len(lrs))):
                if self.network.draws:
                    for generator, seed, step in zip(live.generators, seeds, steps, strict=True):
                        generator.manual_seed(stream_seed(seed, "forward", step + iteration))
                inputs = self._inputs(seeds, steps, iteration, indices)
                targets = task.data.train.targets.index_select(0, indices.view(-1))
                targets = targets.view(*indices.shape, *targets.shape[1:])
                found.append(self.network.backpropagate(task, inputs, targets, live))
                self.optimizer.update(live.rows, live.gradient_rows, self.slots, [rate[iteration] for rate in rates])
        return found

    def _inputs(self, seeds: Sequence[int], steps: Sequence[int], iteration: int, indices: Tensor) -> Tensor:
        """The decoded batches [K, ..., B] of one iteration."""
        if not self.task.augment:
            samples = self.task.data.train.inputs.index_select(0, indices.view(-1))
        else:
            samples = torch.cat(
                [
                    augmented(self.task, seed, step + iteration, batch, self._augmentation)
                    for seed, step, batch in zip(seeds, steps, indices, strict=True)
                ]
            )
        inputs = self.task.data.decode(samples)
        return inputs.view(*indices.shape, *inputs.shape[1:]).movedim(1, -1)

    def _batches(self, seeds: Sequence[int], steps: Sequence[int], iterations: int) -> Iterator[Tensor]:
        """The sample indices [K, B] of each iteration, on the data's device."""
        places = list(zip(seeds, steps, strict=True))
        tables = {place: batch_table(self.task, *place, place[1] + iterations) for place in dict.fromkeys(places)}
        table = torch.stack([tables[place] for place in places], 1)
        yield from _sent(table, self.task.device).unbind(0)

    def _rates(self, lrs: NDArray[np.float64]) -> list[tuple[Tensor, ...]]:
        """What the optimizer needs of the learning rates, each [K, 1] an iteration."""
        updates = torch.arange(1, len(lrs) + 1)[:, None] + torch.tensor(self.updates)
        rates = self.optimizer.rates(torch.from_numpy(lrs)[:, :, None], updates[:, :, None].double())
        return [_sent(rate.float(), self.task.device).unbind(0) for rate in rates]

    def _predictions(self, live: Live, split: Split) -> list[Predictions]:
        """Each lane's predictions on a split.

        A pass takes about as many samples as an iteration, so that it needs no more memory; the last is filled up with
        copies of the last sample, so that all lanes lie alike in memory.
        """
        task = self.task
        size = ALIGNMENT * -(-min(BATCH, max(task.batch_size, 64)) // ALIGNMENT)
        parts = []
        for first in range(0, len(split), size):
            filled = torch.arange(first, min(first + size, len(split) + -len(split) % ALIGNMENT), device=task.device)
            inputs = task.data.decode(split.inputs.index_select(0, filled.clamp_(max=len(split) - 1)))
            parts.append(self.network.outputs(inputs.movedim(0, -1).expand(len(live), *inputs.shape[1:], -1), live))
        outputs = torch.cat(parts, -1)[..., : len(split)]
        totals = torch.zeros(len(live), dtype=torch.float64)
        for part, wanted in zip(outputs.split(BATCH, -1), split.targets.split(BATCH), strict=True):
            totals += losses(task, part, wanted.expand(len(live), *wanted.shape)).cpu() * len(wanted)
        lanes = zip(outputs.movedim(-1, 1).cpu(), (totals / len(split)).tolist(), strict=True)
        return [Predictions(lane.contiguous(), split.targets.cpu(), loss) for lane, loss in lanes]

    def _index(self, lanes: Sequence[int]) -> Tensor:
        return torch.tensor(lanes, device=self.task.device)


def _evaluate(task: Task, stack: Stack, lanes: Sequence[Lane]) -> None:
    """Evaluate the lanes that have come to an evaluation, or find that they have diverged."""
    due = [row for row, lane in enumerate(lanes) if lane.diverged_at is None and is_evaluated(task, lane.step)]
    if not due:
        return
    finite = stack.finite()
    seen = {}
    for row in due:
        lane = lanes[row]
        seen[row], lane.since_evaluation = lane.since_evaluation, TrainingLoss()
        if seen[row].lowest > task.divergence_factor * lane.start.initial_loss or not finite[row]:
            lane.diverged_at = lane.step
    for last in (False, True):
        rows = [row for row in due if lanes[row].diverged_at is None and (lanes[row].step == task.steps) == last]
        if not rows:
            continue
        splits = [task.data.val, task.data.test, *([train_subset(task)] if last else [])]
        for row, predictions in zip(rows, stack.predictions(rows, splits), strict=True):
            lane = lanes[row]
            val, test, *train = predictions
            evaluation = Evaluation(lane.step, seen[row].mean, val, test, train[0] if train else None)
            if evaluation.is_finite:
                lane.evaluations.append(evaluation)
            else:
                lane.diverged_at = lane.step


def _laid_out(tensor: Tensor) -> Tensor:
    """A copy with the strides that the serial engine has, whose optimizers step through memory without asking."""
    return tensor.clone(memory_format=torch.channels_last if tensor.dim() == 4 else torch.contiguous_format)


def _by_name(
    names: Sequence[str] | Mapping[str, Any], kept: Mapping[int, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """An optimizer's state by the name of the parameter."""
    return {name: kept[index] for index, name in enumerate(names) if index in kept}


def _sent(table: Tensor, device: torch.device) -> Tensor:
    """A table on the device, without waiting for it."""
    if device.type == "cuda":
        table = table.pin_memory()
    return table.to(device, non_blocking=True)
