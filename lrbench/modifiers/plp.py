"""PLP: parameter linear prediction (Ying et al., arXiv 2310.10958; Scientific Reports 14:15197, 2024).

The formula is verified from a secondary source, a third-party port that states the paper's; the paper's step factor is
fixed to 1. That weights and biases are predicted (batch normalisation's scale and shift among them), and running
statistics and the optimizer's velocity are not, is our reading. The paper's claim, also secondary: about 1% more
accuracy on CIFAR-100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.engine.modifier import Control, Memory, Modifier
from lrbench.errors import TaskError
from lrbench.modifiers.registry import register_modifier
from lrbench.policy import Policy

if TYPE_CHECKING:
    from torch import Tensor

    from lrbench.engine import Training
    from lrbench.tasks import Task

CYCLE = 3
"""Iterations of a prediction cycle."""

PLP_CONTROL_SCALE = 7 / 6
"""The factor by which PLP goes farther than plain training where the gradient stays the same.

Let every update of the optimizer be u. Then p1 = p0 + u, p2 = p0 + 2u, p3 = p0 + 3u, and the prediction is
p3 + (p2 - p1) / 2 = p0 + 3.5u: a cycle of 3 iterations moves 3.5 updates, as plain training does at an LR times 7/6.
"""


def half_move(p1: Tensor, p2: Tensor) -> Tensor:
    """Compute half the way from p1 to p2, which is added to p3."""
    return (p2 - p1) / 2


def predicted(p1: Tensor, p2: Tensor, p3: Tensor) -> Tensor:
    """Predict the next weights of three in a row: (p2 + p3)/2 + ((p2 + p3)/2 - (p1 + p2)/2), which is p3 + (p2 - p1)/2.

    p1, p2, p3: the weights after the first, second and third iteration of a cycle, of any one shape.
    """
    return p3 + half_move(p1, p2)


def plp_control(policy: Policy) -> Policy:
    """Scale a policy for the plain training beside PLP: a gain that it shows too is one of the learning rate."""
    return policy.scaled(PLP_CONTROL_SCALE)


@register_modifier
@dataclass(frozen=True)
class PLP(Modifier):
    """After every third iteration, go on from the weights that the last three predict.

    It remembers one copy of the weights: the first of a cycle, then half the way to the second. Optimizer state is left
    alone. A replacement of the weights by another modifier begins a new cycle, for a line through a jump predicts
    nothing. Its control is plain training under `plp_control(policy)`: PLP is partly a learning rate times 7/6.

    The formula is verified from a secondary source; see this module.
    """

    rank = 10
    family = "short-cycle"
    control = Control("plp_control", PLP_CONTROL_SCALE, "the same without PLP, at 7/6 of the learning rates")

    def check(self, task: Task) -> None:
        if task.steps < CYCLE:
            raise TaskError(f"{self} predicts after every {CYCLE} iterations, and the budget is {task.steps}")

    def begin(self, training: Training) -> Memory:
        return {"position": 0, "history": {}}

    def after_step(self, training: Training, memory: Memory) -> None:
        position, history, weights = memory["position"], memory["history"], training.weights
        if position == 0:
            memory["history"] = {name: weight.clone() for name, weight in weights.items()}
        elif position == 1:
            memory["history"] = {name: half_move(history[name], weight) for name, weight in weights.items()}
        else:
            for name, weight in weights.items():
                weight.add_(history[name])
            memory["history"] = {}
        memory["position"] = (position + 1) % CYCLE

    def after_replacement(self, training: Training, memory: Memory) -> None:
        memory.update(position=0, history={})
