"""The clock of training: wall time of this process, without what torch spends on compiling."""

from __future__ import annotations

import time
from typing import Any

_compiling = {"seconds": 0.0, "since": 0.0}


def clock() -> float:
    """Return the wall time in seconds since some moment, without that of compilations that are over."""
    return time.perf_counter() - _compiling["seconds"]


def leave_out_compiling() -> None:
    """Have torch tell this clock of its compilations, also after a reset of its compiler, which forgets it."""
    from torch._dynamo.callback import callback_handler

    if _ended not in callback_handler.end_callbacks:
        callback_handler.register_start_callback(_began)
        callback_handler.register_end_callback(_ended)


def _began(_: Any) -> None:
    _compiling["since"] = time.perf_counter()


def _ended(_: Any) -> None:
    _compiling["seconds"] += time.perf_counter() - _compiling["since"]
