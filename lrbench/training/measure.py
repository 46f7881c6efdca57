"""The numbers of an evaluation that are stored."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from lrbench.metrics import RunEnd, classify, metrics_at_end
from lrbench.reproducible import callers_generators, seed_generators
from lrbench.store import Score
from lrbench.streams import stream_seed
from lrbench.tasks.data import IGNORED
from lrbench.tasks.probe import attempt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lrbench.engine import Evaluation, Predictions
    from lrbench.metrics import Classification
    from lrbench.tasks import Task


LARGEST_LOSS = 700.0
"""The largest loss in nats whose perplexity is a float."""


def score(task: Task, evaluation: Evaluation) -> Score:
    """Return the losses and objectives of an evaluation; those on the test split are nan before the end of a run."""
    return Score(
        step=evaluation.step,
        train_loss=evaluation.train_loss,
        val_loss=evaluation.val.loss,
        val_score=objective(task, evaluation.val),
        test_loss=math.nan if evaluation.test is None else evaluation.test.loss,
        test_score=math.nan if evaluation.test is None else objective(task, evaluation.test),
    )


def objective(task: Task, predictions: Predictions) -> float:
    """Compute the task's objective over a split: its own metric or loss, else top-1 accuracy as a fraction.

    A metric's random draws are the same at every evaluation.
    """
    if isinstance(task.metric, str):
        return predictions.loss
    if task.metric is not None:
        with callers_generators():
            seed_generators(stream_seed(0, "metric"), predictions.outputs.device)
            compute = partial(attempt, f"the metric '{task.metric.name}' fails", task.metric.function)
            return task.metric.read(compute(predictions.outputs, predictions.targets))
    logits, labels = _labelled(predictions)
    return int((logits.argmax(1) == labels).sum()) / len(labels) if len(labels) else math.nan


def final(task: Task, evaluation: Evaluation) -> dict[str, Any]:
    """Compute the metrics of the last evaluation of a run, by name.

    Those of classifiers are absent for other tasks, and where outputs on the test split are not finite.
    """
    assert evaluation.test is not None
    classes = task.data.num_classes is not None
    val, test = (_classified(split) if classes else None for split in (evaluation.val, evaluation.test))
    train_loss = None if evaluation.train is None else evaluation.train.loss
    end = RunEnd(train_loss, evaluation.val.loss, evaluation.test.loss, val, test)
    return metrics_of_end(end) | _of_text(task, evaluation.val.loss)


def _of_text(task: Task, loss: float) -> dict[str, float]:
    """Return what a run on a text has beside its validation loss, in nats a token, by name."""
    language, tokens = task.data.language, task.tokens_per_step
    if language is None or tokens is None:
        return {}
    known = {"perplexity": math.exp(min(loss, LARGEST_LOSS)), "tokens": float(tokens * task.steps)}
    if language.bytes_per_token is not None:
        known["bits_per_byte"] = loss / math.log(2) / language.bytes_per_token
    if language.entropy is not None:
        known |= {"floor": language.entropy, "above_floor": loss - language.entropy}
    return known


def metrics_of_end(end: RunEnd) -> dict[str, Any]:
    """Compute the metrics of the end of a run that are stored, by name."""
    metrics, test = metrics_at_end(end), end.test
    if test is None:
        return metrics
    return metrics | {
        "class_confidence": _numbers(test.class_confidence),
        "reliability": {
            "edges": _numbers(test.reliability.edges),
            "count": test.reliability.count.tolist(),
            "confidence": _numbers(test.reliability.confidence),
            "accuracy": _numbers(test.reliability.accuracy),
        },
    }


def _classified(predictions: Predictions) -> Classification | None:
    logits, labels = _labelled(predictions)
    if not len(labels) or not logits.isfinite().all():
        return None
    return classify(logits.numpy(), labels.numpy())


def _labelled(predictions: Predictions) -> tuple[Tensor, Tensor]:
    """Return the logits and labels of a classifier, without the samples that losses leave out."""
    logits, labels = predictions.outputs, predictions.targets
    known = labels != IGNORED
    return (logits, labels) if known.all() else (logits[known], labels[known])


def _numbers(array: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in array.tolist()]
