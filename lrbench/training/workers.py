"""The number of workers, as Python and the command line give it; this loads no torch."""

from __future__ import annotations

from lrbench.errors import StudyError
from lrbench.policy.kind import short_repr

Workers = int | str
"""A number of processes; "auto" for as many as pay; or a Ray cluster's address, "ray" for the one at hand."""

MOST_WORKERS = 1000
"""The largest number of processes; more are taken for a typing error."""

LONGEST_QUOTE = 60
"""The number of characters that an error quotes of a value."""


def parse_workers(value: str | int) -> Workers:
    """Read a number of processes from 1 to `MOST_WORKERS`, "auto", "ray" or a Ray cluster's address.

    The address is HOST:PORT or ray://HOST:PORT.

    Raises:
        StudyError: it is none of them.
    """
    text = value if isinstance(value, str) else short_repr(value)
    if text.isdecimal() and len(text) <= len(str(MOST_WORKERS)) and 1 <= int(text) <= MOST_WORKERS:
        return int(text)
    if text in ("auto", "ray") or ":" in text:
        return text
    allowed = f"a number of processes from 1 to {MOST_WORKERS}, auto, ray, or a Ray cluster's address"
    raise StudyError(f"workers = {text if len(text) <= LONGEST_QUOTE else short_repr(text)} must be {allowed}")
