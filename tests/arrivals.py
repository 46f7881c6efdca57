"""Simulated iterations to a target, of which some never come, with a truth that is least favourable to verdicts."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

ARRIVALS = {
    "all equal, margin 0": 0.0,
    "half a standard deviation late": 0.0,
    "late, correlation .8": 0.0,
    "late, with a long tail": 0.0,
    "30% never reach it": 0.3,
    "half of the seeds an evaluation late": 0.0,
    "half of the seeds never reach it": 0.5,
}
"""What is wrong with all policies but one, and how often they never reach a target."""


def arrivals(case: str, policies: int, seeds: int, studies: int) -> tuple[FloatArray, float]:
    """Iterations to a target as gains, and a margin, so that each policy but the first is late on half of its seeds."""
    rng = np.random.default_rng([policies, seeds, len(case)])
    shape, margin = (studies, policies, seeds), 0.5
    later, never = np.arange(policies)[:, None] > 0, rng.random((studies, policies, seeds)) < ARRIVALS[case]
    if "half of the seeds" in case:
        half = rng.random(shape) < 0.5
        return np.where(later & half, -math.inf if "never" in case else -3.0, -2.0), margin
    steps = rng.lognormal(0.0, 1.5, shape) if "tail" in case else rng.standard_normal(shape)
    if "correlation" in case:
        steps = math.sqrt(0.8) * rng.standard_normal((studies, 1, seeds)) + math.sqrt(0.2) * steps
    if "equal" in case:
        return -steps, 0.0
    # Those that reach it are late so often that half of all seeds are late or miss it.
    late = (0.5 - ARRIVALS[case]) / (1 - ARRIVALS[case])
    shift = margin + math.sqrt(2) * NormalDist().inv_cdf(late)
    return np.where(later & never, -math.inf, -(steps + np.where(later, shift, 0.0))), margin
