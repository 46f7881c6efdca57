"""Simulated effects of a modifier on policies, and tests of whether these are equal."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

ALPHA = 0.05
CASES = (
    *("normal", "spreads 1 to 10", "one ten times as noisy", "heavy tails", "heavy tails, spreads 1 to 10"),
    *("in few steps", "correlated", "correlated, spreads 1 to 10"),
)
"""Normal effects of equal spread, with spreads from 1 to 10, with one policy ten times as noisy, with heavy tails (t of
3 degrees), read in few steps, and correlated over policies by a factor of unequal loadings."""

FloatArray = NDArray[np.float64]


def noise(case: str, policies: int, seeds: int, studies: int) -> FloatArray:
    """Return effects [studies, policies, seeds] of mean 0 and, where spreads are equal, standard deviation 1."""
    rng = np.random.default_rng([policies, seeds, CASES.index(case)])
    shape = (studies, policies, seeds)
    draws = rng.standard_t(3, shape) / np.sqrt(3) if case.startswith("heavy") else rng.standard_normal(shape)
    if case.startswith("correlated"):
        loadings = np.linspace(-1, 2, policies)[:, None]
        draws = np.sqrt(0.3) * draws + np.sqrt(0.7) * loadings * rng.standard_normal((studies, 1, seeds))
    if case.endswith("1 to 10"):
        draws *= np.geomspace(1, 10, policies)[:, None]
    if case.startswith("one"):
        draws[:, -1] *= 10
    return np.round(draws) if case == "in few steps" else draws


def means(effects: str, policies: int) -> FloatArray:
    """Return the mean effects in units of the root mean square of the noise."""
    place = np.arange(policies)
    shapes = {"none": 0.0 * place, "one": 1.5 * (place == 0), "half": 1.0 * (place < policies // 2)}
    return np.linspace(-1, 1, policies) if effects == "line" else shapes[effects]


def rejected(
    test: Callable[[FloatArray], float | None], case: str, effects: str, policies: int, seeds: int, studies: int
) -> float:
    """Return the share of studies in which a test finds that the effects differ."""
    drawn = noise(case, policies, seeds, studies)
    tables = drawn + drawn.std() * means(effects, policies)[:, None]
    found = (test(table) for table in tables)
    return float(np.mean([p is not None and p <= ALPHA for p in found]))


def greenhouse_geisser_p(table: FloatArray) -> float | None:
    """Return the p-value of an analysis of variance, its degrees multiplied by the estimate of sphericity."""
    return _analysis_of_variance_p(table, _sphericity(table))


def huynh_feldt_p(table: FloatArray) -> float | None:
    """Return the p-value with Huynh and Feldt's less biased estimate."""
    (rows, subjects), low = table.shape, _sphericity(table)
    left = (rows - 1) * (subjects - 1 - (rows - 1) * low)
    high = (subjects * (rows - 1) * low - 2) / left if left > 1e-9 else 1.0
    return _analysis_of_variance_p(table, min(max(high, low), 1.0))


def _analysis_of_variance_p(table: FloatArray, sphericity: float) -> float | None:
    rows, subjects = table.shape
    between = subjects * table.mean(axis=1).var() * rows / (rows - 1)
    residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    within = np.square(residuals).sum() / ((rows - 1) * (subjects - 1))
    degrees = sphericity * (rows - 1)
    return float(fdtrc(degrees, degrees * (subjects - 1), between / within)) if within > 0 else None


def _sphericity(table: FloatArray) -> float:
    covariance = np.cov(table)
    centred = covariance - covariance.mean(axis=0) - covariance.mean(axis=1)[:, None] + covariance.mean()
    squares = np.square(centred).sum()
    return float(np.trace(centred) ** 2 / ((len(table) - 1) * squares)) if squares > 0 else 1.0
