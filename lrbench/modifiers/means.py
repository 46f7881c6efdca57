"""Means of weights. Weights are tensors by name, all of one network; every function returns new tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Weights = Mapping[str, "Tensor"]


def running_mean(mean: Weights, weights: Weights, n: int) -> dict[str, Tensor]:
    """Update the mean of n - 1 weights by the n-th: mean + (weights - mean) / n, for the names in `weights`."""
    if n == 1:
        return {name: weight.clone() for name, weight in weights.items()}
    return {name: mean[name].lerp(weight, 1 / n) for name, weight in weights.items()}


def window_mean(samples: Sequence[Weights]) -> dict[str, Tensor]:
    """Average at least one sample, summed from the first to the last, for the names in the last."""
    means = {}
    for name in samples[-1]:
        total = samples[0][name].clone()
        for sample in samples[1:]:
            total += sample[name]
        means[name] = total / len(samples)
    return means


def momentum_of_means(previous: Weights, mean: Weights, beta: float) -> dict[str, Tensor]:
    """Compute beta * previous + (1 - beta) * mean, for the names in `mean`; the mean where nothing is before it."""
    if not previous:
        return dict(mean)
    return {name: beta * previous[name] + (1 - beta) * now for name, now in mean.items()}
