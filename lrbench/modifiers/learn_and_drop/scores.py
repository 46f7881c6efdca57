"""When a unit has stopped learning, and what is dropped then: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from statistics import linear_regression
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from lrbench.modifiers.learn_and_drop.rest import Storage

KEPT = 2
"""Units at a network's end that always stay: the last unit and the head, which is the last layer with parameters."""

EPSILON = 1e-12
"""It keeps the score of weights that are all zero finite."""


def change_score(before: Sequence[Tensor], now: Sequence[Tensor], lr: float) -> float:
    """Compute how far weights moved over an epoch, relative to their size and to the learning rates that moved them.

    Args:
        before, now: the tensors of a unit, one epoch ago and now.
        lr: the sum of the epoch's learning rates, above 0.

    Returns:
        |now - before| / (|before| + EPSILON) / lr, in 1-norms over all of the unit's numbers.
    """
    moved = sum(_norm(new - old) for old, new in zip(before, now, strict=True))
    return moved / (sum(map(_norm, before)) + EPSILON) / lr


def slope(values: Sequence[float]) -> float:
    """Compute the slope of the least-squares line through at least two values one epoch apart, per epoch."""
    return linear_regression(range(len(values)), values).slope


def is_quiet(scores: Sequence[float], *, tau: float, delta: float, window: int) -> bool:
    """Whether a unit hardly changes any more, judged after the last of its scores.

    The last score is below `tau` times the largest so far, and the slope of the last `window` scores is less than
    `delta` times the largest, up or down. Both limits are relative to the largest score, which depends on the length
    of an epoch and on the optimizer.
    """
    if len(scores) < window:
        return False
    largest = max(scores)
    return scores[-1] < tau * largest and abs(slope(scores[-window:])) < delta * largest


def is_done(scores: Sequence[float], *, tau: float, delta: float, window: int, patience: int, warmup: int) -> bool:
    """Whether a unit was quiet in each of the last `patience` epochs, none of them among the first `warmup`.

    A unit without scores has no weights to train: it is done from the start, unless tau is 0, which drops nothing.
    """
    if not scores:
        return tau > 0
    epochs = range(len(scores) - patience + 1, len(scores) + 1)
    return epochs[0] > warmup and all(is_quiet(scores[:epoch], tau=tau, delta=delta, window=window) for epoch in epochs)


def forecast(scores: Sequence[float], rates: Sequence[float], left: float, window: int) -> float:
    """Forecast how far a unit would still move, in units of how far it has moved.

    Args:
        scores: how far it moved in each epoch, by learning rate (`change_score`); at least one.
        rates: the sum of each epoch's learning rates, as many.
        left: the sum of the learning rates to come.
        window: the scores that are averaged to say how far it moves by learning rate from now on.

    >>> forecast([4.0, 2.0, 1.0], [1.0, 1.0, 1.0], left=3.5, window=1)  # 3.5 ahead, 7 done
    0.5
    """
    moved = sum(score * rate for score, rate in zip(scores, rates, strict=True))
    recent = scores[-window:]
    return sum(recent) / len(recent) * left / moved if moved > 0 else 0.0


def prefix_to_drop(done: Sequence[bool]) -> int:
    """Count the leading units that are done; the last `KEPT` never are."""
    return sum(1 for _ in takewhile(bool, done[: max(0, len(done) - KEPT)]))


def choose_storage(needed: int, budget: int) -> Storage:
    """Choose how outputs of `needed` bytes as float32 are stored within a budget of bytes: exactly where they fit."""
    if needed <= budget:
        return "float32"
    return "bfloat16" if needed // 2 <= budget else "none"


def _norm(tensor: Tensor) -> float:
    import torch

    return float(torch.linalg.vector_norm(tensor, 1, dtype=torch.float64))
