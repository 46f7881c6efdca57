"""A pool of actors of a Ray cluster: on this machine or on many, with CPUs or shares of GPUs."""

from __future__ import annotations

import logging
import pickle
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from lrbench.errors import StudyError
from lrbench.training.messages import OrderDone, OrderFailed, WorkerDied
from lrbench.training.pools import import_path
from lrbench.training.pools.import_path import standard_library_first
from lrbench.training.pools.pickling import pickled, pickled_setup

if TYPE_CHECKING:
    from lrbench.training.messages import Message, Order, Setup
    from lrbench.training.pools.serial import SerialPool

STARTS = 10
"""The number of times in a row that an actor may be lost before its first message."""


class Actor:
    """A worker of the cluster: a serial pool of its own, asked from afar for its next message.

    Ray puts the driver's working directory first among the folders that an actor imports from. This class is sent by
    value, so that it puts them in order before it imports anything; Ray's own imports come earlier.
    """

    def __init__(self, setup: bytes) -> None:
        sys.path[:] = standard_library_first(sys.path)

        from lrbench.training.pools.serial import SerialPool

        self._pool: SerialPool = SerialPool(pickle.loads(setup), lambda: False)

    def give(self, order: bytes) -> None:
        self._pool.give(0, pickle.loads(order))

    def receive(self) -> Message:
        answer = self._pool.receive(0)
        assert answer is not None
        return answer[1]


class RayPool:
    """As many actors as the cluster has room for, also when it grows, each asked for one message at a time."""

    def __init__(self, ray: Any, setup: bytes, gpus_per_worker: float) -> None:
        self._ray = ray
        self._gpus_per_worker = gpus_per_worker
        self._setup = ray.put(setup)
        for module in (sys.modules[__name__], import_path):
            ray.cloudpickle.register_pickle_by_value(module)
        self._actor = ray.remote(num_cpus=1, num_gpus=gpus_per_worker, max_restarts=0)(Actor)
        self._actors: dict[int, Any] = {}
        self._asked: dict[Any, int] = {}
        self._stillborn: Counter[int] = Counter()
        self._fill()
        if not self._actors:
            raise StudyError(f"the Ray cluster has no room for a worker with 1 CPU and {gpus_per_worker:g} GPUs")

    @property
    def size(self) -> int:
        return len(self._actors)

    def give(self, worker: int, order: Order) -> None:
        self._actors[worker].give.remote(pickled(order))
        self._ask(worker)

    def receive(self, timeout: float) -> tuple[int, Message] | None:
        answered, _ = self._ray.wait(list(self._asked), num_returns=1, timeout=timeout)
        if not answered:
            self._fill()
            return None
        worker = self._asked.pop(answered[0])
        try:
            message: Message = self._ray.get(answered[0])
        except self._ray.exceptions.RayTaskError as error:
            raise StudyError(f"a Ray worker could not be started: {_last_line(error)}") from error
        except self._ray.exceptions.RayError as error:
            self._stillborn[worker] += 1
            if self._stillborn[worker] > STARTS:
                raise StudyError(f"a Ray worker could not be started: {_last_line(error)}") from error
            self._start(worker)
            return worker, WorkerDied(f"was lost with its Ray node or process ({_last_line(error)})")
        self._stillborn[worker] = 0
        if not isinstance(message, OrderDone | OrderFailed):
            self._ask(worker)
        return worker, message

    def close(self) -> None:
        """End all actors at once."""
        for actor in self._actors.values():
            self._ray.kill(actor)

    def _fill(self) -> None:
        """Start actors for which the cluster has room."""
        resources = self._ray.cluster_resources()
        room = int(resources.get("CPU", 0))
        if self._gpus_per_worker:
            room = min(room, int(resources.get("GPU", 0) / self._gpus_per_worker))
        for worker in range(self.size, room):
            self._start(worker)

    def _start(self, worker: int) -> None:
        self._actors[worker] = self._actor.remote(self._setup)
        self._ask(worker)

    def _ask(self, worker: int) -> None:
        self._asked[self._actors[worker].receive.remote()] = worker


def import_ray() -> Any:
    """Import Ray, an optional dependency.

    Raises:
        StudyError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise StudyError("workers on Ray need it installed: pip install 'lrbench[ray]'") from error
    return ray


@contextmanager
def ray_pool(address: str, setup: Setup, gpus_per_worker: float) -> Iterator[RayPool]:
    """Open a pool on the cluster at `address`; "ray" is the one at hand, begun on this machine if there is none.

    Raises:
        StudyError: Ray is not installed, the cluster cannot be reached or has no room, or a task cannot be sent.
    """
    ray = import_ray()
    content = pickled_setup(setup)
    ours = not ray.is_initialized()
    if ours and address != "ray":
        _check_reachable(address)
    try:
        if ours:
            environment = {"env_vars": {"OMP_NUM_THREADS": "1"}}
            where = None if address == "ray" else address
            ray.init(where, runtime_env=environment, logging_level=logging.ERROR, include_dashboard=None)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise StudyError(f"there is no Ray cluster at '{address}': {_last_line(error)}") from error
    try:
        with closing(RayPool(ray, content, gpus_per_worker)) as pool:
            yield pool
    finally:
        if ours:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse an address where no server listens, which Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise StudyError(f"there is no Ray cluster at '{address}': {error}") from error


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__
