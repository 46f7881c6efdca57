import numpy as np
import pytest

from lrbench.errors import StudyError
from lrbench.metrics.direction import Better
from lrbench.metrics.robustness import (
    BASE_LR_SCALES,
    divergence_rate,
    loss_difference,
    mean_over_scales,
    retained_fraction,
)
from tests.present import present


def test_lrbench_defect_robustness_swaps_train_and_test_loss() -> None:
    assert loss_difference(test_loss=0.5, train_loss=0.2) == pytest.approx(0.3)


def test_the_base_lr_scales_are_lrbenchs() -> None:
    assert BASE_LR_SCALES == (0.1, 0.5, 1, 5, 10)


def test_retained_fraction_is_the_mean_ratio_to_the_unscaled_score() -> None:
    # (.4/.8 + .72/.8 + 1 + .76/.8 + .2/.8) / 5 = (.5 + .9 + 1 + .95 + .25) / 5
    scores = dict(zip(BASE_LR_SCALES, (0.4, 0.72, 0.8, 0.76, 0.2), strict=True))
    assert retained_fraction(scores, chance=0.1) == pytest.approx(0.72)


def test_a_diverged_scale_counts_as_chance() -> None:
    # (.5/.5 + .1/.5) / 2
    assert retained_fraction({1: 0.5, 10: None}, chance=0.1) == pytest.approx(0.6)


def test_nothing_is_retained_of_a_policy_that_diverges_unscaled() -> None:
    assert retained_fraction({0.1: 0.8, 1: None}, chance=0.1) is None
    assert retained_fraction({0.1: 0.8, 1: 0.0}, chance=0.1) is None


def test_scales_without_the_policy_itself_are_refused() -> None:
    with pytest.raises(StudyError, match=r"must include 1, but are 0\.1, 10"):
        retained_fraction({0.1: 0.8, 10: 0.4}, chance=0.1)


def test_divergence_rate_counts_over_seeds_and_scales() -> None:
    assert divergence_rate([[True, False, False], [True, True, False]]) == 0.5


def test_divergence_rate_of_no_runs_does_not_exist() -> None:
    assert divergence_rate(np.zeros((0, 5))) is None


def test_of_a_loss_the_improvement_over_chance_is_what_is_retained() -> None:
    # ((2 - 1.25) / (2 - 0.5) + 1 + 0) / 3
    assert retained_fraction({0.1: 1.25, 1: 0.5, 10: None}, chance=2.0, better="lower") == pytest.approx(0.5)
    assert retained_fraction({0.1: 1.25, 1: 2.5}, chance=2.0, better="lower") is None


def test_the_mean_over_scales_is_that_of_the_scores_themselves() -> None:
    cases: list[tuple[Better, float]] = [("higher", 0.1), ("lower", 2.0)]
    for better, chance in cases:
        scores = {0.1: 0.4, 1: 0.6, 10: 0.5}
        retained = retained_fraction(scores, chance, better)
        assert mean_over_scales(0.6, present(retained), chance, better) == pytest.approx(0.5)
