"""Lengths and rates that fit any budget.

A length is a whole number of iterations (`2000`), or portable: `"3ep"` is 3 epochs, `"0.25dur"` a quarter of the
budget; where a text is trained on, `"2e6tok"` is two million tokens and `"20tok/param"` 20 for each parameter.
A rate is a number per iteration (`0.999`), or portable: `"0.1 per 1dur"` is a tenth over the whole budget.
Portable ones are kept as text until a budget is known.
"""

import itertools
import math
import re
from dataclasses import dataclass, fields
from numbers import Integral, Real

from lrbench.display.names import many
from lrbench.errors import PolicyError, did_you_mean

Length = int | str
"""Iterations as an int, or `"3ep"`, `"0.25dur"`, `"2e6tok"` or `"20tok/param"`."""

Rate = float | str
"""A number per iteration, or one per length: `"0.1 per 1dur"`."""

MAX_ITERATIONS = 2**53
"""The largest iteration: up to here float64 counts every iteration exactly."""

LONGEST_TEXT = 400
"""The longest text of a number, a length or a rate, in characters: matching a text may take the square of them."""

NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
UNITS = ("tok/param", "tok", "ep", "dur")
UNIT = "|".join(UNITS)
_OTHER_UNIT = re.compile(rf"\s*{NUMBER}\s*(?P<unit>[^\W\d]\w{{0,30}})\s*\Z")
_PORTABLE = re.compile(rf"\s*(?P<number>{NUMBER})\s*(?P<unit>{UNIT})\s*")
_PER_LENGTH = re.compile(rf"\s*(?P<number>{NUMBER})\s+per\s+(?P<length>\S.*?)\s*")


@dataclass(frozen=True)
class Budget:
    """The length of a run: its iterations, and how many of them make an epoch.

    Where a text is trained on, `tokens_per_step` are the tokens of an iteration, and `parameters` those of the model.

    Raises:
        PolicyError: one of them is not a whole number of at least 1.
    """

    steps: int
    steps_per_epoch: int
    tokens_per_step: int | None = None
    parameters: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None and name in ("tokens_per_step", "parameters"):
                continue
            whole = read_whole(value)
            if whole is None or not 1 <= whole <= MAX_ITERATIONS:
                raise PolicyError(f"a budget needs {name} to be a whole number of at least 1, not {value!r}")
            object.__setattr__(self, name, whole)

    def __str__(self) -> str:
        return f"{many(self.steps, 'iteration')}, {self.steps_per_epoch:,} an epoch"

    @property
    def own_steps(self) -> int:
        """The iterations that a policy has of it: all of them."""
        return self.steps

    def part(self, steps: int) -> "BudgetOfPart":
        """Return the budget of a part of a policy that has some iterations; lengths stay those of the whole."""
        known = {field.name: getattr(self, field.name) for field in fields(Budget)}
        return BudgetOfPart(**known, part_steps=max(1, min(steps, self.own_steps)))


@dataclass(frozen=True)
class BudgetOfPart(Budget):
    """The budget of a run, of which a part of a policy has some iterations of its own."""

    part_steps: int = 1

    @property
    def own_steps(self) -> int:
        return self.part_steps


def read_number(value: object) -> float | None:
    """Read a value as a finite float; None where it is not a finite real number (a bool is none)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number + 0.0 if math.isfinite(number) else None


def read_whole(value: object) -> int | None:
    """Read a value as an int; None where it is not a whole number (2e3 is one, True is none)."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    number = read_number(value)
    return int(number) if number is not None and number.is_integer() else None


def read_length(value: object) -> Length | None:
    """Read a value as a length in its canonical form; None where it is none."""
    if not isinstance(value, str):
        whole = read_whole(value)
        return whole if whole is not None and 1 <= whole <= MAX_ITERATIONS else None
    match = _PORTABLE.fullmatch(value) if len(value) <= LONGEST_TEXT else None
    number = read_number(float(match["number"])) if match else None
    return f"{shortest(number)}{match['unit']}" if match and number and number > 0 else None


def read_per_length(value: object) -> tuple[float, Length] | None:
    """Read the number and the length of `"0.1 per 1dur"`; None where the value is no such text."""
    match = _PER_LENGTH.fullmatch(value) if isinstance(value, str) and len(value) <= LONGEST_TEXT else None
    if match is None:
        return None
    number = read_number(float(match["number"]))
    length = match["length"]
    span = read_length(int(length) if length.isdecimal() and len(length) < 20 else length)
    return (number, span) if number is not None and span is not None else None


def unknown_unit(value: object) -> str:
    """Refuse the unit of a text that is otherwise a length: `there is no unit 'dr' (did you mean 'dur'?)`; else ""."""
    match = _OTHER_UNIT.match(value) if isinstance(value, str) else None
    if match is None or match["unit"] in UNITS:
        return ""
    return f"there is no unit {match['unit']!r}{did_you_mean(match['unit'], UNITS)}"


def real_iterations(length: Length, budget: Budget) -> float:
    """Return a length in iterations under a budget, before rounding.

    Raises:
        PolicyError: it is in tokens, and the budget has none.
    """
    number, unit = _split(length)
    if unit not in ("tok", "tok/param"):
        return number * {"iterations": 1, "ep": budget.steps_per_epoch, "dur": budget.steps}[unit]
    if budget.tokens_per_step is None or (unit == "tok/param" and budget.parameters is None):
        missing = "tokens_per_step" if budget.tokens_per_step is None else "parameters"
        raise PolicyError(f"the length {length} is in tokens, which a task on a text has, or a budget with {missing}")
    return number * (budget.parameters or 1 if unit == "tok/param" else 1) / budget.tokens_per_step


def length_code(length: Length) -> str:
    """Write a length in iterations as Python of the fields of a budget, such as `steps` and `steps_per_epoch`."""
    number, unit = _split(length)
    of_tokens = {"tok": " / tokens_per_step", "tok/param": " * parameters / tokens_per_step"}
    return shortest(number) + {"iterations": "", "ep": " * steps_per_epoch", "dur": " * steps", **of_tokens}[unit]


def round_iterations(length: Length, budget: Budget) -> int:
    """Return a length in iterations under a budget, rounded to the nearest, halves up.

    Raises:
        PolicyError: it comes to less than half an iteration, or to more than can be counted.
    """
    if isinstance(length, int):
        return length
    real = real_iterations(length, budget)
    if not 0.5 <= real <= MAX_ITERATIONS:
        bound = "at least 1" if real < 0.5 else f"at most {MAX_ITERATIONS:,}"
        raise PolicyError(f"{length} comes to {real:.3g} iterations and must come to {bound}")
    return math.floor(real + 0.5)


def increases(lengths: tuple[Length, ...]) -> bool:
    """Return whether each length is longer than the one before, as far as it is known without a budget."""
    pairs = itertools.pairwise(map(_split, lengths))
    return all(left < right for (left, unit), (right, right_unit) in pairs if unit == right_unit)


def iterations(length: Length) -> int:
    """Return a bound length as a number.

    Raises:
        PolicyError: it is relative to a budget.
    """
    if isinstance(length, str):
        raise PolicyError(f"the length {length} depends on the budget: bind the policy first")
    return length


def per_iteration(rate: Rate) -> float:
    """Return a bound rate as a number per iteration.

    Raises:
        PolicyError: it is relative to a budget.
    """
    if isinstance(rate, str):
        raise PolicyError(f"the rate {rate} depends on the budget: bind the policy first")
    return rate


def shortest(number: float) -> str:
    """Write the shortest text that reads back as `number`, without a trailing `.0`."""
    return repr(number).removesuffix(".0")


def _split(length: Length) -> tuple[float, str]:
    match = _PORTABLE.fullmatch(length) if isinstance(length, str) else None
    return (float(match["number"]), match["unit"]) if match else (float(length), "iterations")
