"""States that are kept at the ends of trunks, from which runs of longer horizons go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lrbench.store import NewRun, Segment

if TYPE_CHECKING:
    from lrbench.store import Store, StoredRun
    from lrbench.training.plan import PlannedRun


def kept_states(runs: Iterable[PlannedRun], store: Store) -> dict[str, StoredRun]:
    """Find for each run that has one the longest state to go on from: its training so far, as if it were the run's own.

    Args:
        runs: runs that have not begun.
    """
    waiting = [run for run in runs if run.row.kept_at]
    if not waiting:
        return {}
    known, files = store.kept(run.task.trunk for run in waiting), set(store.checkpoints.names())
    found: dict[str, str] = {}
    for run in waiting:
        states = [
            (step, key)
            for step, key in known.get((run.task.trunk, run.seed), [])
            if step < run.task.steps and state_name(key, step) in files
        ]
        key = next((key for step, key in states if run.trunk_key(step) == key), None)
        if key is not None:
            found[run.key] = key
    states_of: Mapping[str, StoredRun] = store.runs(found.values())
    return {run: replace(states_of[key], key=run) for run, key in found.items()}


def state_to_keep(run: PlannedRun, step: int) -> NewRun:
    """Make the record of a state, which has the place of a run that goes on."""
    task = run.task
    return NewRun(run.trunk_key(step), task.name, task.trunk, str(run.policy), "", run.seed, step, {})


def state_name(key: str, step: int) -> str:
    """Return the name of the checkpoint of a state that is kept."""
    return f"{key}-{step}.pt"


def training_so_far(stored: StoredRun, checkpoint: str) -> Segment:
    """Return the training of a run up to now as one segment, with a checkpoint of its state."""
    return Segment(
        stored.step,
        stored.seconds,
        stored.flops,
        tuple(stored.scores),
        checkpoint=checkpoint,
        provenance=stored.provenance,
        exact=stored.exact,
        evaluating=stored.evaluating,
    )
