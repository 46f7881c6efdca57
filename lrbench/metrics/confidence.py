"""Accuracy, confidence and calibration of a classifier.

Every function takes `probabilities` (float64 [N, C], softmax rows) and `labels` (int [N], 0 <= label < C). A sample is
correct if the first of its most probable classes is its label. A metric that does not exist, such as the confidence of
correct samples where no sample is correct, is None. AC, CV and CDAC are those of the LRBench notebook
(`examples/mnist/caffe/lrbench-mnist-caffe.ipynb`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrbench.errors import DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CALIBRATION_BINS = 15


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """A reliability diagram as data: samples grouped by the confidence of their prediction.

    Bin m holds the confidences in (edges[m], edges[m+1]]; a confidence of exactly 0 would go into the first bin.
    """

    edges: FloatArray
    """[bins + 1], from 0 to 1."""
    count: IntArray
    """[bins], samples in the bin."""
    confidence: FloatArray
    """[bins], mean confidence of the bin's samples, nan where the bin is empty."""
    accuracy: FloatArray
    """[bins], fraction of the bin's samples that are correct, nan where the bin is empty."""

    def expected_calibration_error(self) -> float:
        """Return ECE, the mean `|accuracy - confidence|` of the samples' bins, from 0 to 1 (Guo et al. 2017)."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(gaps * self.count) / self.count.sum())


@dataclass(frozen=True, eq=False)
class Classification:
    """The metrics of a classifier's predictions on one split."""

    n: int
    top1: float
    top5: float | None
    """None where there are fewer than five classes."""
    cross_entropy: float
    """Mean over samples of -log p(label), in nats."""
    ac: float | None
    cv: float | None
    cdac: float | None
    classes_without_correct: int
    """Classes without a correct sample, which CDAC leaves out."""
    ece: float
    brier: float
    class_confidence: FloatArray
    """[C], as `class_confidence` gives it."""
    reliability: ReliabilityBins


def softmax(logits: ArrayLike) -> FloatArray:
    """Return the softmax rows [N, C] of finite `logits` [N, C], in float64.

    >>> softmax([[0.0, 0.0]])
    array([[0.5, 0.5]])
    """
    given = np.asarray(logits, dtype=np.float64)
    shifted = given - given.max(axis=1, keepdims=True)
    rows: FloatArray = np.exp(shifted)
    rows /= rows.sum(axis=1, keepdims=True)
    return rows


def classify(logits: ArrayLike, labels: ArrayLike) -> Classification:
    """Compute every metric of this module for one split.

    >>> classify([[2.0, 0.0], [2.0, 0.0]], [0, 1]).top1
    0.5

    Args:
        logits: finite float [N, C], N >= 1, the network's outputs before the softmax.
        labels: int [N].

    Raises:
        DataError: the shapes do not fit together, a logit is not finite, or a label is outside 0..C-1.
    """
    scores = _checked_logits(logits)
    truth = _checked_labels(labels, scores)
    probabilities = softmax(scores)
    judged = _Judged.of(probabilities, truth)
    by_class = judged.by_class()
    reliability = judged.bins(CALIBRATION_BINS)
    return Classification(
        n=len(truth),
        top1=top_k_accuracy(probabilities, truth, k=1),
        top5=top_k_accuracy(probabilities, truth, k=5) if scores.shape[1] >= 5 else None,
        cross_entropy=_cross_entropy(scores, truth),
        ac=judged.average(),
        cv=judged.variation(),
        cdac=_deviation(by_class),
        classes_without_correct=int(np.isnan(by_class).sum()),
        ece=reliability.expected_calibration_error(),
        brier=brier_score(probabilities, truth),
        class_confidence=by_class,
        reliability=reliability,
    )


def top_k_accuracy(probabilities: FloatArray, labels: IntArray, k: int) -> float:
    """Return the fraction of samples whose label is among the k most probable classes.

    Among equally probable classes the one with the lower index comes first, so that top-1 agrees with argmax and a
    classifier that gives every class the same probability is not right about all of them.

    >>> top_k_accuracy(np.array([[0.7, 0.3], [0.6, 0.4]]), np.array([0, 1]), k=1)
    0.5
    """
    of_label = probabilities[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(probabilities.shape[1])[None, :] < labels[:, None]
    ahead = (probabilities > of_label) | ((probabilities == of_label) & earlier)
    return float(np.mean(ahead.sum(axis=1) < k))


def average_confidence(probabilities: FloatArray, labels: IntArray) -> float | None:
    """Return AC, the mean of the highest probability over the correct samples; None if no sample is correct.

    >>> average_confidence(np.array([[0.7, 0.3], [0.6, 0.4]]), np.array([0, 1]))  # the first alone is correct
    0.7
    """
    return _Judged.of(probabilities, labels).average()


def confidence_variation(probabilities: FloatArray, labels: IntArray) -> float | None:
    """Return CV, the standard deviation (ddof 0) of the confidences behind AC; None if no sample is correct.

    >>> round(confidence_variation(np.array([[0.9, 0.1], [0.3, 0.7]]), np.array([0, 1])), 3)
    0.1
    """
    return _Judged.of(probabilities, labels).variation()


def confidence_deviation_across_classes(probabilities: FloatArray, labels: IntArray) -> float | None:
    """Return CDAC, the standard deviation (ddof 0) over the classes of their mean confidence on correct samples.

    Classes without a correct sample are left out (`class_confidence` shows which); None if that leaves no class.

    >>> round(confidence_deviation_across_classes(np.array([[0.9, 0.1], [0.3, 0.7]]), np.array([0, 1])), 3)
    0.1
    """
    return _deviation(class_confidence(probabilities, labels))


def class_confidence(probabilities: FloatArray, labels: IntArray) -> FloatArray:
    """Return the mean confidence over each class's correct samples, [C]; nan for a class that has none.

    >>> class_confidence(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]))
    array([0.9, nan])
    """
    return _Judged.of(probabilities, labels).by_class()


def brier_score(probabilities: FloatArray, labels: IntArray) -> float:
    """Return the mean over samples of the sum over classes of (p_c - [c is the label])^2, from 0 to 2 (Brier 1950).

    >>> brier_score(np.array([[0.5, 0.5]]), np.array([0]))
    0.5
    """
    of_label = probabilities[np.arange(len(labels)), labels]
    return float(np.mean((probabilities**2).sum(axis=1) - 2 * of_label + 1))


def reliability_bins(probabilities: FloatArray, labels: IntArray, bins: int = CALIBRATION_BINS) -> ReliabilityBins:
    """Return confidence and accuracy in `bins` bins of equal width, closed on the right (Guo et al. 2017).

    >>> reliability_bins(np.array([[0.75, 0.25], [0.6, 0.4]]), np.array([0, 0]), bins=4).count
    array([0, 0, 2, 0])
    """
    return _Judged.of(probabilities, labels).bins(bins)


@dataclass(frozen=True, eq=False)
class _Judged:
    """Samples with their labels, the confidence of their predictions, and whether these are correct."""

    labels: IntArray
    confidence: FloatArray
    correct: NDArray[np.bool_]
    classes: int

    @classmethod
    def of(cls, probabilities: FloatArray, labels: IntArray) -> "_Judged":
        predicted = probabilities.argmax(axis=1)
        confidence = probabilities[np.arange(len(labels)), predicted]
        return cls(labels, confidence, predicted == labels, probabilities.shape[1])

    def average(self) -> float | None:
        return float(self.confidence[self.correct].mean()) if self.correct.any() else None

    def variation(self) -> float | None:
        return float(self.confidence[self.correct].std()) if self.correct.any() else None

    def by_class(self) -> FloatArray:
        labels = self.labels[self.correct]
        sums = np.bincount(labels, weights=self.confidence[self.correct], minlength=self.classes)
        return _mean_where_counted(sums, np.bincount(labels, minlength=self.classes))

    def bins(self, number: int) -> ReliabilityBins:
        edges = np.linspace(0.0, 1.0, number + 1)
        bin_of = np.digitize(self.confidence, edges[1:-1], right=True)
        count = np.bincount(bin_of, minlength=number)
        sums = (np.bincount(bin_of, weights=one, minlength=number) for one in (self.confidence, self.correct))
        confidence, accuracy = (_mean_where_counted(of_bin, count) for of_bin in sums)
        return ReliabilityBins(edges, count.astype(np.int64), confidence, accuracy)


def _deviation(by_class: FloatArray) -> float | None:
    known = by_class[~np.isnan(by_class)]
    return float(known.std()) if len(known) else None


def _mean_where_counted(sums: NDArray[Any], counts: NDArray[Any]) -> FloatArray:
    means = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def _cross_entropy(logits: FloatArray, labels: IntArray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    of_label = shifted[np.arange(len(labels)), labels]
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - of_label))


def _checked_logits(logits: ArrayLike) -> FloatArray:
    checked = np.asarray(logits, dtype=np.float64)
    if checked.ndim != 2 or checked.size == 0:
        raise DataError(f"logits must have the shape [samples, classes], both at least 1, but have {checked.shape}")
    if not np.isfinite(checked).all():
        raise DataError("logits must be finite, but some are nan or infinite")
    return checked


def _checked_labels(labels: ArrayLike, logits: FloatArray) -> IntArray:
    checked = np.asarray(labels)
    if checked.shape != logits.shape[:1] or not np.issubdtype(checked.dtype, np.integer):
        raise DataError(
            f"labels must be {len(logits)} integers, one for each row of the logits, "
            f"but have the shape {checked.shape} and the type {checked.dtype}"
        )
    if checked.min() < 0 or checked.max() >= logits.shape[1]:
        raise DataError(
            f"labels must lie in 0..{logits.shape[1] - 1}, but they range from {checked.min()} to {checked.max()}"
        )
    return checked.astype(np.int64)
