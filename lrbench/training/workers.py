"""How many workers train, as it is given by Python and on the command line; this loads no torch."""

from __future__ import annotations

from lrbench.errors import StudyError
from lrbench.policy.kind import short_repr

Workers = int | str
"""How many processes train; "auto" for as many as pay; or where the Ray cluster is, "ray" for the one at hand."""

MOST_WORKERS = 1000
"""More processes than this on one machine are taken for a slip of the pen."""

LONGEST_QUOTE = 60
"""Characters of a value that an error quotes as it is."""


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
