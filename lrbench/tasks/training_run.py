"""TrainingRun: one run of a training function, which asks it for learning rates and reports to it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.errors import TaskError
from lrbench.files import write_atomically
from lrbench.policy.budget import read_whole
from lrbench.policy.kind import short_repr
from lrbench.tasks.metric import read_score

if TYPE_CHECKING:
    import torch
    from lightning.pytorch.callbacks import Callback
    from transformers import TrainerCallback

    from lrbench.policy import Policy, PolicyLR
    from lrbench.tasks.trainer_callbacks import Evaluate
    from lrbench.tasks.training_function import TrainingFunction

Predictions = tuple[Any, Any]
"""The outputs of a classifier before the softmax [N, C], and the labels [N]; tensors or arrays."""


@dataclass(frozen=True)
class Report:
    """A report of a training function, after `step` iterations; numbers that were not given are None.

    Attributes:
        seconds: since the report before, or since the run began.
        diverged: whether the run ends here, since a number that it lives on is not finite, or its loss ran away.
    """

    step: int
    val: float
    train_loss: float | None = None
    val_loss: float | None = None
    test: float | None = None
    test_loss: float | None = None
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    val_predictions: Predictions | None = None
    test_predictions: Predictions | None = None
    diverged: bool = False

    @property
    def lives_on(self) -> Mapping[str, float]:
        """The numbers by which a run diverges, as far as they were given."""
        numbers = {name: getattr(self, name) for name in ("val", "train_loss", "val_loss")}
        return {name: number for name, number in numbers.items() if number is not None}


TOLERANCE = 1e-3
"""The sum of a row of probabilities may be off 1 by this."""

WRITTEN = tuple(one.name for one in fields(Report) if not one.name.endswith("predictions"))


class RunOver(BaseException):
    """The run is over: raised by a report, to end a function that goes on nevertheless."""


class TrainingRun:
    """One run of a training function: a seed, a budget, learning rates, and where to report.

    Iterations are counted from 1. The run sets the seeds of torch, NumPy and Python before it calls the function, and
    one thread of torch: what else is random in it is to follow from `seed`.

    Attributes:
        seed: the seed of initial weights, of the order of batches and of all else.
        steps: the budget in iterations.
        eval_every: the iterations between two reports.
        device: where to train, such as "cpu" or "cuda:1".
    """

    def __init__(
        self,
        task: TrainingFunction,
        *,
        seed: int,
        policy: Policy,
        device: str,
        folder: Path,
        hand_over: Callable[[Sequence[Report]], bool],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.seed, self.device = seed, device
        self.steps, self.eval_every = task.steps, task.eval_every
        self._task = task
        self._policy = policy
        self._folder = folder
        self._hand_over, self._is_stopping = hand_over, is_stopping
        self._ended = False
        self._reports = _read(folder)
        self._handed = 0
        self._reported = False
        self._began = time.perf_counter()
        self._schedulers: list[PolicyLR] = []

    @property
    def should_stop(self) -> bool:
        """Whether the function should return now: its run has diverged, or lrbench is stopping.

        lrbench stops after Ctrl-C or SIGTERM, and gives the function some seconds to write what it needs to go on into
        `checkpoint_folder`; its run is then incomplete, and is trained by the next call. Nothing else ends a run early:
        races and searches decide when all runs of a round are over. A function that goes on is ended by the second
        report from then.
        """
        return self._ended or self._is_stopping()

    def lr(self, step: int) -> float:
        """Return the learning rate of an iteration, counted from 1.

        Raises:
            TaskError: the run has no such iteration.
        """
        whole = self._counted(f"run.lr({short_repr(step)})", step)
        return float(self._policy.lrs(whole - 1, whole, self._history)[0])

    def scheduler(self, optimizer: torch.optim.Optimizer) -> PolicyLR:
        """Return a torch scheduler that sets the learning rates of an optimizer.

        Call its `step()` once an iteration, after `optimizer.step()`.
        """
        from lrbench.policy import PolicyLR

        scheduler = PolicyLR(optimizer, self._policy)
        self._schedulers.append(scheduler)
        return scheduler

    def lightning_callback(self, evaluate: Evaluate) -> Callback:
        """Return a callback for Lightning's `Trainer(max_steps=run.steps)`, which sets learning rates and reports.

        The module's `configure_optimizers` returns one optimizer and no scheduler.

        Args:
            evaluate: it gets the module, in evaluation mode and without gradients, and returns `val`, or a dict of what
                `report` takes by name.
        """
        from lrbench.tasks.trainer_callbacks import lightning_callback

        return lightning_callback(self, evaluate)

    def transformers_callback(self, evaluate: Evaluate) -> TrainerCallback:
        """Return a callback for Hugging Face's `Trainer`, which sets learning rates and reports.

        The trainer's arguments have `max_steps=run.steps`; a scheduler that they name has no effect.

        Args:
            evaluate: as for `lightning_callback`.
        """
        from lrbench.tasks.trainer_callbacks import transformers_callback

        return transformers_callback(self, evaluate)

    def is_due(self, step: int) -> bool:
        """Tell whether the run is to be reported on after an iteration: every `eval_every`, and the last one."""
        return step % self.eval_every == 0 or step == self.steps

    @property
    def checkpoint_folder(self) -> Path:
        """The folder where the function may keep what it needs to go on after it was killed, made when first asked for.

        A function that finds its own files there may go on from them: earlier reports are remembered. The folder is
        beside the store, on the machine that trains, and is deleted when the run has ended.
        """
        place = self._folder / "kept"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def report(
        self,
        step: int,
        *,
        val: float,
        train_loss: float | None = None,
        val_loss: float | None = None,
        test: float | None = None,
        test_loss: float | None = None,
        val_predictions: Predictions | None = None,
        test_predictions: Predictions | None = None,
        tokens: float | None = None,
        seconds: float | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Report on the run after an iteration that is due.

        A run has diverged, and is over, where `val`, `train_loss` or `val_loss` is NaN or infinite, or where all losses
        are over `divergence_factor` times the initial ones: see `lrbench.trainable`.

        Args:
            step: the iterations done, counted from 1.
            val: the number that the task is judged by, on the validation split.
            train_loss: the mean training loss since the report before; a range test reads it, or else `val`.
            val_loss, test_loss: the mean losses on the splits.
            test: the number that the task is judged by, on the test split.
            val_predictions, test_predictions: of a classifier, its outputs before the softmax [N, C] and the labels
                [N], as tensors or arrays: the last ones are scored for accuracy, confidence and calibration.
            tokens: what was trained on so far, in tokens or another unit.
            seconds: the time of training so far; by default the wall time.
            metrics: further numbers by name; the last ones are averaged over seeds beside lrbench's own.

        Raises:
            TaskError: no report is due then, one before it is missing, or a number is none.
        """
        where = f"task '{self._task.name}': run.report({short_repr(step)})"
        step = self._counted(where, step)
        if self._ended:
            raise RunOver
        self._check_order(where, step)
        self._check_schedulers(where, step)
        for name, pair in (("val_predictions", val_predictions), ("test_predictions", test_predictions)):
            _check_predictions(f"{where}: {name}", pair)
        if metrics is not None and not isinstance(metrics, Mapping):
            raise TaskError(f"{where}: metrics = {short_repr(metrics)} must be a table of numbers by name")
        further = dict(metrics or {}) | ({} if tokens is None else {"tokens": tokens})
        optional = {"train_loss": train_loss, "val_loss": val_loss, "test_loss": test_loss}
        numbers = {name: _number(where, name, value) for name, value in (optional | further).items()}
        report = Report(
            step=step,
            val=read_score(f"{where}: val is", _detached(val), self._task.bounds),
            test=None if test is None else read_score(f"{where}: test is", _detached(test), self._task.bounds),
            seconds=self._seconds(where, seconds),
            metrics={name: number for name in further if (number := numbers[name]) is not None},
            val_predictions=val_predictions,
            test_predictions=test_predictions,
            train_loss=numbers["train_loss"],
            val_loss=numbers["val_loss"],
            test_loss=numbers["test_loss"],
        )
        report = replace(report, diverged=self._has_diverged(report))
        self._reports.append(report)
        self._ended = report.diverged
        if self._folder.is_dir() and not report.diverged:
            _write(self._folder, self._reports)
        if not self.is_over:
            self._tell_schedulers()
            self._ended = not self._hand_over(self.unhanded())
        self._began = time.perf_counter()

    @property
    def is_over(self) -> bool:
        """Whether the last report was of the last iteration, or of a divergence."""
        return bool(self._reports) and (self._reports[-1].step == self.steps or self._reports[-1].diverged)

    def unhanded(self) -> Sequence[Report]:
        """Take the reports that were not handed over yet."""
        new, self._handed = self._reports[self._handed :], len(self._reports)
        return new

    def check_end(self) -> None:
        """Check that the function has reported on the whole run.

        Raises:
            TaskError: it returned too early.
        """
        if not self.is_over:
            last = f"after the report of iteration {self._reports[-1].step}" if self._reports else "without a report"
            raise TaskError(
                f"task '{self._task.name}': the function returned {last}: it must report every {self.eval_every} "
                f"iterations and at the last, {self.steps}, whenever run.is_due says so"
            )

    @property
    def _history(self) -> list[tuple[int, float]]:
        """The evaluations as gains, for a reactive policy."""
        sign = 1.0 if self._task.better == "higher" else -1.0
        return [(report.step, sign * report.val) for report in self._reports]

    def _tell_schedulers(self) -> None:
        if self._policy.reacts:
            for scheduler in self._schedulers:
                scheduler.load_state_dict({**scheduler.state_dict(), "history": self._history})

    def _counted(self, where: str, step: object) -> int:
        whole = read_whole(step)
        if whole is None or not 1 <= whole <= self.steps:
            raise TaskError(f"{where}: iterations are counted from 1 to {self.steps}")
        return whole

    def _check_order(self, where: str, step: int) -> None:
        if not self.is_due(step):
            raise TaskError(
                f"{where} is not due: report every {self.eval_every} iterations and at the last, {self.steps}, "
                "whenever run.is_due says so"
            )
        if not self._reported:
            self._reports = [report for report in self._reports if report.step < step]
            self._reported = True
        last = self._reports[-1].step if self._reports else 0
        expected = min(last + self.eval_every, self.steps)
        if step <= last:
            raise TaskError(f"{where} comes after the report of iteration {last}: each is reported once, in order")
        if step != expected:
            raise TaskError(f"{where} comes before the report of iteration {expected}, which is due too")

    def _check_schedulers(self, where: str, step: int) -> None:
        """Check that schedulers have been stepped once an iteration; the last step may come after the report."""
        for scheduler in self._schedulers:
            if scheduler.last_epoch not in (step - 1, step):
                raise TaskError(
                    f"{where}: the scheduler has been stepped {scheduler.last_epoch} times: call its step() once an "
                    "iteration, and restore it with the optimizer"
                )

    def _has_diverged(self, report: Report) -> bool:
        now, task = report.lives_on, self._task
        if not all(map(math.isfinite, now.values())):
            return True
        initial = dict(self._reports[0].lives_on) if self._reports else {}
        if task.better == "higher":
            if report.val >= initial.pop("val", report.val):
                return False
        elif task.chance is not None:
            initial["val"] = task.chance
        losses = [(now[name], before) for name, before in initial.items() if name in now]
        factor = task.divergence_factor
        return factor is not None and bool(losses) and all(loss > factor * before > 0 for loss, before in losses)

    def _seconds(self, where: str, total: float | None) -> float:
        if total is None:
            return time.perf_counter() - self._began
        number = _number(where, "seconds", total) or 0.0
        before = math.fsum(report.seconds for report in self._reports)
        if not number >= before:
            raise TaskError(
                f"{where}: seconds = {number:g} are less than the {before:g} so far: give those of the whole run"
            )
        return number - before


def _number(where: str, name: str, value: Any) -> float | None:
    return None if value is None else read_score(f"{where}: {name} is", _detached(value), (None, None))


def _check_predictions(where: str, pair: Any) -> None:
    """Check the shapes of a classifier's predictions, and that they are no probabilities."""
    if pair is None:
        return
    shapes = [tuple(getattr(one, "shape", ())) for one in pair] if isinstance(pair, tuple | list) else []
    if len(shapes) != 2 or len(shapes[0]) != 2 or shapes[1] != shapes[0][:1]:
        found = f"of the shapes {' and '.join(map(str, shapes))}" if shapes else f"a {type(pair).__name__}"
        raise TaskError(f"{where} must be a pair of outputs [N, C] and labels [N], and is {found}")
    outputs = pair[0]
    if len(outputs) and float(outputs.min()) >= 0 and float(abs(outputs.sum(1) - 1).max()) < TOLERANCE:
        raise TaskError(f"{where} has probabilities: give the outputs before the softmax, or logarithms of these")


def _detached(value: Any) -> Any:
    """Return a tensor without its graph, which torch warns of turning into a number; another value as it is."""
    return value.detach() if hasattr(value, "detach") else value


def _file(folder: Path) -> Path:
    return folder / "reports.json"


def _write(folder: Path, reports: Sequence[Report]) -> None:
    rows = [{name: getattr(report, name) for name in WRITTEN} for report in reports]
    write_atomically(_file(folder), json.dumps(rows).encode())


def _read(folder: Path) -> list[Report]:
    """Read the reports of an earlier try; none where there are none or they cannot be read."""
    with suppress(OSError, ValueError, TypeError):
        return [Report(**row) for row in json.loads(_file(folder).read_bytes())]
    return []
