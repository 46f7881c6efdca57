"""Home: the studies of a store, each with its state, its leader and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lrbench.errors import LRBenchError
from lrbench.study.race import rounds
from lrbench.study.results import StudyRuns, answer

if TYPE_CHECKING:
    from lrbench.serve.events import Event
    from lrbench.serve.jobs import Jobs
    from lrbench.store import Store, StudyEntry, StudyTotals

RANKED = ("study", "imported", "score", "verify", "confirmation")
"""The kinds whose policies are ranked on the page; rungs and range tests are parts on the way."""


@dataclass
class Summaries:
    """The leaders and verdicts of studies, each computed once for what the store has of it; all browsers share them."""

    store: Store
    known: dict[int, tuple[StudyTotals, dict[str, Any]]] = field(default_factory=dict)

    def of(self, entry: StudyEntry, totals: StudyTotals) -> dict[str, Any]:
        """Return the summary of a study; no run of which has ended, or that cannot be read, has no leader."""
        known = self.known.get(entry.id)
        if known is None or _over(known[0]) != _over(totals):
            known = self.known[entry.id] = totals, self._computed(entry)
        return known[1]

    def _computed(self, entry: StudyEntry) -> dict[str, Any]:
        try:
            evidence = StudyRuns.of(entry.id, self.store)
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

    Attributes:
        listed: the studies with their totals, as they were last seen.
        looks: the number of times that they were looked at.
    """

    store: Store
    jobs: Jobs | None = None
    listed: tuple[tuple[StudyEntry, ...], Mapping[int, StudyTotals]] = ((), MappingProxyType({}))
    looks: int = 0

    def marker(self) -> object:
        return self.store.marker(), self.jobs and self.jobs.version

    def events(self) -> Iterator[Event]:
        """Yield the list of studies."""
        entries, totals = self.listed = self.store.studies(), self.store.totals()
        self.looks += 1
        held = Counter(study for one in self.store.coordinators() for study in one.studies)
        rows = [
            {
                "id": entry.id,
                "name": entry.name,
                "address": entry.address,
                "kind": entry.kind.replace("_", " "),
                "parent": entry.parent,
                "held": held[entry.id],
                "statuses": totals[entry.id].statuses,
                "steps": totals[entry.id].steps,
                "seconds": totals[entry.id].seconds,
                "created": totals[entry.id].created,
            }
            for entry in entries
            if entry.id in totals
        ]
        yield "studies", {"studies": rows, "jobs": self.jobs.states() if self.jobs else []}


@dataclass
class LeadersWatch:
    """The leaders of the studies on the home page, for one browser."""

    home: HomeWatch
    summaries: Summaries
    sent: dict[int, Any] = field(default_factory=dict)

    def marker(self) -> object:
        return self.home.looks

    def events(self) -> Iterator[Event]:
        """Yield the leader of each study that was run and whose leader differs, of the smallest study first."""
        entries, totals = self.home.listed
        ranked = [entry for entry in entries if entry.kind in RANKED and _has_ended(totals.get(entry.id))]
        for entry in sorted(ranked, key=lambda one: sum(totals[one.id].statuses.values())):
            summary = self.summaries.of(entry, totals[entry.id])
            if self.sent.get(entry.id) != summary:
                self.sent[entry.id] = summary
                yield "summary", {"id": entry.id, **summary}


def _has_ended(totals: StudyTotals | None) -> bool:
    return totals is not None and bool(totals.statuses.keys() - {"missing", "running"})
