"""The horizons of a study: one task at several budgets, and the policies that are trained on one trunk for all of them.

What a run of a horizon is depends on the task and that horizon alone, and not on the other horizons: it is evaluated
at the iterations of the task's own budget, and a warmup that is a part of the budget is one of the task's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lrbench.errors import PolicyError, StudyError
from lrbench.policy.horizon import shared_iterations, with_fixed_warmup

if TYPE_CHECKING:
    from lrbench.policy import Policy
    from lrbench.policy.budget import Budget, Length
    from lrbench.study.study import StudyPolicy
    from lrbench.tasks import AnyTask

TRUNK = 0.25
"""The least share of a shorter run that is one of the longest too, for its policy to be trained on one trunk."""


def name_at(task: str, steps: Length) -> str:
    """Return what a task is called at a horizon."""
    return f"{task} at {steps}"


def at_horizons(tasks: Sequence[AnyTask], horizons: Sequence[Length], where: str) -> tuple[AnyTask, ...]:
    """Return the one task at each horizon, shortest first, named by it, and evaluated as often an iteration.

    Raises:
        StudyError: there are several tasks, or two horizons are the same.
        TaskError: a horizon is a length that the task does not have.
    """
    if len(tasks) > 1:
        raise StudyError(f"{where}: horizons are of one task, and there are {len(tasks)}: make a study of each")
    (task,) = tasks
    steps = sorted(task.in_iterations(one) if isinstance(one, str) else one for one in horizons)
    if len(set(steps)) < len(steps):
        raise StudyError(f"{where}: horizons come to {', '.join(map(str, steps))} iterations, each may stand only once")
    return tuple(
        task.with_(name=name_at(task.name, each), steps=each, eval_every=min(task.eval_every, each)) for each in steps
    )


def on_one_trunk(entry: StudyPolicy, task: AnyTask) -> StudyPolicy:
    """Give a policy the warmup of the task's own budget at every horizon, if one trunk serves all of them then."""
    try:
        fixed = with_fixed_warmup(entry.policy, task.budget)
        budgets = [task.budget, longer(task.budget)]
        shared = shared_with_longest(fixed, budgets)
    except PolicyError:  # it does not fit the task's own budget or a longer one, and is tried at its horizons alone
        return entry
    return replace(entry, policy=fixed, on_trunk=True) if is_on_one_trunk(shared, budgets) else entry


def longer(budget: Budget) -> Budget:
    """Return twice a budget: what a run has in common with it, it has in common with all longer ones."""
    return replace(budget, steps=2 * budget.steps)


def shared_with_longest(policy: Policy, budgets: Sequence[Budget]) -> list[int]:
    """Count for each budget, shortest first, the first iterations whose learning rates are those in the longest too.

    Raises:
        PolicyError: the policy does not fit a budget.
    """
    return [shared_iterations(policy, each, budgets[-1]) for each in budgets]


def is_on_one_trunk(shared: Sequence[int], budgets: Sequence[Budget]) -> bool:
    """Return whether a run of each budget begins as that of the longest one does, for a quarter of it or more."""
    return all(common >= TRUNK * budget.steps for common, budget in zip(shared, budgets, strict=True))
