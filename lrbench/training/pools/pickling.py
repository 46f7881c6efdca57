"""Tasks and orders as bytes, the user's own functions and classes included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrbench.errors import StudyError

if TYPE_CHECKING:
    from lrbench.training.messages import Setup


def pickled(value: Any) -> bytes:
    """Pickle a value for another process with lrbench.

    Definitions of a plugin or of the main module go along by value, for the other process has neither.
    """
    import cloudpickle

    from lrbench.tasks.plugins import plugin_modules

    for module in plugin_modules():
        cloudpickle.register_pickle_by_value(module)
    content: bytes = cloudpickle.dumps(value)
    return content


def pickled_setup(setup: Setup) -> bytes:
    """Pickle the setup of workers.

    Raises:
        StudyError: a task cannot be sent to another process.
    """
    try:
        return pickled(setup)
    except Exception as error:
        names = ", ".join(sorted({task.name for task in setup.tasks.values()}))
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StudyError(f"{names} cannot be sent to other processes, train with workers=1: {reason}") from error
