"""One training as the segments that the store is told of."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.engine import advance, begin, load_checkpoint, save_checkpoint
from lrbench.errors import CheckpointError
from lrbench.study.measure import final, score
from lrbench.study.store import Score, Segment, StoredRun

if TYPE_CHECKING:
    from lrbench.engine import Evaluation, State
    from lrbench.study.plan import Job, PlannedRun

SECONDS_AT_RISK = 5.0
"""A run that takes longer leaves a checkpoint about this often: what a killed process loses at most."""


def resumable_state(job: Job, stored: Mapping[str, StoredRun], checkpoints: Path) -> State | None:
    """The state from which unfinished runs can go on together, or None where they must start over.

    They stand at the same checkpoint or they start over, and so they do where the checkpoint is missing, torn, or not
    what the store says it is; and where the policy reacts to evaluations that were not stored, those of a network
    that is not watched.
    """
    places = {(stored[run.key].step, stored[run.key].checkpoint) if run.key in stored else None for run in job.runs}
    place = places.pop()
    if places or place is None or (job.training.policy.reacts and _unwatched(job) is None):
        return None
    step, checkpoint = place
    if checkpoint is None:
        return None
    try:
        state = load_checkpoint(checkpoints / checkpoint, job.training.task.device)
    except CheckpointError:
        return None
    return state if (state.seed, state.step) == (job.training.seed, step) else None


def segments(
    job: Job, state: State | None, stored: Mapping[str, StoredRun], checkpoints: Path
) -> Generator[Mapping[str, Segment]]:
    """Train a job from a state (or from its beginning) to its end: the segments of each of its runs, by key.

    A segment that does not end the runs has left a checkpoint, under the name that it carries, before it is yielded.
    Closing the generator between two segments loses nothing.

    Raises:
        CheckpointError: a checkpoint cannot be written.
    """
    run, unwatched = job.training, _unwatched(job)
    task, modifiers = run.task, run.treatment.modifiers
    watchers = [one.treatment.watcher for one in job.runs if one.treatment.watcher is not None]
    history: list[tuple[int, float]] = []
    if state is not None and unwatched is not None:
        history = [(known.step, known.val_score) for known in stored[unwatched.key].scores]
    started = time.perf_counter()
    state = begin(task, run.seed) if state is None else state
    fresh: dict[str, list[Score]] = {one.key: [] for one in job.runs}
    watching = dict.fromkeys(map(str, watchers), 0.0)
    while True:
        stop = min(state.step - state.step % task.eval_every + task.eval_every, task.steps)
        lrs = run.policy.lrs(state.step, stop, history)
        state, evaluations = advance(task, state, lrs, modifiers, watchers)
        for evaluation in evaluations:
            watching = {name: spent + evaluation.watching[name] for name, spent in watching.items()}
            own = score(task, evaluation)
            history.append((own.step, own.val_score))
            for one in job.runs:
                if seen := _seen_by(one, evaluation):
                    fresh[one.key].append(own if seen is evaluation else score(task, seen))
        elapsed = time.perf_counter() - started
        seconds = {one.key: elapsed - sum(watching.values()) + watching.get(_watcher(one), 0.0) for one in job.runs}
        facts = {
            key: Segment(state.step, seconds[key], state.flops.total, tuple(scores)) for key, scores in fresh.items()
        }
        if state.diverged_at is not None or state.step == task.steps:
            last = evaluations[-1] if state.diverged_at is None else None
            yield {one.key: _ended(facts[one.key], one, state, last) for one in job.runs}
            return
        if elapsed >= SECONDS_AT_RISK:
            name = f"{run.training_key}-{state.step}.pt"
            save_checkpoint(checkpoints / name, state)
            yield {key: replace(segment, checkpoint=name) for key, segment in facts.items()}
            started, watching = time.perf_counter(), dict.fromkeys(watching, 0.0)
            for scores in fresh.values():
                scores.clear()


def _ended(segment: Segment, run: PlannedRun, state: State, last: Evaluation | None) -> Segment:
    """The last segment of a run: finished, or diverged where its network has no finite losses at the end."""
    seen = None if last is None else _seen_by(run, last)
    if seen is None:
        return replace(segment, status="diverged", diverged_at=state.diverged_at or state.step)
    costs = {"forward_flops": state.flops.forward, "backward_flops": state.flops.backward}
    numbers = final(run.task, seen) | costs
    for method in run.treatment.methods:
        numbers |= method.facts(state.memories[str(method)])
    return replace(segment, status="finished", final=numbers)


def _unwatched(job: Job) -> PlannedRun | None:
    """The run of a job whose evaluations are those of the network in training, to which a policy may react."""
    return next((run for run in job.runs if run.treatment.watcher is None), None)


def _seen_by(run: PlannedRun, evaluation: Evaluation) -> Evaluation | None:
    """An evaluation of the network that a run is about; None where that network's losses are not finite."""
    return evaluation if run.treatment.watcher is None else evaluation.watched.get(_watcher(run))


def _watcher(run: PlannedRun) -> str:
    """By what text an evaluation knows the network that a run is about; empty for the one in training."""
    return "" if run.treatment.watcher is None else str(run.treatment.watcher)
