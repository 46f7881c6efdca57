"""The standard streams of the command line: each is there, and a broken stderr ends nothing."""

from __future__ import annotations

import os
import sys
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from typing import Any, TextIO

STDOUT = "stdout"
"""The name of the file in an error of writing to standard output."""


def prepare_standard_streams() -> None:
    """Open the standard streams that are closed on the null device, and let no error of writing to stderr through.

    The number of a closed stream would be given to the next file that is opened, a store for example, and what is
    written to the stream would end in that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(opened, True)
    sys.stdin = sys.stdin or TextIOWrapper(BufferedReader(FileIO(0, "r", closefd=False)), encoding="utf-8")
    # a second command of one process finds its stdout where the first one left it, which is not at 1
    sys.stdout = stdout_at(1 if sys.stdout is None else sys.stdout.fileno(), sys.stdout)
    sys.stderr = _text(_Unfailing(2, "w", closefd=False), sys.stderr)


def stdout_at(descriptor: int, before: TextIO | None) -> TextIOWrapper:
    """Open standard output at a descriptor, encoded and buffered as the stream that it replaces."""
    return _text(_Named(descriptor, "w", closefd=False), before)


def _text(file: FileIO, before: TextIO | None) -> TextIOWrapper:
    """Open a stream of text into a file, encoded and buffered as the one that it replaces."""
    encoding = "utf-8" if before is None else before.encoding
    line_buffering = isinstance(before, TextIOWrapper) and before.line_buffering
    return TextIOWrapper(BufferedWriter(file), encoding, "backslashreplace", line_buffering=line_buffering)


class _Named(FileIO):
    """Standard output, whose errors say that it is."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            raise OSError(error.errno, error.strerror, STDOUT) from error


class _Unfailing(FileIO):
    """A file that drops what cannot be written to it: no progress that is shown is worth the run that is trained."""

    def write(self, content: Any, /) -> int:
        try:
            written = super().write(content)
        except OSError:
            written = None
        return memoryview(content).nbytes if written is None else written
