"""The folders that workers import from."""

from __future__ import annotations

import os
from collections.abc import Iterable


def standard_library_first(path: Iterable[str]) -> list[str]:
    """Return the folders of an import path, reordered so that none hides a module of the standard library.

    A `queue.py` beside a script or in the working directory is then never imported as `queue`.
    """
    home = os.path.dirname(os.__file__)
    standard = {home, os.path.join(home, "lib-dynload")}
    return sorted(path, key=lambda folder: folder not in standard)
