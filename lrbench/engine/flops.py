"""What a step of training costs, counted."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from lrbench.engine.evaluation import forward
from lrbench.engine.state import Flops

if TYPE_CHECKING:
    from lrbench.tasks import Task


@lru_cache(maxsize=8)
def step_flops(task: Task) -> Flops:
    """The floating-point operations of one training iteration, forward and backward apart.

    Counted by torch's own counter over one real batch, once a task: it sees matrix products and convolutions, a
    multiply-add as two operations.
    """
    with torch.random.fork_rng():
        module = task.model().to(task.device).train()
        train = task.data.train
        inputs = task.data.decode(train.inputs[: task.batch_size])
        with FlopCounterMode(display=False) as counter:
            loss = task.loss(forward(task, module, inputs), train.targets[: task.batch_size])
            ahead = counter.get_total_flops()
            loss.backward()  # type: ignore[no-untyped-call]
            return Flops(ahead, counter.get_total_flops() - ahead)
