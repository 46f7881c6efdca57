"""A listener that writes runs to TensorBoard or MLflow while they are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.errors import StudyError, unknown_name
from lrbench.store import ENDED, Store, StoredRun, StudySlot
from lrbench.study.portable import portable_run
from lrbench.study.study_runs import StudyRuns
from lrbench.study.trackers import TRACKERS, Tracker, tracker_of
from lrbench.training.listener import NullListener

if TYPE_CHECKING:
    from lrbench.training.backlog import Backlog
    from lrbench.training.plan import PlannedRun

Row = tuple[str, str, str, int]


class Tracking(NullListener):
    """Write the runs of a study as they are trained, with all that the store has of it already.

    Args:
        to: "tensorboard:DIR", a folder of events; or "mlflow:STORE", a file of SQLite or the URI of a server.

    Raises:
        StudyError: there is no such tracker; in training, its package is missing, or it cannot be written.
    """

    def __init__(self, to: str) -> None:
        self._kind, _, self._location = to.partition(":")
        if self._kind not in TRACKERS or not self._location:
            raise StudyError(f"{unknown_name('tracker', to, TRACKERS)}, as in tensorboard:DIR or mlflow:STORE")
        self._store: Store | None = None
        self._evidence: StudyRuns | None = None
        self._trackers: dict[str, Tracker] = {}
        self._slots: dict[Row, StudySlot] = {}
        self._done: set[str] = set()

    def planned(self, backlog: Backlog) -> None:
        """Write the runs of the study that have ended already."""
        if backlog.store is None:
            return
        self._store = backlog.store
        self._evidence = evidence = StudyRuns.of(backlog.plan.study.name, backlog.store)
        self._slots = {_row(slot): slot for slot in evidence.slots if slot.stage == "main"}
        for slot in self._slots.values():
            run = evidence.runs.get(slot.run)
            if run is not None and run.ended:
                self._write(slot, run)

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        """Write the evaluations of a run that are new."""
        if score is not None:
            self._write_planned(run)

    def ended(self, run: PlannedRun, status: str) -> None:
        """Write the end of a run."""
        if status in ENDED:
            self._write_planned(run)

    def _write_planned(self, run: PlannedRun) -> None:
        slot = self._slots.get((run.task.name, run.entry.name, run.variant.name, run.seed))
        if run.stage == "main" and slot is not None and self._store is not None:
            self._write(slot, self._store.runs([slot.run])[slot.run])

    def _write(self, slot: StudySlot, run: StoredRun) -> None:
        evidence = self._evidence
        assert evidence is not None
        place = str((evidence.name, slot))
        if place in self._done:
            return
        if evidence.name not in self._trackers:
            self._trackers[evidence.name] = tracker_of(self._kind, self._location, evidence.name)
        self._trackers[evidence.name].write(portable_run(evidence, slot, run, {}))
        if run.ended:
            self._done.add(place)


def _row(slot: StudySlot) -> Row:
    return slot.task, slot.policy, slot.variant, slot.seed
