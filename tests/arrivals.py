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


ALONE = {
    "all equal, 10% miss it": (0.1, 0.1, 1.0),
    "all equal, 30% miss it": (0.3, 0.3, 1.0),
    "all equal, 60% miss it": (0.6, 0.6, 1.0),
    "late, none miss it": (0.0, 0.0, 1.0),
    "late, 10% miss it": (0.0, 0.1, 1.0),
    "late, 30% miss it": (0.0, 0.3, 1.0),
    "late, 30% miss it, spreads 1 to 5": (0.0, 0.3, 5.0),
    "late, 30% miss it, spreads 5 to 1": (0.0, 0.3, 0.2),
    "late, 60% miss it, 30% of the best": (0.3, 0.6, 1.0),
    "half miss it": (0.0, 0.5, 1.0),
}
"""How often the first policy and the others miss a target, and the spread of the last one over that of the first."""


def arrivals_alone(case: str, policies: int, runs: tuple[int, int], studies: int) -> tuple[FloatArray, float]:
    """Iterations to a target as gains [studies, policies, runs], of runs that share no seeds, and a margin.

    The first policy is ahead of each other one by more than the margin in exactly half of all pairs of their runs;
    where all are equal the margin is 0.

    Args:
        runs: of the first policy, and of the others.
    """
    rng = np.random.default_rng([policies, *runs, len(case)])
    best_misses, others_miss, spread = ALONE[case]
    first = np.arange(policies)[:, None] == 0
    missed = rng.random((studies, policies, max(runs))) < np.where(first, best_misses, others_miss)
    spreads = np.geomspace(1.0, spread, policies)[:, None]
    steps = spreads * rng.standard_normal(missed.shape)
    margin = 0.0 if "equal" in case else 0.5
    if margin:
        # Of pairs in which the first arrives, it is ahead where the other misses or is late.
        late = (0.5 / (1 - best_misses) - others_miss) / (1 - others_miss)
        shift = margin + np.hypot(1.0, spreads) * NormalDist().inv_cdf(late) if late else -100.0
        steps = np.where(first, steps, steps + shift)
    gains = np.where(missed, -math.inf, -steps)
    return np.where(np.arange(max(runs)) < np.where(first, *runs), gains, np.nan), margin
