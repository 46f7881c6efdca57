"""Progress of training: a live bar on a terminal or in a notebook, plain lines on stderr elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol

from lrbench.display.names import many, shortened
from lrbench.display.printable import printable_console, terminal_console
from lrbench.display.readable import printable
from lrbench.display.table import Table

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console, Group, RenderableType
    from rich.progress import Progress, TaskID

    from lrbench.metrics.direction import Better
    from lrbench.store import Holder
    from lrbench.study.results import Results
    from lrbench.training.backlog import Backlog
    from lrbench.training.listener import Listener
    from lrbench.training.plan import PlannedRun

SECONDS_BETWEEN_LINES = 10.0

LEAST_DONE, LEAST_SECONDS = 0.02, 10.0
"""The time left is shown once more than this share of a stage's iterations is done, or some are after this time."""

LONGEST_NAME = 60
"""The most characters of a leader's name that are shown."""

STAGES = {"main": "training", "confirm": "confirming", "scale": "training"}


@dataclass
class Stage:
    """The state of a stage of training, as it is shown.

    Attributes:
        name: of what is done, such as "training".
        runs, runs_ended: the runs that were missing when it began, and those of them that have ended.
        total, done: iterations.
        begun: those of `done` that were done before anybody looked.
        since: when it began, by the monotonic clock in seconds.
        leader: the policy that is ahead, with its score.
    """

    name: str = "training"
    runs: int = 0
    runs_ended: int = 0
    total: float = 0
    done: float = 0
    begun: float = 0
    since: float = field(default_factory=time.monotonic)
    leader: str = ""

    @property
    def ends(self) -> float | None:
        """When it ends, by the pace so far and the monotonic clock; None while too little is done."""
        now = time.monotonic()
        left = seconds_left(now - self.since, self.done - self.begun, self.total - self.begun)
        return None if left is None else now + left


class Display(Protocol):
    """A way to show the stages of training."""

    def begin(self, stage: Stage, sentence: str) -> None:
        """Show that a stage begins."""

    def update(self, stage: Stage, search: Stage | None = None) -> None:
        """Show the state of the stage, and of the search that it is a part of."""

    def rank(self, results: Results) -> None:
        """Show the ranking of a study so far, where there is room for it."""

    def say(self, sentence: str) -> None:
        """Show a sentence."""


class Tracker:
    """A listener that shows on a display how a stage goes: iterations, runs, and the leader."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._stage = Stage()
        self._search: Stage | None = None
        self._has_trained = False
        self._task = ""
        self._better: Better = "higher"
        self._scores: dict[str, dict[tuple[str, str], dict[int, float]]] = {}

    def searched(self, name: str, policies: int, share: float) -> None:
        """Show the policies that a search has tried, and the share of its budget that is spent, which may be over 1."""
        share = min(share, 1.0)
        if self._search is None:
            self._search = Stage(shortened(name, LONGEST_NAME), total=1.0)
            self._display.begin(self._search, "")
        if not self._has_trained:
            self._search.begun, self._search.since = share, time.monotonic()
        self._search.runs_ended, self._search.done = policies, share
        self._update()

    def planned(self, backlog: Backlog) -> None:
        """Begin a stage."""
        runs, missing = backlog.plan.runs, backlog.missing
        self._stage = Stage(STAGES[runs[0].stage] if runs else "training", len(missing), total=backlog.steps_to_train)
        self._scores = {}
        stored = backlog.store.runs(backlog.plan.by_key) if backlog.store and missing else {}
        for run in runs:
            known = stored.get(run.key)
            if known is not None and known.status == "finished":
                self._take(run, known.scores[-1].val_score)
            elif known is not None and known.status == "diverged":
                self._take(run, run.task.chance)
        if self._search is None:
            self._display.begin(self._stage, plan_sentence(backlog))
        elif missing:
            self._stage.name += f" {runs[0].task.steps:,} iterations"
            self._update()

    def trained(self, iterations: int) -> None:
        """Count iterations that are done, or need not be done."""
        self._stage.done += iterations
        self._has_trained = True

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        """Note the step that a run has come to."""
        self._task = run.task.name
        self._better = run.task.better
        if score is not None and step == run.task.steps:
            self._take(run, score)
        self._update()

    def ended(self, run: PlannedRun, status: str) -> None:
        """Note the end of a run."""
        self._stage.runs_ended += 1
        if status == "diverged":
            self._take(run, run.task.chance)
        self._update()

    def waiting(self, holders: Sequence[Holder]) -> None:
        """Name the other coordinators that train the runs that are left."""
        self._display.say(waiting_sentence(holders))

    def _update(self) -> None:
        self._stage.leader = self._leader
        self._display.update(self._stage, self._search)

    @property
    def _leader(self) -> str:
        """The policy with the best mean validation score on the task that is trained, over all runs that have ended."""
        from lrbench.metrics.direction import as_gain

        scores = {row: fmean(by_seed.values()) for row, by_seed in self._scores.get(self._task, {}).items()}
        if not scores:
            return ""
        best = max(scores, key=lambda row: as_gain(scores[row], self._better))
        return leader(" + ".join(filter(None, best)), scores[best])

    def _take(self, run: PlannedRun, score: float | None) -> None:
        from lrbench.metrics.direction import is_worthless

        if score is not None and is_worthless(score, run.task.better):
            score = run.task.chance
        if run.scale == 1 and score is not None:
            row = (run.entry.name, run.variant.name)
            self._scores.setdefault(run.task.name, {}).setdefault(row, {})[run.seed] = score


class Lines:
    """Progress as plain lines: one as a stage begins, then one every ten seconds, then one as it ends."""

    def __init__(self) -> None:
        self._printed = 0.0

    def begin(self, stage: Stage, sentence: str) -> None:
        self._printed = time.monotonic()
        if sentence:
            _line(sentence)

    def update(self, stage: Stage, search: Stage | None = None) -> None:
        now, whole = time.monotonic(), stage if search is None else search
        over = stage.runs_ended == stage.runs and (search is None or search.done >= 1)
        if not over and now - self._printed < SECONDS_BETWEEN_LINES:
            return
        self._printed = now
        runs = f"{stage.runs_ended} of {many(stage.runs, 'run')}"
        parts = [runs] if search is None else [f"{many(search.runs_ended, 'policy')}, {search.done:.0%}"]
        parts.append(_clock(now - whole.since))
        if whole.ends is not None:
            parts.append(f"{_clock(whole.ends - now)} left")
        if search is not None and not over:
            parts.append(f"{stage.name} ({runs})")
        if stage.leader:
            parts.append(f"leader {stage.leader}")
        _line(f"{whole.name}: {', '.join(parts)}")

    def rank(self, results: Results) -> None:
        pass

    def say(self, sentence: str) -> None:
        _line(sentence)


class Bar:
    """Progress as live bars, each with the time left and the current leader: one for a stage, and one for a search."""

    def __init__(self, progress: Progress, below: Group) -> None:
        self._progress, self._below = progress, below
        self._bars: dict[str, TaskID] = {}

    def begin(self, stage: Stage, sentence: str) -> None:
        self._progress.start()
        if sentence:
            self.say(sentence)
        if stage.runs:
            self._bars.pop(stage.name, None)
            self._show(stage.name, stage, f"{stage.runs_ended}/{many(stage.runs, 'run')}")

    def update(self, stage: Stage, search: Stage | None = None) -> None:
        if search is not None:
            self._show("search", search, many(search.runs_ended, "policy"))
        if stage.runs:
            name = stage.name if search is None else "part of a search"
            self._show(name, stage, f"{stage.runs_ended}/{many(stage.runs, 'run')}")

    def rank(self, results: Results) -> None:
        from lrbench.display.printable import in_colour

        blocks = results.display(self._progress.console.width)
        self._below.renderables[:] = [in_colour(block) for block in blocks if isinstance(block, Table)]

    def say(self, sentence: str) -> None:
        self._progress.console.print(sentence, markup=False)

    def _show(self, bar: str, stage: Stage, runs: str) -> None:
        took = time.monotonic() - stage.since
        shown: dict[str, Any] = {"description": stage.name, "total": stage.total, "completed": stage.done}
        shown |= {"runs": runs, "leader": stage.leader, "ends": stage.ends, "took": took}
        if bar in self._bars:
            self._progress.update(self._bars[bar], **shown)
        else:
            self._bars[bar] = self._progress.add_task(**shown)


@contextmanager
def display_on(console: Console | None) -> Iterator[Display]:
    """Yield a display of training: bars on a console, else lines on stderr."""
    if console is None:
        yield Lines()
        return
    from rich.console import Group
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
    from rich.progress import Task as BarTask
    from rich.table import Column
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        def render(self, task: BarTask) -> Text:
            took, ends = task.fields["took"], task.fields["ends"]
            if task.remaining:
                took = None if ends is None else max(0.0, ends - time.monotonic())
            return Text("-:--:--" if took is None else _clock(took), style="progress.remaining")

    class Leader(ProgressColumn):
        def render(self, task: BarTask) -> Text:
            return Text(task.fields["leader"], style="green", no_wrap=True, overflow="ellipsis")

    below = Group()

    class BarsAndRanking(Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            yield below

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[runs]}"),
        TimeLeft(Column(no_wrap=True)),
        Leader(),
    )
    # what a user's code prints goes above the bar, but stays in a file or a pipe
    shares_terminal = sys.stdout is not None and sys.stdout.isatty()
    progress = BarsAndRanking(*columns, console=console, redirect_stdout=shares_terminal)
    try:
        yield Bar(progress, below)
    finally:
        below.renderables.clear()
        progress.refresh()  # stopping does not, in a notebook
        progress.stop()


@contextmanager
def progress_on(console: Console | None) -> Iterator[Listener]:
    """Yield a listener that shows how training goes: as bars on a console, else as lines on stderr."""
    with display_on(console) as display:
        yield Tracker(display)


def progress_where_seen() -> AbstractContextManager[Listener | None]:
    """Show progress where stderr is a terminal or a notebook's, there as lines without ipywidgets; none elsewhere."""
    if sys.stderr is None:
        return nullcontext()
    if sys.stderr.isatty():
        return progress_on(terminal_console(sys.stderr))
    if not type(sys.stderr).__module__.startswith("ipykernel."):
        return nullcontext()
    return progress_on(printable_console(sys.stderr, notebook=True) if find_spec("ipywidgets") else None)


def leader(name: str, score: float) -> str:
    """Name the policy that is ahead, in one line, its modifiers as tables do."""
    from lrbench.modifiers.brief import brief_variant

    return f"{shortened(brief_variant(name), LONGEST_NAME)} {score:.4f}"


def seconds_left(elapsed: float, done: float, total: float) -> float | None:
    """Estimate the time of the iterations that are left from the pace so far; None while too few are done."""
    least = 0 if elapsed > LEAST_SECONDS else LEAST_DONE * total
    return elapsed * max(0.0, total / done - 1) if done > max(0, least) else None


def plan_sentence(backlog: Backlog) -> str:
    """Name the runs of a stage, and how many of them have to be trained."""
    runs, missing = backlog.plan.runs, len(backlog.missing)
    what = f"{backlog.plan.study.name}: {many(len(runs), 'run')}"
    if runs and runs[0].stage == "confirm":
        what += " on fresh seeds to confirm the winner"
    steps = f"{backlog.steps_to_train:,} of {many(backlog.steps_nominal, 'iteration')}"
    return f"{what}, {len(runs) - missing} cached, {missing} to train ({steps})"


def waiting_sentence(holders: Sequence[Holder]) -> str:
    """Name the processes that train the runs that are left."""
    named = ", ".join(f"process {one.process} on {one.machine} ({one.runs})" for one in holders)
    return f"waiting for {many(sum(one.runs for one in holders), 'run')} that others are training: {named}"


def _clock(seconds: float) -> str:
    """Write hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))


def _line(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)
