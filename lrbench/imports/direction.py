"""Which way a metric of another program is better, by the words of its name."""

from __future__ import annotations

import re

from lrbench.metrics.direction import Better

LOWER = frozenset(
    (
        "loss",
        "error",
        "err",
        "perplexity",
        "ppl",
        "bpb",
        "bpc",
        "nll",
        "ce",
        "mse",
        "rmse",
        "mae",
        "wer",
        "cer",
        "ter",
        "fid",
        "ece",
        "brier",
        "regret",
        "seconds",
    )
)
HIGHER = frozenset(
    (
        "acc",
        "accuracy",
        "top1",
        "top5",
        "f1",
        "bleu",
        "rouge",
        "meteor",
        "auc",
        "auroc",
        "ssim",
        "psnr",
        "map",
        "precision",
        "recall",
        "iou",
        "miou",
        "r2",
        "reward",
        "return",
    )
)


def better_by_name(metric: str) -> Better | None:
    """Return which way a metric is better by the words of its name, None where they do not say.

    >>> better_by_name("validation/mean_average_precision"), better_by_name("val_loss"), better_by_name("lr")
    ('higher', 'lower', None)
    """
    words = {word.lower() for word in re.findall(r"[A-Za-z]+\d*", re.sub(r"([a-z])([A-Z])", r"\1 \2", metric))}
    if words & LOWER:  # an error of something good, such as top1_error, is an error
        return "lower"
    return "higher" if words & HIGHER else None
