"""Caffe's SGD as a torch optimizer: the velocity holds the LR it was made with.

Source of the update: BVLC/caffe, `src/caffe/solvers/sgd_solver.cpp`, ComputeUpdateValue with L2 regularisation.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn


class CaffeSGDOptimizer(torch.optim.Optimizer):
    """V = momentum*V + lr*(g + weight_decay*w); w -= V, with V starting at 0."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        pairs: list[tuple[Tensor, Tensor]] = [(p, p.grad) for p in group["params"] if p.grad is not None]
        if not pairs:
            return
        params, gradients = [p for p, _ in pairs], [gradient for _, gradient in pairs]
        velocities = [self._velocity(p) for p in params]
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, params, alpha=group["weight_decay"]))
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, gradients, alpha=group["lr"])
        torch._foreach_sub_(params, velocities)

    def _velocity(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        velocity: Tensor = state["velocity"]
        return velocity
