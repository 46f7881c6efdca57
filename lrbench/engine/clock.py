"""The clock of training: wall time of this process, without what torch spends on compiling."""

from __future__ import annotations

import time
from typing import Any


class TrainingClock:
    """A clock in seconds since some moment, which stands still while torch compiles."""

    def __init__(self) -> None:
        self._stood_still = self._stopped_at = 0.0

    def __call__(self) -> float:
        """Return the time in seconds, without that of compilations that are over."""
        return time.perf_counter() - self._stood_still

    def leave_out_compiling(self) -> None:
        """Have torch report its compilations, also after a reset of its compiler, which drops its callbacks."""
        from torch._dynamo.callback import callback_handler

        if self._go_on not in callback_handler.end_callbacks:
            callback_handler.register_start_callback(self._stop)
            callback_handler.register_end_callback(self._go_on)

    def _stop(self, _: Any) -> None:
        self._stopped_at = time.perf_counter()

    def _go_on(self, _: Any) -> None:
        self._stood_still += time.perf_counter() - self._stopped_at


clock = TrainingClock()
"""The clock of this process."""
