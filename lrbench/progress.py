"""Progress of training: a live bar on a terminal or in a notebook, plain lines on stderr elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from importlib.util import find_spec
from statistics import fmean
from typing import TYPE_CHECKING

from lrbench.display.names import shortened
from lrbench.display.printable import printable_console, terminal_console
from lrbench.display.readable import printable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from lrbench.metrics.direction import Better
    from lrbench.store import Holder
    from lrbench.training.backlog import Backlog
    from lrbench.training.listener import Listener
    from lrbench.training.plan import PlannedRun

SECONDS_BETWEEN_LINES = 10.0

LEAST_DONE = 0.02
"""The time left is shown once more than this share of a stage's iterations is done."""

LONGEST_NAME = 60
"""The most characters of a leader's name that are shown."""

STAGES = {"main": "training", "confirm": "confirming", "scale": "training"}


class Tracker:
    """The state of a stage while it is trained: iterations done and to do, runs ended, and the leader."""

    def __init__(self) -> None:
        self.stage = ""
        self.runs = self.runs_ended = 0
        self.total = self.done = 0
        self._task = ""
        self._better: Better = "higher"
        self._scores: dict[str, dict[tuple[str, str], dict[int, float]]] = {}

    def planned(self, backlog: Backlog) -> None:
        """Begin a stage."""
        plan = backlog.plan
        self.stage = STAGES[plan.runs[0].stage] if plan.runs else "training"
        self.runs, self.runs_ended = len(backlog.missing), 0
        self.total, self.done = backlog.steps_to_train, 0
        self._scores = {}
        stored = backlog.store.runs(plan.by_key) if backlog.store and backlog.missing else {}
        for run in plan.runs:
            known = stored.get(run.key)
            if known is not None and known.status == "finished":
                self._take(run, known.scores[-1].val_score)
            elif known is not None and known.status == "diverged":
                self._take(run, run.task.chance)

    def trained(self, iterations: int) -> None:
        """Count iterations that are done, or need not be done."""
        self.done += iterations

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        """Note the step that a run has come to."""
        self._task = run.task.name
        self._better = run.task.better
        if score is not None and step == run.task.steps:
            self._take(run, score)

    def ended(self, run: PlannedRun, status: str) -> None:
        """Note the end of a run."""
        self.runs_ended += 1
        if status == "diverged":
            self._take(run, run.task.chance)

    @property
    def leader(self) -> str:
        """The policy with the best mean validation score on the task that is trained, over all runs that have ended."""
        from lrbench.metrics.direction import as_gain

        scores = {row: fmean(by_seed.values()) for row, by_seed in self._scores.get(self._task, {}).items()}
        if not scores:
            return ""
        best = max(scores, key=lambda row: as_gain(scores[row], self._better))
        return f"{shortened(' + '.join(filter(None, best)), LONGEST_NAME)} {scores[best]:.4f}"

    def _take(self, run: PlannedRun, score: float | None) -> None:
        from lrbench.metrics.direction import is_worthless

        if score is not None and is_worthless(score, run.task.better):
            score = run.task.chance
        if run.scale == 1 and score is not None:
            row = (run.entry.name, run.variant.name)
            self._scores.setdefault(run.task.name, {}).setdefault(row, {})[run.seed] = score


class Lines(Tracker):
    """Progress as plain lines: one as a stage begins, then one every ten seconds, then one as it ends."""

    def planned(self, backlog: Backlog) -> None:
        super().planned(backlog)
        self._began = self._printed = time.monotonic()
        _line(plan_sentence(backlog))

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        super().advanced(run, step, score)
        self._report_if_due()

    def ended(self, run: PlannedRun, status: str) -> None:
        super().ended(run, status)
        self._report_if_due(at_once=self.runs_ended == self.runs)

    def waiting(self, holders: Sequence[Holder]) -> None:
        """Name the other coordinators that train the runs that are left."""
        _line(waiting_sentence(holders))

    def _report_if_due(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._printed < SECONDS_BETWEEN_LINES:
            return
        self._printed, elapsed = now, now - self._began
        parts = [f"{self.runs_ended} of {self.runs} runs", _clock(elapsed)]
        left = seconds_left(elapsed, self.done, self.total)
        if left is not None:
            parts.append(f"{_clock(left)} left")
        if self.leader:
            parts.append(f"leader {self.leader}")
        _line(f"{self.stage}: {', '.join(parts)}")


class Bar(Tracker):
    """Progress as a live bar with the time left and the current leader."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._bar: TaskID | None = None

    def planned(self, backlog: Backlog) -> None:
        super().planned(backlog)
        self._progress.start()
        self._progress.console.print(plan_sentence(backlog), markup=False)
        if self.runs:
            self._bar = self._progress.add_task(self.stage, total=self.total, runs=f"0/{self.runs} runs", leader="")

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        super().advanced(run, step, score)
        self._update()

    def ended(self, run: PlannedRun, status: str) -> None:
        super().ended(run, status)
        self._update()

    def waiting(self, holders: Sequence[Holder]) -> None:
        """Name the other coordinators that train the runs that are left."""
        self._progress.console.print(waiting_sentence(holders), markup=False)

    def _update(self) -> None:
        if self._bar is not None:
            runs = f"{self.runs_ended}/{self.runs} runs"
            self._progress.update(self._bar, completed=self.done, runs=runs, leader=self.leader)


@contextmanager
def progress_on(console: Console | None) -> Iterator[Listener]:
    """Yield a listener that shows how training goes: as a bar on a console, else as lines on stderr."""
    if console is None:
        yield Lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[runs]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[leader]}", style="green", markup=False),
    )
    # what a user's code prints goes above the bar, but stays in a file or a pipe
    shares_terminal = sys.stdout is not None and sys.stdout.isatty()
    progress = Progress(*columns, console=console, redirect_stdout=shares_terminal)
    try:
        yield Bar(progress)
    finally:
        progress.refresh()  # stopping does not, in a notebook
        progress.stop()


def progress_where_seen() -> AbstractContextManager[Listener | None]:
    """Show progress where stderr is a terminal or a notebook's, there as lines without ipywidgets; none elsewhere."""
    if sys.stderr is None:
        return nullcontext()
    if sys.stderr.isatty():
        return progress_on(terminal_console(sys.stderr))
    if not type(sys.stderr).__module__.startswith("ipykernel."):
        return nullcontext()
    return progress_on(printable_console(sys.stderr, notebook=True) if find_spec("ipywidgets") else None)


def seconds_left(elapsed: float, done: int, total: int) -> float | None:
    """Estimate the time of the iterations that are left from the pace so far; None while too few are done."""
    return elapsed * max(0.0, total / done - 1) if done > LEAST_DONE * total else None


def plan_sentence(backlog: Backlog) -> str:
    """Name the runs of a stage, and how many of them have to be trained."""
    runs, missing = backlog.plan.runs, len(backlog.missing)
    what = f"{backlog.plan.study.name}: {len(runs)} runs"
    if runs and runs[0].stage == "confirm":
        what += " on fresh seeds to confirm the winner"
    steps = f"{backlog.steps_to_train:,} of {backlog.steps_nominal:,} iterations"
    return f"{what}, {len(runs) - missing} cached, {missing} to train ({steps})"


def waiting_sentence(holders: Sequence[Holder]) -> str:
    """Name the processes that train the runs that are left."""
    named = ", ".join(f"process {one.process} on {one.machine} ({one.runs})" for one in holders)
    return f"waiting for {sum(one.runs for one in holders)} runs that others are training: {named}"


def _clock(seconds: float) -> str:
    """Write hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def _line(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)
