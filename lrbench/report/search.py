"""Two pictures of a search: the best score so far against what it cost, and which parameters made the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from lrbench.report.style import AXIS, INK, LINE, PALETTE, VERDICTS, WIDTH, blank, tidy

if TYPE_CHECKING:
    import pandas as pd
    from optuna.distributions import BaseDistribution

LEAST_TRIALS = 10
"""Fewer trials than this say nothing about the importance of parameters."""


def search_progress_figure(trials: pd.DataFrame) -> Figure:
    """Every trial's score, and the best one so far, against the iterations that were trained up to its end.

    Args:
        trials: a row a trial in the order in which they ended, with the columns steps (iterations that the trial took)
            and score (higher is better; nan for a trial that diverged or was cut off).
    """
    if not trials["score"].notna().any():
        return blank("No trial of this search has ended with a score yet.")
    spent = trials["steps"].cumsum()
    best = trials["score"].cummax().ffill()
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(spent, trials["score"], "o", color=AXIS, markersize=3.5, alpha=0.7, label="a trial")
    lost = trials["score"].isna()
    floor = float(trials["score"].min())
    avoid = VERDICTS["avoid"]
    if lost.any():
        at_floor = [floor] * int(lost.sum())
        axes.plot(spent[lost], at_floor, avoid.marker, color=avoid.color, markersize=5, label="diverged or cut off")
    axes.step(spent, best, where="post", color=PALETTE[0], linewidth=LINE + 0.4, label="best so far")
    tidy(axes)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("iterations trained", color=INK)
    axes.set_ylabel("score of the trial", color=INK)
    axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=INK)
    return figure


def importance_figure(parameters: pd.DataFrame, scores: pd.Series[float]) -> Figure:
    """How much each parameter decides whether a trial is among the best tenth.

    Args:
        parameters, scores: as for `importances`.
    """
    found = importances(parameters, scores)
    if not found:
        return blank(f"The importance of parameters takes {LEAST_TRIALS} scored trials that have them in common.")
    figure = Figure(figsize=(WIDTH, 0.34 * len(found) + 1.1), layout="constrained")
    axes = figure.subplots()
    places = range(len(found))
    axes.barh(places, list(found.values()), color=PALETTE[0], height=0.62)
    for place, value in enumerate(found.values()):
        axes.text(value, place, f" {value:.2f}", va="center", fontsize=9, color=INK)
    tidy(axes, grid="x")
    axes.set_yticks(places, list(found), color=INK, parse_math=False)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("importance for being among the best tenth (PED-ANOVA), all together 1", color=INK)
    axes.set_xlim(0, max(found.values()) * 1.12 or 1)
    return figure


def importances(parameters: pd.DataFrame, scores: pd.Series[float]) -> dict[str, float]:
    """By parameter its share of what separates the best tenth of the trials from the others, the largest first.

    It is PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255), as Optuna computes it.

    Args:
        parameters: [trials, parameters]: numbers, or text for a choice. Parameters that some trial lacks, or that are
            the same in all, are left out; those over more than two decades are compared by their logarithms.
        scores: [trials], higher is better; trials without a finite score are left out.

    Returns:
        Nothing where fewer than 10 trials or no parameters are left.
    """
    import optuna

    from lrbench.search.sampling import quiet

    kept = np.isfinite(scores.to_numpy(dtype=np.float64))
    table = parameters[kept].dropna(axis="columns")
    table = table[[name for name in table if table[name].nunique() > 1]]
    if len(table) < LEAST_TRIALS or not len(table.columns):
        return {}
    space = {str(name): _distribution(table[name]) for name in table}
    with quiet():
        study = optuna.create_study(direction="maximize")
        study.add_trials(
            [
                optuna.create_trial(params=dict(zip(space, row, strict=True)), distributions=space, value=float(score))
                for row, score in zip(table.itertuples(index=False), scores[kept], strict=True)
            ]
        )
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _distribution(values: pd.Series[float]) -> BaseDistribution:
    """The range that the values of a parameter were drawn from, as far as they show it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if values.dtype.kind not in "iuf":
        return CategoricalDistribution(tuple(dict.fromkeys(map(str, values))))
    low, high = float(values.min()), float(values.max())
    return FloatDistribution(low, high, log=low > 0 and high > 100 * low)
