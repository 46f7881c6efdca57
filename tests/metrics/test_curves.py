import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrbench.metrics.curves import curve_mean, jitter, monotonicity, steps_to_best, steps_to_target, volatility

STEPS = list(range(100, 1600, 100))


def test_volatility_is_the_spread_around_the_trend_of_the_last_fifth() -> None:
    # 15 evaluations: the last 3 are 0, 1, 0; their trend is flat at 1/3; residuals -1/3, 2/3, -1/3; 6/9 over 3 - 2
    assert volatility(STEPS, [9.0] * 12 + [0.0, 1.0, 0.0]) == pytest.approx(math.sqrt(2 / 3))


def test_a_steady_climb_is_not_volatile() -> None:
    assert volatility(STEPS, [0.01 * step for step in STEPS]) == pytest.approx(0.0, abs=1e-12)


def test_the_trend_is_over_steps_not_over_evaluations() -> None:
    uneven = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20, 100, 110, 300]
    assert volatility(uneven, [0.5 * step for step in uneven]) == pytest.approx(0.0, abs=1e-12)


def test_the_last_fifth_is_rounded_up() -> None:
    # 11 evaluations: the last 3, not the last 2
    assert volatility(STEPS[:11], [0.0] * 8 + [0.0, 1.0, 0.0]) == pytest.approx(math.sqrt(2 / 3))


def test_volatility_of_fewer_than_11_evaluations_does_not_exist() -> None:
    assert volatility(STEPS[:10], [0.5] * 10) is None
    assert volatility([], []) is None


def test_volatility_of_a_curve_with_a_hole_in_its_tail_does_not_exist() -> None:
    assert volatility(STEPS, [0.5] * 14 + [math.nan]) is None


@given(st.lists(st.floats(-1, 1), min_size=11, max_size=40), st.floats(-5, 5), st.floats(-0.1, 0.1))
def test_volatility_does_not_see_a_trend(scores: list[float], offset: float, slope: float) -> None:
    steps = list(range(len(scores)))
    tilted = [score + offset + slope * step for step, score in zip(steps, scores, strict=True)]
    assert volatility(steps, tilted) == pytest.approx(volatility(steps, scores), abs=1e-9)


def test_steps_to_target_is_the_first_evaluation_at_or_over_it() -> None:
    assert steps_to_target([10, 20, 30, 40], [0.1, 0.5, 0.4, 0.9], target=0.5) == 20


def test_a_target_never_reached_is_censored() -> None:
    assert steps_to_target([10, 20], [0.1, 0.49], target=0.5) is None


def test_nan_reaches_no_target() -> None:
    assert steps_to_target([10, 20], [math.nan, 0.6], target=0.5) == 20


def test_steps_to_best_is_the_first_evaluation_with_the_highest_score() -> None:
    assert steps_to_best([10, 20, 30, 40], [0.1, 0.9, 0.4, 0.9]) == 20


def test_steps_to_best_ignores_scores_that_are_not_finite() -> None:
    assert steps_to_best([10, 20, 30], [0.1, math.inf, math.nan]) == 10
    assert steps_to_best([10], [math.nan]) is None
    assert steps_to_best([], []) is None


def test_an_infinite_score_is_a_gap_and_reaches_no_target() -> None:
    assert steps_to_target([10, 20, 30], [math.inf, 0.5, 0.7], 0.6) == 30


@given(st.lists(st.integers(-50, 50), min_size=3, max_size=20), st.floats(0.1, 5), st.floats(-5, 5))
def test_monotonicity_sees_no_scale_and_of_a_curve_upside_down_is_the_rest(
    scores: list[int], factor: float, offset: float
) -> None:
    share = monotonicity(scores)
    moved, reversed_ = (monotonicity([sign * factor * score + offset for score in scores]) for sign in (1, -1))
    if share is None:
        assert len(set(scores)) == 1
    else:
        assert moved == pytest.approx(share, abs=1e-9)
        assert reversed_ == pytest.approx(1 - share, abs=1e-9)


CURVES = st.lists(st.tuples(st.integers(1, 50), st.floats(-1, 1)), min_size=2, max_size=20)


def laid_out(curve: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """The steps and scores of a curve that is given as intervals of iterations and scores."""
    return np.cumsum([interval for interval, _ in curve]).tolist(), [score for _, score in curve]


@given(CURVES, st.floats(0, 5), st.floats(-5, 5))
def test_the_mean_of_a_curve_scales_and_shifts_with_its_scores(
    curve: list[tuple[int, float]], factor: float, offset: float
) -> None:
    steps, scores = laid_out(curve)
    mean = curve_mean(steps, scores)
    assert mean is not None
    assert min(scores) - 1e-9 <= mean <= max(scores) + 1e-9
    moved = [factor * score + offset for score in scores]
    assert curve_mean(steps, moved) == pytest.approx(factor * mean + offset, abs=1e-9)


@given(CURVES)
def test_evaluations_between_on_the_line_change_no_mean_of_a_curve(curve: list[tuple[int, float]]) -> None:
    steps, scores = laid_out([(2 * interval, score) for interval, score in curve])
    halves = [(a + b) // 2 for a, b in pairwise(steps)]
    finer = sorted([*steps, *halves])
    assert curve_mean(finer, np.interp(finer, steps, scores).tolist()) == pytest.approx(
        curve_mean(steps, scores), abs=1e-9
    )


@given(CURVES, st.integers(0, 20), st.floats(0.01, 1))
def test_a_curve_that_is_nowhere_lower_and_once_higher_has_a_higher_mean(
    curve: list[tuple[int, float]], place: int, rise: float
) -> None:
    steps, scores = laid_out(curve)
    higher = list(scores)
    higher[place % len(scores)] += rise
    means = curve_mean(steps, scores), curve_mean(steps, higher)
    assert None not in means
    assert means[0] < means[1]


def test_the_mean_of_a_curve_needs_two_scores_that_are_all_finite() -> None:
    assert curve_mean([10], [0.5]) is None
    assert curve_mean([10, 20, 30], [0.5, math.nan, 0.5]) is None


def test_jitter_is_the_standard_deviation_of_independent_noise_on_a_smooth_rise() -> None:
    rng = np.random.default_rng(0)
    steps = np.sort(rng.choice(100_000, 4000, replace=False))
    scores = np.sqrt(steps / 100_000) + 0.01 * rng.normal(size=4000)
    assert jitter(steps.tolist(), scores.tolist()) == pytest.approx(0.01, rel=0.06)


def test_jitter_of_a_straight_rise_at_uneven_steps_is_nothing() -> None:
    steps = [step**2 for step in range(20)]
    assert jitter(steps, [0.5 * step for step in steps]) == pytest.approx(0.0, abs=1e-12)


def test_jitter_needs_thirteen_finite_scores() -> None:
    assert jitter(range(12), [0.1 * (step % 2) for step in range(12)]) is None
    assert jitter(range(13), [0.1 * (step % 2) for step in range(13)]) is not None
    assert jitter(range(14), [math.nan, *range(13)]) == pytest.approx(0.0)
    assert jitter(range(14), [*range(13), math.nan]) is None


def test_jitter_varies_less_between_runs_than_volatility_does() -> None:
    noise = np.random.default_rng(1).normal(size=(500, 20))
    spread = [np.std([of(range(20), run.tolist()) or 0.0 for run in noise]) for of in (jitter, volatility)]
    assert spread[0] < 0.75 * spread[1]


def test_monotonicity_is_the_share_of_change_that_is_up() -> None:
    assert monotonicity([0.1, 0.2, 0.2, 0.9]) == 1
    assert monotonicity([0.9, 0.5, 0.1]) == 0
    assert monotonicity([0.0, 3.0, 2.0, 2.0]) == pytest.approx(0.75)
    assert monotonicity([0.5, 0.5, 0.5]) is None
    assert monotonicity([0.1, 0.2]) is None
    assert monotonicity([0.1, math.nan, 0.3]) is None


def test_curves_that_are_measured_together_have_the_numbers_of_each_alone_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    for evaluations in (0, 1, 2, 3, 10, 12, 20, 41):
        steps = np.cumsum(rng.integers(1, 50, (60, evaluations)), axis=1)
        scores = np.where(rng.random(steps.shape) < 0.02, np.nan, rng.normal(size=steps.shape).round(2))
        for of in (volatility, jitter, curve_mean, steps_to_best):
            together = of(steps, scores).tolist()
            alone = [of(*curve) for curve in zip(steps.tolist(), scores.tolist(), strict=True)]
            assert [(type(number), number) for number in together] == [(type(number), number) for number in alone]
        assert monotonicity(scores).tolist() == [monotonicity(curve) for curve in scores.tolist()]
