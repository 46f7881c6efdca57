"""A check that a file of SQLite is whole, which SQLite itself does not make.

SQLite reads a missing end of a file as zeros, and a shortened write-ahead log as a whole one, though the file may have
newer pages already. Both can give wrong numbers without an error. The format of the two files is that of
https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lrbench.errors import StoreError

ADVICE = "put a whole copy of it in its place, or move it and the files beside it away and run the study again"

FILE_HEADER, LOG_HEADER, FRAME_HEADER = 100, 32, 24
"""Sizes in bytes."""


@dataclass(frozen=True)
class Header:
    """The header in the first page of a file, without its log.

    Attributes:
        page_size: in bytes.
        pages: of the whole database.
        transactions: the number written, which `Database` counts in the header's user version.
    """

    page_size: int
    pages: int
    transactions: int

    @classmethod
    def of(cls, path: Path) -> Header | None:
        """Read the header of a file; None where it is new or no database."""
        with path.open("rb") as file:
            header = file.read(FILE_HEADER)
        if len(header) < FILE_HEADER or not header.startswith(b"SQLite format 3\0"):
            return None
        page_size = _number(header, 16, size=2)
        return cls(65536 if page_size == 1 else page_size, _number(header, 28), _number(header, 60))


def transactions_in(path: Path) -> int:
    """Count the transactions in a store's file; its log may have more but never fewer.

    Raises:
        StoreError: the file lacks pages which its log does not have either.
    """
    try:
        header = Header.of(path) if path.is_file() else None
        if header is None:
            return 0
        lacking = _lacking(path, header)
        if lacking:
            lacking -= set(_logged_pages(path.with_name(f"{path.name}-wal"), header.page_size))
            lacking &= _lacking(path, header)  # the log may have been written to the file meanwhile
    except OSError as error:
        raise StoreError(f"the store {path} cannot be opened: {error.strerror}") from error
    if lacking:
        raise StoreError(f"the store {path} is cut off, its last {len(lacking)} pages are not whole: {ADVICE}")
    return header.transactions


def _lacking(path: Path, header: Header) -> set[int]:
    return set(range(path.stat().st_size // header.page_size + 1, header.pages + 1))


def _logged_pages(log: Path, page_size: int) -> Iterator[int]:
    """Yield the numbers of the pages that were committed to a log, which its file may lack."""
    content = log.read_bytes() if log.is_file() else b""
    salts = content[16:24]
    uncommitted: list[int] = []
    for start in range(LOG_HEADER, len(content) - FRAME_HEADER - page_size + 1, FRAME_HEADER + page_size):
        if content[start + 8 : start + 16] != salts:
            return
        uncommitted.append(_number(content, start))
        if _number(content, start + 4):
            yield from uncommitted
            uncommitted.clear()


def _number(content: bytes, at: int, size: int = 4) -> int:
    return int.from_bytes(content[at : at + size], "big")
