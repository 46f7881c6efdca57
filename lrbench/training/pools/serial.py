"""A pool of one worker, which is this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from lrbench.training.messages import OrderDone, OrderFailed
from lrbench.training.worker import Worker

if TYPE_CHECKING:
    from lrbench.training.messages import Message, Order, Setup


class SerialPool:
    """A worker that trains while the coordinator asks for its next message."""

    size = 1

    def __init__(self, setup: Setup, is_stopping: Callable[[], bool]) -> None:
        self._worker = Worker(setup, is_stopping=is_stopping)
        self._messages: Generator[Message] | None = (message for message in (OrderDone(),))

    def give(self, worker: int, order: Order) -> None:
        self._messages = self._worker.carry_out(order)

    def receive(self, timeout: float) -> tuple[int, Message] | None:
        if self._messages is None:
            time.sleep(timeout)
            return None
        message = next(self._messages)
        if isinstance(message, OrderDone | OrderFailed):
            self._messages = None
        return 0, message

    def close(self) -> None:
        """End what is being trained."""
        if self._messages is not None:
            self._messages.close()
