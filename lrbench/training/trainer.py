"""The one place where runs are trained: a store, and how what it misses is trained into it, or that nothing is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.errors import StoreError, StudyError
from lrbench.study.results import StudyRuns
from lrbench.training.engine_choice import Engine, Engines
from lrbench.training.plan import plan
from lrbench.training.runner import RunCounts, backlog, run

if TYPE_CHECKING:
    from lrbench.store import Store, StudySlot
    from lrbench.study.study import Study
    from lrbench.training.listener import Listener
    from lrbench.training.workers import Workers

MOST_READINGS = 5
"""How often a study is read before those who change it in between are too many."""


@dataclass(frozen=True)
class Trainer:
    """Train studies into a store, all of them by the same means.

    Attributes:
        device, workers, engine, gpus_per_worker, listener: as for `lrbench.training.runner.run`.
    """

    store: Store
    device: str = "auto"
    workers: Workers = "auto"
    engine: Engine = "auto"
    gpus_per_worker: float = 0.0
    listener: Listener | None = None

    def train(self, study: Study) -> RunCounts:
        """Train what the study asks for and the store does not have."""
        return run(
            study,
            self.store,
            device=self.device,
            workers=self.workers,
            engine=self.engine,
            gpus_per_worker=self.gpus_per_worker,
            listener=self.listener,
        )

    def trained(self, study: Study) -> tuple[StudyRuns, RunCounts]:
        """Train a study, and read it as it was asked: another process may have asked less of it under the same name.

        Raises:
            StoreError: others ask less of it again and again.
        """
        tally = RunCounts()
        for _ in range(MOST_READINGS):
            tally += self.train(study)
            evidence = StudyRuns.of(study.name, self.store)
            if _asks_for_all(study, evidence.members):
                return evidence, tally
        raise StoreError(
            f"the study '{study.name}' in the store {self.store.name} is changed again and again by others"
        )


class NotTrainedError(StudyError):
    """A read-only trainer was asked for runs that its store does not have."""


class ReadOnlyTrainer(Trainer):
    """Train and write nothing: what is asked for is in the store, under the name of the study."""

    def train(self, study: Study) -> RunCounts:
        """Nothing.

        Raises:
            NotTrainedError: runs are missing, or the store knows the study as one that asks for fewer.
        """
        known = study.name in self.store.study_names()
        planned = plan(study)
        missing = backlog(planned, self.store, Engines.chosen(self.engine, planned.runs)).missing
        if missing or not known or not _asks_for_all(study, self.store.study(study.name)[1]):
            raise NotTrainedError(f"the store {self.store.name} has not all runs of the study '{study.name}'")
        return RunCounts()


def _asks_for_all(study: Study, members: Iterable[StudySlot]) -> bool:
    """Whether the runs that a stored study asks for are among others those of this one."""
    asked = {(entry.name, seed) for entry in study.policies for seed in study.seeds}
    return asked <= {(member.entry, member.seed) for member in members}
