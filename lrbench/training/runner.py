"""Train the runs of a study that the store lacks."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from types import FrameType
from typing import TYPE_CHECKING, get_args

from lrbench.display.names import many
from lrbench.engine import check_compiler, resolve_device
from lrbench.errors import StudyError
from lrbench.policy.kind import short_repr
from lrbench.policy.table import long_tables
from lrbench.reproducible import surroundings_kept
from lrbench.store import ENDED, Kind, Lease, PolicyRecord, Store, StudyRecord, StudySlot, TaskRecord
from lrbench.study.race import rounds
from lrbench.study.results import finalists
from lrbench.study.study_runs import StudyRuns
from lrbench.tasks import Task
from lrbench.training.backlog import Backlog
from lrbench.training.coordinator import Coordinator, TrainingSummary
from lrbench.training.engine_choice import Engine, Engines
from lrbench.training.kept import kept_states
from lrbench.training.listener import Listener, NullListener
from lrbench.training.messages import Setup
from lrbench.training.plan import Plan, confirmation, plan
from lrbench.training.pools import Pool, open_pool, open_pool_apart, room, worthwhile
from lrbench.training.workers import Workers, parse_workers

if TYPE_CHECKING:
    from lrbench.study.study import Study
    from lrbench.training.plan import PlannedRun

SECONDS_AT_RISK = 5.0
"""The time between two checkpoints of a run, and the most work that a killed worker loses."""

SECONDS_TO_ACT_ON_AN_INTERRUPT = 1.0
"""The time that Ctrl-C may take to end a study before a line explains why."""

INTERRUPT_ANSWERS = (
    "Finishing the segment in hand; press Ctrl-C again to stop at once.",
    "The code that is training does not let itself be interrupted; press Ctrl-C once more to end the process.",
)

END_OF_INTERRUPTS = b"\0"
"""What the pipe of signal numbers ends with; no signal has this number."""

INTERRUPTED = 130
"""The exit code of a process that Ctrl-C ends, as a shell has it."""


@dataclass(frozen=True)
class RunCounts:
    """Counts of the runs and iterations of a call of `run`: `total` is `trained` + `cached` + `failed`.

    Attributes:
        total: all runs of the study.
        trained: runs that this call trained to their end, from the beginning or from a checkpoint.
        cached: runs whose numbers the store had, or that share them with another run of the study.
        failed: runs that raised an error or whose worker died; every call of `run` tries them again.
        diverged: how many of `trained` and `cached` diverged.
        steps_nominal: the iterations of all runs, had each been trained by itself.
        steps_trained: the iterations that this call trained.
        study: the id of the study in the store.
        next_budget: the budget with which a race goes on that its budget ended; None where it did not.
    """

    total: int = 0
    trained: int = 0
    cached: int = 0
    diverged: int = 0
    failed: int = 0
    steps_nominal: int = 0
    steps_trained: int = 0
    study: int | None = field(default=None, kw_only=True, compare=False)
    next_budget: str | None = field(default=None, kw_only=True)

    def __add__(self, other: RunCounts) -> RunCounts:
        counts = (getattr(self, one.name) + getattr(other, one.name) for one in fields(self) if not one.kw_only)
        return RunCounts(*counts, study=self.study, next_budget=self.next_budget)

    @classmethod
    def of_rounds(cls, rounds: Iterable[RunCounts]) -> RunCounts:
        """Add up the counts of a race, each of whose rounds has the runs of the one before and more."""
        known = list(rounds)
        last, trained = known[-1], sum(one.trained for one in known)
        steps = sum(one.steps_trained for one in known)
        return replace(last, trained=trained, cached=last.total - trained - last.failed, steps_trained=steps)

    @property
    def sentence(self) -> str:
        """The counts in a sentence, in numbers that add up."""
        runs = f"{many(self.total, 'run')}: {self.trained:,} trained, {self.cached:,} from the store"
        runs += f", {self.failed:,} failed" if self.failed else ""
        diverged = f"; {self.diverged:,} of them diverged" if self.diverged else ""
        ended = "" if self.next_budget is None else f"; ended by the budget: the next round needs {self.next_budget}"
        return f"{runs}{diverged}; {self.steps_trained:,} of {many(self.steps_nominal, 'iteration')} trained{ended}"

    def to_json(self) -> dict[str, dict[str, int] | str | None]:
        """Return the `runs`, `steps` and `next_budget` of a study's document."""
        runs = ("total", "trained", "cached", "diverged", "failed")
        return {
            "runs": {name: getattr(self, name) for name in runs},
            "steps": {"nominal": self.steps_nominal, "trained": self.steps_trained},
            "next_budget": self.next_budget,
        }


@surroundings_kept()
def run(
    study: Study,
    store: Store,
    *,
    device: str = "auto",
    workers: Workers = "auto",
    engine: Engine = "auto",
    gpus_per_worker: float = 0.0,
    listener: Listener | None = None,
    lease: Lease | None = None,
    kind: Kind = "study",
    parent: int | None = None,
) -> RunCounts:
    """Train every run of a study that the store lacks, and write its results.

    No run is trained twice, in this study or another, except a stacked one that has to be exact to the bit. Runs share
    training for as long as their learning rates agree. A run that was cut off goes on from its checkpoint. A run whose
    model or data raises an error is stored as failed, with its traceback, and the others go on. A run that failed, or
    that a process held when it died, is trained again by the next call: last, and in another process than this one.
    Several calls of `run`, of one study or of several, can share a store: none trains what another is training.

    Args:
        device, workers, engine, gpus_per_worker, listener: as for `lrbench.Lab`.
        lease: the right to write runs, where several studies are trained under one; None for one of its own.
        kind, parent: the kind of the study in the store, and the id of the one that it belongs to.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once all messages of workers are written; at once after a second
            one. A third Ctrl-C ends the process, where the code that is training stops for neither.
        StoreError, CheckpointError: the store cannot be written; what was written stays.
        StudyError: there are no such workers, or the engine cannot train the study.
        TaskError: there is no such device, or nothing to compile a network with for it.
    """
    workers = check_training(device, workers, engine, gpus_per_worker)
    listener = NullListener() if listener is None else listener
    setup = Setup({task.key: task for task in study.trained.values()}, device, SECONDS_AT_RISK)
    first = plan(study)
    first.first_round.check_budget()
    engines = Engines.chosen(engine, first.runs)
    with store.lease() if lease is None else nullcontext(lease) as held, _interruptible() as interrupted:
        stored = store.save_study(study.name, record_of(study, first), slots_of(first), kind, parent)
        _sweep(store, held)

        def train(stage: Plan) -> RunCounts:
            ahead = backlog(stage, store, engines)
            listener.planned(ahead)
            if not ahead.missing:
                return _tally(ahead, TrainingSummary(), store)
            _check_compiler(ahead, workers, device)
            suspects = _suspects(ahead, store, held)
            crew = _crew(workers, ahead, engines, device)
            trained = TrainingSummary()
            for runs, opened in _crews(crew, ahead, suspects, setup, interrupted, gpus_per_worker):
                with opened as pool:
                    coordinator = Coordinator(store, held, pool, engines, listener)
                    trained += coordinator.train(runs, interrupted, suspects)
            return _tally(ahead, trained, store)

        if study.until_decided is None:
            tally = train(first)
        else:
            tally = RunCounts.of_rounds(map(train, _rounds(first, stored, store)))
            last = _planned_rounds(first, stored, store)[-1]
            tally = replace(tally, next_budget=None if last.is_within_budget else f"{last.cost} {last.unit}")
        if study.confirm:
            second = confirmation(study, finalists(stored, store))
            store.add_slots(stored, slots_of(second))
            tally += train(second)
    return replace(tally, study=stored)


def _rounds(everything: Plan, study: int, store: Store) -> Iterator[Plan]:
    """Yield the rounds of a race, each when the last is trained; the first has all that was trained before."""
    done = 0
    while True:
        ahead = [one for one in _planned_rounds(everything, study, store) if one.is_within_budget]
        if len(ahead) == done:
            return
        done = len(ahead)
        yield ahead[-1]


def _planned_rounds(everything: Plan, study: int, store: Store) -> list[Plan]:
    return [everything.of_round(seeds) for seeds in rounds(StudyRuns.of(study, store))]


def check_training(device: str, workers: Workers, engine: Engine, gpus_per_worker: float) -> Workers:
    """Return the workers that are asked for, after a check that they can train.

    Raises:
        StudyError: there are no such workers, no such engine or no such share of a GPU, or Ray is not installed.
        TaskError: the workers are of this machine, and it has no such device.
    """
    if engine not in get_args(Engine):
        raise StudyError(f"engine = {short_repr(engine)} must be one of {', '.join(get_args(Engine))}")
    if not 0 <= gpus_per_worker < math.inf:
        raise StudyError(f"gpus_per_worker = {gpus_per_worker} must be a finite number of GPUs from 0 on")
    known = parse_workers(workers)
    if known == "auto" or isinstance(known, int):
        resolve_device(device)
    else:
        from lrbench.training.pools.ray_cluster import import_ray

        import_ray()
    return known


def _check_compiler(ahead: Backlog, workers: Workers, device: str) -> None:
    """Raise TaskError where networks are compiled on this machine, and it cannot."""
    is_here = workers == "auto" or isinstance(workers, int)
    asked = {run.task.compile for run in ahead.missing.values() if isinstance(run.task, Task)} if is_here else set()
    for mode in asked - {False}:
        check_compiler(resolve_device(device), mode)


def _crew(workers: Workers, ahead: Backlog, engines: Engines, device: str) -> Workers:
    """Return as many workers as have something to do."""
    if workers == "auto":
        return min(worthwhile(ahead.seconds(engines.stackable), room(resolve_device(device))), len(ahead.missing))
    return min(workers, len(ahead.missing)) if isinstance(workers, int) else workers


def _crews(
    crew: Workers,
    ahead: Backlog,
    suspects: Collection[str],
    setup: Setup,
    interrupted: Callable[[], bool],
    gpus_per_worker: float,
) -> Iterator[tuple[list[PlannedRun], AbstractContextManager[Pool]]]:
    """Yield the runs to train, with workers for them; where this process trains, suspects go last and to another."""
    trusted = [run for run in ahead.missing.values() if crew != 1 or run.key not in suspects]
    if trusted:
        yield trusted, open_pool(crew, setup, interrupted, gpus_per_worker=gpus_per_worker)
    if len(trusted) < len(ahead.missing):
        yield [run for run in ahead.missing.values() if run.key in suspects], open_pool_apart(setup, interrupted)


def _suspects(ahead: Backlog, store: Store, lease: Lease) -> set[str]:
    """Return the keys of the missing runs that failed, or during which a process died or was stopped."""
    failed = {key for key, run in ahead.stored.items() if run.status == "failed"}
    return (failed | lease.left_behind(ahead.missing)) & ahead.missing.keys()


def backlog(plan: Plan, store: Store | None, engines: Engines) -> Backlog:
    """Compare a plan with the runs of a store; None for a store that is not there yet."""
    if store is None:
        return Backlog(plan, {}, plan.by_key, None)
    exact = engines.exact(plan.runs)
    statuses = store.statuses(exact)
    missing = {key: run for key, run in plan.by_key.items() if statuses.get(key) not in ENDED}
    begun = {key for run in missing.values() for key in (run.key, run.training_key) if key in statuses}
    kept = kept_states((run for run in missing.values() if run.key not in begun), store)
    return Backlog(plan, {**kept, **store.runs(begun, exact)}, missing, store, kept)


def _tally(ahead: Backlog, done: TrainingSummary, store: Store) -> RunCounts:
    runs, after = ahead.plan.runs, store.statuses()
    trained = sum(after[key] != "failed" for key in done.ended)
    failed = sum(after[run.key] == "failed" for run in runs)
    return RunCounts(
        total=len(runs),
        trained=trained,
        cached=len(runs) - trained - failed,
        diverged=sum(after[run.key] == "diverged" for run in runs),
        failed=failed,
        steps_nominal=ahead.steps_nominal,
        steps_trained=done.iterations,
    )


def _sweep(store: Store, lease: Lease) -> None:
    """Delete the checkpoints that no run goes on from, left by a process that was killed."""
    names = set(store.checkpoints.names())
    if names and not lease.others_are_at_work():
        for name in names - store.checkpoints_in_use():
            store.checkpoints.delete(name)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Note the first Ctrl-C or SIGTERM, to be asked for between two segments; a second one acts at once.

    Python acts on neither while C code runs in the main thread: a third one ends the process then.
    """
    pressed = threading.Event()

    def press(_signal: int, _frame: FrameType | None) -> None:
        restore()
        pressed.set()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = {number: signal.signal(number, press) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _answered_interrupts():
            yield pressed.is_set
    finally:
        restore()


@contextmanager
def _answered_interrupts() -> Iterator[None]:
    """Answer each Ctrl-C that has no effect soon, from a thread, since the main one may hang in a user's code."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    acted = threading.Event()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread = threading.Thread(target=_answer_interrupts, args=(reading, acted), name="lrbench-interrupts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        acted.set()
        signal.set_wakeup_fd(before)
        # Not by closing: processes that were forked meanwhile, such as loader workers, hold the pipe open as well.
        os.set_blocking(writing, True)
        os.write(writing, END_OF_INTERRUPTS)
        thread.join()
        os.close(writing)
        os.close(reading)


def _answer_interrupts(numbers: int, acted: threading.Event) -> None:
    """Answer each Ctrl-C among the signal numbers that come through a pipe, until their end."""
    answers = iter(INTERRUPT_ANSWERS)
    while (number := os.read(numbers, 1)) != END_OF_INTERRUPTS:
        if number[0] != signal.SIGINT or acted.wait(SECONDS_TO_ACT_ON_AN_INTERRUPT):
            continue
        if (answer := next(answers, None)) is None:
            os._exit(INTERRUPTED)
        print(answer, file=sys.stderr, flush=True)


def slots_of(plan: Plan) -> list[StudySlot]:
    """List the slots of a study that the runs of a plan fill."""
    return [
        StudySlot(run.task.name, run.stage, run.entry.name, run.variant.name, run.scale, run.seed, run.key)
        for run in plan.runs
    ]


def record_of(study: Study, plan: Plan) -> StudyRecord:
    """Make the record by which results are computed from the store alone."""
    return StudyRecord(
        margin=study.margin,
        target=study.target,
        confirm=study.confirm,
        base_lr_scales=study.base_lr_scales,
        seeds=study.seeds,
        until_decided=study.until_decided,
        looks=tuple(study.looks.shares_by_seeds.items()),
        policies=tuple(
            PolicyRecord(
                name=one.name,
                policy=str(one.policy),
                found_peak=one.found_peak,
                lrs=tuple(tuple(lrs.tolist()) for lrs in long_tables(one.policy)),
            )
            for one in {entry.name: entry for entry in study.policies}.values()
        ),
        variants=tuple(dict.fromkeys(run.variant.name for run in plan.runs)),
        by=study.by,
        tolerated_divergence=study.tolerated_divergence,
        tasks=tuple(
            TaskRecord(
                name=task.name,
                key=task.key,
                steps=task.steps,
                steps_per_epoch=task.steps_per_epoch,
                eval_every=task.eval_every,
                objective=task.objective,
                chance=task.chance,
                better=task.better,
                bounds=task.bounds,
                class_names=task.class_names,
                test_samples=task.test_samples,
                val_samples=task.val_samples,
                tokens_per_step=task.tokens_per_step,
                parameters=task.parameters,
                trunk=task.trunk,
            )
            for task in study.tasks
        ),
    )
