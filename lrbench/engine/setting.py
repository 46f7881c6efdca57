"""Settings as data: what a training method takes, said once.

A method declares each setting by one of the specifiers below. Checking, text, listings and error messages all read
that declaration.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Final

from lrbench.engine.size import byte_count, exact_size
from lrbench.errors import TaskError
from lrbench.policy.kind import Bounds, Kind, NumberKind, WholeKind, short_repr

REQUIRED: Final = dataclasses.MISSING
"""The default of a setting that has none."""


@dataclass(frozen=True)
class FlagKind(Kind):
    """True or False."""

    @property
    def allowed(self) -> str:
        return "True or False"

    def read(self, value: object) -> bool | None:
        return value if isinstance(value, bool) else None

    def text(self, value: bool) -> str:
        return repr(value)


@dataclass(frozen=True)
class ChoiceKind(Kind):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return " or ".join(map(repr, self.words))

    def read(self, value: object) -> str | None:
        return value if isinstance(value, str) and value in self.words else None

    def text(self, value: str) -> str:
        return repr(value)


@dataclass(frozen=True)
class SizeKind(Kind):
    """An amount of memory; its canonical form is text in binary units, such as '2GiB'."""

    @property
    def allowed(self) -> str:
        return "a number of bytes or a size such as '512MiB' or '2GiB'"

    def read(self, value: object) -> str | None:
        count = byte_count(value)
        return None if count is None else exact_size(count)

    def text(self, value: str) -> str:
        return repr(value)


@dataclass(frozen=True)
class Setting:
    """One setting of a training method.

    Attributes:
        name: as it is written in Python, in text and in a study file.
        unit: what it is measured in.
        kind: which values it takes.
        doc: what it means, in half a sentence.
        default: the value it has where none is given, or `REQUIRED`.
    """

    name: str
    unit: str
    kind: Kind
    doc: str
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def allowed(self) -> str:
        """The allowed values in words, to follow "must be"."""
        return self.kind.allowed

    def read(self, owner: str, value: object) -> Any:
        """`value` in its canonical form.

        Raises:
            TaskError: the value is not allowed; the sentence names `owner`, the setting, the value and what is.
        """
        canonical = self.kind.read(value)
        if canonical is None:
            raise TaskError(f"{owner}: {self.name} must be {self.allowed}, not {short_repr(value)}")
        return canonical


def number(doc: str, *, bounds: Bounds, unit: str = "", default: Any = REQUIRED) -> Any:
    """A finite number within bounds."""
    return _declare(Setting("", unit, NumberKind(bounds), doc, default))


def count(doc: str, *, low: int, high: float = math.inf, unit: str, default: Any = REQUIRED) -> Any:
    """A whole number of `unit`, from `low` to `high`."""
    return _declare(Setting("", unit, WholeKind(Bounds(low, high)), doc, default))


def flag(doc: str, *, default: Any = REQUIRED) -> Any:
    """Something that is done or not."""
    return _declare(Setting("", "", FlagKind(), doc, default))


def choice(doc: str, *, words: tuple[str, ...], default: Any = REQUIRED) -> Any:
    """One of a few words."""
    return _declare(Setting("", "", ChoiceKind(words), doc, default))


def size(doc: str, *, default: Any = REQUIRED) -> Any:
    """An amount of memory."""
    return _declare(Setting("", "bytes", SizeKind(), doc, default))


def settings_of(method: type) -> tuple[Setting, ...]:
    """The declared settings of a method's class, in the order of their declaration."""
    declared = (field for field in dataclasses.fields(method) if "setting" in field.metadata)
    return tuple(dataclasses.replace(field.metadata["setting"], name=field.name) for field in declared)


def _declare(setting: Setting) -> Any:
    """The dataclass field that carries a `Setting`; its name is the field's."""
    return dataclasses.field(default=setting.default, metadata={"setting": setting})
