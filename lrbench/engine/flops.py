"""The floating-point operations of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils import flop_counter
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from lrbench.engine.batches import in_micro_batches
from lrbench.engine.evaluation import forward
from lrbench.engine.state import Flops
from lrbench.reproducible import deterministic, uncompiled
from lrbench.tasks.remembered import once_per_task

if TYPE_CHECKING:
    from lrbench.tasks import Task


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))


ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Attention on the CPU, which torch's counter knows on other devices alone."""


_MODE: Any = getattr(flop_counter, "_FlopCounterMode", FlopCounterMode)
COUNTING = _MODE.__torch_dispatch__
"""What torch's counter does at each operation."""


@contextmanager
def counted() -> Iterator[FlopCounterMode]:
    """Count the floating-point operations that are computed meanwhile."""
    with uncompiled(COUNTING), FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        yield counter


def step_flops(task: Task, frozen: frozenset[str] = frozenset()) -> Flops:
    """Count the floating-point operations of one training iteration, forward and backward apart.

    The parameters whose names are in `frozen` need no gradients.

    Torch's counter counts those of one real batch: matrix products, convolutions and attention, a multiply-add as two
    operations.
    """
    return _step_flops(task, frozen)


@once_per_task
def _step_flops(task: Task, frozen: frozenset[str]) -> Flops:
    with deterministic():
        module = task.network()
        for name in frozen:
            module.get_parameter(name).requires_grad_(False)
        batch = task.data.train.first(task.batch_size)
        with task.data.naming_labels(task.data.train, batch):
            return counted_flops(task, module, task.data.decode(batch.inputs), batch.targets)


def counted_flops(task: Task, module: nn.Module, inputs: Any, targets: Any) -> Flops:
    """Count the operations of a training step of a module on a batch: the first one, where batches differ in size."""
    found = Flops()
    for part, wanted, _ in in_micro_batches(task, inputs, targets):
        with counted() as counter:
            loss = task.loss(forward(task, module, part), wanted)
            forwards = counter.get_total_flops()
            loss.backward()
            found += Flops(forwards, counter.get_total_flops() - forwards)
    return found
