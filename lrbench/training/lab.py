"""The one place where a search trains: a store, and how runs are trained into it, or that none are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.errors import StoreError, StudyError
from lrbench.store import Store, open_store
from lrbench.study.results import StudyRuns
from lrbench.training.engine_choice import Engines
from lrbench.training.plan import plan
from lrbench.training.runner import RunCounts, backlog, check_workers, run

if TYPE_CHECKING:
    from lrbench.store import StudySlot
    from lrbench.study.study import Study
    from lrbench.training.listener import Listener
    from lrbench.training.options import TrainOptions

MOST_READINGS = 5
"""So often a study is read, before those who change it in between are too many."""


@dataclass(frozen=True)
class Lab:
    """Where runs are stored, and how the missing ones are trained.

    Attributes:
        how: the keyword arguments of `lrbench.training.runner.run`: device, workers, engine, listener and the like.
    """

    store: Store
    how: Mapping[str, Any] = field(default_factory=dict)

    def train(self, study: Study) -> RunCounts:
        """Train what the study asks for and the store does not have."""
        return run(study, self.store, **self.how)

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
    """A read-only lab was asked for runs that its store does not have."""


class ReadOnlyLab(Lab):
    """A lab that trains and writes nothing: what it is asked for is in its store, under the name of the study."""

    def train(self, study: Study) -> RunCounts:
        """Nothing.

        Raises:
            NotTrainedError: runs are missing, or the store knows the study as one that asks for fewer.
        """
        known = study.name in self.store.study_names()
        planned = plan(study)
        missing = backlog(planned, self.store, Engines.chosen(self.how.get("engine", "auto"), planned.runs)).missing
        if missing or not known or not _asks_for_all(study, self.store.study(study.name)[1]):
            raise NotTrainedError(f"the store {self.store.name} has not all runs of the study '{study.name}'")
        return RunCounts()


def _asks_for_all(study: Study, members: Iterable[StudySlot]) -> bool:
    """Whether the runs that a stored study asks for are among others those of this one."""
    asked = {(entry.name, seed) for entry in study.policies for seed in study.seeds}
    return asked <= {(member.entry, member.seed) for member in members}


@contextmanager
def lab_at(store: Store | str | Path | None, listener: Listener | None, how: TrainOptions) -> Iterator[Lab]:
    """A lab on an open store, which stays open, or on a store that is opened for it.

    Raises:
        StoreError: the store cannot be opened.
        TaskError: there is no such device, or there are no such workers.
    """
    check_workers(how.get("workers", "auto"), how.get("device", "auto"))
    if isinstance(store, Store):
        yield Lab(store, {"listener": listener, **how})
        return
    with open_store(store) as opened:
        yield Lab(opened, {"listener": listener, **how})
