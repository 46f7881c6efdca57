"""Whether a process that wrote to a store is still there, where that can be known at once."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def place() -> str:
    """Where process ids mean the same process as here: a machine since its start, and its namespace of processes."""
    marks = [platform.node()]
    with suppress(OSError):
        marks += [
            Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip(),
            os.readlink("/proc/self/ns/pid"),
        ]
    return " ".join(marks)


def is_gone(where: str, process: int) -> bool:
    """Whether a process is known to have ended; False where that cannot be told."""
    if where != place() or os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
