"""Train a run by the call of a training function."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lrbench.metrics import RunEnd, classify
from lrbench.policy import Policy
from lrbench.reproducible import deterministic, seed_generators, surroundings_kept
from lrbench.store import Score, Segment
from lrbench.streams import stream_seed
from lrbench.tasks.metric import LOSS
from lrbench.tasks.training_run import RunOver, TrainingRun
from lrbench.training.measure import metrics_of_end
from lrbench.training.messages import Progress, Step
from lrbench.training.provenance import provenance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lrbench.metrics import Classification
    from lrbench.tasks import TrainingFunction
    from lrbench.tasks.training_run import Predictions, Report
    from lrbench.training.messages import LaneSpec

SECONDS_TO_END = 5.0
"""The time that a function has to write a checkpoint and return when its training is stopped."""


def called(
    lane: LaneSpec, task: TrainingFunction, device: torch.device, is_stopping: Callable[[], bool]
) -> Generator[Progress]:
    """Train a run, from its beginning to its end, and report whenever its function does."""
    (key,) = lane.watchers
    origin = provenance("function", None, device)
    for new, ended in _reports(lane, task, device, is_stopping):
        segment = _segment(task, new, ended=ended, origin=origin)
        yield Progress({lane.name: Step({key: segment}, None, ended)})


def _reports(
    lane: LaneSpec, task: TrainingFunction, device: torch.device, is_stopping: Callable[[], bool]
) -> Iterator[tuple[Sequence[Report], bool]]:
    """Yield new reports, and whether they are the last; of a function that was stopped none are.

    The function runs in a thread of its own, which stands still while this one has its reports: what it does is done
    between two steps of this generator, as with the engine.
    """
    policy = lane.lrs
    assert isinstance(policy, Policy)
    said: SimpleQueue[tuple[Sequence[Report], bool] | BaseException | None] = SimpleQueue()
    answers: SimpleQueue[bool] = SimpleQueue()

    def hand_over(new: Sequence[Report]) -> bool:
        with surroundings_kept():
            said.put((new, False))
            return answers.get()

    def train() -> None:
        try:
            run = TrainingRun(
                task,
                seed=lane.seed,
                policy=policy,
                device=str(device),
                folder=Path(lane.folder),
                hand_over=hand_over,
                is_stopping=is_stopping,
            )
            _call(task, run, device)
            said.put(None if _is_stopped(run) else (run.unhanded(), True))
        except BaseException as error:
            said.put(error)

    thread = threading.Thread(target=train, name=f"lrbench-{task.name}", daemon=True)
    thread.start()
    try:
        ended = False
        while not ended:
            heard = said.get()
            if isinstance(heard, BaseException):
                raise heard
            if heard is None:
                return
            yield heard
            ended = heard[1]
            answers.put(True)
    finally:
        answers.put(False)
        thread.join(SECONDS_TO_END)


def _call(task: TrainingFunction, run: TrainingRun, device: torch.device) -> None:
    """Call the function; what goes wrong in it after its run has diverged or was stopped is no news."""
    try:
        with deterministic():
            seed_generators(stream_seed(run.seed, "training function"), device)
            task.function(run)
    except Exception:
        if not run.should_stop:
            raise
    except RunOver:
        pass
    if not _is_stopped(run):
        run.check_end()


def _is_stopped(run: TrainingRun) -> bool:
    """Tell whether a run was told to stop before it was over."""
    return run.should_stop and not run.is_over


def _segment(task: TrainingFunction, new: Sequence[Report], *, ended: bool, origin: dict[str, str | None]) -> Segment:
    """Make the segment of new reports; the last one of a run is finished, or diverged where a number is not finite."""
    last = new[-1]
    seconds = sum(report.seconds for report in new)
    scores = tuple(_score(report) for report in new if not report.diverged)
    segment = Segment(last.step, seconds, 0, scores, provenance=origin, evaluating=None)
    if not ended:
        return segment
    if last.diverged:
        return replace(segment, status="diverged", diverged_at=last.step)
    return replace(segment, status="finished", final=_final(task, last))


def _score(report: Report) -> Score:
    numbers = (report.train_loss, report.val_loss, report.val, report.test_loss, report.test)
    return Score(report.step, *(math.nan if number is None else number for number in numbers))


def _final(task: TrainingFunction, last: Report) -> dict[str, Any]:
    val_loss = last.val if task.objective == LOSS and last.val_loss is None else last.val_loss
    test_loss = last.test if task.objective == LOSS and last.test_loss is None else last.test_loss
    val, test = _classified(last.val_predictions), _classified(last.test_predictions)
    return {**metrics_of_end(RunEnd(None, val_loss, test_loss, val, test)), **last.metrics}


def _classified(predictions: Predictions | None) -> Classification | None:
    if predictions is None:
        return None
    logits, labels = map(_array, predictions)
    return classify(logits, labels) if np.isfinite(logits).all() else None


def _array(values: Any) -> NDArray[Any]:
    """Copy a tensor of any device and type, or what NumPy reads, into an array."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values)
