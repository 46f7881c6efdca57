"""A study while it is trained: how far it is, who trains what, and its answer so far."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.serve.log import RunLog
from lrbench.study.progress import StudyProgress, shared_prefixes
from lrbench.study.race import rounds
from lrbench.study.study_runs import StudyRuns, labels

if TYPE_CHECKING:
    from jinja2 import Environment

    from lrbench.serve.events import Event
    from lrbench.serve.jobs import Jobs
    from lrbench.store import Coordinator, RunProgress, Store, StoredRun, StudyEntry, StudyRecord, StudySlot

MOST_RUNNING = 24
"""The most running runs, those that were begun last, whose curves are shown."""

MOST_FAILURES = 50
MOST_RACING = 200

PACE_SECONDS = 60.0
"""The pace of training is that of these last seconds."""

Wanted = Mapping[tuple[str, str, str], int]
"""The number of seeds, from the first on, that a race wants by now, by task, policy and variant."""


@dataclass
class Pace:
    """The iterations that a study gains in a second, as far as they were watched."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, iterations: int) -> float | None:
        """Note the iterations done by now, and return the pace; None before anything has moved."""
        now = time.monotonic()
        self.seen.append((now, iterations))
        while now - self.seen[0][0] > PACE_SECONDS and len(self.seen) > 2:
            self.seen.popleft()
        (then, before), _ = self.seen[0], self.seen[-1]
        return (iterations - before) / (now - then) if iterations > before else None


@dataclass
class AnswerWatch:
    """The answer of a study so far, for one browser.

    Attributes:
        wanted: what a race wants by now; None before it was computed, and where the study is none.
        shared: the first iterations of policies that are trained for others too; None before they were computed.
    """

    store: Store
    study: int
    templates: Environment
    wanted: Wanted | None = None
    shared: Mapping[tuple[str, str], int] | None = None
    answered: object = None

    def marker(self) -> object:
        return self.store.marker()

    def events(self) -> Iterator[Event]:
        """Yield the answer where another run is over: its HTML, and what its table and its curves are filled from."""
        from lrbench.report.frames import study_frames
        from lrbench.report.page.content import task_content
        from lrbench.report.page.words import overview

        record, slots = self.store.study(self.study)
        progress = self.store.progress(self.study)
        over = Counter(one.status for one in progress.values() if one.status != "running"), len(slots)
        if self.answered == over:
            return
        if record.until_decided is not None:
            self.wanted = list(rounds(StudyRuns.of(self.study, self.store)))[-1]
        if self.shared is None:
            self.shared = shared_prefixes(record)
        frames = study_frames(self.study, self.store)
        tasks = [task_content(frames.on(task), number) for number, task in enumerate(frames.tasks)]
        html = self.templates.get_template("answer.html.j2").render(tasks=tasks)
        yield "answer", {"overview": overview(frames), "html": html, "tasks": [task["data"] for task in tasks]}
        self.answered = over


@dataclass
class StudyWatch:
    """How far a study is, for one browser.

    Attributes:
        answer: the answer that the browser has, by which a race knows how many runs it wants.
    """

    store: Store
    study: int
    answer: AnswerWatch
    jobs: Jobs | None = None
    pace: Pace = field(default_factory=Pace)
    log: RunLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = RunLog(self.store, self.study)

    def marker(self) -> object:
        return self.store.marker(), self.jobs and self.jobs.version, self.answer.answered

    def events(self) -> Iterator[Event]:
        """Yield how far the study is, and the lines of the log that are new."""
        entry, alive = self.store.entry(self.study), self.store.coordinators()
        record, slots = self.store.study(entry.id)
        progress = self.store.progress(entry.id)
        called = labels((policy.name, variant) for policy in record.policies for variant in record.variants)
        wanted = {slot.run: slot for slot in slots if slot.run in progress or self._wants(slot, record)}
        yield "progress", self._progress(entry, record, wanted, called, progress, alive)
        is_first = self.log.seen is None
        if (lines := self.log.lines(progress, wanted, record, called)) or is_first:
            yield "log", {"is_first": is_first, "lines": lines}

    # How far it is -------------------------------------------------------------------------------------------------

    def _progress(
        self,
        entry: StudyEntry,
        record: StudyRecord,
        wanted: Mapping[str, StudySlot],
        called: Mapping[tuple[str, str], str],
        progress: Mapping[str, RunProgress],
        alive: Sequence[Coordinator],
    ) -> dict[str, Any]:
        shared = self.answer.shared
        far = StudyProgress.counted(entry, record, wanted.values(), progress, alive, shared or {})
        pace = None if shared is None else self.pace.note(far.distinct - far.distinct_left)
        nominal = len(record.policies) * sum(task.steps for task in record.tasks)
        workers = [one for one in alive if entry.id in one.studies]
        running = self.store.study_runs(entry.id, "running", MOST_RUNNING)
        failed = self.store.study_runs(entry.id, "failed", MOST_FAILURES)
        jobs = {job["name"]: job for job in self.jobs.states()} if self.jobs else {}
        return {
            "name": entry.address,
            "job": jobs.get(entry.address) if entry.kind == "study" else None,
            "state": "running" if workers else "complete" if far.over == far.total else "stopped",
            "statuses": Counter(progress[key].status if key in progress else "missing" for key in wanted),
            "runs": far.total,
            "over": far.over,
            "trained": far.trained,
            "remaining": far.remaining,
            "done": far.done / far.steps if far.steps else 1.0,
            "left": far.distinct_left / pace if pace is not None and workers else None,
            "shared": sum(shared.values()) / nominal if shared else 0.0,
            "workers": [
                {
                    "machine": one.machine,
                    "process": one.process,
                    "heard": round(one.heard),
                    "runs": len(one.runs & wanted.keys()),
                    "begun": sum(key in one.runs for key, run in progress.items() if run.status == "running"),
                }
                for one in workers
            ],
            "is_race": record.until_decided is not None,
            "race": self._race(record, wanted, progress, called),
            "running": [_running(run, wanted[key], called) for key, run in running.items() if key in wanted],
            "failures": [
                {**_named(wanted[key], called), "step": run.step, "error": run.error}
                for key, run in failed.items()
                if key in wanted
            ],
        }

    def _wants(self, slot: StudySlot, record: StudyRecord) -> bool:
        """Tell whether a run that was not begun is asked for by now: in a race, seeds come round by round."""
        if record.until_decided is None or slot.stage != "main":
            return True
        first = record.until_decided
        wanted = self.answer.wanted
        count = first if wanted is None else wanted.get((slot.task, slot.policy, slot.variant), first)
        return slot.seed in record.seeds[:count]

    def _race(
        self,
        record: StudyRecord,
        wanted: Mapping[str, StudySlot],
        progress: Mapping[str, RunProgress],
        called: Mapping[tuple[str, str], str],
    ) -> list[dict[str, Any]]:
        """List the policies that have runs to come, with how many of their runs are over."""
        rows: dict[tuple[str, str], list[int]] = {}
        for key, slot in wanted.items():
            counts = rows.setdefault((slot.task, called[slot.policy, slot.variant]), [0, 0])
            counts[0] += key in progress and progress[key].status != "running"
            counts[1] += 1
        racing = [(task, label, *counts) for (task, label), counts in rows.items() if counts[0] < counts[1]]
        several = len(record.tasks) > 1
        return [
            {"label": f"{label} on {task}" if several else label, "over": over, "of": of}
            for task, label, over, of in racing[:MOST_RACING]
        ]


def _running(run: StoredRun, slot: StudySlot, called: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    scores = [(score.step, score.val_score) for score in run.scores if np.isfinite(score.val_score)]
    return {
        **_named(slot, called),
        "step": run.step,
        "steps": run.steps,
        "x": [step for step, _ in scores],
        "y": [float(f"{score:.5g}") for _, score in scores],
    }


def _named(slot: StudySlot, called: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    return {"label": called[slot.policy, slot.variant], "task": slot.task, "seed": slot.seed, "stage": slot.stage}
