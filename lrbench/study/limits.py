"""How large a study may be, and which seeds it may have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral

from lrbench.errors import StudyError
from lrbench.files import is_utf8
from lrbench.policy.kind import short_repr

MOST_RUNS = 100_000
"""A study of more runs than this is taken for a slip of the pen."""

MOST_RATES = 500_000_000
"""The learning rates of all policies of a study together: they are compared in memory, 16 bytes each."""

END_OF_SEEDS = 2**63
"""Seeds are below this: random streams and databases have 63 bits for them."""


def seeds_of(seeds: object, where: str) -> tuple[int, ...]:
    """Count so many seeds from 0 on, or check those that are given.

    Args:
        seeds: a number of seeds, or the seeds.
        where: what the error names.

    Raises:
        StudyError: there are more than a study may have, or one is no whole number from 0 to 2^63 - 1.
    """
    if isinstance(seeds, Iterable) and not isinstance(seeds, str | bytes):
        return tuple(_seed(seed, where) for seed in seeds)
    count = _whole(seeds)
    if count is None:
        raise StudyError(f"{where}: seeds must be a whole number, or a list of whole numbers, not {short_repr(seeds)}")
    if count > MOST_RUNS:
        raise StudyError(
            f"{where}: seeds = {short_repr(count)} is more than the {MOST_RUNS:,} runs that a study may have"
        )
    return tuple(range(count))


def check_confirm(confirm: int, seeds: Sequence[int], where: str) -> None:
    """Refuse a number of fresh seeds that there cannot be.

    Raises:
        StudyError: it is out of range, or too few whole numbers come after the seeds.
    """
    if not 0 <= confirm <= MOST_RUNS:
        raise StudyError(
            f"{where}: confirm must be a number of seeds from 0 to {MOST_RUNS:,}, not {short_repr(confirm)}"
        )
    if max(seeds) + confirm >= END_OF_SEEDS:
        raise StudyError(f"{where}: no {confirm} fresh seeds to confirm by come after {max(seeds)}")


def _seed(seed: object, where: str) -> int:
    number = _whole(seed)
    if number is None or not 0 <= number < END_OF_SEEDS:
        raise StudyError(f"{where}: seeds must be whole numbers from 0 to 2^63 - 1, not {short_repr(seed)}")
    return number


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def check_name(name: str, where: str) -> None:
    """Refuse a name that a database cannot hold.

    Raises:
        StudyError: it has a NUL character, or half of one.
    """
    if "\0" in name or not is_utf8(name):
        raise StudyError(f"{where}: the name {name!a} has a character that no store can hold")


def check_runs(where: str, factors: Iterable[int]) -> None:
    """Refuse a study whose runs, the product of `factors`, are too many.

    Raises:
        StudyError: they are more than `MOST_RUNS`.
    """
    runs = 1
    for factor in factors:
        runs *= factor
    if runs > MOST_RUNS:
        raise StudyError(f"{where} asks for {runs:,} runs, more than the {MOST_RUNS:,} that a study may have")


def check_rates(where: str, policies: int, steps: int) -> None:
    """Refuse a study whose learning rates take too much memory.

    Args:
        policies: how many policies are trained, one at another base LR counted as another.
        steps: the longest budget in iterations.

    Raises:
        StudyError: there are more than `MOST_RATES`.
    """
    if policies * steps > MOST_RATES:
        raise StudyError(
            f"{where} has {policies:,} policies of {steps:,} iterations, which is {policies * steps:,} learning rates, "
            f"more than the {MOST_RATES:,} that a study may have"
        )
