"""The part of a network that is trained, and its inputs: all of it, and batches of the train split."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lrbench.engine.batches import train_inputs
from lrbench.engine.flops import step_flops
from lrbench.engine.state import Flops

if TYPE_CHECKING:
    from lrbench.tasks import Task
    from lrbench.tasks.split import Batch


class Trainable:
    """The whole network, with batches of the train split as its inputs.

    A modifier that trains a part of a network passes a subclass to `Training.train_only`.

    Attributes:
        ahead, trained: the network in two, as `split` cuts it.
        features: inputs of the trained part that are kept, since they follow from the rest of the state; None for none.
        waiting: the names of the parameters that are frozen until a later iteration.
    """

    features: Tensor | None = None
    waiting: frozenset[str] = frozenset()

    def __init__(self, task: Task, network: nn.Module, seed: int) -> None:
        self.task = task
        self.seed = seed
        self.ahead, self.trained = self.split(network)
        self._generator = torch.Generator()

    def wait_for(self, waiting: frozenset[str]) -> None:
        """Note the parameters that are frozen until a later iteration, by which the cost of this one is counted."""
        if waiting != self.waiting:
            self.waiting = waiting
            vars(self).pop("flops", None)

    @cached_property
    def flops(self) -> Flops:
        """The floating-point operations of an iteration."""
        return step_flops(self.task, self.waiting)

    def split(self, network: nn.Module) -> tuple[nn.Module, nn.Module]:
        """Cut a network like this one into the part ahead of the trained one, in eval mode, and the trained part."""
        return nn.Identity(), network

    def inputs(self, step: int, batch: Batch) -> Any:
        """Return the inputs of the trained part in iteration `step`, for a batch of the train split."""
        return self.task.data.decode(train_inputs(self.task, self.seed, step, batch.inputs, self._generator))
