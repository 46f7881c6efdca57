"""Rough costs of training, for choices that come before any measurement."""

from __future__ import annotations

from math import ceil

from lrbench.engine import step_flops
from lrbench.tasks import AnyTask, Task

FLOPS_A_SECOND = 2e10
"""The speed of one core on small networks."""

SECONDS_AT_LEAST = 3e-4
"""The time of an iteration of the smallest network."""

SECONDS_OF_A_CALL = 0.01
"""The time of an iteration of a training function, which is not known before it is called."""

STACKED_GAIN = 4
"""The speed-up of the stacked engine on small networks."""

SECONDS_OF_A_FORK = 0.01
"""The time to write a checkpoint and to read it."""


def seconds_of_an_iteration(task: AnyTask) -> float:
    """Estimate the time of an iteration on one core; a model that raises does so again in its run, which reports it."""
    if not isinstance(task, Task):
        return SECONDS_OF_A_CALL
    try:
        flops = step_flops(task).total
    except KeyboardInterrupt:
        raise
    except BaseException:
        flops = 0
    return max(flops / FLOPS_A_SECOND, SECONDS_AT_LEAST)


def grain(task: AnyTask) -> int:
    """Return the iterations that take about as long as a fork: sharing fewer does not pay."""
    return ceil(SECONDS_OF_A_FORK / seconds_of_an_iteration(task))
