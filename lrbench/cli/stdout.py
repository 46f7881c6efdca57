"""Where commands print what they were asked for, apart from what a user's code prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

from lrbench.cli.standard_streams import stdout_at

_kept: list[TextIO] = []
"""The stream of the commands while a user's code may print; empty before."""


def stdout() -> TextIO:
    """Return the stream for what a command was asked for."""
    return _kept[-1] if _kept else sys.stdout


def say(*values: object) -> None:
    """Print values as `print` does, on the stream for what a command was asked for."""
    print(*values, file=stdout())


def part_file() -> None:
    """Give `sys.stdout` a file descriptor of its own, and let what is written to the old one arrive on stderr.

    So it is with C code, with other processes, and with the workers of this one. It stays so until the process ends,
    since C code may write what it has buffered only then.
    """
    old = sys.stdout
    with suppress(OSError):
        if isinstance(old, TextIOWrapper) and (old.fileno(), sys.stderr.fileno()) == (1, 2):
            old.flush()
            sys.stdout = stdout_at(os.dup(1), old)
            os.dup2(2, 1)


def part_stream() -> None:
    """Let Python's `print` write to stderr from now on, but for `say`."""
    if not _kept:
        _kept.append(sys.stdout)
        sys.stdout = sys.stderr


@contextmanager
def stream_parted_at_most_here() -> Iterator[None]:
    """Undo `part_stream` at the end."""
    try:
        yield
    finally:
        if _kept:
            sys.stdout = _kept.pop()
