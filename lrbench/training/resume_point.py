"""Where runs stand that were begun and have not ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrbench.store import StoredRun
    from lrbench.training.plan import PlannedRun


def resume_point(
    run: PlannedRun, stored: Mapping[str, StoredRun], is_whole: Callable[[str], bool] = lambda checkpoint: True
) -> tuple[int, str | None]:
    """The iterations that a run has behind it, and the checkpoint that it goes on from; (0, None) where it starts over.

    It starts over where it was not begun, or its checkpoint cannot be used; and where its policy reacts to evaluations
    that were not stored: those of a network in training that is only watched.

    Args:
        stored: what the store has of the run, and of the one that it watches, by key.
        is_whole: whether a checkpoint can be read.
    """
    one, unwatched = stored.get(run.key), stored.get(run.training_key)
    if one is None or one.checkpoint is None or not is_whole(one.checkpoint):
        return 0, None
    if run.policy.reacts and (unwatched is None or unwatched.checkpoint != one.checkpoint):
        return 0, None
    return one.step, one.checkpoint
