"""Parameters as data: what a policy takes, said once.

A policy class declares each parameter by one of the specifiers below (`rate`, `length`, `decay`, ...). Validation,
text, binding, catalogs, search spaces, listings and error messages all read that declaration.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Final, Literal

from lrbench.errors import PolicyError
from lrbench.policy.budget import Budget
from lrbench.policy.kind import (
    Bounds,
    DecayRate,
    Kind,
    LengthKind,
    LengthsKind,
    NumberKind,
    SlopeRate,
    WholeKind,
    short_repr,
)

Role = Literal["range", "step", "value", "part"]
"""`range`: which LRs are used; `step`: when they change; `value`: by how much; `part`: a policy inside a policy."""


class Required:
    """The default of a parameter that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED: Final = Required()


@dataclass(frozen=True)
class Parameter:
    """One parameter of a policy.

    Attributes:
        name: as it is written in Python and in text.
        role: whether it belongs to the range, the steps or the value update (the columns of the paper's table).
        unit: what it is measured in.
        kind: which values it takes; `kind.bounds` for numbers.
        doc: what it means, in half a sentence.
        default: the value it has where none is given, or `REQUIRED`.
    """

    name: str
    role: Role
    unit: str
    kind: Kind
    doc: str
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return self.kind.allowed

    def read(self, owner: str, value: object) -> Any:
        """`value` in its canonical form.

        Raises:
            PolicyError: the value is not allowed; the sentence names `owner`, the parameter, the value and what is.
        """
        canonical = self.kind.read(value)
        if canonical is None:
            mistake = self.kind.mistake(value)
            reason = f": {mistake}" if mistake else ""
            raise PolicyError(f"{owner}: {self.name} must be {self.allowed}, not {short_repr(value)}{reason}")
        return canonical

    def bind(self, owner: str, value: Any, budget: Budget) -> Any:
        """`value` with everything that is relative to a budget resolved.

        Raises:
            PolicyError: a length comes to no iterations at all.
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
    """A learning rate: finite and not negative (`positive`: not zero either)."""
    return declare("range", "learning rate", _POSITIVE if positive else _LEARNING_RATE, doc, default)


def length(doc: str, *, default: Any = REQUIRED) -> Any:
    """A length: iterations, epochs or a fraction of the budget."""
    return declare("step", "iterations", LengthKind(), doc, default)


def lengths(doc: str, *, default: Any = REQUIRED) -> Any:
    """Increasing lengths, counted from the start."""
    return declare("step", "iterations", LengthsKind(), doc, default)


def decay(doc: str, *, default: Any = REQUIRED) -> Any:
    """A factor in (0, 1] for each iteration, or for each of a length: `"0.1 per 1dur"`."""
    return declare("value", "factor per iteration", DecayRate(), doc, default)


def slope(doc: str, *, bounds: Bounds, default: Any = REQUIRED) -> Any:
    """A number that grows with t, for each iteration or for each of a length: `"10 per 1dur"`."""
    return declare("value", "per iteration", SlopeRate(bounds), doc, default)


def factor(doc: str, *, default: Any = REQUIRED) -> Any:
    """A factor in (0, 1] for each step of a policy."""
    return declare("value", "factor", NumberKind(Bounds(0.0, 1.0, low_open=True)), doc, default)


def number(doc: str, *, bounds: Bounds, unit: str = "", default: Any = REQUIRED) -> Any:
    """A plain number."""
    return declare("value", unit, NumberKind(bounds), doc, default)


def count(doc: str, *, low: int, high: float = math.inf, unit: str, default: Any = REQUIRED) -> Any:
    """A whole number of `unit`."""
    return declare("step", unit, WholeKind(Bounds(low, high)), doc, default)


def declare(role: Role, unit: str, kind: Kind, doc: str, default: Any = REQUIRED) -> Any:
    """The dataclass field that carries a `Parameter`; its name is the field's."""
    parameter = Parameter("", role, unit, kind, doc, default)
    metadata = {"parameter": parameter}
    if parameter.required:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def parameters_of(policy_class: type) -> tuple[Parameter, ...]:
    """The parameters of a policy class, in the order of their declaration.

    Raises:
        PolicyError: a field was declared without one of the specifiers of this module.
    """
    found = []
    for field in dataclasses.fields(policy_class):
        if "parameter" not in field.metadata:
            raise PolicyError(
                f"{policy_class.__name__}: declare {field.name} by a specifier, for example "
                f"`{field.name}: float = rate('what it means')`"
            )
        found.append(dataclasses.replace(field.metadata["parameter"], name=field.name))
    return tuple(found)
