"""Hear of the progress of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lrbench.store import Holder
    from lrbench.training.backlog import Backlog
    from lrbench.training.plan import PlannedRun


class Listener(Protocol):
    """Whoever watches a study being run, a progress bar for one."""

    def planned(self, backlog: Backlog) -> None:
        """A stage begins."""

    def trained(self, iterations: int) -> None:
        """So many of the iterations that had to be trained are done, or need not be as their runs diverged."""

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        """A run has come to a step; its latest validation objective, where there is a new one."""

    def ended(self, run: PlannedRun, status: str) -> None:
        """A run has ended as "finished", "diverged" or "failed"."""

    def waiting(self, holders: Sequence[Holder]) -> None:
        """Only runs that other coordinators train are left; called again every minute."""


class NullListener:
    """A listener that does nothing."""

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
