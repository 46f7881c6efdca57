"""Two pictures of a search: the best score so far against what it cost, and which parameters made the difference.

Both may be drawn of a search that is under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from lrbench.display.names import fitted, many
from lrbench.report.frames import objective_name
from lrbench.report.plot import register_plot
from lrbench.report.style import AXIS, INK, LINE, PALETTE, VERDICTS, WIDTH, blank, legend_below, tidy, titled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from optuna.distributions import BaseDistribution

    from lrbench.metrics import Better, Confirmation
    from lrbench.store import Store

LEAST_TRIALS = 10
"""Fewer trials than this say nothing about the importance of parameters."""

LONGEST_NAME = 60
"""Characters on a line of a search's name."""

SAME = ("policy", "setting", "iterations", "whole", "diverged")
TRIAL = ("policy", "setting", "batch", "iterations", "budget", "whole", "diverged")

OBJECTIVES: Mapping[str, str] = {
    "steps": "iterations to the target (never: twice the budget)",
    "robustness": "share that other base LRs leave",
}
"""What an objective is called on an axis; the accuracy is called what the task calls it."""


@dataclass(frozen=True)
class SearchFrames:
    """A search's trials as pandas DataFrames, a row a policy, in the order in which they were asked for.

    Attributes:
        search: its name.
        objectives: what it looks for: "accuracy", "steps" (lower is better) or "robustness" (higher is better).
        accuracy: what the task calls its validation objective.
        trials: `policy`, and `setting`, the name of its settings; `batch`, the number of the batch that it was asked
            for in; `iterations` of all its runs that were asked for; `budget`, the longest in iterations at which they
            are over, and whether that is the `whole` one; the share of them that `diverged` or failed; and by its name
            each objective, nan where it is not known.
        parameters: a column a dimension of the space: numbers, or text for a choice; nan where a policy has no such
            dimension.
        confirmed: the finalists on fresh seeds, the winner first; empty before they were trained.
        better: which way the validation objective is better.
    """

    search: str
    objectives: tuple[str, ...]
    accuracy: str
    trials: pd.DataFrame
    parameters: pd.DataFrame
    confirmed: tuple[Confirmation, ...] = ()
    better: Better = "higher"

    def is_lower_better(self, objective: str) -> bool:
        """Find whether less of an objective is better."""
        from lrbench.policy_search.sampler import better_of

        return better_of(objective, self.better) == "lower"


def search_frames(search: str, store: Store) -> SearchFrames:
    """Read a search from a store.

    Raises:
        StudyError: the store has no search of that name.
        StoreError: the store cannot be read.
    """
    import pandas as pd

    from lrbench.policy_search.read import read_search

    found = read_search(search, store)
    rows = [
        {"batch": one.proposal.batch, "budget": one.steps, **{name: getattr(one, name) for name in SAME}, **one.values}
        for one in found.trials
    ]
    trials = pd.DataFrame(rows, columns=[*TRIAL, *found.objectives])
    return SearchFrames(
        search,
        found.objectives,
        "score" if found.accuracy is None else objective_name(found.accuracy),
        trials.astype(dict.fromkeys(("budget", *found.objectives), np.float64)),
        pd.DataFrame([_readable(trial.proposal.params) for trial in found.trials], index=trials.index),
        found.confirmed,
        found.better,
    )


def search_behind(study: int | str, store: Store) -> SearchFrames | None:
    """Read the search whose policies at the whole budget a study has, or that has none of these yet.

    Returns:
        None where the study is no search's.
    """
    searches = {entry.id: entry.name for entry in store.studies() if entry.kind == "search"}
    found = store.find(study)
    if found is None:
        return search_frames(study, store) if isinstance(study, str) and study in searches.values() else None
    is_whole = found.parent is not None and searches.get(found.parent) == found.name
    return search_frames(found.name, store) if is_whole else None


@register_plot(
    "progress",
    "The best policy so far, against what it cost",
    of="search",
    needs="a policy",
    applies=lambda search: len(search.trials) > 0,
)
def search_progress_figure(search: SearchFrames) -> Figure:
    """Draw every trial's figure, and the best one so far, against the iterations that were asked for up to its end.

    There is a panel for each objective. The best is one of the whole budget none of whose runs diverged. What a range
    test took before the search, and the confirmation after it, is not among the iterations.
    """
    trials = search.trials
    if not (trials["budget"].notna() & (trials["diverged"] == 0)).any():
        return blank(f"No trial of {search.search} has ended without diverging yet.")
    count = len(search.objectives)
    figure = Figure(figsize=(WIDTH, 1.1 + 3.4 * count), layout="constrained")
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for axes, objective in zip(panels, search.objectives, strict=True):
        _panel(axes, search, objective)
    titled(panels[0], f"{fitted(search.search, LONGEST_NAME)}: {many(len(trials), 'policy')}")
    panels[-1].set_xlabel("iterations asked for", color=INK)
    handles, _ = panels[0].get_legend_handles_labels()
    legend_below(figure, handles, columns=len(handles))
    return figure


def _panel(axes: Axes, search: SearchFrames, objective: str) -> None:
    trials, values = search.trials, search.trials[objective]
    spent = trials["iterations"].cumsum()
    lost = trials["diverged"] > 0
    scored = trials["whole"] & ~lost
    shorter = trials["budget"].notna() & ~trials["whole"] & ~lost
    lower = search.is_lower_better(objective)
    best = values.where(scored)
    best = (best.cummin() if lower else best.cummax()).ffill()
    dots: dict[str, Any] = {"color": AXIS, "markersize": 3.5, "alpha": 0.7}
    if shorter.any():
        axes.plot(spent[shorter], values[shorter], "o", fillstyle="none", label="at a shorter budget", **dots)
    axes.plot(spent[scored], values[scored], "o", label="at the whole budget", **dots)
    if lost.any():
        shown = values[scored | shorter]
        worst = shown.max() if lower else shown.min()
        avoid = VERDICTS["avoid"]
        axes.plot(
            spent[lost], [worst] * int(lost.sum()), avoid.marker, color=avoid.color, markersize=5, label="diverged"
        )
    axes.step(spent, best, where="post", color=PALETTE[0], linewidth=LINE + 0.4, label="best so far")
    tidy(axes)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    way = " (lower is better)" if search.better == "lower" else ""
    axes.set_ylabel(OBJECTIVES.get(objective, f"validation {search.accuracy}{way}"), color=INK, parse_math=False)


@register_plot(
    "importance",
    "Which parameters decided it",
    of="search",
    needs=f"{LEAST_TRIALS} policies that have been trained",
    applies=lambda search: search.trials["budget"].notna().sum() >= LEAST_TRIALS,
)
def importance_figure(search: SearchFrames) -> Figure:
    """Draw how much each parameter decides whether a trial is among the best tenth, by the first objective."""
    found = importances(search.parameters, standing(search))
    if not found:
        return blank(f"The importance of parameters takes {LEAST_TRIALS} trials that have them in common.")
    figure = Figure(figsize=(WIDTH, 0.34 * len(found) + 1.5), layout="constrained")
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
    name = fitted(search.search, LONGEST_NAME)
    titled(axes, f"{name}: what decides {search.objectives[0]}, over {many(len(search.trials), 'policy')}")
    return figure


def standing(search: SearchFrames) -> pd.Series[float]:
    """Place each trial among the others, [trials]: higher is better, nan where no run is over.

    What diverged stands below what did not, what was left at a shorter budget below what went on, and within a budget
    the first objective decides.
    """
    import pandas as pd

    first = search.objectives[0]
    known = search.trials[search.trials["budget"].notna()]
    figures = -known[first] if search.is_lower_better(first) else known[first]
    order = known.assign(sound=known["diverged"] == 0, figure=figures).sort_values(["sound", "budget", "figure"])
    return pd.Series(np.arange(len(order), dtype=np.float64), order.index).reindex(search.trials.index)


def importances(parameters: pd.DataFrame, scores: pd.Series[float]) -> dict[str, float]:
    """Compute by parameter its share of what separates the best tenth of the trials from the others, largest first.

    It is PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255), as Optuna computes it.

    Args:
        parameters: [trials, parameters]: numbers, or text for a choice. Parameters that some trial lacks, or that are
            the same in all, are left out; those over more than two decades are compared by their logarithms.
        scores: [trials], higher is better; trials without a finite score are left out.

    Returns:
        Nothing where fewer than 10 trials or no parameters are left.
    """
    import optuna

    from lrbench.policy_search.sampler import quiet

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
    """Guess the range that the values of a parameter were drawn from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if values.dtype.kind not in "iuf":
        return CategoricalDistribution(tuple(dict.fromkeys(map(str, values))))
    low, high = float(values.min()), float(values.max())
    return FloatDistribution(low, high, log=low > 0 and high > 100 * low)


def _readable(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with every choice but numbers as text."""
    numbers = {name: value for name, value in params.items() if not isinstance(value, bool | str)}
    return {name: numbers.get(name, str(value)) for name, value in params.items()}
