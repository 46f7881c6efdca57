"""Training what a study asks for and the store does not have yet."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from lrbench.engine import resolve_device
from lrbench.errors import CheckpointError, StoreError
from lrbench.study.plan import Job, Plan, PlannedRun, confirmation, jobs, plan
from lrbench.study.provenance import provenance
from lrbench.study.results import finalists
from lrbench.study.segments import resumable_state, segments
from lrbench.study.store import ENDED, Member, NewRun, Store

if TYPE_CHECKING:
    from lrbench.study.study import Study


class Listener(Protocol):
    """Whoever watches a study being run, a progress bar for one."""

    def planned(self, plan: Plan, missing: Mapping[str, PlannedRun]) -> None:
        """A stage begins: all of its runs, and those by key that have to be trained."""

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        """A run has come to a step; its latest validation objective, once there is one."""

    def ended(self, run: PlannedRun, status: str) -> None:
        """A run has ended as "finished", "diverged" or "failed"."""


class Silence:
    """A listener that does nothing."""

    def planned(self, plan: Plan, missing: Mapping[str, PlannedRun]) -> None:
        pass

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        pass

    def ended(self, run: PlannedRun, status: str) -> None:
        pass


@dataclass(frozen=True)
class Tally:
    """What a call of `run` had to do.

    Attributes:
        total: the runs that the study asks for.
        trained: those that this call trained, from their beginning or from where they stood.
        cached: those whose numbers the store had, or that share their numbers with another run of the study.
        diverged, failed: how many of `total` ended so, whenever they were trained.
        steps_nominal: the iterations of all runs together, had each been trained for itself.
        steps_trained: the iterations that this call trained.
    """

    total: int = 0
    trained: int = 0
    cached: int = 0
    diverged: int = 0
    failed: int = 0
    steps_nominal: int = 0
    steps_trained: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))

    def to_json(self) -> dict[str, dict[str, int]]:
        """The `runs` and `steps` of a study's document."""
        runs = ("total", "trained", "cached", "diverged", "failed")
        return {
            "runs": {name: getattr(self, name) for name in runs},
            "steps": {"nominal": self.steps_nominal, "trained": self.steps_trained},
        }


def run(study: Study, store: Store, *, device: str = "auto", listener: Listener | None = None) -> Tally:
    """Train every run of a study that the store does not have, and write down what is seen.

    What is trained already is not trained again, in this study or another; a run that was cut off goes on from its
    checkpoint; a run that failed is tried again. A run whose model or data raises an error is stored as failed,
    with its traceback, and the others go on.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the segment in flight is written; at once after a second Ctrl-C.
        StoreError, CheckpointError: the store cannot be written; what was written stays.
        TaskError: there is no such device.
    """
    where = resolve_device(device)
    study = replace(study, tasks=tuple(task.to(where) for task in study.tasks))
    listener = Silence() if listener is None else listener
    first = plan(study)
    store.save_study(study.name, _definition(study, first), _members(first))
    with _interruptible() as interrupted:
        tally = _train(first, store, listener, interrupted)
        if study.confirm:
            second = confirmation(study, finalists(study.name, store))
            store.add_members(study.name, _members(second))
            tally += _train(second, store, listener, interrupted)
    return tally


def _train(plan: Plan, store: Store, listener: Listener, interrupted: Callable[[], bool]) -> Tally:
    before = store.statuses()
    _sweep(store)
    missing = {key: run for key, run in plan.by_key.items() if before.get(key) not in ENDED}
    listener.planned(plan, missing)
    steps = sum(_train_job(job, store, listener, interrupted) for job in jobs(missing.values()))
    after = store.statuses()
    return Tally(
        total=len(plan.runs),
        trained=len(missing),
        cached=len(plan.runs) - len(missing),
        diverged=sum(after[run.key] == "diverged" for run in plan.runs),
        failed=sum(after[run.key] == "failed" for run in plan.runs),
        steps_nominal=sum(run.task.steps for run in plan.runs),
        steps_trained=steps,
    )


def _train_job(job: Job, store: Store, listener: Listener, interrupted: Callable[[], bool]) -> int:
    """Train the runs of a job to their end, and return how many iterations that took."""
    stored = store.runs(run.key for run in job.runs)
    state = resumable_state(job, stored, store.checkpoints)
    if state is None:
        store.begin(_new_run(run) for run in job.runs)
    started = step = 0 if state is None else state.step
    superseded = None if state is None else stored[job.training.key].checkpoint
    ends = dict.fromkeys((run.key for run in job.runs), "failed")
    try:
        with closing(segments(job, state, stored, store.checkpoints)) as training:
            for segment in training:
                store.append(segment)
                one = segment[job.training.key]
                if superseded is not None:
                    (store.checkpoints / superseded).unlink(missing_ok=True)
                step, superseded = one.step, one.checkpoint
                for run in job.runs:
                    scores = segment[run.key].scores
                    ends[run.key] = segment[run.key].status
                    listener.advanced(run, step, scores[-1].val_score if scores else None)
                if interrupted():
                    raise KeyboardInterrupt
    except (StoreError, CheckpointError):
        raise
    except Exception:
        store.fail(ends, traceback.format_exc())
        ends = dict.fromkeys(ends, "failed")
    for run in job.runs:
        listener.ended(run, ends[run.key])
    return step - started


def _sweep(store: Store) -> None:
    """Delete the checkpoints that no run goes on from: what a process left that was killed before it could tidy up."""
    needed = store.checkpoints_in_use()
    for file in store.checkpoints.glob("*"):
        if file.name not in needed:
            file.unlink(missing_ok=True)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that can be asked between two segments; a second one acts at once."""
    pressed = threading.Event()

    def press(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        pressed.set()

    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _new_run(run: PlannedRun) -> NewRun:
    task, methods = run.task, " + ".join(map(str, run.treatment.methods))
    return NewRun(run.key, task.name, task.key, str(run.policy), methods, run.seed, task.steps, provenance(task))


def _members(plan: Plan) -> list[Member]:
    return [
        Member(run.task.name, run.stage, run.entry.name, run.treatment.name, run.scale, run.seed, run.key)
        for run in plan.runs
    ]


def _definition(study: Study, plan: Plan) -> dict[str, Any]:
    """What is needed beside the runs to answer a study's questions from the store alone."""
    return {
        "margin": study.margin,
        "target": study.target,
        "confirm": study.confirm,
        "base_lr_scales": list(study.base_lr_scales),
        "seeds": list(study.seeds),
        "entries": [{"name": entry.name, "policy": str(entry.policy)} for entry in study.entries],
        "treatments": list(dict.fromkeys(run.treatment.name for run in plan.runs)),
        "tasks": [
            {
                "name": task.name,
                "key": task.key,
                "steps": task.steps,
                "steps_per_epoch": task.steps_per_epoch,
                "eval_every": task.eval_every,
                "objective": task.objective,
                "chance": task.chance,
                "test_samples": len(task.data.test),
                "val_samples": len(task.data.val),
            }
            for task in study.tasks
        ],
    }
