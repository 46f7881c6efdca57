"""K runs that are trained together: what one iteration does to all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from lrbench.engine.batches import batch_indices, train_inputs
from lrbench.engine.evaluation import Predictions
from lrbench.engine.stacked.lanes import ALIGNMENT, LaneTensors
from lrbench.engine.stacked.network import Network, losses, stacked_network
from lrbench.engine.stacked.optimizers import STACKED, Rows
from lrbench.reproducible import threads
from lrbench.streams import stream_seed
from lrbench.tasks.nested import sent
from lrbench.tasks.task import EVALUATION_BATCH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lrbench.engine.state import State
    from lrbench.tasks import Split, Task

T = TypeVar("T")
Place = tuple[int, int]
"""The seed of a lane, and its step."""

PLANNED = 256
"""Iterations whose batches and learning rates are laid out at once."""
LANES_APART = 8
"""The fewest lanes that are worth a thread of Python's: with fewer, it waits long for the Python of others."""
LANES_A_THREAD = 4
"""With fewer, the products of a lane's matrices are divided among threads, and their sums are other sums."""


class Stack:
    """K runs that are trained together."""

    def __init__(self, task: Task, states: Sequence[State]) -> None:
        self.task = task
        network = stacked_network(task)
        assert isinstance(network, Network), network
        self.network, layout = network, network.layout
        self.optimizer = STACKED[type(task.optimizer)](task.optimizer)
        self.live = LaneTensors.of(layout, [state.model for state in states], task.device)
        kept = [_by_name(layout.shapes, state.optimizer) for state in states]
        self.slots = {
            slot: layout.rows([{name: of[slot] for name, of in lane.items()} for lane in kept], task.device)
            for slot in self.optimizer.slots
        }
        self._threads = torch.get_num_threads()
        self.updates = [max((int(of.get("step", 0)) for of in lane.values()), default=0) for lane in kept]

    def run(self, seeds: Sequence[int], steps: Sequence[int], lrs: NDArray[np.float64]) -> list[list[float]]:
        """Train with the learning rates [iterations, K], and return the losses, [K][iterations]."""

        def train(part: slice) -> list[list[float]]:
            live, found = self.live.part(part), []
            slots = {slot: rows[part] for slot, rows in self.slots.items()}
            for first in range(0, len(lrs), PLANNED):
                places = [(seed, step + first) for seed, step in zip(seeds[part], steps[part], strict=True)]
                rates = self._rates(lrs[first : first + PLANNED, part], [done + first for done in self.updates[part]])
                found += self._run(live, slots, places, rates)
            losses: list[list[float]] = torch.stack(found, 1).tolist()
            return losses

        losses = self._in_parts(train, len(self.live))
        self.updates = [updates + len(lrs) for updates in self.updates]
        return [of_lane for of_part in losses for of_lane in of_part]

    def predictions(self, lanes: Sequence[int], splits: Sequence[Split]) -> list[list[Predictions]]:
        """Return the predictions of each of some lanes on each split."""
        chosen = self.live if len(lanes) == len(self.live) else self.live.only(self._index(lanes))

        def predict(part: slice) -> list[tuple[Predictions, ...]]:
            live = chosen.part(part)
            live.training = False
            with torch.inference_mode():
                return list(zip(*(self._predictions(live, split) for split in splits), strict=True))

        return [list(of_lane) for of_part in self._in_parts(predict, len(lanes)) for of_lane in of_part]

    def keep(self, lanes: Sequence[int]) -> None:
        """Keep some of the lanes only."""
        index = self._index(lanes)
        self.live = self.live.only(index)
        self.slots = {slot: rows.index_select(0, index) for slot, rows in self.slots.items()}
        self.updates = [self.updates[lane] for lane in lanes]

    def model(self, lane: int) -> dict[str, Tensor]:
        """Copy a lane's parameters and buffers, as torch's `state_dict` has them."""
        kept = {**self.live.weights, **self.live.buffers}
        return {name: _laid_out(kept[name][lane]) for name in self.network.names}

    def optimizer_state(self, lane: int) -> dict[int, dict[str, Any]]:
        """Copy a lane's optimizer state, as torch's `state_dict()["state"]` has it."""
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

    def _in_parts(self, work: Callable[[slice], T], lanes: int) -> list[T]:
        """Divide lanes among torch's threads, and do the work of each part; return the results in order.

        Threads of Python's go their own ways, where those of torch's wait for one another after each operation. What
        draws from global generators stays in one.
        """
        alone = self.task.device.type != "cpu" or self.task.augments_elsewhere
        count = 1 if alone else max(1, min(self._threads, lanes // LANES_APART))
        bounds = [lanes * part // count for part in range(count + 1)]

        def carry_out(part: slice) -> T:
            with threads(max(1, min(self._threads // count, (part.stop - part.start) // LANES_A_THREAD))):
                return work(part)

        parts = [slice(*ends) for ends in pairwise(bounds)]
        if count == 1:
            return [carry_out(*parts)]
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(carry_out, parts))

    def _run(
        self, live: LaneTensors, slots: Rows, places: Sequence[Place], rates: Sequence[Sequence[Tensor]]
    ) -> list[Tensor]:
        """Train without waiting for the device, and return the losses [K] of each iteration."""
        task, found, augmentation = self.task, [], torch.Generator()
        with torch.no_grad():
            for iteration, (indices, now) in enumerate(zip(self._batches(places, len(rates)), rates, strict=True)):
                here = [(seed, step + iteration) for seed, step in places]
                if self.network.uses_dropout:
                    for generator, (seed, step) in zip(live.generators, here, strict=True):
                        generator.manual_seed(stream_seed(seed, "forward", step))
                inputs = self._inputs(here, indices, augmentation)
                targets = task.data.train.targets.index_select(0, indices.view(-1))
                targets = targets.view(*indices.shape, *targets.shape[1:])
                found.append(self._clipped(live, self.network.backpropagate(task, inputs, targets, live)))
                self.optimizer.update(live.rows, live.gradient_rows, slots, now)
        return found

    def _clipped(self, live: LaneTensors, found: Tensor) -> Tensor:
        """Clip each lane's gradients, and return its loss [K], NaN where their norm is not finite."""
        gradients, limit = live.gradient_rows, self.task.clip_norm
        if limit is not None:
            norms = gradients.norm(dim=1)
            # The small number is that of torch's clip_grad_norm_.
            gradients.mul_((limit / (norms + 1e-6)).clamp_(max=1)[:, None])
            found = torch.where(norms.isfinite(), found, math.nan)
        if self.task.clip_value is not None:
            gradients.clamp_(-self.task.clip_value, self.task.clip_value)
        return found

    def _inputs(self, places: Sequence[Place], indices: Tensor, augmentation: torch.Generator) -> Tensor:
        """Return the decoded batches [K, ..., B] of one iteration."""
        stored = self.task.data.train.inputs
        if not self.task.augment:
            samples = stored.index_select(0, indices.view(-1))
        else:
            samples = torch.cat(
                [
                    train_inputs(self.task, seed, step, stored[batch], augmentation)
                    for (seed, step), batch in zip(places, indices, strict=True)
                ]
            )
        inputs: Tensor = self.task.data.decode(samples)
        return inputs.view(*indices.shape, *inputs.shape[1:]).movedim(1, -1)

    def _batches(self, places: Sequence[Place], iterations: int) -> Iterator[Tensor]:
        """Yield the sample indices [K, B] of each iteration, on the data's device."""
        drawn = {place: batch_indices(self.task, *place, place[1] + iterations) for place in dict.fromkeys(places)}
        yield from sent(torch.stack([drawn[place] for place in places], 1), self.task.device)

    def _rates(self, lrs: NDArray[np.float64], updates: Sequence[int]) -> list[tuple[Tensor, ...]]:
        """Return the numbers that the optimizer needs of the learning rates, each [K, 1], by iteration.

        Args:
            updates: the number of updates of each lane before.
        """
        numbers = torch.arange(1, len(lrs) + 1)[:, None] + torch.tensor(updates)
        rates = self.optimizer.rates(torch.from_numpy(lrs)[:, :, None], numbers[:, :, None].double())
        return list(zip(*(sent(rate.float(), self.task.device).unbind(0) for rate in rates), strict=True))

    def _predictions(self, live: LaneTensors, split: Split) -> list[Predictions]:
        """Return each lane's predictions on a split.

        A pass takes about as many samples as an iteration, so that it needs no more memory. The last is filled up with
        copies of the last sample, so that all lanes lie alike in memory.
        """
        task = self.task
        size = ALIGNMENT * -(-min(EVALUATION_BATCH, max(task.batch_size, 64)) // ALIGNMENT)
        parts = []
        for first in range(0, len(split), size):
            filled = torch.arange(first, min(first + size, len(split) + -len(split) % ALIGNMENT), device=task.device)
            inputs = task.data.decode(split.inputs.index_select(0, filled.clamp_(max=len(split) - 1)))
            parts.append(self.network.outputs(inputs.movedim(0, -1).expand(len(live), *inputs.shape[1:], -1), live))
        outputs = torch.cat(parts, -1)[..., : len(split)]
        totals = torch.zeros(len(live), dtype=torch.float64)
        for part, wanted in zip(
            outputs.split(EVALUATION_BATCH, -1), split.targets.split(EVALUATION_BATCH), strict=True
        ):
            totals += losses(task.loss, part, wanted.expand(len(live), *wanted.shape)).cpu() * len(wanted)
        lanes = zip(outputs.movedim(-1, 1).cpu(), (totals / len(split)).tolist(), strict=True)
        return [Predictions(lane.contiguous(), split.targets.cpu(), loss) for lane, loss in lanes]

    def _index(self, lanes: Sequence[int]) -> Tensor:
        return torch.tensor(lanes, device=self.task.device)


def _laid_out(tensor: Tensor) -> Tensor:
    """Copy a tensor with the strides of the serial engine, whose optimizers walk through memory in its order."""
    return tensor.clone(memory_format=torch.channels_last if tensor.dim() == 4 else torch.contiguous_format)


def _by_name(names: Iterable[str], kept: Mapping[int, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return an optimizer's state by the name of the parameter."""
    return {name: kept[index] for index, name in enumerate(names) if index in kept}
