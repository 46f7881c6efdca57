"""Policies of your own numbers: a list of LRs, a function of the iteration, a column of a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from lrbench.errors import PolicyError
from lrbench.files import read_regular
from lrbench.policy.budget import Length, iterations, read_whole
from lrbench.policy.function import Function, register_function
from lrbench.policy.kind import Kind, short_repr
from lrbench.policy.notation import parse
from lrbench.policy.parameter import declare, length
from lrbench.policy.policy import FloatArray, IntArray, Policy

MOST_LRS = 1_000_000
"""The most LRs of a table."""

WRITTEN_OUT = 16
"""The most LRs that a policy's text has one by one; more are named by a digest of them."""

ITERATIONS = ("step", "iteration", "t")
"""The titles of a column of iterations."""

MOST_CSV = 64 * 2**20
"""The largest CSV file that is read, in bytes."""

PolicyLike: TypeAlias = Policy | str | Callable[[Any], Any] | Sequence[float] | FloatArray
"""A policy, its text, a function of the iteration, or the LR of each iteration."""

_BY_TEXT: dict[str, FloatArray] = {}
"""The LRs of each digest that this process has met, so that the text of a policy is read back."""


class RatesKind(Kind):
    """Learning rates, one after another."""

    allowed = f"a list of 1 to {MOST_LRS:,} learning rates, each a finite number of at least 0"

    def read(self, value: object) -> FloatArray | None:
        if isinstance(value, str):
            return _BY_TEXT.get(value)
        lrs = _numbers(value)
        if lrs is None or lrs.ndim != 1 or not 1 <= lrs.size <= MOST_LRS or _first_wrong(lrs) is not None:
            return None
        lrs = lrs + 0.0
        lrs.flags.writeable = False
        if lrs.size > WRITTEN_OUT:
            _BY_TEXT.setdefault(_digest(lrs), lrs)
        return lrs

    def text(self, value: FloatArray) -> str:
        return repr(value.tolist()) if value.size <= WRITTEN_OUT else f'"{_digest(value)}"'

    def code(self, value: FloatArray) -> str:
        return repr(value.tolist())

    def mistake(self, value: object) -> str:
        if isinstance(value, str):
            return "the text has a digest of them, and no study that was read here has the LRs themselves"
        lrs = _numbers(value)
        if lrs is None or lrs.ndim != 1:
            return ""
        wrong = _first_wrong(lrs)
        return f"there are {lrs.size:,}" if wrong is None else f"that of iteration {wrong} is {lrs[wrong]}"


RATES = RatesKind()


class Rates(Function):
    """A function of LRs that are given one by one."""

    group = "table"
    source = "your own numbers"
    values: Sequence[float] | FloatArray = declare("value", "learning rate", RATES, "the LRs in order")

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self.__post_init__()

    @property
    def array(self) -> FloatArray:
        """The LRs, float64 [n]."""
        return np.asarray(self.values)

    @property
    def bounds(self) -> tuple[float, float]:
        return float(self.array.min()), float(self.array.max())


@register_function
class TABLE(Rates):
    """The LR of each iteration, one by one; a budget of more iterations than LRs is refused.

    A shorter budget has the first of them.

    >>> TABLE(values=[0.1, 0.1, 0.05, 0.01])(2)
    0.05
    """

    formula = "lr = values[t]"
    code = "values[min(t, len(values) - 1)]"

    @property
    def ends(self) -> float:
        return self.array.size

    def lr(self, t: IntArray) -> FloatArray:
        return self.array[np.minimum(t, self.array.size - 1)]


@register_function
class POLYLINE(Rates):
    """Straight lines through LRs that are evenly spread from 0 to l; stays at the last.

    >>> POLYLINE(values=[0, 1, 1, 0], l=30)(5)
    0.5
    """

    formula = "lr = straight lines through the values at 0, l/(n-1), 2l/(n-1), ..., l"
    code = (
        "x = (len(values) - 1) * min(t / l, 1)\n"
        "i = int(x)\n"
        "values[i] + (x - i) * (values[min(i + 1, len(values) - 1)] - values[i])"
    )
    l: Length = length("from the first LR to the last")

    def lr(self, t: IntArray) -> FloatArray:
        places = np.linspace(0.0, iterations(self.l), self.array.size)
        return np.interp(t, places, self.array)


def policy_of(given: PolicyLike, steps: int | None = None) -> Policy:
    """Return a policy as it is, or that of a text, a function of the iteration, or the LR of each iteration.

    Args:
        steps: the iterations for which a function is asked.

    Raises:
        PolicyError: it is none of these, or a function fails or gives what is no LR.
    """
    if isinstance(given, Policy):
        return given
    if isinstance(given, str):
        return parse(given)
    if callable(given) and not isinstance(given, type):
        if steps is None:
            raise PolicyError("a function of the iteration needs a budget: give steps=...")
        return tabulate(given, steps)
    lrs = _numbers(given)
    if lrs is not None:
        return TABLE(values=lrs)
    allowed = 'a policy, its text such as "FIX(k0=0.1)", a function of the iteration, or a list of LRs'
    raise PolicyError(f"{short_repr(given)} must be {allowed}")


def tabulate(function: Callable[[Any], Any], steps: int, *, peak: float = 1.0) -> TABLE:
    """Make the policy of a function of the iteration, such as `lambda t: 0.1 * 0.999**t`.

    The function is called with 0, 1, ..., `steps` - 1, each as an int; one that takes only arrays is given all of them
    at once.

    Args:
        steps: the budget in iterations.
        peak: what each value is multiplied by: a function for torch's LambdaLR gives factors of the optimizer's LR.

    Raises:
        PolicyError: the function fails or gives what is no LR, or there are more iterations than a table may have.
    """
    number = read_whole(steps)
    if number is None or not 1 <= number <= MOST_LRS:
        raise PolicyError(f"a function is asked for 1 to {MOST_LRS:,} iterations, not {short_repr(steps)}")
    name = function_name(function) or "the function of the iteration"
    lrs = _called(function, number, name) * peak
    wrong = _first_wrong(lrs)
    if wrong is not None:
        raise PolicyError(f"{name} gives {lrs[wrong]} for iteration {wrong}: an LR is a finite number of at least 0")
    return TABLE(values=lrs)


def function_name(given: object) -> str | None:
    """Return the name of a function; None of a lambda and of what is no function."""
    name = None if isinstance(given, Policy) else getattr(given, "__name__", None)
    return name if isinstance(name, str) and name.isidentifier() else None


def load_lrs(path: str | Path) -> FloatArray:
    """Read the LR of each iteration from a CSV file: its one column, or the one that is called lr.

    A line that begins with # is a comment.

    Raises:
        PolicyError: the file cannot be read, is too large, or has no such column, a value is no number, or a column
            step, iteration or t does not count from 0 or 1.
    """
    try:
        text = read_regular(path, MOST_CSV).decode("utf-8-sig")
        lines = enumerate(csv.reader(text.splitlines()), start=1)
        rows = [(number, row) for number, row in lines if row and not row[0].startswith("#")]
    except OSError as error:
        reason = "it is a folder" if isinstance(error, IsADirectoryError) else error.strerror or error
        raise PolicyError(f"{path} cannot be read as a CSV file: {reason}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise PolicyError(f"{path} is not a CSV file in UTF-8: {error}") from None
    titles = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    if len(titles) != 1 and "lr" not in titles:
        raise PolicyError(f"{path} must have one column, or one that is called lr")
    column = titles.index("lr") if "lr" in titles else 0
    _check_each_iteration(path, titles, rows[1:])
    lrs = [(number, _number(row[column]) if column < len(row) else None) for number, row in rows]
    if lrs[0][1] is None:
        del lrs[0]
    for number, lr in lrs:
        if lr is None:
            raise PolicyError(f"{path}: line {number} has no number in its column of LRs")
    return np.asarray([lr for _, lr in lrs], dtype=np.float64)


def _check_each_iteration(path: str | Path, titles: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]]) -> None:
    """Refuse a column of iterations that leaves some out, as a log of every fiftieth step does."""
    at = next((titles.index(title) for title in ITERATIONS if title in titles), None)
    if at is None:
        return
    found = [(number, _number(row[at]) if at < len(row) else None) for number, row in rows]
    first = found[0][1] if found else None
    begin = 1.0 if first == 1.0 else 0.0
    for place, (number, step) in enumerate(found):
        if step != begin + place:
            raise PolicyError(
                f"{path}: line {number} is of {titles[at]} {'nothing' if step is None else f'{step:g}'}, where "
                f"{begin + place:.0f} is needed: a CSV of LRs has a row for each iteration, one after another"
            )


def long_tables(policy: Policy) -> Iterator[FloatArray]:
    """List the LRs in a policy that its text has only a digest of."""
    if isinstance(policy, Rates) and policy.array.size > WRITTEN_OUT:
        yield policy.array
    for part in policy.parts:
        yield from long_tables(part)


def _called(function: Callable[[Any], Any], steps: int, name: str) -> FloatArray:
    lrs, step = np.empty(steps), 0
    try:
        for step in range(steps):
            lrs[step] = float(function(step))
    except (Exception, SystemExit) as error:
        every = _called_at_once(function, steps) if step == 0 else None
        if every is None:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise PolicyError(f"{name} fails for iteration {step}: {reason}") from error
        return every
    return lrs


def _called_at_once(function: Callable[[Any], Any], steps: int) -> FloatArray | None:
    try:
        lrs = _numbers(function(np.arange(steps)))
    except (Exception, SystemExit):
        return None
    return lrs if lrs is not None and lrs.shape == (steps,) else None


def _numbers(value: object) -> FloatArray | None:
    """Read a list or an array of numbers; None where it is none."""
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return None
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return array.astype(np.float64) if array.dtype.kind in "iuf" else None


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _first_wrong(lrs: FloatArray) -> int | None:
    """Return the place of the first that is no LR; None where all are."""
    wrong = ~(np.isfinite(lrs) & (lrs >= 0))
    return int(wrong.argmax()) if wrong.any() else None


def _digest(lrs: FloatArray) -> str:
    digest = blake2b(lrs.astype("<f8").tobytes(), digest_size=8).hexdigest()
    return f"{lrs.size} LRs of {lrs.min():.4g} to {lrs.max():.4g}, {digest}"
