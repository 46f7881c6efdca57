"""PLP: parameter linear prediction (Ying et al., arXiv 2310.10958; Scientific Reports 14:15197, 2024).

The formula is verified from a secondary source, a third-party port that states the paper's; the paper's step factor is
fixed to 1. That weights and biases are predicted (batch normalisation's scale and shift among them), and running
statistics and the optimizer's velocity are not, is our reading. The paper's claim, also secondary: about 1% more
accuracy on CIFAR-100.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.engine.modifier import Control, Memory, Modifier
from lrbench.errors import TaskError
from lrbench.modifiers.registry import register_modifier
from lrbench.policy import Policy
from lrbench.streams import stream_seed

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


def noise_like(move: Tensor, seed: int) -> Tensor:
    """Draw Gaussian noise whose norm is that of a move, in a direction that follows from the seed alone."""
    import torch

    noise = torch.randn(move.shape, generator=torch.Generator().manual_seed(seed)).to(move)
    noise *= move.norm() / noise.norm()
    return noise


def plp_control(policy: Policy) -> Policy:
    """Scale a policy for the plain training beside PLP: a gain that it shows too is one of the learning rate."""
    return policy.scaled(PLP_CONTROL_SCALE)


class _EveryThird(Modifier):
    """A modifier that moves the weights after every third iteration, by what they moved in the second.

    It remembers one copy of the weights: the first of a cycle, then half the way to the second. Optimizer state is left
    alone. A replacement of the weights by another modifier begins a new cycle, for a line through a jump predicts
    nothing.
    """

    rank = 10
    takes_modes = False
    family = "short-cycle"

    def moved(self, training: Training, name: str, half: Tensor) -> Tensor:
        """Return the move of a weight, from half the way of the second iteration."""
        return half

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
                weight.add_(self.moved(training, name, history[name]))
            memory["history"] = {}
            memory["moves"] = memory.get("moves", 0) + 1
        memory["position"] = (position + 1) % CYCLE

    def after_replacement(self, training: Training, memory: Memory) -> None:
        memory.update(position=0, history={})

    def facts(self, memory: Mapping[str, Any]) -> Mapping[str, str | float]:
        return {"moves": memory.get("moves", 0)}


@register_modifier
@dataclass(frozen=True)
class PLPNoise(_EveryThird):
    """PLP's control with matched noise: where PLP predicts, go on from weights with as large a move at random.

    Every tensor of weights moves by as much as PLP would move it from here (its norm), in a Gaussian random direction
    of the run's own stream. PLP's paper credits a part of its gain to the noise of its predictions: what this shows
    too is noise, and what PLP alone shows is prediction. A study with PLP trains it beside PLP.
    """

    def moved(self, training: Training, name: str, half: Tensor) -> Tensor:
        return noise_like(half, stream_seed(training.seed, f"PLP noise {name}", training.step))


@register_modifier
@dataclass(frozen=True)
class PLP(_EveryThird):
    """After every third iteration, go on from the weights that the last three predict.

    It has two controls: plain training under `plp_control(policy)`, for PLP is partly a learning rate times 7/6, and
    `PLPNoise`, for it is partly noise.

    The formula is verified from a secondary source; see this module.
    """

    controls = (
        Control("plp_control", "the same without PLP, at 7/6 of the learning rates", lr_scale=PLP_CONTROL_SCALE),
        Control("plp_noise", "random moves as large as PLP's, in place of PLP", modifier=PLPNoise()),
    )
