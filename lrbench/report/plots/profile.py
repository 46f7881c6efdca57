"""The performance profile: how often each policy is within a distance of the best, over tasks and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lrbench.errors import StudyError
from lrbench.report.frames import objective_name, sign_of
from lrbench.report.labels import row_labels
from lrbench.report.plot import register_plot
from lrbench.report.style import INK, LINE, OTHERS, PALETTE, WIDTH, blank, legend_below, tidy

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from lrbench.report.frames import Frames

NAME = 60


def profile_figure(runs: pd.DataFrame) -> Figure:
    """Draw the fraction of all tasks and seeds on which each policy comes within a distance of the best policy there.

    It is the profile of Dolan and More (2002) with differences of validation scores in place of ratios of costs; a run
    that diverged counts as chance. A curve that is higher is better; at 0 it shows how often a policy was the best.

    Args:
        runs: `Frames.runs` of a study of several tasks.

    Raises:
        StudyError: the tasks are not scored by the same objective.
    """
    main = runs[(runs["stage"] == "main") & runs["val_score"].notna()]
    objectives = list(main["objective"].unique())
    if len(main[["objective", "better"]].drop_duplicates()) > 1:
        raise StudyError(f"a profile compares scores of one kind, but the tasks have {', '.join(objectives)}")
    distances = gaps(main)
    if not distances:
        return blank("No run of this study has ended yet.")
    order = sorted(distances, key=lambda label: float(distances[label].mean()))
    ahead = order[: -(-min(len(order), len(PALETTE)) // 2)]
    reach = max(float(np.quantile(distances[label], 0.95)) for label in ahead) or 0.01
    reach = min(max(reach, 1e-6), max(float(distances[label].max()) for label in order) or 0.01)
    figure = Figure(figsize=(WIDTH, 4.6 + 0.2 * min(len(order), len(PALETTE))), layout="constrained")
    axes = figure.subplots()
    names = row_labels(main[main["label"].isin(order[: len(PALETTE)])], NAME)
    for place, label in reversed(list(enumerate(order))):
        values = np.sort(distances[label])
        x = np.concatenate([[0.0], values, [max(reach, values[-1])]])
        y = np.concatenate([[0.0], np.arange(1, len(values) + 1) / len(values), [1.0]])
        if place < len(PALETTE):
            axes.step(x, y, where="post", color=PALETTE[place], linewidth=LINE, label=names[label], zorder=3)
        elif place < 60:
            axes.step(x, y, where="post", color=OTHERS, linewidth=0.8, zorder=1)
    tidy(axes)
    axes.set_xlim(0, reach)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    away = "below" if sign_of(main) > 0 else "above"
    problems = main[["task", "seed"]].drop_duplicates()
    axes.set_ylabel(f"share of {len(problems)} pairs of a task and a seed", color=INK)
    axes.set_xlabel(
        f"validation {objective_name(objectives[0])} {away} that of the best policy, at most",
        color=INK,
        parse_math=False,
    )
    handles = axes.get_legend_handles_labels()[0][::-1]
    more = f"the best {len(PALETTE)} of {len(order):,} policies" if len(order) > len(PALETTE) else None
    legend_below(figure, handles, columns=2, title=more)
    return figure


def gaps(runs: pd.DataFrame) -> Mapping[str, NDArray[np.float64]]:
    """Compute by label how much worse each run is than the best run of its task and seed, [tasks and seeds].

    Policies that lack a run on one of them are left out: their fraction would be of something else.
    """
    table = runs.pivot_table(index=["task", "seed"], columns="label", values="val_score")
    gains = sign_of(runs) * table
    below = -gains.sub(gains.max(axis="columns"), axis="index").dropna(axis="columns")
    return {str(label): below[label].to_numpy(dtype=np.float64) for label in below}


@register_plot(
    "profile",
    "How often each policy is near the best, over tasks and seeds",
    of="study",
    needs="several tasks with one objective",
    applies=lambda frames: len(frames.tasks) > 1 and _have_one_objective(frames),
    place=11,
)
def _profile(frames: Frames) -> Figure:
    return profile_figure(frames.runs)


def _have_one_objective(frames: Frames) -> bool:
    return len({(task.objective, task.better) for task in frames.record.tasks}) == 1
