"""The floating-point operations of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lrbench.engine.batches import in_micro_batches
from lrbench.engine.evaluation import forward
from lrbench.engine.state import Flops
from lrbench.reproducible import deterministic
from lrbench.tasks.remembered import once_per_task

if TYPE_CHECKING:
    from lrbench.tasks import Task


@once_per_task
def step_flops(task: Task) -> Flops:
    """Count the floating-point operations of one training iteration, forward and backward apart.

    Torch's counter counts those of one real batch: matrix products and convolutions, a multiply-add as two operations.
    """
    with deterministic():
        module = task.network()
        return counted_flops(task, module, task.data.decode(task.data.train.inputs[: task.batch_size]))


def counted_flops(task: Task, module: nn.Module, inputs: Tensor) -> Flops:
    """Count the operations of a training step of a module on these inputs, which are those of the first batch."""
    found = Flops()
    for part, targets in in_micro_batches(task, inputs, task.data.train.targets[: task.batch_size]):
        with FlopCounterMode(display=False) as counter:
            loss = task.loss(forward(task, module, part), targets)
            forwards = counter.get_total_flops()
            loss.backward()
            found += Flops(forwards, counter.get_total_flops() - forwards)
    return found
