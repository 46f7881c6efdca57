"""The effect of a modifier on a policy, seed by seed, and whether it depends on the policy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from lrbench.metrics.familywise import ScoresAtLooks
from lrbench.metrics.metric import METRICS
from lrbench.metrics.runs import RunRecord
from lrbench.metrics.statistics import FloatArray, Interval, holm, paired_interval

EffectVerdict = Literal["helps", "hurts", "no gain", "undecided"]


@dataclass(frozen=True)
class Effect:
    """The paired differences that a modifier makes to one policy: with it minus without, over the seeds of both."""

    policy: str
    modifier: str
    differences: Mapping[str, Interval]
    verdict: EffectVerdict = "undecided"
    """What it does to the test objective, as `judge_effects` claims."""
    by_goal: Mapping[str, EffectVerdict] = field(default_factory=dict)
    """What it does to each goal of the study, by the goal's name; `no gain` is a claim at the goal's margin."""

    def to_json(self) -> dict[str, Any]:
        differences = {name: interval._asdict() for name, interval in self.differences.items()}
        return {**vars(self), "differences": differences}


@dataclass(frozen=True)
class Interaction:
    """Whether a modifier's effect depends on the policy it is combined with.

    Attributes:
        p: the p-value of "its effect is the same for every policy", from a rotation test with seeds as subjects
            (`equal_means_p`); None where it cannot be computed.
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
    policy: str,
    modifier: str,
    without: Sequence[RunRecord],
    treated: Sequence[RunRecord],
    target: float | None,
    also: Iterable[str] = (),
) -> Effect:
    """Measure the effect of a modifier on one policy; a metric that one of two paired runs lacks is left out.

    Args:
        also: the names of metrics beside those that declare an effect.
    """
    figures = [{run.seed: _figures(run, target, also) for run in runs} for runs in (without, treated)]
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


def judge_effects(seen: ScoresAtLooks, alpha: float, *, margin: float | None = None) -> list[EffectVerdict]:
    """Claim whether a modifier helps or hurts each policy, so that P(some such claim is wrong) <= alpha.

    Paired t tests of both directions for every policy, by Holm's procedure (1979) over all of them; what holds for
    `judge` at the looks of a study and for scores that agree by chance holds here. What is neither may be `no gain`:
    the modifier makes the policy better by less than the margin. P(some such claim is wrong) <= alpha too, by Holm's
    procedure over the policies.

    Args:
        seen: scores [policies, 2, seeds], of each policy without and with the modifier.
        alpha: the error rate of each kind of claim over the policies of one modifier.
        margin: the gain that does not matter; None: `no gain` is never claimed.
    """
    *_, p = seen.p_beyond(0.0)
    helps, hurts = holm(np.concatenate([p[:, 1, 0], p[:, 0, 1]])).reshape(2, -1) <= alpha
    gains_little = np.zeros_like(helps)
    if margin is not None:
        *_, p = seen.p_within(margin)
        gains_little = holm(p[:, 1, 0]) <= alpha
    return [
        "helps" if better else "hurts" if worse else "no gain" if little else "undecided"
        for better, worse, little in zip(helps, hurts, gains_little, strict=True)
    ]


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

    A rotation test (Langsrud 2005). Let d_s be the deviations of subject s from its own mean over rows. If all rows
    have the same mean, a rotation of the d_s among subjects leaves the distribution of normal values as it is, whatever
    the variances of rows and their correlations are. So given the Gram matrix G of the d_s, the direction of the
    subjects' mean is uniform: with u uniform on the unit sphere, the p-value is the probability that u'Gu is at least
    what (1, 1, ..., 1)/sqrt(subjects) makes of it, the sum of squares between rows. For two rows this is the paired t
    test.

    Returns:
        None for fewer than two rows or subjects, or where nothing varies within a row.
    """
    values = np.asarray(table, dtype=np.float64)
    rows, subjects = values.shape
    if rows < 2 or subjects < 2:
        return None
    deviations = values - values.mean(axis=0)
    gram = deviations.T @ deviations
    between = gram.sum() / subjects
    if np.trace(gram) - between <= np.finfo(np.float64).eps * values.size * float(np.square(values).max()):
        return None
    return _positive_probability(np.linalg.eigvalsh(gram) - between)


def _positive_probability(weights: FloatArray) -> float:
    """Return the probability that a sum of squares of independent standard normal numbers, so weighted, is positive.

    Imhof's (1961) integral, over the logarithm of its variable: the trapezoidal rule converges as exp(-9.9 / step).
    """
    step = 0.25
    x = np.outer(np.exp(np.arange(-30, 80, step)), weights / np.abs(weights).max())
    angle, size = np.arctan(x).sum(axis=1) / 2, np.log1p(x * x).sum(axis=1) / 4
    probability = 0.5 + step / np.pi * float((np.sin(angle) * np.exp(-size)).sum())
    return min(max(probability, 0.0), 1.0)


def _paired_differences(figure: str, without: Sequence[RunRecord], treated: Sequence[RunRecord]) -> dict[int, float]:
    before, after = (
        {run.seed: figures[figure] for run in runs if figure in (figures := _figures(run, None))}
        for runs in (without, treated)
    )
    return {seed: after[seed] - before[seed] for seed in before.keys() & after.keys()}


def _figures(run: RunRecord, target: float | None, also: Iterable[str] = ()) -> dict[str, float]:
    """Return those metrics of a run in which an effect is measured."""
    to_target = {} if target is None or run.diverged else {"steps_to_target": run.steps_to(target)}
    figures = {**run.figures, **to_target}
    declared = (name for name, metric in METRICS.items() if metric.effect)
    names = (f"val_{run.objective}", f"test_{run.objective}", *declared, *also)
    return {name: float(value) for name in names if (value := figures.get(name)) is not None}
