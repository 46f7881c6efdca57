"""The curves that count: of each task those of one metric, with the way in which it is better."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import combinations

from lrbench.errors import StudyError, unknown_name
from lrbench.imports.direction import better_by_name
from lrbench.imports.table import Curve, Runs
from lrbench.metrics.direction import Better


@dataclass(frozen=True, eq=False)
class TaskCurves:
    """The curves of one task.

    Attributes:
        curves: all that the source has, of which the best one of each unit counts; see `Runs.best_of`.
    """

    task: str
    metric: str
    better: Better
    curves: tuple[Curve, ...]


def curves_by_task(
    source: Runs, metric: str | None = None, better: Better | None = None, task: str | None = None
) -> tuple[tuple[TaskCurves, ...], tuple[str, ...]]:
    """Return the curves of each task by its name, and remarks on what was counted while reading.

    Args:
        metric: by default the one that is plain.
        better: which way it is better, by default as its name says.
        task: take this task only.

    Raises:
        StudyError: there is no such task, several columns could be the metric, no run has a value of it, or its name
            does not say which way it is better.
    """
    tasks = sorted(source.table["task"].unique())
    if task is not None:
        if tasks == [""]:
            raise StudyError(f"there is no task named '{task}', for the runs name no tasks")
        if task not in tasks:
            raise StudyError(unknown_name("task", task, tasks))
        tasks = [task]
        source = replace(source, table=source.table[source.table["task"] == task])
    metric_of = {one: metric or source.metric_by_task.get(one) or _plain_metric(source) for one in tasks}
    found: list[TaskCurves] = []
    remarks: list[str] = []
    known = {place[0]: card.record.tasks[0].better for place, card in source.cards.items()}
    for name in dict.fromkeys(metric_of.values()):
        curves, counted = source.curves(name)
        remarks += counted
        for one in (one for one in tasks if metric_of[one] == name):
            direction = better or known.get(one) or better_by_name(name)
            if direction is None:
                raise StudyError(f"the name '{name}' does not say which way it is better: lower or higher is needed")
            own = tuple(curve for curve in curves if curve.task == one)
            if not own:
                raise StudyError(f"task '{one}' has no run with a value of '{name}'")
            found.append(TaskCurves(one, name, direction, own))
    return tuple(sorted(found, key=lambda one: one.task)), tuple(remarks)


def share_seeds(seeds: Iterable[Collection[str]]) -> bool:
    """Return whether every two policies share at least two seeds, so that their runs can be paired."""
    return all(len({*one} & {*other}) >= 2 for one, other in combinations(seeds, 2))


def _plain_metric(source: Runs) -> str:
    """Return the metric that is meant where none is named.

    Raises:
        StudyError: several could be.
    """
    known = [name for name in source.metrics if better_by_name(name)]
    validation = [name for name in known if any(word in name.lower() for word in ("val", "eval", "dev"))]
    for found in (validation, known, source.metrics):
        if len(found) == 1:
            return found[0]
        if found:
            break
    raise StudyError(f"several columns could be the metric, name one of them: {', '.join(found[:20])}")
