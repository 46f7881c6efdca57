"""What a step of training costs, counted."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from lrbench.engine.evaluation import forward
from lrbench.engine.frozen import split_network
from lrbench.engine.state import Flops, Frozen

if TYPE_CHECKING:
    from lrbench.tasks import Task


@lru_cache(maxsize=64)
def step_flops(task: Task, frozen: Frozen) -> Flops:
    """The floating-point operations of one training iteration, forward and backward apart.

    Counted by torch's own counter over one real batch, once a task: it sees matrix products and convolutions, a
    multiply-add as two operations. Frozen units cost their forward pass, unless their outputs are stored.
    """
    train = task.data.train
    with torch.random.fork_rng():
        module = task.model().to(task.device).train()
        inputs = task.data.decode(train.inputs[: task.batch_size])
        ahead = Flops()
        if frozen.units:
            prefix, module = split_network(module, frozen.units)
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                inputs = forward(task, prefix.eval(), inputs)
            ahead = Flops(forward=0 if frozen.stored else counter.get_total_flops())
        with FlopCounterMode(display=False) as counter:
            loss = task.loss(forward(task, module, inputs), train.targets[: task.batch_size])
            forwards = counter.get_total_flops()
            loss.backward()  # type: ignore[no-untyped-call]
            return ahead + Flops(forwards, counter.get_total_flops() - forwards)
