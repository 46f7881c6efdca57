"""DEMON: decaying momentum (Chen, Wolfe, Li and Kyrillidis, arXiv 1910.04952).

The formula is verified in secondary sources that state the paper's. It is the beta_t that solves

    beta_t / (1 - beta_t) = (1 - t/T) * beta / (1 - beta),

where beta / (1 - beta) is what a gradient adds to all later updates: that falls linearly to 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.engine.modifier import Memory, Modifier
from lrbench.errors import TaskError
from lrbench.modifiers.registry import register_modifier
from lrbench.policy.kind import Bounds
from lrbench.policy.parameter import number

if TYPE_CHECKING:
    from lrbench.engine import Training
    from lrbench.tasks import Task


def decayed(beta: float, step: int, steps: int) -> float:
    """Compute the momentum of the update from `step` to `step + 1` of a budget of `steps`, which begins at `beta`.

    >>> [round(decayed(0.9, step, 4), 3) for step in range(5)]
    [0.9, 0.871, 0.818, 0.692, 0.0]
    """
    left = 1 - step / steps
    return beta * left / ((1 - beta) + beta * left)


@register_modifier
@dataclass(frozen=True)
class DEMON(Modifier):
    """Decaying momentum: from iteration to iteration it falls to 0 at the end of the budget (arXiv 1910.04952).

    It sets the momentum of SGD and its kin, or the first beta of Adam and its kin, in place of the optimizer's own.
    Both stay torch's: Adam has its factor 1 - beta on the gradient and its correction of the bias, which the paper's
    Adam has not. The learning rate is left alone.
    """

    rank = 50
    takes_modes = False

    beta: float = number("momentum of the first iteration", bounds=Bounds(0.0, 1.0, high_open=True), default=0.9)

    def check(self, task: Task) -> None:
        """Refuse an optimizer that has no momentum, by a TaskError."""
        if not all(group.get("momentum") or "betas" in group for group in task.built_optimizer.groups):
            raise TaskError(f"{self} decays momentum, and {task.optimizer} of task '{task.name}' has none")

    def before_step(self, training: Training, memory: Memory) -> None:
        beta = decayed(self.beta, training.step, training.task.steps)
        for group in training.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (beta, *group["betas"][1:])
            else:
                group["momentum"] = beta
