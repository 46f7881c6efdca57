"""Errors that a user can mend.

Every message is one sentence: what is wrong, where, and what is allowed. The command line prints it and exits with
code 2; Python callers catch `LRBenchError`, or the built-in exception that it also is.
"""

import difflib
from collections.abc import Iterable

LONGEST_SENTENCE = 600
"""The most characters that are shown of a sentence, which may quote long names and values."""


def brief(sentence: str) -> str:
    """Cut out the middle of an over-long sentence, whose end says what is allowed."""
    half = LONGEST_SENTENCE // 2
    return sentence if len(sentence) <= LONGEST_SENTENCE else f"{sentence[:half]} … {sentence[-half:]}"


class LRBenchError(Exception):
    """The base of every error that a user can mend."""

    def __str__(self) -> str:
        return brief(super().__str__())


class PolicyError(LRBenchError, ValueError):
    """A policy, its text, its parameters or a catalog is not valid."""


class TaskError(LRBenchError, ValueError):
    """A task, model, optimizer or plugin is not valid."""


class DataError(LRBenchError, ValueError):
    """A data set is missing, unreadable or unusable."""


class TraceError(LRBenchError, ValueError):
    """A trace of learning rates cannot be written or read."""


class StudyError(LRBenchError, ValueError):
    """A study file or a question about a study is not valid."""


class StoreError(LRBenchError):
    """A store cannot be opened, read or written."""


class StoreAwayError(StoreError):
    """The server of a store cannot be reached for now; nothing was written."""


class LeaseLostError(StoreError):
    """A coordinator wrote to a run of which it does not hold the lease."""


class CheckpointError(LRBenchError):
    """A checkpoint is torn, foreign or does not belong to the run that asks for it."""


def one_line(error: object) -> str:
    """Return the text of an error on one line, without the full stop at its end."""
    return " ".join(str(error).split()).rstrip(".")


LONGEST_NAME = 200
"""The longest name for which a similar one is searched, which takes the square of its characters."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Ask for the nearest allowed name, ` (did you mean 'TRIEXP'?)`; an empty text where none is near."""
    if len(name) > LONGEST_NAME:
        return ""
    by_lower = {candidate.lower(): candidate for candidate in allowed}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f" (did you mean '{by_lower[nearest[0]]}'?)" if nearest else ""


MOST_NAMES = 20
"""The most names that a sentence lists."""


def unknown_name(noun: str, name: object, known: Iterable[str]) -> str:
    """Write that no `noun` has this name, with the nearest one, or the known ones if none is near."""
    known = tuple(known)
    more = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    hint = did_you_mean(str(name), known) or f"; there are {', '.join(known[:MOST_NAMES])}{more}"
    return f"there is no {noun} named {name!r}{hint}"
