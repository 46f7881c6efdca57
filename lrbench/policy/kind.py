"""Kinds of parameter values: each knows which values are allowed, their text, and how a budget resolves them."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from lrbench.policy.budget import (
    MAX_ITERATIONS,
    Budget,
    increases,
    length_code,
    read_length,
    read_number,
    read_per_length,
    read_whole,
    real_iterations,
    round_iterations,
    shortest,
    unknown_unit,
)

MAX_LENGTHS = 1000
_A_LENGTH = "iterations (a whole number of at least 1), '3ep' or '0.25dur'"


@dataclass(frozen=True)
class Bounds:
    """An interval of numbers; its ends belong to it unless they are open or infinite."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.low_open else number >= self.low
        below = number < self.high if self.high_open else number <= self.high
        return above and below

    def __str__(self) -> str:
        low = f"{'(' if self.low_open else '['}{shortest(float(self.low))}"
        if math.isinf(self.low):
            return "" if math.isinf(self.high) else f"of at most {shortest(float(self.high))}"
        if math.isinf(self.high):
            return f"{'greater than' if self.low_open else 'of at least'} {low[1:]}"
        return f"in {low}, {shortest(float(self.high))}{')' if self.high_open else ']'}"


class Kind(ABC):
    """A set of allowed values."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """The allowed values in words, to follow "must be"."""

    @abstractmethod
    def read(self, value: object) -> Any:
        """Return a value in its canonical form, or None where it is not allowed."""

    def text(self, value: Any) -> str:
        """Write a canonical value as text that the notation reads back."""
        return repr(value)

    def code(self, value: Any) -> str:
        """Write a canonical value as Python, which may name the fields of a budget, such as `steps`."""
        return repr(value)

    def bind(self, value: Any, budget: Budget) -> Any:
        """Resolve the lengths and rates of a canonical value that are relative to a budget.

        Raises:
            PolicyError: a length comes to no iterations.
        """
        return value

    def relative(self, value: Any) -> tuple[str, ...]:
        """List the lengths and rates of a canonical value that are relative to a budget."""
        return ()

    def mistake(self, value: object) -> str:
        """Name the part of a value that is not allowed; an empty text where it is not known."""
        return ""

    def parts(self, value: Any) -> tuple[Any, ...]:
        """List the policies inside a canonical value."""
        return ()


@dataclass(frozen=True)
class NumberKind(Kind):
    """A finite number within bounds."""

    bounds: Bounds

    @property
    def allowed(self) -> str:
        return f"a finite number {self.bounds}".rstrip()

    def read(self, value: object) -> float | None:
        number = read_number(value)
        return number if number is not None and number in self.bounds else None


@dataclass(frozen=True)
class WholeKind(Kind):
    """A whole number within bounds."""

    bounds: Bounds

    @property
    def allowed(self) -> str:
        return f"a whole number {self.bounds}".rstrip()

    def read(self, value: object) -> int | None:
        whole = read_whole(value)
        return whole if whole is not None and abs(whole) <= MAX_ITERATIONS and whole in self.bounds else None


@dataclass(frozen=True)
class FlagKind(Kind):
    """True or False."""

    allowed = "True or False"

    def read(self, value: object) -> bool | None:
        return value if isinstance(value, bool) else None


@dataclass(frozen=True)
class ChoiceKind(Kind):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return " or ".join(map(repr, self.words))

    def read(self, value: object) -> str | None:
        return value if isinstance(value, str) and value in self.words else None


class _Relative(Kind):
    """A kind whose values are text until they are bound to a budget."""

    def text(self, value: float | str) -> str:
        return str(value)

    def relative(self, value: float | str) -> tuple[str, ...]:
        return (value,) if isinstance(value, str) else ()


@dataclass(frozen=True)
class LengthKind(_Relative):
    """A length: iterations, epochs or a fraction of the budget."""

    allowed = _A_LENGTH

    def read(self, value: object) -> int | str | None:
        return read_length(value)

    def mistake(self, value: object) -> str:
        return unknown_unit(value)

    def code(self, value: int | str) -> str:
        return f"int({length_code(value)} + 0.5)" if isinstance(value, str) else repr(value)

    def bind(self, value: int | str, budget: Budget) -> int:
        return round_iterations(value, budget)


REST = "rest"
"""The length of what other parts of a policy leave of the budget."""


@dataclass(frozen=True)
class RestKind(LengthKind):
    """A length, or the rest of the budget, which its policy knows."""

    allowed = f"{_A_LENGTH}, or '{REST}' of the budget"

    def read(self, value: object) -> int | str | None:
        return REST if value == REST else super().read(value)

    def code(self, value: int | str) -> str:
        return "None" if value == REST else super().code(value)

    def bind(self, value: int | str, budget: Budget) -> Any:
        return REST if value == REST else super().bind(value, budget)


@dataclass(frozen=True)
class LengthsKind(Kind):
    """Increasing lengths."""

    allowed = f"a list of 1 to {MAX_LENGTHS} increasing lengths, each {_A_LENGTH}"

    def read(self, value: object) -> tuple[int | str, ...] | None:
        if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
            return None
        items = tuple(islice(value, MAX_LENGTHS + 1))
        found = tuple(length for item in items if (length := read_length(item)) is not None)
        fits = len(found) == len(items) and 1 <= len(items) <= MAX_LENGTHS and increases(found)
        return found if fits else None

    def mistake(self, value: object) -> str:
        items = value if isinstance(value, list | tuple) else ()
        return next(filter(None, map(unknown_unit, items)), "")

    def text(self, value: tuple[int | str, ...]) -> str:
        return f"[{', '.join(map(str, value))}]"

    def code(self, value: tuple[int | str, ...]) -> str:
        return f"[{', '.join(map(LengthKind().code, value))}]"

    def bind(self, value: tuple[int | str, ...], budget: Budget) -> tuple[int, ...]:
        return tuple(round_iterations(length, budget) for length in value)

    def relative(self, value: tuple[int | str, ...]) -> tuple[str, ...]:
        return tuple(length for length in value if isinstance(length, str))


class _RateKind(_Relative):
    """A number per iteration, or per length."""

    bounds: Bounds
    over_code: ClassVar[str]
    """`over` as Python of a number and a length."""

    @property
    def allowed(self) -> str:
        return f"a finite number {self.bounds}".rstrip() + ", or one per length such as '0.1 per 1dur'"

    @abstractmethod
    def over(self, number: float, iterations: float) -> float:
        """Return the rate per iteration that comes to `number` over a number of iterations."""

    def read(self, value: object) -> float | str | None:
        per_length = read_per_length(value)
        if per_length is None:
            number = read_number(value)
            return number if number is not None and number in self.bounds else None
        number, length = per_length
        if number not in self.bounds:
            return None
        return f"{shortest(number)} per {length}" if isinstance(length, str) else self.read(self.over(number, length))

    def mistake(self, value: object) -> str:
        return unknown_unit(value.rpartition("per")[2]) if isinstance(value, str) else ""

    def code(self, value: float | str) -> str:
        number, length = read_per_length(value) or (value, 1)
        return self.over_code.format(number, length_code(length)) if isinstance(value, str) else repr(value)

    def bind(self, value: float | str, budget: Budget) -> float:
        per_length = read_per_length(value)
        if per_length is None:
            return float(value)
        number, length = per_length
        return self.over(number, real_iterations(length, budget))


@dataclass(frozen=True)
class DecayRate(_RateKind):
    """A factor in (0, 1] that is applied every iteration."""

    bounds: Bounds = Bounds(0.0, 1.0, low_open=True)
    over_code: ClassVar[str] = "{} ** (1 / ({}))"

    def over(self, number: float, iterations: float) -> float:
        return float(number ** (1.0 / iterations)) if iterations > 1e-300 else 0.0


@dataclass(frozen=True)
class SlopeRate(_RateKind):
    """A number that is added every iteration."""

    bounds: Bounds
    over_code: ClassVar[str] = "{} / ({})"

    def over(self, number: float, iterations: float) -> float:
        return number / iterations if iterations > 1e-300 else math.inf


def short_repr(value: object) -> str:
    """Write a value for an error message, with at most 60 characters."""
    text = f"the policy {value}" if hasattr(value, "parameters") else _repr(value)
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def _repr(value: object) -> str:
    try:
        return repr(value)
    except ValueError:
        return f"a {type(value).__name__} too long to print"
