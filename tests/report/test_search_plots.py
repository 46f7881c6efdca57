from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lrbench.report.plots.search import SearchFrames, importance_figure, importances, search_progress_figure, standing
from lrbench.report.style import svg

ROWS = [
    # iterations, budget, whole, diverged, accuracy, steps
    (10, 10, False, 0.0, 0.9, np.nan),
    (40, 30, True, 0.0, 0.4, 30),
    (40, 30, True, 0.5, 0.8, 60),
    (10, np.nan, False, 0.0, np.nan, np.nan),
    (40, 30, True, 0.0, 0.6, 20),
    (40, 30, True, 0.0, 0.5, 10),
]


def hunt(*objectives: str, rows: Sequence[tuple[object, ...]] = ROWS) -> SearchFrames:
    columns = ["iterations", "budget", "whole", "diverged", "accuracy", "steps"]
    trials = pd.DataFrame(rows, columns=columns).astype({"whole": bool})
    return SearchFrames("hunt", objectives, "top-1 accuracy", trials, pd.DataFrame({"lr": np.arange(len(rows))}))


def best_so_far(figure: Figure, panel: int) -> tuple[list[float], list[float]]:
    line = next(line for line in figure.axes[panel].lines if line.get_label() == "best so far")
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def test_the_best_so_far_is_of_the_whole_budget_and_did_not_diverge() -> None:
    spent, best = best_so_far(search_progress_figure(hunt("accuracy")), 0)

    assert spent == [10, 50, 90, 100, 140, 180]
    np.testing.assert_equal(best, [np.nan, 0.4, 0.4, 0.4, 0.6, 0.6])


def test_of_two_objectives_each_has_a_panel_in_its_own_direction() -> None:
    figure = search_progress_figure(hunt("accuracy", "steps"))

    np.testing.assert_equal(best_so_far(figure, 1)[1], [np.nan, 30, 30, 30, 20, 10])
    assert [axes.get_ylabel()[:24] for axes in figure.axes] == ["validation top-1 accurac", "iterations to the target"]


def test_trials_stand_by_divergence_then_budget_then_figure() -> None:
    ordered = standing(hunt("accuracy")).sort_values()
    assert ordered.dropna().index.tolist() == [2, 0, 1, 5, 4]
    assert standing(hunt("steps")).sort_values().dropna().index.tolist() == [2, 0, 1, 4, 5]


@pytest.mark.parametrize(
    "rows", [[], [(10, 10, False, 1.0, 0.1, np.nan)] * 12, [(10, np.nan, False, 0.0, *[np.nan] * 2)]]
)
def test_a_search_without_a_score_says_so(rows: list[tuple[object, ...]]) -> None:
    picture = svg(search_progress_figure(hunt("accuracy", rows=rows)))
    assert b"No trial of hunt has ended without diverging yet." in picture


def test_few_trials_say_nothing_of_importance() -> None:
    assert b"takes 10 trials" in svg(importance_figure(hunt("accuracy")))


def test_the_parameter_that_decides_the_score_is_the_most_important() -> None:
    random = np.random.default_rng(0)
    trials = pd.DataFrame(
        {
            "k0": 10 ** random.uniform(-4, 0, 200),
            "l": random.integers(10, 100, 200),
            "function": random.choice(["TRI", "SIN"], 200),
            "same": 1.0,
        }
    )
    scores = pd.Series(-np.abs(np.log10(trials["k0"]) + 2))
    scores[3] = np.nan

    found = importances(trials, scores)

    assert next(iter(found)) == "k0"
    assert found["k0"] > 0.8
    assert found.keys() == {"k0", "l", "function"}
    assert importances(trials.head(5), scores.head(5)) == {}
