"""What a worker does with an order, wherever it runs."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lrbench.engine import fastest_lanes, resolve_device
from lrbench.training.messages import Lanes, Message, Order, OrderDone, OrderFailed, Probe, Setup
from lrbench.training.worker import segments

if TYPE_CHECKING:
    import torch

    from lrbench.tasks import Task


class Worker:
    """A worker that knows its tasks, and has those that it was asked about on its device."""

    def __init__(self, setup: Setup, device: torch.device | None = None) -> None:
        self._setup = setup
        self._device = resolve_device(setup.device) if device is None else device
        self._tasks: dict[str, Task] = {}

    def carry_out(self, order: Order) -> Iterator[Message]:
        """Do what is ordered, and report on it as it goes on; the last message is Idle or Failed.

        Raises:
            KeyboardInterrupt: after Ctrl-C; whatever else a model or data raise ends in Failed.
        """
        messages = self._messages(order)
        while True:
            try:
                message = next(messages, OrderDone())
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                message = OrderFailed(_reason(error))
            yield message
            if isinstance(message, OrderDone | OrderFailed):
                return

    def _messages(self, order: Order) -> Iterator[Message]:
        task = self._task(order.task)
        if isinstance(order, Probe):
            yield Lanes(fastest_lanes(task, order.at_most))
        else:
            yield from segments(order, task, self._setup.seconds_at_risk)

    def _task(self, key: str) -> Task:
        if key not in self._tasks:
            self._tasks[key] = self._setup.tasks[key].to(self._device)
        return self._tasks[key]


def _reason(error: BaseException) -> str:
    """Return a traceback whose last line says what happened, where the error has several lines all of it."""
    said = traceback.format_exc()
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    if isinstance(error, SystemExit):
        said += f"the code that was training called sys.exit({error.code!r})\n"
    elif len(lines) > 1:
        said += " ".join(" ".join(lines).split()) + "\n"
    return said
