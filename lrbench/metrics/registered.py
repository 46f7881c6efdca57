"""The metrics that lrbench knows, each declared once, in the order of print."""

from collections.abc import Callable

from lrbench.metrics.curves import steps_to_best, volatility
from lrbench.metrics.metric import METRICS, MetricDeclaration, RunEnd
from lrbench.metrics.robustness import loss_difference

SHARE = (0.0, 1.0)
SPREAD = (0.0, 0.5)
"""The bounds of a standard deviation of numbers from 0 to 1."""
POSITIVE = (0.0, None)

NATS = 0.02
"""The margin of a cross-entropy: two percent of the probability of the right class, in the geometric mean."""
OF_COST = 0.05
"""The margin of a cost, as a share: one evaluation interval of the budget, where that has twenty."""


def _of_test(name: str) -> Callable[[RunEnd], float | None]:
    return lambda end: None if end.test is None else getattr(end.test, name)


SHIPPED = (
    MetricDeclaration(
        "val_loss",
        "val loss",
        "mean loss on the validation split",
        better="lower",
        margin=NATS,
        at_end=lambda end: end.val_loss,
    ),
    MetricDeclaration(
        "val_top1",
        "val top1",
        "accuracy on the validation split, by which policies are ranked",
        bounds=SHARE,
        at_end=lambda end: None if end.val is None else end.val.top1,
        expected=True,
    ),
    MetricDeclaration(
        "test_top1",
        "test top1",
        "accuracy on the test split, which is reported and chooses nothing",
        bounds=SHARE,
        at_end=_of_test("top1"),
        expected=True,
        is_goal=False,
    ),
    MetricDeclaration(
        "test_top5",
        "test top5",
        "fraction of test samples whose label is among the five most probable classes",
        bounds=SHARE,
        at_end=_of_test("top5"),
        expected=True,
        is_goal=False,
    ),
    MetricDeclaration(
        "test_loss",
        "test loss",
        "mean loss on the test split; of classifiers the cross-entropy in nats",
        better="lower",
        margin=NATS,
        at_end=lambda end: end.test_loss,
        expected=True,
        effect="difference",
        is_goal=False,
    ),
    MetricDeclaration(
        "ac",
        "AC",
        "average confidence: the mean of the highest probability over the test samples that are classified correctly",
        bounds=SHARE,
        at_end=_of_test("ac"),
        expected=True,
        column="ranking",
        dispensable=1,
    ),
    MetricDeclaration(
        "cv",
        "CV",
        "confidence variation: the standard deviation of the confidences that AC averages",
        better="lower",
        bounds=SPREAD,
        at_end=_of_test("cv"),
        expected=True,
    ),
    MetricDeclaration(
        "cdac",
        "CDAC",
        "confidence deviation across classes: the standard deviation of the classes' mean confidences",
        better="lower",
        bounds=SPREAD,
        at_end=_of_test("cdac"),
        expected=True,
    ),
    MetricDeclaration(
        "classes_without_correct",
        "classes missed",
        "classes without a correct test sample, which CDAC leaves out",
        digits=0,
        better="lower",
        bounds=POSITIVE,
        at_end=_of_test("classes_without_correct"),
    ),
    MetricDeclaration(
        "ece",
        "ECE",
        "expected calibration error over 15 bins of confidence",
        better="lower",
        bounds=SHARE,
        at_end=_of_test("ece"),
        expected=True,
    ),
    MetricDeclaration(
        "brier",
        "Brier",
        "Brier score: the squared distance of the probabilities from the label",
        better="lower",
        bounds=(0.0, 2.0),
        at_end=_of_test("brier"),
        expected=True,
    ),
    MetricDeclaration(
        "loss_difference",
        "loss diff",
        "test loss minus train loss, the generalization gap",
        better="lower",
        margin=NATS,
        at_end=lambda end: (
            None if end.train_loss is None or end.test_loss is None else loss_difference(end.test_loss, end.train_loss)
        ),
        expected=True,
        column="ranking",
        dispensable=2,
    ),
    MetricDeclaration(
        "volatility",
        "volatility",
        "the standard deviation of the last fifth of the validation scores around their own trend",
        digits=4,
        better="lower",
        bounds=POSITIVE,
        margin=0.002,
        of_run=lambda run: volatility(run.curve.steps, run.curve.scores),
        expected=True,
        column="page",
        effect="difference",
    ),
    MetricDeclaration(
        "base_lr_retention",
        "retention",
        "the fraction of the score that other base learning rates keep",
        margin=0.01,
        column="ranking",
    ),
    MetricDeclaration(
        "base_lr_divergence_rate",
        "diverged at other LRs",
        "the share of a seed's runs at all base learning rates that diverged",
        better="lower",
        bounds=SHARE,
    ),
    MetricDeclaration(
        "steps_to_target",
        "to target",
        "iterations to the target: a mean if every seed reaches it, else how many seeds do",
        digits=0,
        better="lower",
        bounds=POSITIVE,
        margin=OF_COST,
        margin_of="steps",
        expected=True,
        column="ranking",
        dispensable=4,
        effect="difference",
        is_censored=True,
    ),
    MetricDeclaration(
        "steps_to_best",
        "to best",
        "the first evaluated iteration with the run's best score",
        digits=0,
        better="lower",
        bounds=POSITIVE,
        margin=OF_COST,
        margin_of="steps",
        of_run=lambda run: steps_to_best(run.curve.steps, run.gains),
        expected=True,
    ),
    MetricDeclaration(
        "seconds",
        "seconds",
        "wall time of a run's training alone; comparable only on the same machine under the same load",
        digits=1,
        better="lower",
        bounds=POSITIVE,
        margin=OF_COST,
        margin_of="best",
        of_run=lambda run: run.seconds,
        expected=True,
        column="ranking",
        dispensable=3,
        effect="percent",
    ),
    MetricDeclaration(
        "evaluating",
        "evaluating",
        "wall time of a run's evaluations in seconds; empty for runs of older versions, whose `seconds` include it",
        digits=1,
        better="lower",
        bounds=POSITIVE,
        of_run=lambda run: run.evaluating,
        expected=True,
        column="page",
    ),
    MetricDeclaration(
        "flops",
        "FLOPs",
        "floating-point operations of a run, counted",
        digits=-3,
        better="lower",
        bounds=POSITIVE,
        margin=OF_COST,
        margin_of="best",
        of_run=lambda run: run.flops,
        expected=True,
        column="page",
        effect="percent",
        is_exact=True,
    ),
    MetricDeclaration(
        "forward_flops",
        "fwd FLOPs",
        "floating-point operations of a run's forward passes",
        digits=-3,
        better="lower",
        bounds=POSITIVE,
        margin=OF_COST,
        margin_of="best",
        effect="percent",
        is_exact=True,
    ),
    MetricDeclaration(
        "backward_flops",
        "bwd FLOPs",
        "floating-point operations of a run's backward passes",
        digits=-3,
        better="lower",
        bounds=POSITIVE,
        margin=OF_COST,
        margin_of="best",
        is_exact=True,
    ),
    MetricDeclaration(
        "divergence_rate",
        "diverged",
        "the share of runs that diverged",
        better="lower",
        bounds=SHARE,
        expected=True,
        is_goal=False,
    ),
)

for metric in SHIPPED:
    METRICS.add(metric.name, metric, __name__)
