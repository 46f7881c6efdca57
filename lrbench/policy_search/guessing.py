"""What guessing scores, since a policy that does no better is worth nothing, however robust it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.advice.evidence import guessing
from lrbench.metrics import as_gain
from lrbench.metrics.runs import TOP1

if TYPE_CHECKING:
    from lrbench.store import TaskRecord
    from lrbench.tasks import AnyTask


def guessing_on(task: AnyTask | TaskRecord) -> float | None:
    """Return the validation objective of guessing, for an accuracy plus two standard errors; None if not known."""
    if task.objective != TOP1 or task.chance is None or task.val_samples is None:
        return task.chance
    return guessing(task.chance, task.val_samples)


def is_guessing(score: float | None, task: AnyTask | TaskRecord) -> bool:
    """Tell whether a validation objective is no better than that of guessing; not where either is not known."""
    least = guessing_on(task)
    if least is None or score is None:
        return False
    return as_gain(score, task.better) <= as_gain(least, task.better)
