"""Roughly what training costs, for choices that must be made before anything is measured."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from lrbench.engine import step_flops

if TYPE_CHECKING:
    from lrbench.tasks import Task

FLOPS_A_SECOND = 2e10
"""What one core comes to on small networks."""

SECONDS_AT_LEAST = 3e-4
"""What an iteration takes however small the network is."""

STACKED_GAIN = 4
"""How much faster small networks are trained many at once."""

SECONDS_OF_A_FORK = 0.01
"""What it takes to write a checkpoint and to go on from it."""


def seconds_of_an_iteration(task: Task) -> float:
    """About how long one core trains an iteration; a model that fails does so later, when its run can say so."""
    try:
        flops = step_flops(task).total
    except KeyboardInterrupt:
        raise
    except BaseException:
        flops = 0
    return max(flops / FLOPS_A_SECOND, SECONDS_AT_LEAST)


def grain(task: Task) -> int:
    """How many iterations take about as long as a fork: sharing fewer does not pay."""
    return ceil(SECONDS_OF_A_FORK / seconds_of_an_iteration(task))
