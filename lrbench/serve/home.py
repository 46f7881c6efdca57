"""Home: the studies of a store, each with its state, its leader and what it cost."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lrbench.errors import LRBenchError
from lrbench.serve.events import PAUSE_FOR_WORK
from lrbench.study.race import rounds
from lrbench.study.results import answer
from lrbench.study.study_runs import StudyRuns

if TYPE_CHECKING:
    from lrbench.serve.events import Event
    from lrbench.serve.jobs import Jobs
    from lrbench.store import Store, StudyEntry, StudyTotals

RANKED = ("study", "imported", "score", "verify", "confirmation")
"""The kinds whose policies are ranked on the page; rungs and range tests are parts on the way."""

SECONDS_BETWEEN_WHOLE_LOOKS = 15.0

LATEST = 8
"""The number of studies, those that were run last, that are added up at each look."""

SECONDS_TO_END = 0.5

SECONDS_BETWEEN_LOOKS = 0.1
"""The pause between two looks for a study whose leader may be computed again."""


class Leaders:
    """The leaders and verdicts of studies, computed one after another in a thread, and known to all browsers.

    Each is computed once for what the store has of its study. A study that is being trained comes first, but waits
    after each time for `PAUSE_FOR_WORK` times as long as it took, so that the others have their turn.

    Attributes:
        known: by study, what its summary was computed from, and the summary.
        version: the number of summaries that were computed.
    """

    def __init__(self, store: Store) -> None:
        self.known: dict[int, tuple[object, dict[str, Any]]] = {}
        self.version = 0
        self._store = store
        self._asked: list[tuple[StudyEntry, object]] = []
        self._ready: dict[int, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask(self, entries: Iterable[StudyEntry], totals: Mapping[int, StudyTotals], held: Container[int]) -> None:
        """Compute the leaders of studies that differ from what is known of them, those that are held first."""
        ranked = [(entry, _over(totals[entry.id])) for entry in entries if is_ranked(entry, totals.get(entry.id))]
        with self._lock:
            self._asked = sorted(ranked, key=lambda one: one[0].id not in held)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="lrbench-leaders", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread after the study that it is at, which is waited for `SECONDS_TO_END`; it only reads."""
        with self._lock:
            self._asked, thread = [], self._thread
        if thread is not None:
            thread.join(SECONDS_TO_END)

    def _work(self) -> None:
        while True:
            with self._lock:
                stale = [(entry, over) for entry, over in self._asked if self.known.get(entry.id, (None,))[0] != over]
                if not stale:
                    self._thread = None
                    return
            now = time.monotonic()
            entry, over = next((one for one in stale if self._ready.get(one[0].id, now) <= now), (None, None))
            if entry is None:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                continue
            summary = self._computed(entry)
            self._ready[entry.id] = time.monotonic() + PAUSE_FOR_WORK * (time.monotonic() - now)
            self.known[entry.id] = over, summary
            self.version += 1

    def _computed(self, entry: StudyEntry) -> dict[str, Any]:
        """Summarize a study; one that cannot be read has no leader."""
        try:
            evidence = StudyRuns.of(entry.id, self._store)
            tasks = answer(evidence).tasks
            is_over = evidence.record.until_decided is not None and _is_over(evidence)
        except LRBenchError as error:
            return {"trouble": str(error)}
        leaders = [
            {
                "task": task.task,
                "name": task.scorecards[0].name,
                "score": f"{task.scorecards[0].val}",
                "by": task.objective,
                "claims": bool(task.looks),
                "verdicts": Counter(card.verdict.label for card in task.scorecards if card.verdict is not None),
            }
            for task in tasks
            if task.scorecards
        ]
        return {"leaders": leaders, "tasks": len(tasks), "policies": len(evidence.record.policies), "over": is_over}


def _over(totals: StudyTotals) -> object:
    """What the ranking of a study depends on: the runs that are over."""
    statuses = {name: count for name, count in totals.statuses.items() if name not in ("running", "missing")}
    return statuses, sum(totals.statuses.values()), totals.last_run


def _is_over(evidence: StudyRuns) -> bool:
    """Tell whether a race has ended: all runs of its last round have."""
    last = list(rounds(evidence))[-1]
    over = {task.name: evidence.over(task) for task in evidence.tasks}
    return all(over[task][policy, variant] >= seeds for (task, policy, variant), seeds in last.items())


@dataclass
class HomeWatch:
    """The studies of a store, for one browser.

    To add up all runs of a large store takes long. Those of studies in training, and of the studies that were run last,
    are added up at each look, and all others, which may share their runs, once in `pause` seconds.

    Attributes:
        leaders: who computes the leaders of the studies.
    """

    store: Store
    leaders: Leaders
    jobs: Jobs | None = None
    pause: float = SECONDS_BETWEEN_WHOLE_LOOKS
    _totals: dict[int, StudyTotals] = field(default_factory=dict)
    _held: frozenset[int] = frozenset()
    _whole: tuple[str, float] = ("", -math.inf)

    def marker(self) -> object:
        now = self.store.marker()
        return now, self.jobs and self.jobs.version, now != self._whole[0] and self._is_due()

    def _is_due(self) -> bool:
        return time.monotonic() - self._whole[1] >= self.pause

    def events(self) -> Iterator[Event]:
        """Yield the list of studies."""
        marker, entries = self.store.marker(), self.store.studies()
        held = Counter(study for one in self.store.coordinators() for study in one.studies)
        if self._is_due() or not self._totals.keys() >= {entry.id for entry in entries}:
            self._totals = self.store.totals()
            self._whole = marker, time.monotonic()
        else:
            latest = {entry.id for entry in entries[:LATEST]}
            self._totals |= self.store.totals(held.keys() | self._held | latest)
        totals, self._held = self._totals, frozenset(held)
        rows = [
            {
                "id": entry.id,
                "name": entry.name,
                "address": entry.address,
                "kind": entry.kind.replace("_", " "),
                "parent": entry.parent,
                "held": held[entry.id],
                "ranked": is_ranked(entry, totals[entry.id]),
                "statuses": totals[entry.id].statuses,
                "steps": totals[entry.id].steps,
                "seconds": totals[entry.id].seconds,
                "created": totals[entry.id].created,
            }
            for entry in entries
            if entry.id in totals
        ]
        yield "studies", {"studies": rows, "jobs": self.jobs.states() if self.jobs else []}
        self.leaders.ask(entries, totals, held)


@dataclass
class LeadersWatch:
    """The leaders of the studies on the home page, for one browser."""

    leaders: Leaders
    sent: dict[int, Any] = field(default_factory=dict)

    def marker(self) -> object:
        return self.leaders.version

    def events(self) -> Iterator[Event]:
        """Yield the summaries that differ from those that were sent."""
        known = {study: summary for study, (_, summary) in self.leaders.known.copy().items()}
        fresh = [{"id": study, **summary} for study, summary in known.items() if self.sent.get(study) != summary]
        self.sent |= known
        if fresh:
            yield "summaries", fresh


def is_ranked(entry: StudyEntry, totals: StudyTotals | None) -> bool:
    """Tell whether a study has a leader: its policies are ranked, and a run has ended."""
    return entry.kind in RANKED and totals is not None and bool(totals.statuses.keys() - {"missing", "running"})
