"""The choice of the engine for each task of a study."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lrbench.engine import why_not_stacked
from lrbench.errors import StudyError
from lrbench.tasks import Task

if TYPE_CHECKING:
    from lrbench.training.plan import PlannedRun

Engine = Literal["auto", "serial", "stacked"]
"""How to train: one run after the other, several at once, or what a probe finds faster."""


@dataclass(frozen=True)
class Engines:
    """The engine of each task of a study.

    Attributes:
        stackable: the keys of the tasks that the stacked engine may train.
        probed: whether it does so only where a probe finds it faster.
    """

    stackable: frozenset[str]
    probed: bool

    def exact(self, runs: Iterable[PlannedRun]) -> set[str]:
        """Return the keys of the runs, and of their trainings, whose numbers have to be the serial engine's."""
        return {key for run in runs if run.task.key not in self.stackable for key in (run.key, run.training_key)}

    @classmethod
    def chosen(cls, engine: Engine, runs: Iterable[PlannedRun]) -> Engines:
        """Choose the engines for the runs of a study.

        With "auto" a task is stacked only where all of its runs can be: the effect of a modifier is the difference
        between two runs, and rounding must have no part in it. For the same reason runs of a task that is not stacked
        are trained again where another study had them stacked.

        Raises:
            StudyError: "stacked" is asked for, and cannot train one of the runs.
        """
        refusals: dict[str, str | None] = {}
        for run in {(run.task.key, run.variant.name): run for run in runs}.values():
            if engine == "serial" or refusals.get(run.task.key) is not None:
                continue
            watchers = () if run.variant.watcher is None else (run.variant.watcher,)
            reason: str | None = "it is a training function"
            if isinstance(run.task, Task):
                reason = why_not_stacked(run.task, run.variant.modifiers, watchers)
            refusals[run.task.key] = reason
            if engine == "stacked" and reason is not None:
                modified = f" with {run.variant.name}" if run.variant.name else ""
                raise StudyError(f"the stacked engine cannot train task '{run.task.name}'{modified}: {reason}")
        return cls(frozenset(key for key, reason in refusals.items() if reason is None), engine == "auto")
