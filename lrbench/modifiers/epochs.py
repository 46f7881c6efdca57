"""Lengths in epochs as iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrbench.tasks import Task


def iterations(epochs: float, task: Task) -> int:
    """How many iterations so many epochs (a fraction, too) are: what they round to, and at least one."""
    return max(1, round(epochs * task.steps_per_epoch))
