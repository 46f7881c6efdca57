"""A worker: it trains lanes, and makes segments for the store of them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lrbench.engine import (
    advance,
    advance_stacked,
    begin,
    fastest_lanes,
    initial_loss,
    resolve_device,
    state_from_bytes,
    state_to_bytes,
    step_flops,
)
from lrbench.engine.clock import clock
from lrbench.errors import LRBenchError, one_line
from lrbench.metrics import as_gain
from lrbench.policy import Policy
from lrbench.reproducible import surroundings_kept, threads
from lrbench.store import Score, Segment
from lrbench.tasks import AnyTask, Task, TrainingFunction
from lrbench.training.called import called
from lrbench.training.measure import final, score
from lrbench.training.messages import Lanes, OrderDone, OrderFailed, Probe, Progress, Step, TrainLanes
from lrbench.training.provenance import provenance

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from lrbench.engine import Evaluation, State, Watcher
    from lrbench.training.messages import LaneSpec, Message, Order, Setup


class Run:
    """A lane while it is trained: its state, and its evaluations since the last message about it.

    Attributes:
        seconds: the wall time of its training since the last message; its share, where lanes are trained together.
    """

    def __init__(self, lane: LaneSpec, task: Task) -> None:
        began = clock()
        if lane.state is None:
            initial_loss(task, lane.seed)
        evaluated = clock()
        self.lane = lane
        self.task = task
        self.state = begin(task, lane.seed) if lane.state is None else state_from_bytes(lane.state, task.device)
        self._history = list(lane.history)
        self._scores: dict[str, list[Score]] = {key: [] for key in lane.watchers}
        self._evaluating = dict.fromkeys(lane.watchers, evaluated - began)
        self._watching = dict.fromkeys(lane.watchers, 0.0)
        self._last: Evaluation | None = None
        self.seconds = clock() - evaluated

    @property
    def watchers(self) -> list[Watcher]:
        """The watchers, each once, in the order of the runs."""
        return list({str(one): one for one in self.lane.watchers.values() if one is not None}.values())

    @property
    def done(self) -> bool:
        return self.state.diverged_at is not None or self.state.step == self.lane.stop

    def lrs(self) -> NDArray[np.float64]:
        """Return the learning rates up to the next evaluation, or to the lane's end if that comes first."""
        every, start = self.task.eval_every, self.state.step
        stop = min(start - start % every + every, self.lane.stop)
        lrs = self.lane.lrs
        if isinstance(lrs, Policy):
            return lrs.lrs(start, stop, self._history)
        return lrs[start - self.lane.start : stop - self.lane.start]

    def ahead(self, lrs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the learning rates after the next ones, up to the lane's end; none of a reactive policy."""
        own = self.lane.lrs
        return lrs[:0] if isinstance(own, Policy) else own[self.state.step + len(lrs) - self.lane.start :]

    def take(self, state: State, evaluations: Sequence[Evaluation]) -> float:
        """Take the next state and the evaluations on the way to it; return the seconds of it that were not training."""
        self.state = state
        apart = 0.0
        for evaluation in evaluations:
            self._last = evaluation
            apart += sum(one.evaluating for one in (evaluation, *evaluation.watched.values()))
            apart += sum(evaluation.watching.values())
            began = time.perf_counter()
            own = score(self.task, evaluation)
            self._history.append((own.step, as_gain(own.val_score, self.task.better)))
            for key, watcher in self.lane.watchers.items():
                seen = _seen(evaluation, watcher)
                if seen.is_finite:
                    self._scores[key].append(own if seen is evaluation else score(self.task, seen))
            scoring = time.perf_counter() - began
            for key, watcher in self.lane.watchers.items():
                self._evaluating[key] += _seen(evaluation, watcher).evaluating + scoring
                self._watching[key] += 0.0 if watcher is None else evaluation.watching[str(watcher)]
        return apart

    def step(self, origin: Mapping[str, str | None], exact: bool) -> Step:
        """Return the progress since the last step."""
        ended = self.state.diverged_at is not None or self.state.step == self.task.steps
        segments = {}
        for key, watcher in self.lane.watchers.items():
            began = time.perf_counter()
            end = self._end(watcher) if ended else {}
            segments[key] = Segment(
                self.state.step,
                self.seconds + self._watching[key],
                self.state.flops.total,
                tuple(self._scores[key]),
                provenance=origin,
                exact=exact,
                evaluating=self._evaluating[key] + time.perf_counter() - began,
                **end,
            )
            self._scores[key].clear()
            self._evaluating[key] = self._watching[key] = 0.0
        self.seconds = 0.0
        history = tuple(self._history) if isinstance(self.lane.lrs, Policy) else ()
        return Step(segments, None if ended else state_to_bytes(self.state), self.done, history)

    def _end(self, watcher: Watcher | None) -> dict[str, Any]:
        """Return the end of a run: finished, or diverged where its network has no finite losses at the end."""
        state = self.state
        seen = None if state.diverged_at is not None or self._last is None else _seen(self._last, watcher)
        if seen is None or not seen.is_finite:
            return {"status": "diverged", "diverged_at": state.diverged_at or state.step}
        costs = {"forward_flops": state.flops.forward, "backward_flops": state.flops.backward}
        numbers = final(self.task, seen) | costs
        if state.scaler:
            numbers["skipped_steps"] = state.scaler["skipped"]
        did: dict[str, Any] = {}
        for modifier in (*self.lane.modifiers, *(() if watcher is None else (watcher,))):
            did |= modifier.facts(state.memories[str(modifier)])
        if did:
            numbers |= {**did, "did": did}
        return {"status": "finished", "final": numbers}


def segments(work: TrainLanes, task: Task, seconds_at_risk: float) -> Generator[Progress]:
    """Train lanes to their ends; report each at its end, and all of them about every `seconds_at_risk`.

    After an interruption only the work since the last message is lost.
    """
    # Counted before the clock is read: the step that is counted also starts a GPU's libraries, once a process.
    step_flops(task)
    origin = provenance(work.engine, task.precision, task.device)
    going = [Run(lane, task) for lane in work.lanes]
    reported = time.perf_counter()
    while going:
        began = clock()
        advanced = _advanced(work, task, going)
        training = clock() - began
        with threads(1):
            training -= sum(run.take(*each) for run, each in zip(going, advanced, strict=True))
        for run in going:
            run.seconds += training / len(going)
        now = time.perf_counter()
        due = now - reported >= seconds_at_risk
        with threads(1):
            steps = {run.lane.name: run.step(origin, work.engine == "serial") for run in going if due or run.done}
        if steps:
            yield Progress(steps)
        if due:
            reported = time.perf_counter()
        going = [run for run in going if not run.done]


def _advanced(work: TrainLanes, task: Task, runs: Sequence[Run]) -> list[tuple[State, list[Evaluation]]]:
    if work.engine == "serial":
        return [
            advance(task, run.state, lrs := run.lrs(), run.lane.modifiers, run.watchers, run.ahead(lrs)) for run in runs
        ]
    modifiers = runs[0].lane.modifiers, runs[0].watchers
    return advance_stacked(task, [run.state for run in runs], [run.lrs() for run in runs], *modifiers)


def _seen(evaluation: Evaluation, watcher: Watcher | None) -> Evaluation:
    """Return the evaluation of a run's network."""
    return evaluation if watcher is None else evaluation.watched[str(watcher)]


class Worker:
    """A worker with its tasks, each moved to its device when it is first trained.

    Args:
        is_stopping: tells whether training is to stop; a training function may ask for it at any time.
    """

    def __init__(
        self, setup: Setup, device: torch.device | None = None, is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._setup, self._is_stopping = setup, is_stopping
        self._device = resolve_device(setup.device) if device is None else device
        self._tasks: dict[str, AnyTask] = {}

    def carry_out(self, order: Order) -> Generator[Message]:
        """Carry out an order, and report on it; the last message is `OrderDone` or `OrderFailed`.

        Raises:
            KeyboardInterrupt: after Ctrl-C; any other error of a model or data ends in `OrderFailed`.
        """
        messages = self._messages(order)
        while True:
            try:
                with surroundings_kept():
                    message = next(messages, OrderDone())
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                message = OrderFailed(_reason(error))
            yield message
            if isinstance(message, OrderDone | OrderFailed):
                return

    def _messages(self, order: Order) -> Iterator[Message]:
        task = self._task(order.task)
        if isinstance(task, TrainingFunction):
            assert isinstance(order, TrainLanes)
            (lane,) = order.lanes
            yield from called(lane, task, self._device, self._is_stopping)
            return
        assert isinstance(task, Task)
        if isinstance(order, Probe):
            yield Lanes(fastest_lanes(task, order.at_most))
        else:
            yield from segments(order, task, self._setup.seconds_at_risk)

    def _task(self, key: str) -> AnyTask:
        if key not in self._tasks:
            self._tasks[key] = self._setup.tasks[key].to(self._device)
        return self._tasks[key]


def _reason(error: BaseException) -> str:
    """Return a traceback whose last line has the whole error, also one of several lines."""
    text = traceback.format_exc()
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    if isinstance(error, SystemExit):
        text += f"the code that was training called sys.exit({error.code!r})\n"
    elif isinstance(error, LRBenchError):
        text += f"{one_line(error)}\n"
    elif len(lines) > 1:
        text += " ".join(" ".join(lines).split()) + "\n"
    return text
