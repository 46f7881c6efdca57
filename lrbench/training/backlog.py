"""The runs of a study that have to be trained."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from lrbench.store import Store, StoredRun
from lrbench.tasks import AnyTask
from lrbench.training.estimate import STACKED_GAIN, seconds_of_an_iteration
from lrbench.training.plan import Plan, PlannedRun
from lrbench.training.resume_point import resume_point
from lrbench.training.tree import shared_steps


@dataclass(frozen=True)
class Backlog:
    """A plan beside the runs that a store has.

    Attributes:
        plan: all runs that are asked for.
        stored: the runs of the plan that have begun and not ended, by key.
        missing: the runs that have to be trained, by key.
        store: None where there is no store yet.
        kept: the states of other horizons that missing runs go on from, among `stored`.
    """

    plan: Plan
    stored: Mapping[str, StoredRun]
    missing: Mapping[str, PlannedRun]
    store: Store | None
    kept: Mapping[str, StoredRun] = field(default_factory=dict)

    @cached_property
    def tree_steps(self) -> tuple[tuple[AnyTask, int], ...]:
        """The iterations that are left of tasks, shared ones counted once; a task has one entry or more."""
        return tuple(shared_steps(self.missing.values(), lambda run: resume_point(run, self.stored)))

    @property
    def steps_nominal(self) -> int:
        """The iterations of all runs, were each trained by itself."""
        return sum(run.task.steps for run in self.plan.runs)

    @property
    def steps_to_train(self) -> int:
        """The iterations that are left, shared ones counted once."""
        return sum(steps for _, steps in self.tree_steps)

    @property
    def steps_kept(self) -> int:
        """The iterations of kept states that runs go on from, each counted once."""
        return sum({one.checkpoint: one.step for one in self.kept.values()}.values())

    def seconds(self, stackable: Container[str] = ()) -> float:
        """Estimate the time in seconds that one core trains, where the tasks of these keys may be stacked."""
        return sum(
            steps * seconds_of_an_iteration(task) / (STACKED_GAIN if task.key in stackable else 1)
            for task, steps in self.tree_steps
        )

    def to_json(self) -> dict[str, dict[str, int]]:
        """Return the `runs` and `steps` of `lrbench run --dry-run --json`."""
        total, missing = len(self.plan.runs), len(self.missing)
        runs = {"total": total, "cached": total - missing, "to_train": missing}
        return {"runs": runs, "steps": {"nominal": self.steps_nominal, "to_train": self.steps_to_train}}
