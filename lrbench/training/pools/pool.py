"""What a coordinator needs of its workers."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import torch

from lrbench.errors import StudyError

if TYPE_CHECKING:
    from lrbench.training.messages import Message, Order, Setup
    from lrbench.training.workers import Workers

SECONDS_OF_A_WORKER = 10.0
"""How much there must be to do before another process is worth its start."""


class Pool(Protocol):
    """Workers by number, 0 to `size - 1`, each doing one thing at a time.

    A worker that was given an order tells of its progress, any number of times, and then that it is idle, has failed
    or has died; one that has died is replaced by another under the same number.
    """

    @property
    def size(self) -> int:
        """How many workers there are; a cluster may grow."""

    def give(self, worker: int, order: Order) -> None:
        """Let an idle worker begin."""

    def receive(self, timeout: float) -> tuple[int, Message] | None:
        """The next message and whose it is; None where there is none within `timeout` seconds."""


def open_pool(workers: Workers, setup: Setup, *, gpus_per_worker: float = 0.0) -> AbstractContextManager[Pool]:
    """Workers that know `setup`, for as long as the context lasts.

    Args:
        workers: 1 for this process, more for so many processes of one thread each, else a Ray cluster.
        gpus_per_worker: of Ray alone: the share of a GPU that a worker is given; 0 for CPUs.

    Raises:
        StudyError: Ray is not installed or cannot be reached, or a task cannot be sent to another process.
    """
    if workers == 1:
        from lrbench.training.pools.serial import serial_pool

        return serial_pool(setup)
    if isinstance(workers, int):
        from lrbench.training.pools.processes import process_pool

        return process_pool(workers, setup)
    from lrbench.training.pools.ray_cluster import ray_pool

    return ray_pool(workers, setup, gpus_per_worker)


def open_pool_apart(setup: Setup) -> AbstractContextManager[Pool]:
    """Return one worker that may die: another process, or this one where a task cannot be sent there."""
    from lrbench.training.pools.pickling import pickled_setup
    from lrbench.training.pools.processes import process_pool
    from lrbench.training.pools.serial import serial_pool

    try:
        pickled_setup(setup)
    except StudyError:
        return serial_pool(setup)
    return process_pool(1, setup)


def worthwhile(seconds: float, most: int) -> int:
    """How many processes to start for work that one core does in so many seconds, where there is room for `most`."""
    return max(1, min(most, round(seconds / SECONDS_OF_A_WORKER)))


def room(device: torch.device) -> int:
    """How many workers train on a device at once: one a GPU, or one for each core that this process may use."""
    if device.type == "cuda":
        return torch.cuda.device_count() if device.index is None else 1
    if device.type == "mps":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
