"""The coordinator of a study: it gives branches of the tree to workers, and alone writes their results."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from lrbench.engine import read_checkpoint, write_checkpoint
from lrbench.errors import CheckpointError, LeaseLostError
from lrbench.metrics import as_gain
from lrbench.store import ENDED, NewRun
from lrbench.training.estimate import seconds_of_an_iteration
from lrbench.training.kept import kept_states, state_name, state_to_keep, training_so_far
from lrbench.training.messages import (
    Lanes,
    LaneSpec,
    OrderDone,
    OrderFailed,
    Probe,
    Progress,
    Step,
    TrainLanes,
    WorkerDied,
)
from lrbench.training.resume_point import resume_point
from lrbench.training.tree import Branch, forest, next_branch

if TYPE_CHECKING:
    from lrbench.store import Lease, Segment, Store, StoredRun
    from lrbench.training.engine_choice import Engines
    from lrbench.training.listener import Listener
    from lrbench.training.messages import History, Message, Order
    from lrbench.training.plan import PlannedRun
    from lrbench.training.pools import Pool

TRIES = 3
"""The number of workers that may die over a branch before its runs have failed."""

MOST_LANES = 128
"""The most runs that the stacked engine trains at once."""

SECONDS_BETWEEN_LOOKS = 2.0
"""The time between two looks at the runs of other coordinators."""

SECONDS_BEFORE_WAITING_IS_REPORTED = 5.0
SECONDS_BETWEEN_REPORTS = 60.0
"""The time between two calls of `Listener.waiting`."""

SECONDS_OF_PATIENCE = 0.5
"""The time that a message is waited for before the coordinator checks for an interrupt."""


@dataclass(frozen=True)
class ClaimedBranch:
    """A branch, or the rest of one, on whose runs this coordinator has a lease.

    Attributes:
        checkpoint: the file of the state that it goes on from; None for the initial weights.
        history: as in `LaneSpec`.
        deaths: the number of workers that have died over it.
        alone: whether it must not be trained together with others, as that has failed.
    """

    branch: Branch
    checkpoint: str | None
    history: History = ()
    deaths: int = 0
    alone: bool = False

    @property
    def keys(self) -> list[str]:
        return [run.key for run in self.branch.runs]

    @property
    def name(self) -> str:
        """The name of its lane."""
        return self.branch.training.key


@dataclass
class TrainingSummary:
    """The work of a coordinator: the iterations trained, and the keys of the runs that it ended."""

    iterations: int = 0
    ended: set[str] = field(default_factory=set)

    def __add__(self, other: TrainingSummary) -> TrainingSummary:
        return TrainingSummary(self.iterations + other.iterations, self.ended | other.ended)


@dataclass
class Assignment:
    """The order of a worker, and the lanes that it has still to finish, by name."""

    order: Order
    lanes: dict[str, ClaimedBranch]


class Coordinator:
    """The coordinator: the workers of its pool train runs, under a lease that keeps others from training the same."""

    def __init__(self, store: Store, lease: Lease, pool: Pool, engines: Engines, listener: Listener) -> None:
        self._trained = TrainingSummary()
        self._store = store
        self._lease = lease
        self._pool = pool
        self._engines = engines
        self._listener = listener
        self._unclaimed: list[Branch] = []
        self._ready: list[ClaimedBranch] = []
        self._elsewhere: dict[str, PlannedRun] = {}
        self._looked = 0.0
        self._next_report = 0.0
        self._idle: set[int] = set()
        self._busy: dict[int, Assignment] = {}
        self._fastest: dict[str, int] = {}
        self._checkpoints: dict[str, str] = {}
        self._users: Counter[str] = Counter()
        self._others: set[str] = set()

    def train(
        self, runs: Iterable[PlannedRun], interrupted: Callable[[], bool], suspects: Collection[str] = ()
    ) -> TrainingSummary:
        """Train runs (each key once) to their ends, or wait until other coordinators have.

        Args:
            suspects: the keys of runs that failed or died before, which are claimed last.

        Raises:
            KeyboardInterrupt: `interrupted()` is true, and all messages so far are written; or after a second Ctrl-C,
                in the middle of runs, which are suspects then.
            StoreError, CheckpointError: something cannot be written; what was written stays.
            StudyError: workers cannot be started.
        """
        trees = sorted(forest(runs, lambda _: (0, None)), key=_remaining, reverse=True)
        self._unclaimed = sorted(trees, key=lambda tree: any(run.key in suspects for run in tree.runs))
        while self._unclaimed or self._ready or self._busy or self._elsewhere:
            for worker in sorted(self._idle):
                if (order := self._next_order(worker)) is None:
                    break
                self._idle.discard(worker)
                self._pool.give(worker, order)
            try:
                received = self._pool.receive(SECONDS_OF_PATIENCE)
            except KeyboardInterrupt:
                lanes = [lane for assignment in self._busy.values() for lane in assignment.lanes.values()]
                self._lease.abandon(key for lane in lanes for key in lane.keys)
                raise
            if received is not None:
                self._handle(*received)
            self._report_waiting()
            if interrupted():
                raise KeyboardInterrupt
        return self._trained

    # What to do next -----------------------------------------------------------------------------------------------

    def _next_order(self, worker: int) -> Order | None:
        """Choose the next order of an idle worker; None where there is none for now."""
        while not self._ready and self._unclaimed:
            self._claim([self._unclaimed.pop(0)])
        if not self._ready:
            self._look_elsewhere()
        if not self._ready:
            return None
        chosen = self._ready[next_branch([one.branch for one in self._ready], self._pool.size, _remaining)]
        task, count = chosen.branch.training.task, self._lanes(chosen)
        if count is None:
            if any(isinstance(one.order, Probe) for one in self._busy.values()):
                return None
            probe = Probe(task.key, MOST_LANES)
            self._busy[worker] = Assignment(probe, {})
            return probe
        self._ready.remove(chosen)
        together = [chosen, *self._companions(chosen, count - 1)]
        stacked = count > 1 or (task.key in self._engines.stackable and not self._engines.probed)
        lanes = tuple(self._lane(one) for one in together)
        work = TrainLanes(task.key, "stacked" if stacked else "serial", lanes)
        self._busy[worker] = Assignment(work, {one.name: one for one in together})
        return work

    def _lanes(self, chosen: ClaimedBranch) -> int | None:
        """Return how many branches a worker is given at once; None where a probe has to find out."""
        if chosen.alone or chosen.branch.training.task.key not in self._engines.stackable:
            return 1
        alike = sum(_kind(one.branch) == _kind(chosen.branch) for one in self._ready)
        alike += sum(_kind(tree) == _kind(chosen.branch) for tree in self._unclaimed)
        share = -(-alike // self._pool.size)
        if share == 1 or not self._engines.probed:
            return min(share, MOST_LANES)
        fastest = self._fastest.get(chosen.branch.training.task.key)
        return None if fastest is None else min(share, fastest)

    def _companions(self, chosen: ClaimedBranch, count: int) -> list[ClaimedBranch]:
        """Take up to `count` others that can be trained together with a branch."""
        kind = _kind(chosen.branch)
        alike = [one for one in self._ready if _kind(one.branch) == kind and not one.alone]
        if len(alike) < count:
            trees = [tree for tree in self._unclaimed if _kind(tree) == kind][: count - len(alike)]
            self._unclaimed = [tree for tree in self._unclaimed if tree not in trees]
            self._claim(trees)
            alike = [one for one in self._ready if _kind(one.branch) == kind and not one.alone]
        companions = alike[:count]
        self._ready = [one for one in self._ready if one not in companions]
        return companions

    def _lane(self, one: ClaimedBranch) -> LaneSpec:
        branch, run = one.branch, one.branch.training
        return LaneSpec(
            name=one.name,
            seed=run.seed,
            start=branch.start,
            stop=branch.stop,
            lrs=run.lrs[branch.start : branch.stop] if run.task.forks and not run.policy.reacts else run.policy,
            modifiers=run.variant.modifiers,
            watchers={each.key: each.variant.watcher for each in branch.runs},
            history=one.history,
            state=None if one.checkpoint is None else read_checkpoint(self._store.checkpoints.file(one.checkpoint)),
            folder=str(self._store.checkpoints.folder(run.key).absolute()),
        )

    # The runs of this coordinator, and those of others -------------------------------------------------------------

    def _claim(self, trees: Iterable[Branch]) -> None:
        """Make trees ready, except for runs that others train or have trained meanwhile."""
        wanted = {run.key: run for tree in trees for run in tree.runs}
        exact = self._engines.exact(wanted.values())
        mine = self._lease.claim(wanted, exact)
        self._elsewhere |= {key: run for key, run in wanted.items() if key not in mine}
        runs = [run for key, run in wanted.items() if key in mine]
        stored = self._store.runs({key for run in runs for key in (run.key, run.training_key)}, exact)
        kept = kept_states((run for run in runs if run.key not in stored), self._store)
        places = {run.key: resume_point(run, {**kept, **stored}, self._is_whole) for run in runs}
        kept = {key: one for key, one in kept.items() if places[key][1] is not None}
        left = {run.key: one.checkpoint for run in runs if (one := stored.get(run.key)) and one.checkpoint is not None}
        if left:
            self._others |= self._store.shared_checkpoints(left.values(), stored)
        for key, name in left.items():
            self._use(key, name)
        fresh = [run for run in runs if places[run.key][1] is None or run.key in kept]
        copies: dict[str | None, str] = {}
        for key, one in kept.items():
            if one.checkpoint not in copies:
                copies[one.checkpoint] = self._copied(one, key)
        if fresh:
            try:
                self._lease.begin(map(_new_run, fresh))
                self._lease.append({key: training_so_far(one, copies[one.checkpoint]) for key, one in kept.items()})
            except LeaseLostError:
                self._elsewhere |= wanted
                return
            for run in fresh:
                checkpoint = copies[kept[run.key].checkpoint] if run.key in kept else None
                places[run.key] = (places[run.key][0], checkpoint)
                self._use(run.key, checkpoint)
        for branch in forest(runs, lambda run: places[run.key]):
            start, checkpoint = places[branch.training.key]
            self._ready.append(ClaimedBranch(branch, checkpoint, _history(branch.training, start, stored)))

    def _look_elsewhere(self) -> None:
        """Take over runs that others have given up, and note those that they have ended."""
        if not self._elsewhere or time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = time.monotonic()
        statuses = self._store.statuses(self._engines.exact(self._elsewhere.values()))
        for key, run in list(self._elsewhere.items()):
            status = statuses.get(key)
            if status in ENDED:
                del self._elsewhere[key]
                self._listener.ended(run, status)
        runs, self._elsewhere = list(self._elsewhere.values()), {}
        self._claim(forest(runs, lambda _: (0, None)))

    def _report_waiting(self) -> None:
        """Report the coordinators that train all runs that are left, once that has lasted some seconds."""
        now = time.monotonic()
        if self._unclaimed or self._ready or self._busy or not self._elsewhere:
            self._next_report = now + SECONDS_BEFORE_WAITING_IS_REPORTED
        elif now >= self._next_report:
            self._next_report = now + SECONDS_BETWEEN_REPORTS
            if holders := self._lease.holders(self._elsewhere):
                self._listener.waiting(holders)

    def _copied(self, kept: StoredRun, key: str) -> str:
        """Copy the checkpoint of a state that is kept for a run to go on from, and return its name."""
        name = state_name(key, kept.step)
        files = self._store.checkpoints
        write_checkpoint(files.place(name), read_checkpoint(files.file(kept.checkpoint or "")))
        return name

    def _keep(self, run: PlannedRun, step: Step) -> None:
        """Keep the state of a run for longer horizons, unless it is kept or another coordinator keeps it now."""
        state, at = state_to_keep(run, _step_of(step)), _step_of(step)
        known = self._store.runs({state.key, run.key})
        stored = known[run.key]
        if step.snapshot is None or not stored.exact or state.key in known or not self._lease.claim([state.key]):
            return
        write_checkpoint(self._store.checkpoints.place(name := state_name(state.key, at)), step.snapshot)
        self._lease.begin([state])
        self._lease.append({state.key: training_so_far(stored, name)})
        self._lease.release([state.key])

    def _is_whole(self, checkpoint: str) -> bool:
        try:
            read_checkpoint(self._store.checkpoints.file(checkpoint))
        except CheckpointError:
            return False
        return True

    def _use(self, key: str, checkpoint: str | None) -> None:
        """Note which checkpoint a run goes on from, and delete the one before if no run needs it."""
        before = self._checkpoints.pop(key, None)
        if checkpoint is not None:
            self._checkpoints[key] = checkpoint
            self._users[checkpoint] += 1
        if before is not None:
            self._users[before] -= 1
            if not self._users[before]:
                del self._users[before]
                if before not in self._others:
                    self._store.checkpoints.delete(before)

    # Messages of workers -------------------------------------------------------------------------------------------

    def _handle(self, worker: int, message: Message) -> None:
        if isinstance(message, Progress):
            self._write(self._busy[worker].lanes, message.steps)
            return
        if isinstance(message, Lanes):
            self._fastest[self._busy[worker].order.task] = message.count
            return
        assignment = self._busy.pop(worker, None)
        if not isinstance(message, WorkerDied):
            self._idle.add(worker)
        if assignment is None or isinstance(message, OrderDone):
            return
        if isinstance(assignment.order, Probe):
            self._fastest[assignment.order.task] = 1
        for one in assignment.lanes.values():
            self._try_again(one, assignment.order, message)

    def _write(self, lanes: dict[str, ClaimedBranch], steps: Mapping[str, Step]) -> None:
        """Write the progress of lanes, all of them or none."""
        known = {name: step for name, step in steps.items() if name in lanes}
        files = {name: self._write_snapshot(lanes[name], step) for name, step in known.items()}
        facts: dict[str, Segment] = {}
        for name, step in known.items():
            facts |= {key: replace(segment, checkpoint=files[name]) for key, segment in step.segments.items()}
        try:
            self._lease.append(facts)
        except LeaseLostError:
            for name in known:
                self._elsewhere |= {run.key: run for run in lanes.pop(name).branch.runs}
            return
        for name, step in known.items():
            self._go_on(lanes, name, step, files[name])

    def _write_snapshot(self, one: ClaimedBranch, step: Step) -> str | None:
        """Write a lane's snapshot, and return its file name; None where its runs have ended."""
        if step.snapshot is None:
            return None
        name = f"{one.name}-{_step_of(step)}.pt"
        write_checkpoint(self._store.checkpoints.place(name), step.snapshot)
        return name

    def _go_on(self, lanes: dict[str, ClaimedBranch], name: str, step: Step, checkpoint: str | None) -> None:
        """Follow a lane further on, to its children, or to its end."""
        one, at = lanes.pop(name), _step_of(step)
        branch = one.branch
        self._trained.iterations += at - branch.start
        ends_trunk = [run for run in branch.runs if run.row.kept_at == at] if step.done and checkpoint else []
        if ends_trunk:
            self._keep(ends_trunk[0], step)
        self._listener.trained(branch.steps if step.done and checkpoint is None else at - branch.start)
        for run in branch.runs:
            self._use(run.key, checkpoint)
            scores = step.segments[run.key].scores
            self._listener.advanced(run, at, scores[-1].val_score if scores else None)
        if not step.done:
            lanes[name] = replace(one, branch=branch.after(at), checkpoint=checkpoint, history=step.history)
        elif checkpoint is not None:
            self._ready.extend(ClaimedBranch(child, checkpoint) for child in branch.children)
        else:
            for run in branch.runs:
                self._end(run, step.segments[run.key].status)

    def _try_again(self, one: ClaimedBranch, order: Order, message: WorkerDied | OrderFailed) -> None:
        """Put a lane back, or mark its runs as failed, after it raised an error or its worker died.

        A watcher fails alone: the runs that it shared training with are trained again without it.
        """
        together = isinstance(order, TrainLanes) and len(order.lanes) > 1
        if isinstance(message, OrderFailed):
            again, reason = together, message.traceback
        else:
            one = replace(one, deaths=one.deaths + 1)
            again = one.deaths < TRIES
            reason = f"{one.deaths} workers that trained it were lost; the last one {message.reason}"
        if not again and len(parts := _by_watcher(one)) > 1:
            self._ready.extend(parts)
            return
        try:
            if again:
                self._ready.append(replace(self._anew(one), alone=together))
                return
            self._lease.fail(one.keys, reason)
            self._lease.release(one.keys)
        except LeaseLostError:
            self._elsewhere |= {run.key: run for run in one.branch.runs}
            return
        for run in one.branch.runs:
            self._end(run, "failed")

    def _anew(self, one: ClaimedBranch) -> ClaimedBranch:
        """Return a lane as it is trained again: from its beginning where it left no state."""
        if one.checkpoint is not None or not one.branch.start:
            return one
        self._lease.begin(map(_new_run, one.branch.runs))
        self._listener.trained(-one.branch.start)
        return replace(one, branch=one.branch.after(0))

    def _end(self, run: PlannedRun, status: str) -> None:
        if status in ENDED and not run.task.forks:
            self._store.checkpoints.delete_folder(run.key)
        self._trained.ended.add(run.key)
        self._checkpoints.pop(run.key, None)
        self._listener.ended(run, status)


def _by_watcher(one: ClaimedBranch) -> list[ClaimedBranch]:
    """Split a branch into one for each of its watchers, and one for the runs without any."""
    watched: dict[str, list[PlannedRun]] = {}
    for run in one.branch.runs:
        watched.setdefault(str(run.variant.watcher), []).append(run)
    stand = one.branch.start, one.checkpoint
    trees = [tree for runs in watched.values() for tree in forest(runs, lambda _: stand)]
    return [replace(one, branch=tree, alone=True) for tree in trees]


def _history(run: PlannedRun, start: int, stored: Mapping[str, StoredRun]) -> History:
    """Return the stored evaluations of a reactive policy up to `start`."""
    if not run.policy.reacts or not start:
        return ()
    seen = takewhile(lambda score: score.step <= start, stored[run.training_key].scores)
    return tuple((score.step, as_gain(score.val_score, run.task.better)) for score in seen)


def _step_of(step: Step) -> int:
    return next(iter(step.segments.values())).step


def _remaining(branch: Branch) -> float:
    """Estimate the time in seconds from the start of a branch to the end of its budget."""
    steps = max(run.task.steps for run in branch.runs)
    return seconds_of_an_iteration(branch.training.task) * (steps - branch.start)


def _kind(branch: Branch) -> Hashable:
    """Return what branches that are trained together have in common: the task, and when they are evaluated."""
    task = branch.training.task
    return task.key, branch.start % task.eval_every


def _new_run(run: PlannedRun) -> NewRun:
    task, parts = run.task, " + ".join(map(str, run.variant.parts))
    return NewRun(run.key, task.name, task.key, str(run.policy), parts, run.seed, task.steps, {})
