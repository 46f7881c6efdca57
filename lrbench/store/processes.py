"""A check that a process that wrote to a store is still there."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def place() -> str:
    """Identify where process ids mean the same as here: a machine since its start, and its namespace of processes."""
    marks = [platform.node()]
    with suppress(OSError):
        marks += [
            Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip(),
            os.readlink("/proc/self/ns/pid"),
        ]
    return " ".join(marks)


def is_gone(where: str, process: int) -> bool:
    """Tell whether a process has ended; False where that is not known."""
    if where != place() or os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
