"""Functions that compute their results once for each task, and forget them with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from lrbench.tasks.task import Task

P = ParamSpec("P")
T = TypeVar("T")


def once_per_task(function: Callable[Concatenate[Task, P], T]) -> Callable[Concatenate[Task, P], T]:
    """Decorate a function of a task and hashable values, so that it computes each of its results once.

    Results live as long as their task. They must not refer to it, or it would live for ever.
    """
    known: WeakKeyDictionary[Task, dict[Hashable, Any]] = WeakKeyDictionary()

    @wraps(function)
    def remembered(task: Task, /, *args: P.args, **kwargs: P.kwargs) -> T:
        results, wanted = known.setdefault(task, {}), (args, *kwargs.items())
        if wanted not in results:
            results[wanted] = function(task, *args, **kwargs)
        result: T = results[wanted]
        return result

    return remembered
