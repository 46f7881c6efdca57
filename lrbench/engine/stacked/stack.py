"""K runs that are trained together: what one iteration does to all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lrbench.engine.batches import batch_indices, train_inputs
from lrbench.engine.evaluation import Predictions
from lrbench.engine.stacked.lanes import ALIGNMENT, LaneTensors
from lrbench.engine.stacked.network import Network, losses, stacked_network
from lrbench.engine.stacked.optimizers import STACKED
from lrbench.reproducible import threads
from lrbench.streams import stream_seed
from lrbench.tasks.nested import sent
from lrbench.tasks.task import EVALUATION_BATCH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lrbench.engine.state import State
    from lrbench.tasks import Split, Task

PLANNED = 256
"""Iterations whose batches and learning rates are laid out at once."""
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
        self.updates = [max((int(of.get("step", 0)) for of in lane.values()), default=0) for lane in kept]
        self._augmentation = torch.Generator()

    def run(self, seeds: Sequence[int], steps: Sequence[int], lrs: NDArray[np.float64]) -> list[list[float]]:
        """Train with the learning rates [iterations, K], and return the losses, [K][iterations]."""
        found = []
        with _threads_for(len(self.live)):
            for first in range(0, len(lrs), PLANNED):
                planned = lrs[first : first + PLANNED]
                found += self._run(seeds, [step + first for step in steps], planned)
                self.updates = [updates + len(planned) for updates in self.updates]
        losses: list[list[float]] = torch.stack(found, 1).tolist()
        return losses

    def predictions(self, lanes: Sequence[int], splits: Sequence[Split]) -> list[list[Predictions]]:
        """Return the predictions of each of some lanes on each split."""
        live = self.live if len(lanes) == len(self.live) else self.live.only(self._index(lanes))
        live.training = False
        with torch.inference_mode(), _threads_for(len(live)):
            found = [self._predictions(live, split) for split in splits]
        live.training = True
        return [list(of_lane) for of_lane in zip(*found, strict=True)]

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

    def _run(self, seeds: Sequence[int], steps: Sequence[int], lrs: NDArray[np.float64]) -> list[Tensor]:
        """Train without waiting for the device, and return the losses [K] of each iteration."""
        live, task = self.live, self.task
        found = []
        rates = self._rates(lrs)
        with torch.no_grad():
            for iteration, indices in enumerate(self._batches(seeds, steps, len(lrs))):
                if self.network.uses_dropout:
                    for generator, seed, step in zip(live.generators, seeds, steps, strict=True):
                        generator.manual_seed(stream_seed(seed, "forward", step + iteration))
                inputs = self._inputs(seeds, steps, iteration, indices)
                targets = task.data.train.targets.index_select(0, indices.view(-1))
                targets = targets.view(*indices.shape, *targets.shape[1:])
                found.append(self._clipped(self.network.backpropagate(task, inputs, targets, live)))
                self.optimizer.update(live.rows, live.gradient_rows, self.slots, [rate[iteration] for rate in rates])
        return found

    def _clipped(self, found: Tensor) -> Tensor:
        """Clip each lane's gradients, and return its loss [K], NaN where their norm is not finite."""
        gradients, limit = self.live.gradient_rows, self.task.clip_norm
        if limit is not None:
            norms = gradients.norm(dim=1)
            # The small number is that of torch's clip_grad_norm_.
            gradients.mul_((limit / (norms + 1e-6)).clamp_(max=1)[:, None])
            found = torch.where(norms.isfinite(), found, math.nan)
        if self.task.clip_value is not None:
            gradients.clamp_(-self.task.clip_value, self.task.clip_value)
        return found

    def _inputs(self, seeds: Sequence[int], steps: Sequence[int], iteration: int, indices: Tensor) -> Tensor:
        """Return the decoded batches [K, ..., B] of one iteration."""
        stored = self.task.data.train.inputs
        if not self.task.augment:
            samples = stored.index_select(0, indices.view(-1))
        else:
            samples = torch.cat(
                [
                    train_inputs(self.task, seed, step + iteration, stored[batch], self._augmentation)
                    for seed, step, batch in zip(seeds, steps, indices, strict=True)
                ]
            )
        inputs: Tensor = self.task.data.decode(samples)
        return inputs.view(*indices.shape, *inputs.shape[1:]).movedim(1, -1)

    def _batches(self, seeds: Sequence[int], steps: Sequence[int], iterations: int) -> Iterator[Tensor]:
        """Yield the sample indices [K, B] of each iteration, on the data's device."""
        places = list(zip(seeds, steps, strict=True))
        drawn = {place: batch_indices(self.task, *place, place[1] + iterations) for place in dict.fromkeys(places)}
        yield from sent(torch.stack([drawn[place] for place in places], 1), self.task.device)

    def _rates(self, lrs: NDArray[np.float64]) -> list[tuple[Tensor, ...]]:
        """Return the numbers that the optimizer needs of the learning rates, each [K, 1] an iteration."""
        updates = torch.arange(1, len(lrs) + 1)[:, None] + torch.tensor(self.updates)
        rates = self.optimizer.rates(torch.from_numpy(lrs)[:, :, None], updates[:, :, None].double())
        return [sent(rate.float(), self.task.device).unbind(0) for rate in rates]

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


def _threads_for(lanes: int) -> AbstractContextManager[None]:
    """Set the number of torch's threads to one that divides the lanes among them, each lane's sums undivided."""
    return threads(max(1, min(torch.get_num_threads(), lanes // LANES_A_THREAD)))


def _laid_out(tensor: Tensor) -> Tensor:
    """Copy a tensor with the strides of the serial engine, whose optimizers walk through memory in its order."""
    return tensor.clone(memory_format=torch.channels_last if tensor.dim() == 4 else torch.contiguous_format)


def _by_name(names: Iterable[str], kept: Mapping[int, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return an optimizer's state by the name of the parameter."""
    return {name: kept[index] for index, name in enumerate(names) if index in kept}
