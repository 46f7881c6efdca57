"""The software and hardware that made a number."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from pathlib import Path

import numpy
import torch

from lrbench.engine import describe_device
from lrbench.version import __version__


def provenance(engine: str, precision: str | None, device: torch.device) -> dict[str, str | None]:
    """Return versions, commit, engine, precision and device of a run that is trained in this process."""
    return {
        "lrbench": __version__,
        "commit": _commit(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "engine": engine,
        "precision": precision,
        "device": describe_device(device),
    }


@cache
def _commit() -> str | None:
    """Return the commit of lrbench's checkout, with "+" where it was changed; None for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
