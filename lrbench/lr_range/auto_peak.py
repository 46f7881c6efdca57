"""Studies whose policies take their highest learning rate from a range test of the task."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lrbench.lr_range.range_test import RANGE_SEEDS, find_range
from lrbench.policy.peak import with_peak

if TYPE_CHECKING:
    from lrbench.study.study import Study
    from lrbench.training.trainer import Trainer


def with_auto_peaks(study: Study, trainer: Trainer) -> Study:
    """Give every policy that waits for its peak the upper end of the task's range, to two digits.

    The range test is trained where the store lacks it; the same seeds give the same range.

    Raises:
        TaskError: no learning rate learns anything on the task.
    """
    if not study.auto_peaks:
        return study
    (task,) = study.tasks
    peak = float(f"{find_range(task, trainer, seeds=RANGE_SEEDS).high.value:.2g}")
    return replace(
        study,
        policies=tuple(
            replace(entry, policy=with_peak(entry.policy, peak, **vars(task.budget)), auto_peak=False, found_peak=peak)
            if entry.auto_peak
            else entry
            for entry in study.policies
        ),
    )
