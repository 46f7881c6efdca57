"""What training costs, counted."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from lrbench.engine.evaluation import forward
from lrbench.engine.frozen import extends, feature_batches, split_network
from lrbench.engine.state import Flops, Frozen
from lrbench.engine.units import units_of
from lrbench.reproducible import callers_generators

if TYPE_CHECKING:
    from lrbench.tasks import Task


@lru_cache(maxsize=64)
def step_flops(task: Task, frozen: Frozen) -> Flops:
    """The floating-point operations of one training iteration, forward and backward apart.

    Counted by torch's own counter over one real batch, once a task: it sees matrix products and convolutions, a
    multiply-add as two operations. Frozen units cost their forward pass, unless their outputs are stored.
    """
    train = task.data.train
    with callers_generators():
        module = task.network()
        inputs = task.data.decode(train.inputs[: task.batch_size])
        ahead = Flops()
        if frozen.units:
            prefix, module = split_network(module, frozen.units)
            with torch.no_grad():
                inputs = forward(task, prefix.eval(), inputs)
            ahead = Flops() if frozen.stored else Flops(forward=sum(_unit_flops(task)[: frozen.units]))
        with FlopCounterMode(display=False) as counter:
            loss = task.loss(forward(task, module, inputs), train.targets[: task.batch_size])
            forwards = counter.get_total_flops()
            loss.backward()
            return ahead + Flops(forwards, counter.get_total_flops() - forwards)


def features_flops(task: Task, frozen: Frozen, before: Frozen) -> Flops:
    """What computing the outputs of frozen units over the train split costs, where those of `before` are stored."""
    if not frozen.stored:
        return Flops()
    first = before.units if extends(frozen, before) else 0
    batch = Flops(forward=sum(_unit_flops(task)[first : frozen.units]))
    return batch * len(feature_batches(task)) * frozen.views


@lru_cache(maxsize=64)
def _unit_flops(task: Task) -> tuple[int, ...]:
    """What each unit costs one batch, forward."""
    costs = []
    with callers_generators(), torch.no_grad():
        outputs = task.data.decode(task.data.train.inputs[: task.batch_size])
        for unit in units_of(task.network().eval()):
            with FlopCounterMode(display=False) as counter:
                outputs = forward(task, unit, outputs)
                costs.append(counter.get_total_flops())
    return tuple(costs)
