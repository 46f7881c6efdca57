"""A store, and how the runs that it lacks are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.errors import StudyError
from lrbench.study.study_runs import StudyRuns
from lrbench.training.engine_choice import Engine, Engines
from lrbench.training.plan import plan
from lrbench.training.runner import RunCounts, backlog, record_of, run, slots_of

if TYPE_CHECKING:
    from lrbench.store import Kind, Lease, Store
    from lrbench.study.study import Study
    from lrbench.training.listener import Listener
    from lrbench.training.workers import Workers


@dataclass(frozen=True)
class Trainer:
    """Train studies into a store, all of them by the same means: the arguments of `lrbench.training.runner.run`.

    Attributes:
        lease: the right to write runs that all of them have; None for one of each study's own.
    """

    store: Store
    device: str = "auto"
    workers: Workers = "auto"
    engine: Engine = "auto"
    gpus_per_worker: float = 0.0
    listener: Listener | None = None
    lease: Lease | None = None

    def train(self, study: Study, kind: Kind = "study", parent: int | None = None) -> RunCounts:
        """Train the runs of a study that the store lacks."""
        return run(study, **vars(self), kind=kind, parent=parent)

    def trained(self, study: Study, kind: Kind = "study", parent: int | None = None) -> tuple[StudyRuns, RunCounts]:
        """Train a study, and read its runs."""
        tally = self.train(study, kind, parent)
        assert tally.study is not None
        return StudyRuns.of(tally.study, self.store), tally


class NotTrainedError(StudyError):
    """A read-only trainer was asked for runs that its store does not have."""


class ReadOnlyTrainer(Trainer):
    """Find studies in a store, and train and write nothing."""

    def train(self, study: Study, kind: Kind = "study", parent: int | None = None) -> RunCounts:
        """Find a study in the store.

        Raises:
            NotTrainedError: runs are missing, or the store has no study that asks for all of them.
        """
        planned = plan(study)
        missing = backlog(planned, self.store, Engines.chosen(self.engine, planned.runs)).missing
        known = self.store.find_study(study.name, record_of(study, planned), slots_of(planned), kind, parent)
        if missing or known is None:
            raise NotTrainedError(f"the store {self.store.name} has not all runs of the study '{study.name}'")
        return RunCounts(study=known)
