"""Spread: what of it is the networks', and what the measuring stick's."""

import numpy as np
import pytest
from scipy import stats

from lrbench.metrics.spread import FEWEST_FOR_SKEWNESS, collapses, skewness, spread_of


def scores(network: float, stick: float, policies: int = 40, seeds: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Validation and test scores with these standard deviations, around a mean of each policy's own."""
    rng = np.random.default_rng(0)
    worth = rng.normal(0, 5, (policies, 1)) + rng.normal(0, network, (policies, seeds))
    return worth + rng.normal(0, stick, worth.shape), worth + rng.normal(0, stick, worth.shape)


@pytest.mark.parametrize(("network", "stick"), [(1.0, 1.0), (1.0, 2.0), (2.0, 1.0), (1.0, 0.1)])
def test_the_share_of_the_networks_is_found_whatever_the_policies_are_worth(network: float, stick: float) -> None:
    found = spread_of(*scores(network, stick))
    assert found is not None
    assert found.network == pytest.approx(network**2 / (network**2 + stick**2), abs=0.08)
    assert found.sd == pytest.approx(np.hypot(network, stick), rel=0.08)
    assert found.degrees == 40 * 24


def test_the_noise_of_a_split_is_that_of_counting_right_answers() -> None:
    # Networks that are worth the same, on 800 samples: the variance is p (1 - p) / N.
    rng = np.random.default_rng(1)
    val, test = rng.binomial(800, 0.65, (2, 30, 20)) / 800
    found = spread_of(val, test)
    assert found is not None
    assert found.sd == pytest.approx(np.sqrt(0.65 * 0.35 / 800), rel=0.1)
    assert found.network < 0.1
    assert found.mostly_measuring


def test_missing_runs_are_left_out_and_lonely_ones_say_nothing() -> None:
    val, test = scores(1.0, 1.0, policies=4, seeds=5)
    holed = val.copy()
    holed[0, 1:] = np.nan
    holed[1, 0] = np.inf
    found = spread_of(holed, test)
    assert found is not None
    assert found.degrees == 3 + 4 + 4
    assert found == spread_of(holed[1:], test[1:])


@pytest.mark.parametrize("shape", [(0, 5), (3, 1), (2, 4)])
def test_of_too_few_runs_nothing_is_said(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    assert spread_of(values, values) is None


@pytest.mark.parametrize("score", [0.0, 0.5, 0.7])
def test_of_scores_that_are_equal_but_for_rounding_nothing_is_said(score: float) -> None:
    assert spread_of(np.full((3, 11), score), np.full((3, 11), score)) is None


@pytest.mark.parametrize(
    ("gains", "chance", "counts"),
    [
        ([[0.9, 0.9, 0.2, 0.1]], 0.1, [2]),
        ([[0.9, 0.9, 0.9, 0.51, 0.49]], 0.1, [1]),
        ([[0.9, np.nan, 0.9, 0.2], [0.1, 0.1, 0.1, 0.1]], 0.1, [1, 0]),
        ([[0.9, 0.1]], 0.1, [0]),
        ([[-0.5, -0.5, -3.0]], -2.3, [1]),
        ([[0.9, 0.9, 0.1]], np.nan, [0]),
    ],
)
def test_a_seed_collapsed_that_lost_over_half_of_what_the_median_learnt(
    gains: list[list[float]], chance: float, counts: list[int]
) -> None:
    assert collapses(gains, chance).tolist() == counts


def test_a_policy_with_a_long_tail_is_skewed_and_normal_ones_are_not() -> None:
    rng = np.random.default_rng(1)
    gains = rng.standard_normal((4, 60))
    gains[2] = -rng.exponential(size=60)
    gains[2, 4] = np.nan
    found = skewness(gains)
    assert np.isnan(found[[0, 1, 3]]).all()
    assert found[2] == pytest.approx(stats.skew(gains[2], nan_policy="omit"))


@pytest.mark.parametrize("seeds", [8, 10, 20])
def test_skewness_of_normal_scores_is_seen_in_about_1_percent_of_studies(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    seen = [np.isfinite(skewness(rng.standard_normal((5, seeds)))).any() for _ in range(1000)]
    assert np.mean(seen) <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / 1000)


def test_five_seeds_show_no_skewness_whatever_they_are() -> None:
    outlier = np.zeros((1, FEWEST_FOR_SKEWNESS - 1))
    outlier[0, 0] = -1.0
    assert np.isnan(skewness(outlier)).all()
    assert np.isnan(skewness(np.full((2, 20), 0.5))).all()
