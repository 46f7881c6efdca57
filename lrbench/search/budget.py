"""Tasks with another budget than their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrbench.tasks import Task


def with_budget(task: Task, budget: int | None) -> Task:
    """A task with another budget, evaluated as often over it."""
    if budget is None or budget == task.steps:
        return task
    return task.with_(steps=budget, eval_every=max(1, min(budget, round(task.eval_every * budget / task.steps))))
