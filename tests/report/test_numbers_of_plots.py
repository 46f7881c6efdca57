"""What plots compute before they draw."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

from lrbench.display.curve import sparkline
from lrbench.display.names import fitted
from lrbench.metrics.goal import criteria
from lrbench.policy import parse
from lrbench.report.frames import Frames, records
from lrbench.report.plots.confidence import pooled
from lrbench.report.plots.cost import cost_figure, pareto
from lrbench.report.plots.effects import BETTER, OPEN, WORSE, effects_figure, side
from lrbench.report.plots.profile import gaps
from lrbench.report.plots.range_map import grids, range_map_figure
from lrbench.report.plots.ranking import ranking_figure
from lrbench.report.plots.training_curves import band
from tests.report.made_studies import CHANCE, Place

Study = Callable[..., Frames]

points = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30)


@given(points)
def test_a_point_is_on_the_front_if_and_only_if_no_other_is_cheaper_and_better(found: list[tuple[int, int]]) -> None:
    costs, scores = zip(*found, strict=True)

    front = {found[place] for place in pareto(costs, scores)}

    beaten = {
        (cost, score)
        for cost, score in found
        if any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in found)
    }
    assert front == set(found) - beaten


def test_a_grid_is_ordered_by_what_lengths_come_to(study: Study) -> None:
    texts = [f"STEP(k0={k0}, gamma=0.1, l={length})" for k0 in (0.1, 0.02) for length in (5, "0.5dur", "2ep")]

    (grid,) = grids(study({text: text for text in texts}, lambda place: 0.5).policies)

    assert (grid.x, grid.y, grid.rest) == ("l", "k0", "gamma=0.1")
    assert grid.x_values == ("5", "2ep", "0.5dur")
    assert grid.y_values == ("0.02", "0.1")
    assert grid.cells[1, 2]["label"] == "STEP(k0=0.1, gamma=0.1, l=0.5dur)"


def test_a_cell_of_several_policies_shows_the_best(study: Study) -> None:
    texts = [f"TRI(k0={k0}, k1={k1}, l={l_})" for k0 in (0.01, 0.02, 0.03) for k1 in (0.1, 0.2, 0.3) for l_ in (5, 10)]

    (grid,) = grids(study({text: text for text in texts}, lambda p: 0.6 if "l=10" in p.name else 0.4).policies)

    assert grid.rest == "best over l"
    assert all("l=10" in cell["label"] for row in grid.cells.tolist() for cell in row)


@pytest.mark.parametrize(
    "texts", [["FIX(k0=0.1)", "FIX(k0=0.2)"], ["STEP(k0=0.1, gamma=0.1, l=5)"] * 1, ["PLATEAU(k0=1)"]]
)
def test_less_than_two_values_of_two_parameters_make_no_grid(study: Study, texts: list[str]) -> None:
    assert grids(study({text: text for text in texts}, lambda place: 0.5).policies) == []


@pytest.mark.parametrize(("worst", "cut"), [(0.1, True), (0.88, False)])
def test_a_score_far_below_the_others_is_written_at_the_edge_of_a_ranking(
    study: Study, worst: float, cut: bool
) -> None:
    scores = {"a": 0.91, "b": 0.905, "c": 0.9, "d": worst}
    policies = study(dict.fromkeys(scores, "FIX(k0=0.1)"), lambda place: scores[place.name]).policies

    axes = ranking_figure(policies).axes[1]

    assert ("\N{LEFTWARDS ARROW} 0.100" in {text.get_text() for text in axes.texts}) is cut
    assert axes.get_xlim()[0] > 0.8


@pytest.mark.parametrize(("worst", "cut"), [(0.1, True), (0.88, False)])
def test_a_score_far_below_the_others_is_an_arrow_at_the_edge_of_a_cost(study: Study, worst: float, cut: bool) -> None:
    scores = {"a": 0.91, "b": 0.905, "c": 0.9, "d": worst}
    policies = study(dict.fromkeys(scores, "FIX(k0=0.1)"), lambda place: scores[place.name]).policies

    figure = cost_figure(policies, "seconds")

    axes = figure.axes[0]
    drawn = {
        round(float(y), 3)
        for line in axes.lines
        if line.get_marker() not in ("v", "None")
        for y in np.asarray(line.get_ydata())
    }
    told = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert (worst in drawn) is not cut
    assert ("below the axis: 1 of 0.100 to 0.100" in told) is cut
    assert axes.get_ylim()[0] > 0.8


@pytest.mark.parametrize(("seconds", "drawn"), [((1.0, 2.0), False), ((2.0, 1.0), True)])
def test_the_legend_of_costs_names_a_front_where_one_is_drawn(
    study: Study, seconds: tuple[float, ...], drawn: bool
) -> None:
    scores = {"best": 0.9, "other": 0.8}
    policies = study(dict.fromkeys(scores, "FIX(k0=0.1)"), lambda place: scores[place.name]).policies

    (legend,) = cost_figure(policies.assign(seconds=seconds), "seconds").legends

    assert any(text.get_text().startswith("Pareto front") for text in legend.get_texts()) is drawn


def test_a_grid_that_is_mostly_empty_is_none(study: Study) -> None:
    stages = [(0.55, 0.4), (0.65, 0.3), (0.75, 0.2), (0.85, 0.1)]
    texts = [f"WSD(k0=0.2, up=0.05dur, stable={stable}dur, down={down}dur)" for stable, down in stages]

    assert grids(study({text: text for text in texts}, lambda place: 0.5).policies) == []


def test_beyond_the_cliff_a_map_is_hatched(study: Study) -> None:
    grid = [f"TRI(k0={k0}, k1={k1}, l=10)" for k0 in (0.01, 0.02) for k1 in (0.1, 0.2, 0.5, 1.0)]

    def outcome(place: Place) -> float | None:
        if "k1=1.0" in place.name:
            return None
        if "k1=0.5" in place.name:
            return CHANCE + 0.01 * (place.seed - 1)
        return 0.6 + 0.01 * place.seed

    figure = range_map_figure(study({text: text for text in grid}, outcome).policies)

    (axes, _) = figure.axes
    hatched = [
        (round(patch.get_x() + 0.5), round(patch.get_y() + 0.5))
        for patch in axes.patches
        if isinstance(patch, Rectangle) and patch.get_hatch()
    ]
    assert sorted(hatched) == [(2, 0), (2, 1), (3, 0), (3, 1)]
    assert "diverged, or not told from chance" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_values_in_one_unit_stand_without_it(study: Study) -> None:
    grid = [f"EXP(k0={k0}, gamma={gamma} per 1dur)" for k0 in (0.1, 0.2) for gamma in (0.1, 0.01)]

    axes = range_map_figure(study({text: text for text in grid}, lambda place: 0.5).policies).axes[0]

    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.01", "0.1"]
    assert axes.get_xlabel() == "gamma, per 1dur"
    assert axes.get_ylabel() == "k0: LR at the start"


def test_a_band_goes_as_far_as_every_seed_has_a_value() -> None:
    rows = pd.DataFrame(
        {
            "step": [10, 20, 30, 10, 20],
            "seed": [0, 0, 0, 1, 1],
            "val_score": [0.1, 0.3, 0.5, 0.2, 0.4],
            "status": ["finished"] * 3 + ["diverged"] * 2,
        }
    )

    found = band(rows, "val_score")

    assert found.step.tolist() == [10, 20]
    np.testing.assert_allclose([found.mean, found.low, found.high], [[0.15, 0.35], [0.1, 0.3], [0.2, 0.4]])
    assert found.cut


def test_pooled_bins_are_those_of_all_samples_together() -> None:
    one: dict[str, Any] = {"count": [10, 0], "confidence": [0.2, None], "accuracy": [0.1, None]}
    other: dict[str, Any] = {"count": [30, 20], "confidence": [0.4, 0.9], "accuracy": [0.5, 0.7]}

    both = pooled([one, other])

    np.testing.assert_allclose(both.confidence, [(10 * 0.2 + 30 * 0.4) / 40, 0.9])
    np.testing.assert_allclose(both.accuracy, [(10 * 0.1 + 30 * 0.5) / 40, 0.7])
    assert both.calibration_error == pytest.approx((40 * 0.05 + 20 * 0.2) / 60)


@pytest.mark.parametrize(("better", "sign"), [("higher", 1), ("lower", -1)])
def test_a_gap_is_the_distance_to_the_best_of_the_same_task_and_seed(better: str, sign: int) -> None:
    runs = pd.DataFrame(
        [("a", "t", 0, 0.5), ("b", "t", 0, 0.6), ("a", "t", 1, 0.7), ("b", "t", 1, 0.4), ("c", "t", 0, 0.9)],
        columns=["label", "task", "seed", "val_score"],
    ).assign(better=better)
    runs["val_score"] *= sign

    found = gaps(runs)

    assert found.keys() == {"a", "b"}
    np.testing.assert_allclose(found["a"], [0.4, 0.0])
    np.testing.assert_allclose(found["b"], [0.3, 0.3])


@pytest.mark.parametrize(
    ("low", "high", "said"), [(0.01, 0.02, BETTER), (-0.02, -0.01, WORSE), (-0.01, 0.02, OPEN), (None, None, OPEN)]
)
def test_only_an_interval_without_zero_says_something(low: float, high: float, said: object) -> None:
    assert side(low, high) == said
    mirrored = (None, None) if low is None else (-high, -low)
    assert side(*mirrored, sign=-1) == said


def test_effects_are_drawn_by_a_goal_whose_lower_values_may_be_better(study: Study) -> None:
    frames = study({"flat": "FIX(k0=0.1)"}, lambda place: 0.5, variants=("EMA(decay=0.99)",))
    (goal,) = criteria("jitter", frames.results.tasks[0].goals[0], steps=100)
    drawn = {"task": frames.tasks[0], "name": "flat", "modifier": "EMA(decay=0.99)", "figure": "jitter", "seeds": 3}
    effects = pd.DataFrame([{**drawn, "difference": -0.1, "low": -0.2, "high": -0.05}])

    (axes,) = effects_figure(effects, frames.policies, goal).axes

    assert axes.get_xlabel().split() == ["change", "of", "jitter", "(lower", "is", "better)"]
    assert [line.get_color() for line in axes.lines[1:]] == [BETTER.color] * 2


def test_the_axis_of_effects_is_named_in_full_below_each_of_several_policies(study: Study) -> None:
    names = ("flat", "falling", "wave")
    policies = dict(zip(names, ("FIX(k0=0.1)", "FIX(k0=0.2)", "FIX(k0=0.3)"), strict=True))
    frames = study(policies, lambda place: 0.5, variants=("EMA(decay=0.99)",))
    drawn = {"task": frames.tasks[0], "modifier": "EMA(decay=0.99)", "figure": "test_top1", "seeds": 3}
    effects = pd.DataFrame([{**drawn, "name": name, "difference": 0.1, "low": 0.0, "high": 0.2} for name in names])

    figure = effects_figure(effects, frames.policies)
    figure.draw_without_rendering()

    labels = [axes.xaxis.label for axes in figure.axes]
    assert {" ".join(label.get_text().split()) for label in labels} == {"change of top-1 accuracy (higher is better)"}
    (legend,) = figure.legends
    boxes = [artist.get_window_extent() for artist in (*labels, legend)]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_where_lower_is_better_the_ranking_and_the_cost_have_the_best_on_the_same_side(study: Study) -> None:
    losses = {"first": 0.2, "second": 0.3, "third": 0.9}
    policies = {name: f"FIX(k0={k0})" for name, k0 in zip(losses, (0.1, 0.2, 0.3), strict=True)}
    tables = study(policies, lambda place: losses[place.name], objective="mse", chance=1.0, better="lower").policies
    assert list(tables["label"]) == list(losses)
    _, axes = ranking_figure(tables).axes
    left, right = axes.get_xlim()
    assert left > 0.9 > 0.2 > right
    assert axes.get_xlabel() == "mse (lower is better)"
    scores, _ = cost_figure(tables, "seconds").axes
    bottom, top = scores.get_ylim()
    assert bottom > 0.9 > 0.2 > top
    assert scores.get_ylabel() == "validation mse (lower is better)"


def test_where_lower_is_better_the_map_outlines_the_lowest_and_writes_scores_with_their_own_sign(study: Study) -> None:
    texts = [f"TRI(k0={k0}, k1={k1}, l=10)" for k0 in (0.01, 0.02, 0.03) for k1 in (0.1, 0.2, 0.3)]
    losses = {text: 0.30 + 0.05 * number for number, text in enumerate(texts)}
    asked = {"objective": "mse", "chance": 0.55, "better": "lower", "seeds": (0,)}
    figure = range_map_figure(study({text: text for text in texts}, lambda p: losses[p.name], **asked).policies)
    map_axes, scale = figure.axes
    assert {text.get_text() for text in map_axes.texts} == {f"{loss:.2f}" for loss in losses.values()}
    best, worst = (map_axes.images[0].to_rgba(np.array(-losses[text])) for text in (texts[0], texts[-1]))
    assert best == map_axes.images[0].cmap(1.0)
    assert best != worst
    assert scale.get_ylabel() == "validation mse (lower is better)"
    assert len(map_axes.patches) == sum(loss >= 0.55 for loss in losses.values())


def test_a_sparkline_shows_the_shape_in_one_line() -> None:
    assert sparkline(np.repeat([1.0, 0.5, 0.0], 30), 6) == "██▅▅▁▁"
    assert sparkline(np.zeros(5), 10) == "▁▁▁▁▁"
    assert sparkline(np.full(50, 0.1), 10) == "█" * 10
    assert sparkline(np.linspace(1, 0, 1000), 8) == "█▆▅▅▄▃▂▁"
    assert sparkline(np.array([0.1]), 10) == "█"


@pytest.mark.parametrize("length", ["0.05dur", "0.1dur", "0.2dur", "0.4dur", "7", "20"])
@pytest.mark.parametrize("wave", ["COS", "SIN", "TRI", "TRI2", "COSRSW"])
def test_a_sparkline_of_a_wave_is_never_flat(wave: str, length: str) -> None:
    policy = parse(f"{wave}(k0=0.001, k1=0.1, l={length})").bind(1000, 50)

    levels = ["▁▂▃▄▅▆▇█".index(block) for block in sparkline(policy.lrs(0, 1000), 10)]

    assert max(levels) - min(levels) >= 6


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    name = fitted("the beginning " + "and so on " * 40 + "the end", 30)

    assert len(name.splitlines()) <= 2
    assert name.startswith("the beginning")
    assert name.endswith("the end")


def test_records_of_an_empty_table_are_none(study: Study) -> None:
    assert records(study({"a": "FIX(k0=0.1)"}, lambda place: 0.5).effects) == []
