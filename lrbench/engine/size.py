"""Amounts of memory, in bytes and as text."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lrbench.policy.kind import Kind
from lrbench.policy.parameter import REQUIRED, declare

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_TEXT = re.compile(r"(\d{1,19}(?:\.\d{1,9})?) ?([kKMGT]?i?B)")
_LARGEST = 2**60


def byte_count(size: object) -> int | None:
    """Read a number of bytes: a whole number, or text such as "512MiB", "1.5 GiB" or "2GB"; None for others."""
    if isinstance(size, int) and not isinstance(size, bool):
        return size if 0 <= size <= _LARGEST else None
    match = _TEXT.fullmatch(size.strip()) if isinstance(size, str) else None
    if match is None or match[2] not in UNITS:
        return None
    count = Fraction(match[1]) * UNITS[match[2]]
    return round(count) if count <= _LARGEST else None


def exact_size(count: int) -> str:
    """Write a number of bytes as text that `byte_count` reads back, in the largest binary unit that divides it."""
    unit = next(unit for unit in ("TiB", "GiB", "MiB", "KiB", "B") if count % UNITS[unit] == 0)
    return f"{count // UNITS[unit]}{unit}" if count else "0B"


def rough_size(count: int) -> str:
    """Write a number of bytes for a person, "12.2 GiB"."""
    unit = next((unit for unit in ("TiB", "GiB", "MiB", "KiB") if count >= UNITS[unit]), "B")
    return f"{count / UNITS[unit]:.1f} {unit}" if unit != "B" else f"{count} bytes"


@dataclass(frozen=True)
class SizeKind(Kind):
    """An amount of memory; its canonical form is text in binary units, such as '2GiB'."""

    @property
    def allowed(self) -> str:
        return "a number of bytes or a size such as '512MiB' or '2GiB'"

    def read(self, value: object) -> str | None:
        count = byte_count(value)
        return None if count is None else exact_size(count)

    def text(self, value: str) -> str:
        return repr(value)


def size(doc: str, *, default: Any = REQUIRED) -> Any:
    """Declare an amount of memory."""
    return declare("value", "bytes", SizeKind(), doc, default)
