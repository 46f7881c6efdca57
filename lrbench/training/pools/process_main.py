"""The program of a worker process, which `processes` starts.

It reads pickles from its standard input, first the setup and then orders, and writes its messages as pickles to its
standard output. A model that reads finds no input, and its own output goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO

from lrbench.training.messages import OrderDone

if TYPE_CHECKING:
    from types import FrameType

    import torch

    from lrbench.training.messages import Message, Order, Setup

LOST_COORDINATOR = 3
"""The exit code of a worker whose coordinator is gone."""


def main(number: int) -> None:
    """Carry out orders one by one, until the input ends."""
    stopping, busy = threading.Event(), threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()
        if not busy.is_set():
            os._exit(0)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    try:
        setup: Setup = pickle.load(inbox)
    except (EOFError, pickle.UnpicklingError):
        sys.exit(LOST_COORDINATOR)
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox, orders), daemon=True).start()

    from lrbench.training.worker import Worker

    worker = Worker(setup, _device(setup.device, number), stopping.is_set)
    _say(outbox, OrderDone())
    while True:
        order = orders.get()
        busy.set()
        with closing(worker.carry_out(order)) as messages:
            for message in messages:
                _say(outbox, message)
                if stopping.is_set():
                    break
        busy.clear()
        if stopping.is_set():
            os._exit(0)


def _listen(inbox: BinaryIO, orders: queue.SimpleQueue[Order]) -> None:
    while True:
        try:
            orders.put(pickle.load(inbox))
        except (EOFError, OSError):
            os._exit(LOST_COORDINATOR)


def _say(outbox: BinaryIO, message: Message) -> None:
    try:
        outbox.write(pickle.dumps(message))
        outbox.flush()
    except OSError:
        os._exit(LOST_COORDINATOR)


def _device(name: str, number: int) -> torch.device:
    """Return the device of this worker; where no GPU is named, workers are spread over all of them."""
    import torch

    from lrbench.engine import resolve_device

    device = resolve_device(name)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", number % torch.cuda.device_count())
    return device
