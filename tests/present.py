"""Narrow a value that may be None to one that is there."""

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """Return the value; fail the test where it is None."""
    assert value is not None
    return value
