"""One run as the segments that the store is told of."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.engine import advance, begin, load_checkpoint, save_checkpoint
from lrbench.errors import CheckpointError
from lrbench.study.measure import final, score
from lrbench.study.store import Score, Segment, StoredRun

if TYPE_CHECKING:
    from lrbench.engine import State
    from lrbench.study.plan import PlannedRun

SECONDS_AT_RISK = 5.0
"""A run that takes longer leaves a checkpoint about this often: what a killed process loses at most."""


def resumable_state(stored: StoredRun | None, checkpoints: Path, run: PlannedRun) -> State | None:
    """The state from which an unfinished run can go on, or None where it must start over.

    A checkpoint that is missing, torn or that does not stand where the store says it does is not used.
    """
    if stored is None or stored.checkpoint is None:
        return None
    try:
        state = load_checkpoint(checkpoints / stored.checkpoint, run.task.device)
    except CheckpointError:
        return None
    return state if (state.seed, state.step) == (run.seed, stored.step) else None


def segments(run: PlannedRun, state: State | None, scores: tuple[Score, ...], checkpoints: Path) -> Generator[Segment]:
    """Train a run from a state (or from its beginning) to its end, segment by segment.

    Each segment that does not end the run has left a checkpoint, under the name that it carries, before it is
    yielded. Closing the iterator between two segments loses nothing.

    Raises:
        CheckpointError: a checkpoint cannot be written.
    """
    task, policy = run.task, run.policy
    started = time.perf_counter()
    state = begin(task, run.seed) if state is None else state
    history = [(known.step, known.val_score) for known in scores]
    fresh: list[Score] = []
    while True:
        stop = min(state.step - state.step % task.eval_every + task.eval_every, task.steps)
        state, evaluations = advance(task, state, policy.lrs(state.step, stop, history))
        fresh += [score(task, evaluation) for evaluation in evaluations]
        history += [(seen.step, seen.val_score) for seen in fresh[len(fresh) - len(evaluations) :]]
        seconds = time.perf_counter() - started
        if state.diverged_at is not None:
            yield Segment(state.step, seconds, state.flops.total, tuple(fresh), "diverged", state.diverged_at)
            return
        if state.step == task.steps:
            numbers = final(task, evaluations[-1])
            yield Segment(state.step, seconds, state.flops.total, tuple(fresh), "finished", final=numbers)
            return
        if seconds >= SECONDS_AT_RISK:
            name = f"{run.key}-{state.step}.pt"
            save_checkpoint(checkpoints / name, state)
            yield Segment(state.step, seconds, state.flops.total, tuple(fresh), checkpoint=name)
            fresh, started = [], time.perf_counter()
