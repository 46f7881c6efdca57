"""The pool of workers of a coordinator."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, Protocol

import torch

from lrbench.errors import StudyError

if TYPE_CHECKING:
    from lrbench.training.messages import Message, Order, Setup
    from lrbench.training.workers import Workers

SECONDS_OF_A_WORKER = 10.0
"""The work in seconds that is worth the start of another process."""


class Pool(Protocol):
    """Workers by number, 0 to `size - 1`, each with one order at a time.

    A worker reports its progress on an order, any number of times, and then that it is idle, has failed or has died.
    One that has died is replaced by another under the same number.
    """

    @property
    def size(self) -> int:
        """The number of workers; a cluster may grow."""

    def give(self, worker: int, order: Order) -> None:
        """Give an order to an idle worker."""

    def receive(self, timeout: float) -> tuple[int, Message] | None:
        """Return a worker and its message; None where none comes within `timeout` seconds."""


def open_pool(
    workers: Workers, setup: Setup, is_stopping: Callable[[], bool], *, gpus_per_worker: float = 0.0
) -> AbstractContextManager[Pool]:
    """Open a pool of workers, which ends with the context.

    Args:
        workers: 1 for this process, more for that number of processes of one thread each, else a Ray cluster.
        is_stopping: tells whether training is to stop, for training functions in this process.
        gpus_per_worker: of Ray alone: the share of a GPU that a worker is given; 0 for CPUs.

    Raises:
        StudyError: Ray is not installed or cannot be reached, or a task cannot be sent to another process.
    """
    if workers == 1:
        from lrbench.training.pools.serial import SerialPool

        return closing(SerialPool(setup, is_stopping))
    if isinstance(workers, int):
        from lrbench.training.pools.processes import ProcessPool

        return closing(ProcessPool(workers, setup))
    from lrbench.training.pools.ray_cluster import ray_pool

    return ray_pool(workers, setup, gpus_per_worker)


def open_pool_apart(setup: Setup, is_stopping: Callable[[], bool]) -> AbstractContextManager[Pool]:
    """Open a pool of one worker that may die: another process, or this one where a task cannot be sent there."""
    from lrbench.training.pools.pickling import pickled_setup
    from lrbench.training.pools.processes import ProcessPool

    try:
        pickled_setup(setup)
    except StudyError:
        return open_pool(1, setup, is_stopping)
    return closing(ProcessPool(1, setup))


def worthwhile(seconds: float, most: int) -> int:
    """Return how many processes to start, at most `most`, for work that takes one core `seconds`."""
    return max(1, min(most, round(seconds / SECONDS_OF_A_WORKER)))


def room(device: torch.device) -> int:
    """Return how many workers train on a device at once: one a GPU, or one a core that this process may use."""
    if device.type == "cuda":
        return torch.cuda.device_count() if device.index is None else 1
    if device.type == "mps":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
