"""Workers that are processes of this machine, one thread each.

A worker is a new Python (never a fork, which torch's threads and CUDA do not survive) that does not import the
caller's main module, so that a script needs no `if __name__ == "__main__"`. It ends when its standard input does, so
that a killed coordinator leaves none behind.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.errors import StudyError
from lrbench.training.called import SECONDS_TO_END
from lrbench.training.messages import WorkerDied
from lrbench.training.pools.import_path import standard_library_first
from lrbench.training.pools.pickling import pickled, pickled_setup

if TYPE_CHECKING:
    from lrbench.training.messages import Message, Order, Setup

STARTS = 10
"""The number of times in a row that a worker may be killed before its first message."""

COMMAND = """\
import sys
sys.path[:] = sys.argv[2:]
from lrbench.training.pools.process_main import main
main(int(sys.argv[1]))
"""
"""The program of a worker; its arguments are the worker's number and the folders to import from."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ProcessPool:
    """Worker processes; a thread for each puts its messages into one queue."""

    def __init__(self, size: int, setup: Setup) -> None:
        self.size = size
        self._setup = pickled_setup(setup)
        self._calls_functions = not all(task.forks for task in setup.tasks.values())
        self._messages: queue.SimpleQueue[tuple[int, Message]] = queue.SimpleQueue()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._stillborn: Counter[int] = Counter()
        self._closing = False
        self._import_path = import_path(sys.path)
        for worker in range(size):
            self._start(worker)

    def give(self, worker: int, order: Order) -> None:
        _send(self._processes[worker], pickled(order))

    def receive(self, timeout: float) -> tuple[int, Message] | None:
        try:
            worker, message = self._messages.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(message, WorkerDied):
            self._stillborn[worker] += 1
            killed = self._processes[worker].wait() < 0
            if self._stillborn[worker] > (STARTS if killed else 1):
                raise StudyError(f"a worker process could not be started, it {message.reason}: see what it said above")
            self._start(worker)
        else:
            self._stillborn[worker] = 0
        return worker, message

    def close(self) -> None:
        """End all workers at once, but for some seconds in which training functions may write checkpoints."""
        self._closing = True
        if self._calls_functions:
            end = time.monotonic() + SECONDS_TO_END
            for process in self._processes.values():
                process.terminate()
            for process in self._processes.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, end - time.monotonic()))
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    def _start(self, worker: int) -> None:
        # -P: without it Python looks into the working directory first, also for the modules of its own start
        command = [sys.executable, "-P", "-c", COMMAND, str(worker), *self._import_path]
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._processes[worker] = process
        threading.Thread(target=self._attend, args=(worker, process), daemon=True).start()

    def _attend(self, worker: int, process: subprocess.Popen[bytes]) -> None:
        """Send a new process its setup, and pass on its messages until it ends."""
        _send(process, self._setup)
        assert process.stdout is not None
        with process.stdout as pipe, suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                self._messages.put((worker, pickle.load(pipe)))
        code = process.wait()
        if not self._closing:
            self._messages.put((worker, WorkerDied(_end(code))))


def import_path(own: Sequence[str]) -> list[str]:
    """Return the folders that a worker imports from, given `sys.path` of this process.

    Their order is the same, so that both import the same modules, except that no folder hides the standard library.
    lrbench's own folder is among them.
    """
    folders = [os.path.abspath(folder) for folder in own if isinstance(folder, str)]
    home = str(Path(__file__).parents[3])
    return standard_library_first(folders if home in folders else [home, *folders])


def _end(code: int) -> str:
    """Describe how a process ended, by its return code in `subprocess`."""
    if code >= 0:
        return f"ended with exit code {code}"
    names = {number.value: f" ({number.name})" for number in signal.Signals}
    return f"was killed by signal {-code}{names.get(-code, '')}"


def _send(process: subprocess.Popen[bytes], content: bytes) -> None:
    """Write to a process; where it is gone, the thread that reads from it reports so."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.write(content)
        process.stdin.flush()
