"""The iteration and the checkpoint that a run goes on from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrbench.store import StoredRun
    from lrbench.training.plan import PlannedRun


def resume_point(
    run: PlannedRun, stored: Mapping[str, StoredRun], is_whole: Callable[[str], bool] = lambda checkpoint: True
) -> tuple[int, str | None]:
    """Return the iterations that a run has done, and the checkpoint that it goes on from; (0, None) to start over.

    A run starts over where it was not begun, or its checkpoint cannot be used; and where its policy is reactive and the
    evaluations of its training are not stored, since it has a watcher.

    Args:
        stored: the stored runs by key: this one, and the one of its training without a watcher.
        is_whole: whether a checkpoint can be read.
    """
    one, unwatched = stored.get(run.key), stored.get(run.training_key)
    if one is None or one.checkpoint is None or not is_whole(one.checkpoint):
        return 0, None
    if run.policy.reacts and (unwatched is None or unwatched.checkpoint != one.checkpoint):
        return 0, None
    return one.step, one.checkpoint
