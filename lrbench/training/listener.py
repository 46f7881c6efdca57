"""Listeners to the progress of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lrbench.store import Holder
    from lrbench.training.backlog import Backlog
    from lrbench.training.plan import PlannedRun


class Listener(Protocol):
    """An observer of the training of a study, such as a progress bar."""

    def searched(self, name: str, policies: int, share: float) -> None:
        """Note the policies that a search has tried, and the share of its budget that is spent, as it goes on."""

    def planned(self, backlog: Backlog) -> None:
        """Note that a stage begins."""

    def trained(self, iterations: int) -> None:
        """Note that iterations are done, or need not be since their runs diverged; below 0, that they are lost."""

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        """Note the step of a run, and its validation objective where there is a new one."""

    def ended(self, run: PlannedRun, status: str) -> None:
        """Note that a run has ended as "finished", "diverged" or "failed"."""

    def waiting(self, holders: Sequence[Holder]) -> None:
        """Note, once a minute, that only runs are left which other coordinators train."""


class Listeners:
    """Several listeners as one."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def searched(self, name: str, policies: int, share: float) -> None:
        for one in self._listeners:
            one.searched(name, policies, share)

    def planned(self, backlog: Backlog) -> None:
        for one in self._listeners:
            one.planned(backlog)

    def trained(self, iterations: int) -> None:
        for one in self._listeners:
            one.trained(iterations)

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        for one in self._listeners:
            one.advanced(run, step, score)

    def ended(self, run: PlannedRun, status: str) -> None:
        for one in self._listeners:
            one.ended(run, status)

    def waiting(self, holders: Sequence[Holder]) -> None:
        for one in self._listeners:
            one.waiting(holders)


class NullListener:
    """A listener that does nothing."""

    def searched(self, name: str, policies: int, share: float) -> None:
        pass

    def planned(self, backlog: Backlog) -> None:
        pass

    def trained(self, iterations: int) -> None:
        pass

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        pass

    def ended(self, run: PlannedRun, status: str) -> None:
        pass

    def waiting(self, holders: Sequence[Holder]) -> None:
        pass
