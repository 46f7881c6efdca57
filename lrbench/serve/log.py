"""What the runs of a study come to while they are trained, as text: a line for each evaluation, one for each end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.display.names import many
from lrbench.serve.run_table import rates_before

if TYPE_CHECKING:
    from lrbench.store import RunProgress, Store, StoredRun, StudyRecord, StudySlot, TaskRecord

MOST_RUNS = 24
"""The most runs, those that were begun last, whose lines a log begins with."""

MOST_LINES = 500
"""The most lines that are sent at once, the last ones."""


@dataclass
class RunLog:
    """The log of a study, as far as one browser has it.

    Attributes:
        seen: the status of each run, and the iteration that its last line is of; None before the first lines.
    """

    store: Store
    study: int
    seen: dict[str, tuple[str, int]] | None = None

    def lines(
        self,
        progress: Mapping[str, RunProgress],
        slots: Mapping[str, StudySlot],
        record: StudyRecord,
        called: Mapping[tuple[str, str], str],
    ) -> list[str]:
        """Return the lines that are new, where `progress` has the runs that were begun, and `slots` their places."""
        tasks = {task.name: task for task in record.tasks}

        def place(slot: StudySlot) -> str:
            where = f" on {slot.task}" if len(tasks) > 1 else ""
            scale = f", {slot.scale:g} times the LRs" if slot.scale != 1 else ""
            return f"{where}, seed {slot.seed}{scale}"

        now: dict[str, tuple[str, int]] = {key: (run.status, run.step) for key, run in progress.items()}
        if (before := self.seen) is None:
            before, runs = {}, self.store.study_runs(self.study, at_most=MOST_RUNS)
        else:
            runs = self.store.runs([key for key, state in now.items() if before.get(key) != state])
        self.seen = now | {key: (run.status, run.step) for key, run in runs.items()}
        found = [(run, slots[key]) for key, run in runs.items() if key in slots]
        names: dict[str, list[str]] = {}  # runs that share training say the same
        for run, slot in sorted(found, key=lambda one: (one[0].created, one[0].key)):
            for text in _lines(run, tasks[slot.task], *before.get(run.key, ("", 0))):
                names.setdefault(f"{place(slot)}: {text}", []).append(called[slot.policy, slot.variant])
        lines = [" ".join(f"{_joined(each)}{text}".split()) for text, each in names.items()]
        return lines[-MOST_LINES:]


def _joined(names: Sequence[str]) -> str:
    return f"{names[0]} and {many(len(names) - 1, 'other')}" if len(names) > 1 else names[0]


def _lines(run: StoredRun, task: TaskRecord, status: str, after: int) -> Iterator[str]:
    """Yield the lines of a run that follow an iteration, and that of its end where its status was another."""
    after = after if after <= run.step else 0
    rates = rates_before(run, task)
    for score, lr in zip(run.scores, rates, strict=True):
        if score.step > after:
            numbers = ("LR", lr), ("train loss", score.train_loss), ("val loss", score.val_loss)
            told = (f"{what} {value:.4g}" for what, value in numbers if value is not None and not math.isnan(value))
            where = f"iteration {score.step:,}, epoch {score.step / task.steps_per_epoch:.2f}"
            yield f"{where}, {', '.join(told)}, val {task.objective} {score.val_score:.4f}"
    if run.status in ("running", status):
        return
    if run.status == "failed":
        yield f"failed after iteration {run.step:,}: {(run.error or '').strip().rpartition(chr(10))[2]}"
    elif run.status == "diverged":
        yield f"diverged at iteration {run.step if run.diverged_at is None else run.diverged_at:,}"
    else:
        test = run.scores[-1].test_score if run.scores else math.nan
        ended = "" if math.isnan(test) else f", test {task.objective} {test:.4f}"
        yield f"finished after iteration {run.step:,}{ended}"
