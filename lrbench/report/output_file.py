"""The files that a user asks for: refused before the work is done where they cannot be written."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from lrbench.errors import LRBenchError
from lrbench.files import write_atomically


def check_output(path: Path, suffixes: Sequence[str]) -> str:
    """Return the suffix of a file that is about to be written, without its dot and in lower case.

    Raises:
        LRBenchError: the suffix is not one of `suffixes`, the folder does not exist, or a folder has the file's name.
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in suffixes:
        allowed = " or ".join(f".{name}" for name in suffixes)
        raise LRBenchError(f"cannot write {path}: the name must end in {allowed}")
    if _is_folder(path):
        raise LRBenchError(f"cannot write {path}: a folder has that name")
    if not os.path.isdir(path.parent):
        raise LRBenchError(f"cannot write {path}: there is no folder {path.parent}")
    return suffix


def _is_folder(path: Path) -> bool:
    """Find whether a folder has the name of a file that is about to be written.

    Raises:
        LRBenchError: no file can have that name there.
    """
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LRBenchError(f"cannot write {path}: {error.strerror or error}") from error


def write_output(path: Path, content: bytes) -> None:
    """Write a file whole; a link stays a link, and what it leads to is written.

    Raises:
        LRBenchError: the file system refuses; what stood at `path` is unchanged.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)  # a device or a pipe is written to, not replaced
        else:
            write_atomically(target, content)
    except OSError as error:
        raise LRBenchError(f"cannot write {path}: {error.strerror or error}") from error


def make_folder(path: Path) -> None:
    """Make a folder where there is none yet.

    Raises:
        LRBenchError: the file system refuses.
    """
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise LRBenchError(f"cannot make the folder {path}: {error.strerror or error}") from error
