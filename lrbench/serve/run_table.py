"""The evaluations of a run, each with the learning rate that it had come to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lrbench.errors import StoreError
from lrbench.policy.curve import rates_of
from lrbench.study.study_runs import labels

if TYPE_CHECKING:
    from lrbench.store import Score, Store, StoredRun, TaskRecord


def begun(store: Store, study: int) -> list[dict[str, Any]]:
    """List the rows of a study, task by task, each with the seeds and keys of its runs that were begun.

    Raises:
        StoreError: the store has no such study.
    """
    record, slots = store.study(study)
    progress = store.progress(study)
    called = labels((policy.name, variant) for policy in record.policies for variant in record.variants)
    rows: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for slot in slots:
        if slot.stage == "main" and slot.run in progress:
            rows.setdefault((slot.task, called[slot.policy, slot.variant]), []).append((slot.seed, slot.run))
    return [{"task": task, "label": label, "runs": sorted(runs)} for (task, label), runs in rows.items()]


def evaluations(store: Store, study: int, key: str) -> dict[str, Any]:
    """Return the evaluations of a run of a study: iteration, epoch, learning rate, losses, validation and test score.

    The learning rate is that of the last iteration before the evaluation; None where it depends on training.

    Raises:
        StoreError: the study has no such run that was begun.
    """
    record, slots = store.study(study)
    slot, run = next((one for one in slots if one.run == key), None), store.runs([key]).get(key)
    if slot is None or run is None:
        raise StoreError(f"study {study} has no run '{key}' that was begun")
    task = next(one for one in record.tasks if one.name == slot.task)

    def row(score: Score, lr: float | None) -> list[float | None]:
        numbers = score.train_loss, score.val_loss, score.val_score, score.test_score
        finite = (float(f"{one:.6g}") if math.isfinite(one) else None for one in numbers)
        return [score.step, round(score.step / task.steps_per_epoch, 2), lr, *finite]

    facts = {"status": run.status, "step": run.step, "steps": run.steps, "objective": task.objective}
    return {**facts, "rows": [row(*one) for one in zip(run.scores, rates_before(run, task), strict=True)]}


def rates_before(run: StoredRun, task: TaskRecord) -> list[float | None]:
    """Return for each evaluation of a run the learning rate of the iteration before; None where it is not known."""
    lrs = rates_of(run.policy, task.budget)
    steps = [score.step for score in run.scores]
    return [float(lrs[step - 1]) if lrs is not None and 0 < step <= len(lrs) else None for step in steps]
