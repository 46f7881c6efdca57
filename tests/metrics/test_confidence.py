"""Golden values are worked out by hand in the comments, from four samples of three classes:

probabilities       label  predicted  correct
.7  .2  .1            0        0        yes   confidence .7
.1  .8  .1            1        1        yes   confidence .8
.5  .3  .2            1        0        no    confidence .5
.9  .05 .05           0        0        yes   confidence .9
"""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lrbench.errors import DataError
from lrbench.metrics.confidence import (
    average_confidence,
    brier_score,
    class_confidence,
    classify,
    confidence_deviation_across_classes,
    confidence_variation,
    reliability_bins,
    softmax,
    top_k_accuracy,
)

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.9, 0.05, 0.05]])
LABELS = np.array([0, 1, 1, 0])


def test_top_1_accuracy_is_the_fraction_of_correct_samples() -> None:
    assert top_k_accuracy(PROBABILITIES, LABELS, k=1) == 3 / 4


def test_top_2_accuracy_counts_a_label_in_second_place() -> None:
    assert top_k_accuracy(PROBABILITIES, LABELS, k=2) == 1.0


def test_a_tie_goes_to_the_first_class_so_that_equal_probabilities_are_not_always_right() -> None:
    uniform = np.full((10, 10), 0.1)
    assert top_k_accuracy(uniform, np.arange(10), k=1) == 0.1
    assert top_k_accuracy(uniform, np.arange(10), k=5) == 0.5


def test_ac_is_the_mean_confidence_of_the_correct_samples() -> None:
    assert average_confidence(PROBABILITIES, LABELS) == pytest.approx((0.7 + 0.8 + 0.9) / 3)


def test_cv_is_their_population_standard_deviation() -> None:
    # around the mean .8: (.01 + 0 + .01) / 3
    assert confidence_variation(PROBABILITIES, LABELS) == pytest.approx(math.sqrt(0.02 / 3))


def test_cdac_is_the_population_deviation_of_the_class_means() -> None:
    # class 0: (.7 + .9) / 2 = .8, class 1: .8, class 2 has no correct sample
    assert confidence_deviation_across_classes(PROBABILITIES, LABELS) == pytest.approx(0.0)
    # without the last sample class 0 has .7 and class 1 has .8, each .05 from their mean
    assert confidence_deviation_across_classes(PROBABILITIES[:3], LABELS[:3]) == pytest.approx(0.05)


def test_cdac_leaves_out_classes_without_a_correct_sample_and_counts_them() -> None:
    result = classify(np.log(PROBABILITIES), LABELS)
    assert result.cdac == pytest.approx(0.0)
    assert result.classes_without_correct == 1


def test_lrbench_defect_per_class_confidence_drops_trailing_classes() -> None:
    # Its loop runs to the highest class that was predicted right, so that class 2 would vanish from the vector.
    confidence = class_confidence(PROBABILITIES, LABELS)
    assert confidence.shape == (3,)
    assert confidence[:2] == pytest.approx([0.8, 0.8])
    assert np.isnan(confidence[2])


def test_figures_of_correct_samples_are_none_where_no_sample_is_correct() -> None:
    nobody = classify(np.log(PROBABILITIES), np.array([2, 2, 2, 2]))
    assert (nobody.ac, nobody.cv, nobody.cdac) == (None, None, None)
    assert nobody.top1 == 0.0
    assert nobody.classes_without_correct == 3


def test_brier_score_sums_over_classes_and_averages_over_samples() -> None:
    # .09+.04+.01 = .14;  .01+.04+.01 = .06;  .25+.49+.04 = .78;  .01+.0025+.0025 = .015
    assert brier_score(PROBABILITIES, LABELS) == pytest.approx((0.14 + 0.06 + 0.78 + 0.015) / 4)


def test_brier_score_runs_from_0_to_2() -> None:
    sure = np.array([[1.0, 0.0]])
    assert brier_score(sure, np.array([0])) == 0.0
    assert brier_score(sure, np.array([1])) == 2.0


def test_ece_weighs_the_gap_of_each_bin_by_its_samples() -> None:
    # Four confidences in four of the 15 bins: gaps .3, .2, .5, .1
    assert reliability_bins(PROBABILITIES, LABELS).expected_calibration_error() == pytest.approx(
        (0.3 + 0.2 + 0.5 + 0.1) / 4
    )


def test_ece_compares_means_within_a_bin() -> None:
    # One bin: accuracy .75, mean confidence .725
    assert reliability_bins(PROBABILITIES, LABELS, bins=1).expected_calibration_error() == pytest.approx(0.025)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    bins = reliability_bins(np.array([[0.5, 0.5], [0.51, 0.49]]), np.array([0, 0]), bins=2)
    assert bins.count.tolist() == [1, 1]
    assert bins.edges.tolist() == [0.0, 0.5, 1.0]


def test_reliability_bins_keep_what_a_diagram_needs() -> None:
    bins = reliability_bins(PROBABILITIES, LABELS, bins=2)
    assert bins.count.tolist() == [1, 3]
    assert bins.accuracy.tolist() == [0.0, 1.0]
    assert bins.confidence == pytest.approx([0.5, 0.8])


def test_an_empty_bin_has_no_accuracy() -> None:
    bins = reliability_bins(PROBABILITIES, LABELS)
    assert len(bins.count) == 15
    assert np.isnan(bins.accuracy[bins.count == 0]).all()


def test_cross_entropy_is_the_mean_of_minus_log_p_of_the_label() -> None:
    expected = -(math.log(0.7) + math.log(0.8) + math.log(0.3) + math.log(0.9)) / 4
    assert classify(np.log(PROBABILITIES), LABELS).cross_entropy == pytest.approx(expected)


def test_huge_logits_do_not_overflow() -> None:
    result = classify(np.array([[1e4, -1e4], [-1e4, 1e4]]), np.array([0, 0]))
    assert result.top1 == 0.5
    assert result.cross_entropy == pytest.approx(1e4)
    assert result.ac == 1.0


def test_top_5_does_not_exist_for_fewer_than_five_classes() -> None:
    assert classify(np.log(PROBABILITIES), LABELS).top5 is None
    assert classify(np.zeros((2, 5)), np.array([0, 4])).top5 == 1.0


@pytest.mark.parametrize(
    ("logits", "labels", "says"),
    [
        (np.zeros((0, 3)), np.zeros(0, dtype=int), "shape"),
        (np.zeros(3), np.zeros(3, dtype=int), "shape"),
        (np.array([[0.0, np.nan]]), np.array([0]), "finite"),
        (np.zeros((2, 3)), np.array([0]), "2 integers"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), "float64"),
        (np.zeros((2, 3)), np.array([0, 3]), r"0\.\.2, but they range from 0 to 3"),
        (np.zeros((2, 3)), np.array([-1, 0]), r"0\.\.2, but they range from -1 to 0"),
    ],
)
def test_predictions_that_make_no_sense_are_refused(logits: np.ndarray, labels: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        classify(logits, labels)


@given(arrays(np.float64, (20, 6), elements=st.floats(-50, 50)), arrays(np.int64, 20, elements=st.integers(0, 5)))
def test_every_figure_stays_in_its_range(logits: np.ndarray, labels: np.ndarray) -> None:
    result = classify(logits, labels)
    assert result.top5 is not None
    assert 0 <= result.top1 <= result.top5 <= 1
    assert 0 <= result.ece <= 1
    assert -1e-12 <= result.brier <= 2 + 1e-12
    assert result.cross_entropy >= 0
    assert result.reliability.count.sum() == 20
    assert result.ac is None or 1 / 6 - 1e-12 <= result.ac <= 1 + 1e-12
    assert result.cdac is None or 0 <= result.cdac <= 0.5


@given(arrays(np.float64, (20, 6), elements=st.floats(-50, 50)), arrays(np.int64, 20, elements=st.integers(0, 5)))
def test_ece_equals_its_definition_sample_by_sample(logits: np.ndarray, labels: np.ndarray) -> None:
    rows = softmax(logits)
    edges = [m / 15 for m in range(16)]
    expected = 0.0
    for low, high in pairwise(edges):
        inside = [(max(row), int(np.argmax(row)) == label) for row, label in zip(rows, labels, strict=True)]
        inside = [(confidence, right) for confidence, right in inside if low < confidence <= high]
        expected += abs(sum(right for _, right in inside) - sum(confidence for confidence, _ in inside)) / 20
    assert reliability_bins(rows, labels).expected_calibration_error() == pytest.approx(expected)
