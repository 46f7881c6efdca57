"""Lookahead: k steps forward, one step back (Zhang et al., arXiv 1907.08610)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.engine.modifier import Memory, Modifier
from lrbench.errors import TaskError
from lrbench.modifiers.registry import register_modifier
from lrbench.policy.kind import Bounds
from lrbench.policy.parameter import count, number

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lrbench.engine import Training
    from lrbench.tasks import Task


def step_back(slow: Tensor, fast: Tensor, alpha: float) -> Tensor:
    """Move the slow weights after k fast steps: slow + alpha * (fast - slow); the fast weights go on from there."""
    return slow.lerp(fast, alpha)


@register_modifier
@dataclass(frozen=True)
class Lookahead(Modifier):
    """Every k iterations, go back to a point between the weights of k iterations ago and those of now.

    It remembers one copy of the weights, the slow ones, which begin at the initial weights and are what is evaluated.
    Optimizer state is left alone (the paper's variant without a reset of momentum), and batch normalisation's running
    statistics are those of the fast weights. Where another modifier replaces the weights, the slow ones follow.
    """

    rank = 20
    takes_modes = False
    family = "short-cycle"

    k: int = count("fast steps between two steps back", low=1, unit="iterations", default=5)
    alpha: float = number("share of the way that is kept", bounds=Bounds(0.0, 1.0, low_open=True), default=0.5)

    def check(self, task: Task) -> None:
        if self.k > task.steps:
            raise TaskError(f"{self} steps back after every {self.k} iterations, and the budget is {task.steps}")

    def begin(self, training: Training) -> Memory:
        return {"position": 0, "slow": dict(training.weights)}

    def after_step(self, training: Training, memory: Memory) -> None:
        memory["position"] += 1
        if memory["position"] < self.k:
            return
        slow = {name: step_back(memory["slow"][name], fast, self.alpha) for name, fast in training.weights.items()}
        for name, weight in training.weights.items():
            weight.copy_(slow[name])
        memory.update(position=0, slow=slow, steps_back=memory.get("steps_back", 0) + 1)

    def facts(self, memory: Mapping[str, Any]) -> Mapping[str, str | float]:
        return {"steps_back": memory.get("steps_back", 0)}

    def after_replacement(self, training: Training, memory: Memory) -> None:
        memory.update(position=0, slow={name: weight.clone() for name, weight in training.weights.items()})

    def evaluated(self, training: Training, memory: Memory, module: nn.Module) -> nn.Module:
        from lrbench.engine.network_copy import copy_with_weights

        return copy_with_weights(module, {name: memory["slow"][name] for name in training.weights})
