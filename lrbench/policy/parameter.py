"""Parameters as data: what a policy or a modifier takes, declared once.

A class declares each parameter by one of the specifiers below (`rate`, `length`, `number`, ...). Validation, text,
binding, catalogs, search spaces, listings and error messages all read that declaration.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, TypeVar

from lrbench.errors import LRBenchError, PolicyError, did_you_mean
from lrbench.policy.budget import Budget
from lrbench.policy.kind import (
    REST,
    Bounds,
    ChoiceKind,
    DecayRate,
    FlagKind,
    Kind,
    LengthKind,
    LengthsKind,
    NumberKind,
    RestKind,
    SlopeRate,
    WholeKind,
    short_repr,
)

Role = Literal["range", "step", "value", "part"]
"""`range`: the LRs used; `step`: when they change; `value`: by how much; `part`: a policy inside a policy."""


class Required:
    """The default of a parameter that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED: Final = Required()

T = TypeVar("T")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a policy or a modifier.

    Attributes:
        name: its name in Python, in text and in study files.
        role: of a policy's parameter, the column of the paper's table: range, steps or value update.
        unit: its unit.
        kind: its allowed values; `kind.bounds` for numbers.
        doc: what it means, in half a sentence.
        default: its value where none is given, or `REQUIRED`.
        added_later: whether a modifier's text has it only where it is not at its default, so that the text of modifiers
            from before there was the setting, which is part of a run's key, stays.
    """

    name: str
    role: Role
    unit: str
    kind: Kind
    doc: str
    default: Any = REQUIRED
    added_later: bool = False

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return self.kind.allowed

    def read(self, owner: str, value: object, error: type[LRBenchError] = PolicyError) -> Any:
        """Return `value` in its canonical form.

        Raises:
            error: the value is not allowed; the sentence names `owner`, the parameter, the value and what is allowed.
        """
        canonical = self.kind.read(value)
        if canonical is None:
            mistake = self.kind.mistake(value)
            reason = f": {mistake}" if mistake else ""
            raise error(f"{owner}: {self.name} must be {self.allowed}, not {short_repr(value)}{reason}")
        return canonical

    def bind(self, owner: str, value: Any, budget: Budget) -> Any:
        """Resolve the lengths and rates of `value` that are relative to a budget.

        Raises:
            PolicyError: a length comes to no iterations.
        """
        if self.role == "part":
            return self.kind.bind(value, budget)
        try:
            return self.kind.bind(value, budget)
        except PolicyError as error:
            raise PolicyError(f"{owner}: {self.name} does not fit a budget of {budget}: {error}") from None


_LEARNING_RATE = NumberKind(Bounds(low=0.0))
_POSITIVE = NumberKind(Bounds(low=0.0, low_open=True))


def rate(doc: str, *, default: Any = REQUIRED, positive: bool = False) -> Any:
    """Declare a learning rate: finite and not negative (`positive`: not zero either)."""
    return declare("range", "learning rate", _POSITIVE if positive else _LEARNING_RATE, doc, default)


def length(doc: str, *, default: Any = REQUIRED) -> Any:
    """Declare a length: iterations, epochs or a fraction of the budget."""
    return declare("step", "iterations", LengthKind(), doc, default)


def rest(doc: str) -> Any:
    """Declare a length that is by default what the others leave of the budget; the policy's `bind_to` resolves it."""
    return declare("step", "iterations", RestKind(), doc, REST)


def lengths(doc: str, *, default: Any = REQUIRED) -> Any:
    """Declare increasing lengths, counted from the start."""
    return declare("step", "iterations", LengthsKind(), doc, default)


def decay(doc: str, *, default: Any = REQUIRED) -> Any:
    """Declare a factor in (0, 1] for each iteration, or over a length: `"0.1 per 1dur"`."""
    return declare("value", "factor per iteration", DecayRate(), doc, default)


def slope(doc: str, *, bounds: Bounds, default: Any = REQUIRED) -> Any:
    """Declare a number that is added every iteration, or over a length: `"10 per 1dur"`."""
    return declare("value", "per iteration", SlopeRate(bounds), doc, default)


def factor(doc: str, *, default: Any = REQUIRED) -> Any:
    """Declare a factor in (0, 1] for each step of a policy."""
    return declare("value", "factor", NumberKind(Bounds(0.0, 1.0, low_open=True)), doc, default)


def number(doc: str, *, bounds: Bounds, unit: str = "", default: Any = REQUIRED) -> Any:
    """Declare a plain number."""
    return declare("value", unit, NumberKind(bounds), doc, default)


def count(doc: str, *, low: int, high: float = math.inf, unit: str, default: Any = REQUIRED) -> Any:
    """Declare a whole number of `unit`."""
    return declare("step", unit, WholeKind(Bounds(low, high)), doc, default)


def flag(doc: str, *, default: Any = REQUIRED, added_later: bool = False) -> Any:
    """Declare a flag, True or False."""
    return declare("value", "", FlagKind(), doc, default, added_later)


def choice(doc: str, *, words: tuple[str, ...], default: Any = REQUIRED) -> Any:
    """Declare one of a few words."""
    return declare("value", "", ChoiceKind(words), doc, default)


def declare(role: Role, unit: str, kind: Kind, doc: str, default: Any = REQUIRED, added_later: bool = False) -> Any:
    """Make the dataclass field of a `Parameter`, which has the field's name."""
    metadata = {"parameter": Parameter("", role, unit, kind, doc, default, added_later)}
    return dataclasses.field(default=dataclasses.MISSING if default is REQUIRED else default, metadata=metadata)


def parameters_of(owner: type) -> tuple[Parameter, ...]:
    """Return the declared parameters of a dataclass, in the order of their declaration."""
    return _parameters_of(owner)


@cache
def _parameters_of(owner: type) -> tuple[Parameter, ...]:
    declared = (field for field in dataclasses.fields(owner) if "parameter" in field.metadata)
    return tuple(dataclasses.replace(field.metadata["parameter"], name=field.name) for field in declared)


def check_declared(owner: type, error: type[LRBenchError]) -> None:
    """Raise `error` where a field of a dataclass is declared without a specifier."""
    for field in dataclasses.fields(owner):
        if "parameter" not in field.metadata:
            example = f"{field.name}: float = number('what it means', bounds=Bounds(0, 1))"
            raise error(f"{owner.__name__}: declare {field.name} by a specifier, for example `{example}`")


def build_declared(owner: type[T], word: str, arguments: Mapping[str, object], error: type[LRBenchError]) -> T:
    """Build a class of declared parameters, each called a `word` in errors; those left out have their defaults.

    Raises:
        error: a parameter is unknown or missing, or a value is not allowed.
    """
    parameters = parameters_of(owner)
    names = [parameter.name for parameter in parameters]
    for given in arguments:
        if given not in names:
            hint = did_you_mean(str(given), names)
            takes = ", ".join(names) or "none"
            raise error(f"{owner.__name__} has no {word} {short_repr(given)}{hint}: it takes {takes}")
    for parameter in parameters:
        if parameter.required and parameter.name not in arguments:
            raise error(f"{owner.__name__} needs {parameter.name} ({parameter.doc}): {parameter.allowed}")
    return owner(**arguments)
