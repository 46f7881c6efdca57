"""How far the studies of a store are, and who trains them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lrbench.display.names import many
from lrbench.policy.curve import rates_of
from lrbench.store import ENDED, Holder, Store, StudyEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lrbench.store import Coordinator, RunProgress, StudyRecord, StudySlot
    from lrbench.study.results import Results

MOST_RATES = 50_000_000
"""More learning rates than this, of all policies together, are not compared to find out what they share."""


@dataclass(frozen=True)
class StudyProgress:
    """The runs of a study by status, their iterations, and the coordinators that train some of them.

    Attributes:
        total: all runs that the study may take; a race may take fewer.
        ended: those whose numbers are final.
        failed: those that raised an error.
        steps: the iterations of all runs, each counted by itself.
        trained: those that were trained.
        remaining: those to come; a run that diverged or failed has none.
        distinct: the iterations of all runs, those that several policies share counted once.
        distinct_left: those of them to come.
        confirms: whether runs on fresh seeds follow that are not planned yet.
        coordinators: those that are alive and hold runs of the study, with their numbers.
        idle: the number of coordinators that are alive and hold no run, as while workers start.
    """

    entry: StudyEntry
    total: int
    ended: int
    failed: int
    steps: int
    trained: int
    remaining: int
    distinct: int
    distinct_left: int
    confirms: bool
    coordinators: tuple[Holder, ...]
    idle: int

    @classmethod
    def of(cls, entry: StudyEntry, store: Store) -> StudyProgress:
        """Read the progress of a study."""
        return cls.counted(entry, *store.study(entry.id), store.progress(entry.id), store.coordinators())

    @classmethod
    def counted(
        cls,
        entry: StudyEntry,
        record: StudyRecord,
        slots: Iterable[StudySlot],
        begun: Mapping[str, RunProgress],
        alive: Sequence[Coordinator],
        shared: Mapping[tuple[str, str], int] = MappingProxyType({}),
    ) -> StudyProgress:
        """Count the runs that fill some slots of a study, of those of the study that were begun.

        Read `alive` before the rest to see what a coordinator has left that is not among them any more.

        Args:
            shared: as `shared_prefixes` returns them; where there are none, nothing is taken for shared.
        """
        steps = {task.name: task.steps for task in record.tasks}
        places = tuple(slots)
        budgets = {slot.run: steps[slot.task] for slot in places}
        known = {key: run for key, run in begun.items() if key in budgets}
        by_status = Counter(run.status for run in known.values())
        over = {key for key, run in known.items() if run.status in (*ENDED, "failed")}
        trained = {key: run.step for key, run in known.items()}
        prefixes = {slot.run: shared.get((slot.task, slot.policy), 0) for slot in places}
        left = {key: budget for key, budget in budgets.items() if key not in over}
        held = [Holder(one.machine, one.process, len(one.runs & budgets.keys())) for one in alive]
        return cls(
            entry=entry,
            total=len(budgets),
            ended=sum(by_status[status] for status in ENDED),
            failed=by_status["failed"],
            steps=sum(budgets.values()),
            trained=sum(trained.values()),
            remaining=sum(budget - trained.get(key, 0) for key, budget in left.items()),
            distinct=sum(budget - prefixes[key] for key, budget in budgets.items()),
            distinct_left=sum(budget - max(trained.get(key, 0), prefixes[key]) for key, budget in left.items()),
            confirms=bool(record.confirm) and not any(slot.stage == "confirm" for slot in places),
            coordinators=tuple(one for one in held if one.runs),
            idle=sum(not one.runs for one in alive),
        )

    @property
    def name(self) -> str:
        """The name of the study, with its version where it is not the latest."""
        return self.entry.address

    @property
    def over(self) -> int:
        """The number of runs that have ended or failed."""
        return self.ended + self.failed

    @property
    def done(self) -> int:
        """The iterations that were trained or need not be."""
        return self.steps - self.remaining

    @property
    def is_over(self) -> bool:
        """Whether no run is left to train."""
        return self.over == self.total and not self.confirms

    @property
    def runs(self) -> str:
        """The runs that have ended, of all."""
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.ended:,} of {many(self.total, 'run')}{failed}"

    def to_json(self) -> dict[str, Any]:
        return {
            "runs": {"total": self.total, "ended": self.ended, "failed": self.failed},
            "steps": {"nominal": self.steps, "trained": self.trained},
            "coordinators": [
                {"machine": one.machine, "process": one.process, "runs": one.runs} for one in self.coordinators
            ],
        }


def shared_prefixes(record: StudyRecord) -> dict[tuple[str, str], int]:
    """Return by task and policy the first iterations that are trained for another policy too, as far as LRs are known.

    Of policies that share iterations one has none here: those it shares are its own.
    """
    shared = {}
    for task in record.tasks:
        if task.steps * len(record.policies) <= MOST_RATES:
            known = ((rates_of(policy.policy, task.budget), policy.name) for policy in record.policies)
            rates = sorted(((lrs, name) for lrs, name in known if lrs is not None), key=lambda one: one[0].tobytes())
            for (before, _), (lrs, name) in pairwise(rates):
                shared[task.name, name] = _agreement(before, lrs)
    return shared


def _agreement(one: NDArray[np.float64], other: NDArray[np.float64]) -> int:
    """Count the first iterations over which two arrays of learning rates are equal."""
    different = one != other
    return int(different.argmax()) if different.any() else len(one)


def under_way(store: Store) -> list[StudyEntry]:
    """List the studies of whose runs coordinators that are alive hold some, the one that was run last first."""
    held = frozenset[str]().union(*(one.runs for one in store.coordinators()))
    return [entry for entry in store.studies() if held and not held.isdisjoint(store.progress(entry.id))]


def followed(study: str, store: Store) -> StudyEntry:
    """Find the study of a name; of a search, the part that is trained, or else the one that was run last.

    Raises:
        StoreError: the store has no such study.
    """
    known = store.find(study)
    if known is not None and known.parent is None:
        return known
    searches = {entry.id for entry in store.studies() if entry.kind == "search" and entry.name == study}
    parts = [entry for entry in store.studies() if entry.parent in searches]
    held = [entry for entry in under_way(store) if entry in parts]
    return next(iter(held or parts), None) or store.entry(study)


def leaders(results: Results) -> list[tuple[str, str, float]]:
    """List for each task that has a score the first policy of the ranking, with its mean objective."""
    first = ((task.task, next(iter(task.scorecards), None)) for task in results.tasks)
    return [(task, card.name, card.val.mean) for task, card in first if card is not None and card.val.mean is not None]
