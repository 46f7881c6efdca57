"""Tasks with fewer samples to evaluate on, where evaluations would take longer than what is asked of the training."""

from __future__ import annotations

from lrbench.tasks import Data, Task


def with_fewer(task: Task, *, val: int | None = None, test: int | None = None) -> Task:
    """The task with the first so many samples of its validation and its test split; None: with all of them."""
    data = task.data
    train, shorter_val, shorter_test = (
        (split.inputs[:count], split.targets[:count])
        for split, count in ((data.train, None), (data.val, val), (data.test, test))
    )
    return task.with_(data=Data.from_arrays(train, shorter_test, shorter_val, num_classes=data.num_classes))
