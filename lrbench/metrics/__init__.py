"""Metrics of runs, and the statistics and verdicts of many: numbers in, numbers out.

`confidence`, `curves` and `robustness` turn one run into numbers; `statistics`, `pairs` and `verdict` turn the numbers
of many seeds into intervals and claims; `scorecard`, `ranking` and `confirmation` collect them.
"""

from lrbench.metrics import registered as _registered
from lrbench.metrics.confidence import Classification, ReliabilityBins, classify
from lrbench.metrics.confirmation import Confirmation, confirm, finalists
from lrbench.metrics.curves import curve_mean, jitter, monotonicity, steps_to_best, steps_to_target, volatility
from lrbench.metrics.direction import Better, as_gain
from lrbench.metrics.effects import Effect, Interaction, effect, equal_means_p, interaction, judge_effects
from lrbench.metrics.metric import (
    METRICS,
    MetricDeclaration,
    RunEnd,
    expected_metrics,
    metrics_at_end,
    register_metric,
)
from lrbench.metrics.ranking import rank, score_table
from lrbench.metrics.robustness import (
    BASE_LR_SCALES,
    divergence_rate,
    loss_difference,
    mean_over_scales,
    retained_fraction,
)
from lrbench.metrics.runs import Curve, PolicyRuns, RunRecord
from lrbench.metrics.scorecard import Scorecard, bounds_of, score_curves, summarise
from lrbench.metrics.statistics import (
    Bounds,
    Interval,
    holm,
    paired_interval,
    paired_power,
    proportion_interval,
    seeds_to_decide,
    t_interval,
)
from lrbench.metrics.verdict import Verdict, judge

__all__ = [
    "BASE_LR_SCALES",
    "METRICS",
    "Better",
    "Bounds",
    "Classification",
    "Confirmation",
    "Curve",
    "Effect",
    "Interaction",
    "Interval",
    "MetricDeclaration",
    "PolicyRuns",
    "ReliabilityBins",
    "RunEnd",
    "RunRecord",
    "Scorecard",
    "Verdict",
    "as_gain",
    "bounds_of",
    "classify",
    "confirm",
    "curve_mean",
    "divergence_rate",
    "effect",
    "equal_means_p",
    "expected_metrics",
    "finalists",
    "holm",
    "interaction",
    "jitter",
    "judge",
    "judge_effects",
    "loss_difference",
    "mean_over_scales",
    "metrics_at_end",
    "monotonicity",
    "paired_interval",
    "paired_power",
    "proportion_interval",
    "rank",
    "register_metric",
    "retained_fraction",
    "score_curves",
    "score_table",
    "seeds_to_decide",
    "steps_to_best",
    "steps_to_target",
    "summarise",
    "t_interval",
    "volatility",
]

del _registered
