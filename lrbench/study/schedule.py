"""A policy bound to the budget of a task."""

from __future__ import annotations

from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lrbench.policy import Policy
    from lrbench.tasks import AnyTask


class Schedule:
    """A policy at a base-LR scale on a task: what runs that differ in their seeds share.

    Attributes:
        policy: bound to the task's budget.
        digest: the hash of the learning rates of all iterations, or of the text of a reactive policy.
    """

    def __init__(self, task: AnyTask, policy: Policy) -> None:
        self.policy = task.bind(policy)
        self._steps = task.steps

    @cached_property
    def digest(self) -> str:
        hashed = str(self.policy).encode() if self.policy.reacts else computed_lrs(self.policy, self._steps).data
        return blake2b(hashed, digest_size=16).hexdigest()


def computed_lrs(policy: Policy, steps: int) -> NDArray[np.float64]:
    """Compute the learning rates of all iterations as they are hashed."""
    return policy.lrs(0, steps).astype("<f8", order="C")
