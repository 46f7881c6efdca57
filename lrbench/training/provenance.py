"""What is noted beside every number: which software and hardware made it."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import torch

from lrbench.engine import describe_device
from lrbench.version import __version__

if TYPE_CHECKING:
    from lrbench.tasks import Task


def provenance(task: Task, engine: str) -> dict[str, str | None]:
    """Versions, commit, engine, precision and device of a run of a task that is trained here and now by an engine."""
    return {
        "lrbench": __version__,
        "commit": _commit(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "engine": engine,
        "precision": task.precision,
        "device": describe_device(task.device),
    }


@cache
def _commit() -> str | None:
    """The commit of lrbench's own checkout, with "+" where it was changed; None for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip()
