"""Robustness: the generalization gap, the dependence on the base learning rate, and divergence."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from lrbench.errors import StudyError
from lrbench.metrics.direction import Better, as_gain

BASE_LR_SCALES = (0.1, 0.5, 1.0, 5.0, 10.0)
"""What LRBench multiplies a policy by; 1 is the policy itself."""


def loss_difference(test_loss: float, train_loss: float) -> float:
    """Return the generalization gap: test loss minus train loss, both in evaluation mode.

    The train loss is taken over a fixed subset of the train split that is as large as the test split.

    >>> loss_difference(test_loss=1.5, train_loss=1.0)
    0.5
    """
    return test_loss - train_loss


def retained_fraction(scores: Mapping[float, float | None], chance: float, better: Better = "higher") -> float | None:
    """Return the fraction of a score that other base LRs keep: the mean over scales of score(scale) / score(1).

    Where lower is better, it is the fraction of the improvement over `chance`: the mean of
    (chance - score(scale)) / (chance - score(1)).

    >>> round(retained_fraction({0.1: 0.4, 1.0: 0.8, 10.0: None}, chance=0.0), 3)
    0.5

    Args:
        scores: the score at each base-LR scale, 1 among them; None for a run that diverged, which counts as `chance`.
        chance: the score of guessing.

    Returns:
        1.0 where the scale does not matter; None if the unscaled run diverged, or scored 0 or less (where lower is
        better: no better than chance).

    Raises:
        StudyError: the scale 1 is missing.
    """
    if 1.0 not in scores:
        raise StudyError(f"the base-LR scales must include 1, but are {', '.join(f'{s:g}' for s in sorted(scores))}")
    unscaled = scores[1.0]
    zero = _nothing(chance, better)
    if unscaled is None or as_gain(unscaled - zero, better) <= 0:
        return None
    known = [chance if score is None else score for score in scores.values()]
    return float(np.mean([(score - zero) / (unscaled - zero) for score in known]))


def mean_over_scales(score: float, retained: float, chance: float | None, better: Better = "higher") -> float:
    """Return the mean score over base-LR scales, from the score at scale 1 and the retained fraction.

    >>> mean_over_scales(0.8, retained=0.5, chance=0.1)
    0.4
    """
    zero = _nothing(chance, better)
    return zero + (score - zero) * retained


def _nothing(chance: float | None, better: Better) -> float:
    """Return the score of which nothing is retained."""
    return 0.0 if better == "higher" or chance is None else chance


def divergence_rate(diverged: ArrayLike) -> float | None:
    """Return the fraction of runs that diverged, over all seeds and scales (bool, any shape); None of no runs.

    >>> divergence_rate([True, False, False, False])
    0.25
    """
    runs = np.asarray(diverged, dtype=bool)
    return float(runs.mean()) if runs.size else None
