import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binom

from lrbench.metrics.statistics import (
    NOTHING_KNOWN,
    Interval,
    holm,
    is_even,
    paired_interval,
    paired_power,
    proportion_interval,
    seeds_to_decide,
    sign_power,
    sign_threshold,
    t_interval,
    t_intervals,
)
from tests.present import present


def test_t_interval_of_three_values_by_hand() -> None:
    # mean 2, sd 1, t(.975, 2 degrees) = 4.302653 from any table, half width 4.302653 / sqrt 3 = 2.484138
    interval = t_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.sd == 1.0
    assert interval.n == 3
    assert interval.low == pytest.approx(2 - 2.484138, abs=1e-6)
    assert interval.high == pytest.approx(2 + 2.484138, abs=1e-6)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20).filter(lambda x: np.std(x) > 1e-6), st.floats(0.5, 0.99))
def test_t_interval_agrees_with_scipy(values: list[float], level: float) -> None:
    interval = t_interval(values, level)
    expected = stats.t.interval(level, len(values) - 1, np.mean(values), stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_intervals_of_rows_are_those_of_each_rows_known_values_within_the_bounds() -> None:
    table = np.random.default_rng(0).normal(0.9, 0.1, (200, 12))
    table[np.random.default_rng(1).random(table.shape) < 0.5] = np.nan
    table[0] = np.nan
    alone = [t_interval(row[np.isfinite(row)]).within((None, 1.0)) for row in table]
    assert t_intervals(table, bounds=(None, 1.0)) == alone


def test_one_value_has_a_mean_and_no_bounds() -> None:
    interval = t_interval([0.9])
    assert (interval.mean, interval.low, interval.high, interval.n, interval.sd) == (0.9, None, None, 1, None)


def test_no_value_has_nothing() -> None:
    assert t_interval([]) == NOTHING_KNOWN


def test_equal_values_have_an_interval_without_width() -> None:
    interval = t_interval([0.5, 0.5, 0.5])
    assert (interval.low, interval.mean, interval.high, interval.sd) == (0.5, 0.5, 0.5, 0.0)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_95_percent_interval_covers_at_least_93_percent(n: int) -> None:
    # 20,000 intervals: the standard error is .0015, so that .93 lies 13 of them below the nominal .95.
    values = np.random.default_rng(n).normal(0.9, 0.01, size=(20_000, n))
    intervals = [t_interval(row) for row in values]
    covered = np.mean([i.low <= 0.9 <= i.high for i in intervals if i.low is not None and i.high is not None])
    assert 0.93 <= covered <= 0.97


def test_paired_interval_is_that_of_the_differences() -> None:
    assert paired_interval([3.0, 5.0, 7.0], [2.0, 3.0, 4.0]) == t_interval([1.0, 2.0, 3.0])


def test_paired_interval_uses_the_seeds_that_both_have() -> None:
    assert paired_interval([3.0, math.nan, 7.0, 1.0], [2.0, 3.0, 4.0, math.nan]) == t_interval([1.0, 3.0])


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 5), (3, 5), (5, 5), (2, 25)])
def test_proportion_interval_agrees_with_scipys_exact_one(successes: int, n: int) -> None:
    interval = proportion_interval(successes, n)
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="exact")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.mean == successes / n


def test_none_of_five_is_no_proof_of_never() -> None:
    # 1 - (.025)^(1/5) = .5218
    assert proportion_interval(0, 5).high == pytest.approx(1 - 0.025 ** (1 / 5))


def test_proportion_of_one_or_of_none_has_no_bounds() -> None:
    assert (proportion_interval(1, 1).mean, proportion_interval(1, 1).low) == (1.0, None)
    assert proportion_interval(0, 0) == NOTHING_KNOWN


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .04, times 4 3 2 1: .04 .06 .06 .04, and none smaller than the one before
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_never_exceeds_one() -> None:
    assert holm([0.9, 0.6, 0.7]).tolist() == [1.0, 1.0, 1.0]


def test_holm_works_along_the_last_axis() -> None:
    assert holm([[0.03, 0.01], [0.5, 0.01]]) == pytest.approx(np.array([[0.03, 0.02], [0.5, 0.02]]))


def test_power_of_the_reference_example() -> None:
    # Effect 1 sd, correlation .8: the difference has sd sqrt(2 - 1.6); 5 seeds, two-sided 5%: power .75 when simulated.
    assert paired_power(1 / math.sqrt(0.4), seeds=5, level=0.025) == pytest.approx(0.75, abs=0.01)


def test_power_of_no_effect_is_the_level() -> None:
    assert paired_power(0.0, seeds=7, level=0.05) == pytest.approx(0.05)


@pytest.mark.parametrize(("seeds", "level"), [(5, 0.04), (12, 0.01), (20, 0.0003)])
def test_the_threshold_and_the_power_of_a_sign_test_are_those_of_the_binomial_distribution(
    seeds: int, level: float
) -> None:
    needed = sign_threshold(seeds, level)
    assert binom.sf(needed - 1, seeds, 0.5) <= level < binom.sf(needed - 2, seeds, 0.5)
    assert sign_power(0.6, seeds, level) == pytest.approx(binom.sf(needed - 1, seeds, 0.8))


def test_a_sign_test_of_too_few_seeds_finds_nothing() -> None:
    assert sign_power(1.0, 4, 0.05) == 0
    assert seeds_to_decide(1.0, 0.05 / 156, power_of=sign_power) == 12


@given(st.floats(0.1, 20), st.floats(1e-5, 0.1))
def test_seeds_to_decide_is_the_fewest_that_reach_the_power(effect: float, level: float) -> None:
    seeds = seeds_to_decide(effect, level)
    if seeds is None:
        assert paired_power(effect, 1000, level) < 0.8
    else:
        assert paired_power(effect, seeds, level) >= 0.8
        assert seeds == 2 or paired_power(effect, seeds - 1, level) < 0.8


def test_no_number_of_seeds_shows_what_is_not_there() -> None:
    assert seeds_to_decide(0.0, level=0.05) is None
    assert seeds_to_decide(-1.0, level=0.05) is None
    assert seeds_to_decide(math.nan, level=0.05) is None


def test_an_effect_too_small_for_a_thousand_seeds_is_not_promised() -> None:
    assert seeds_to_decide(0.01, level=0.05) is None


def test_an_interval_stays_within_the_bounds_of_what_is_measured() -> None:
    interval = t_interval([0.8, 0.9, 0.94])
    assert interval.high is not None
    assert interval.high > 1
    clipped = interval.within((0.0, 1.0))
    assert (clipped.low, clipped.high, clipped.mean, clipped.sd) == (interval.low, 1.0, interval.mean, interval.sd)
    assert interval.within((None, None)) == interval
    assert NOTHING_KNOWN.within((0.0, 1.0)) == NOTHING_KNOWN


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_an_interval_that_was_not_clipped_is_even_about_its_mean(values: list[float]) -> None:
    interval = t_interval(values)
    mean, low, high = present(interval.mean), present(interval.low), present(interval.high)
    assert is_even(mean, low, high)
    assert is_even(mean, low, high - 0.1 * (high - low)) == (high - low <= 1e-8 * abs(mean))


@pytest.mark.parametrize(
    ("interval", "form", "text"),
    [
        (t_interval([0.8, 0.9, 0.94]).within((0.0, 1.0)), "", "0.880 [0.701, 1.000]"),
        (t_interval([0.5, 0.6, 0.7]), ".3f", "0.600 ±0.248"),
        (t_interval([0.5, 0.6, 0.7]), "+.2f", "+0.60 ±0.25"),
        (t_interval([0.5, 0.6, 0.7]).point, ".1f", "0.6"),
        (t_interval([1000.0, 3000.0]).per(1000.0).point, ".1f", "2.0"),
        (t_interval([12345.6]), ",.0f", "12,346"),
        (t_interval([]), ",.0f", "–"),
        (Interval(2.09e19, -1e18, 4.28e19, n=5, sd=1.8e19), ".3f", "2.09e+19 ±2.19e+19"),
    ],
)
def test_an_interval_is_shown_by_half_its_width_or_by_both_ends_where_it_is_uneven(
    interval: Interval, form: str, text: str
) -> None:
    assert format(interval, form) == text
