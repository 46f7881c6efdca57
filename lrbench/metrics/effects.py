"""The effect of a modifier on a policy, seed by seed, and whether it depends on the policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrbench.metrics.metric import METRICS
from lrbench.metrics.runs import RunRecord
from lrbench.metrics.statistics import Interval, paired_interval


@dataclass(frozen=True)
class Effect:
    """The paired differences that a modifier makes to one policy: with it minus without, over the seeds of both."""

    policy: str
    modifier: str
    differences: Mapping[str, Interval]

    def to_json(self) -> dict[str, Any]:
        differences = {name: vars(interval) for name, interval in self.differences.items()}
        return {"policy": self.policy, "modifier": self.modifier, "differences": differences}


@dataclass(frozen=True)
class Interaction:
    """Whether a modifier's effect depends on the policy it is combined with.

    Attributes:
        p: the p-value of "its effect is the same for every policy", from a repeated-measures analysis of variance
            with seeds as subjects and the Greenhouse-Geisser correction; None where it cannot be computed.
        spread: the standard deviation, between policies, of the mean effect.
        policies, seeds: how many were compared, every policy with every seed.
    """

    modifier: str
    figure: str
    p: float | None
    spread: float | None
    policies: int
    seeds: int

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def effect(
    policy: str, modifier: str, without: Sequence[RunRecord], treated: Sequence[RunRecord], target: float | None
) -> Effect:
    """Measure the effect of a modifier on one policy; a metric that one of two paired runs lacks is left out."""
    figures = [{run.seed: _figures(run, target) for run in runs} for runs in (without, treated)]
    seeds = sorted(figures[0].keys() & figures[1].keys())
    names = dict.fromkeys(name for side in figures for seed in seeds for name in side[seed])
    return Effect(
        policy,
        modifier,
        {
            name: paired_interval(
                [figures[1][seed].get(name, math.nan) for seed in seeds],
                [figures[0][seed].get(name, math.nan) for seed in seeds],
            )
            for name in names
        },
    )


def interaction(
    modifier: str,
    figure: str,
    pairs: Sequence[tuple[Sequence[RunRecord], Sequence[RunRecord]]],
) -> Interaction:
    """Test whether a modifier's effect on a metric depends on the policy.

    Args:
        figure: the name of the metric.
        pairs: for each policy, its runs without and with the modifier. Seeds that not all policies have are left out.
    """
    columns = [_paired_differences(figure, without, treated) for without, treated in pairs]
    seeds = sorted(set.intersection(*(set(column) for column in columns))) if columns else []
    table = np.array([[column[seed] for seed in seeds] for column in columns]).reshape(len(columns), len(seeds))
    spread = float(table.mean(axis=1).std(ddof=1)) if table.size and len(columns) > 1 else None
    return Interaction(modifier, figure, equal_means_p(table), spread, len(columns), len(seeds))


def equal_means_p(table: ArrayLike) -> float | None:
    """Return the p-value of "all rows have the same mean", for values [rows, subjects] that are paired by subject.

    A repeated-measures analysis of variance, its degrees of freedom multiplied by the Greenhouse-Geisser estimate of
    departure from sphericity (Greenhouse and Geisser 1959), so that the rows may have unequal variances.

    Returns:
        None for fewer than two rows or subjects, or where nothing varies within a row.
    """
    from scipy.special import fdtrc

    values = np.asarray(table, dtype=np.float64)
    rows, subjects = values.shape
    if rows < 2 or subjects < 2:
        return None
    between = subjects * values.mean(axis=1).var() * rows / (rows - 1)
    residuals = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    within = float((residuals**2).sum()) / ((rows - 1) * (subjects - 1))
    if within <= np.finfo(np.float64).eps * max(between, float(np.square(values).max())):
        return None
    epsilon = _greenhouse_geisser(values)
    degrees = epsilon * (rows - 1)
    return float(fdtrc(degrees, degrees * (subjects - 1), between / within))


def _greenhouse_geisser(values: NDArray[np.float64]) -> float:
    """Estimate sphericity, from 1/(rows - 1), where rows differ most in their variances, to 1."""
    covariance = np.cov(values)
    centred = covariance - covariance.mean(axis=0) - covariance.mean(axis=1)[:, None] + covariance.mean()
    rows = len(values)
    return float(np.trace(centred) ** 2 / ((rows - 1) * np.square(centred).sum()))


def _paired_differences(figure: str, without: Sequence[RunRecord], treated: Sequence[RunRecord]) -> dict[int, float]:
    before, after = (
        {run.seed: figures[figure] for run in runs if figure in (figures := _figures(run, None))}
        for runs in (without, treated)
    )
    return {seed: after[seed] - before[seed] for seed in before.keys() & after.keys()}


def _figures(run: RunRecord, target: float | None) -> dict[str, float]:
    """Return those metrics of a run in which an effect is measured."""
    figures = run.figures()
    if target is not None and not run.diverged:
        figures["steps_to_target"] = run.steps_to(target)
    declared = (name for name, metric in METRICS.items() if metric.effect)
    names = (f"val_{run.objective}", f"test_{run.objective}", *declared)
    return {name: float(value) for name in names if (value := figures.get(name)) is not None}
