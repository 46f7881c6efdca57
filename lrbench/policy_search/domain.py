"""The domains of a search's numbers: a range, even in the number or its logarithm, or a list of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

DIGITS = 3
"""Numbers are rounded to this many significant digits: what is trained is what is printed."""


class Chooser(Protocol):
    """What chooses: a trial of Optuna, or one whose choices are fixed."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`.

    Attributes:
        log: equal factors are equally likely, not equal differences.
        whole: whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def choose(self, chooser: Chooser, name: str, levels: int | None) -> float:
        """Choose a number; one of `levels` evenly spaced ones where they are given."""
        if self.low == self.high:
            return self.low
        if self.whole:
            return chooser.suggest_int(name, round(self.low), round(self.high), log=self.log)
        if levels is None:
            return rounded(chooser.suggest_float(name, self.low, self.high, log=self.log))
        share = chooser.suggest_int(name, 0, levels - 1) / (levels - 1)
        if self.log:
            return rounded(self.low ** (1 - share) * self.high**share)
        return rounded((1 - share) * self.low + share * self.high)

    def to_json(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class OneOf:
    """A list of values; a single one is no choice."""

    values: tuple[Any, ...]

    def choose(self, chooser: Chooser, name: str, levels: int | None) -> Any:
        """Choose a value, whatever the levels."""
        if len(self.values) == 1:
            return self.values[0]
        texts = [value if isinstance(value, bool | int | float | str) else str(value) for value in self.values]
        return self.values[texts.index(chooser.suggest_categorical(name, texts))]

    def to_json(self) -> list[Any]:
        return list(self.values)


Domain = Between | OneOf


def rounded(number: float) -> float:
    """Round a number to three significant digits."""
    return float(f"{number:.{DIGITS}g}")
