"""Training what a study asks for and the store does not have yet."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from lrbench.engine import resolve_device
from lrbench.errors import LRBenchError
from lrbench.study.plan import Plan, PlannedRun, confirmation, plan
from lrbench.study.provenance import provenance
from lrbench.study.results import finalists
from lrbench.study.segments import resumable_state, segments
from lrbench.study.store import ENDED, Member, NewRun, Status, Store

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
    store.save_study(study.name, _definition(study), _members(first))
    with _interruptible() as interrupted:
        tally = _train(first, store, listener, interrupted)
        if study.confirm:
            second = confirmation(study, finalists(study.name, store))
            store.add_members(study.name, _members(second))
            tally += _train(second, store, listener, interrupted)
    return tally


def _train(plan: Plan, store: Store, listener: Listener, interrupted: Callable[[], bool]) -> Tally:
    before = store.statuses()
    _sweep(store.checkpoints, before)
    missing = {key: run for key, run in plan.by_key.items() if before.get(key) not in ENDED}
    listener.planned(plan, missing)
    steps = sum(_train_one(run, store, listener, interrupted) for run in missing.values())
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


def _train_one(run: PlannedRun, store: Store, listener: Listener, interrupted: Callable[[], bool]) -> int:
    """Train a run to its end, and return how many iterations that took."""
    stored = store.run(run.key)
    state = resumable_state(stored, store.checkpoints, run)
    if stored is None or state is None:
        stored = store.begin(_new_run(run))
    step, status, superseded = stored.step, "failed", stored.checkpoint
    try:
        with closing(segments(run, state, stored.scores, store.checkpoints)) as training:
            for segment in training:
                store.append(run.key, segment)
                if superseded is not None:
                    (store.checkpoints / superseded).unlink(missing_ok=True)
                step, status, superseded = segment.step, segment.status, segment.checkpoint
                listener.advanced(run, step, segment.scores[-1].val_score if segment.scores else None)
                if interrupted():
                    raise KeyboardInterrupt
    except LRBenchError:
        raise
    except Exception:
        store.fail(run.key, traceback.format_exc())
        status = "failed"
    listener.ended(run, status)
    return step - stored.step


def _sweep(checkpoints: Path, statuses: Mapping[str, Status]) -> None:
    """Delete what runs that have ended left behind, when a process was killed before it could tidy up."""
    for file in checkpoints.glob("*-*"):
        if statuses.get(file.name.partition("-")[0]) in ENDED:
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
    task = run.task
    return NewRun(run.key, task.name, task.key, str(run.policy), run.seed, task.steps, provenance(task))


def _members(plan: Plan) -> list[Member]:
    return [Member(run.task.name, run.stage, run.entry.name, run.scale, run.seed, run.key) for run in plan.runs]


def _definition(study: Study) -> dict[str, Any]:
    """What is needed beside the runs to answer a study's questions from the store alone."""
    return {
        "margin": study.margin,
        "target": study.target,
        "confirm": study.confirm,
        "base_lr_scales": list(study.base_lr_scales),
        "seeds": list(study.seeds),
        "entries": [{"name": entry.name, "policy": str(entry.policy)} for entry in study.entries],
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
