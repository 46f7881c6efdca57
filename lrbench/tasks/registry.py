"""Names for datasets, models and tasks: three registries filled by decorators, read by everything else.

A registration is a function with keyword-only options. Its signature is the declaration of those options, and the
first line of its docstring is what `lrbench list` prints.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from lrbench.errors import TaskError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from lrbench.tasks.data import RawData
    from lrbench.tasks.settings import TaskSettings

F = TypeVar("F", bound=Callable[..., Any])
Options = Mapping[str, Any]


class Sources(Protocol):
    """The files that a dataset is decoded from, in a fixed order; raises DataError where one is missing."""

    def __call__(self, root: Path, *, download: bool, **options: Any) -> tuple[Path, ...]: ...


@dataclass(frozen=True)
class Registration(Generic[F]):
    """A registered function. `version` identifies what it computes; None means: identify it by its code."""

    name: str
    build: F
    version: int | None = None
    sources: Sources | None = None

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.build) or "").partition("\n")[0]

    @property
    def options(self) -> Mapping[str, Any]:
        """The options it takes, with their defaults; `inspect.Parameter.empty` marks a required one."""
        parameters = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def complete(self, options: Options, noun: str) -> dict[str, Any]:
        """`options` with the defaults filled in; raises TaskError for an unknown or a missing one."""
        declared = self.options
        unknown = next((name for name in options if name not in declared), None)
        if unknown is not None:
            allowed = f"its options are {', '.join(declared)}" if declared else "it has no options"
            hint = did_you_mean(unknown, declared)
            raise TaskError(f"{noun} '{self.name}' has no option '{unknown}'{hint}; {allowed}")
        complete = {**declared, **{name: frozen(value) for name, value in options.items()}}
        missing = next((name for name, value in complete.items() if value is inspect.Parameter.empty), None)
        if missing is not None:
            raise TaskError(f"{noun} '{self.name}' needs the option '{missing}'")
        return complete


def frozen(value: Any) -> Any:
    """Lists as tuples, so that an option read from a file equals the same option written in Python."""
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


class Registry(Mapping[str, Registration[F]]):
    """A read-only mapping of names to entries; only the `register_*` decorators add to it."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._entries: dict[str, Registration[F]] = {}

    def __getitem__(self, name: str) -> Registration[F]:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str) -> Registration[F]:
        """The entry called `name`; raises TaskError with the nearest name where there is none."""
        if name not in self._entries:
            hint = did_you_mean(name, self._entries) or f"; registered are {', '.join(self._entries)}"
            raise TaskError(f"no {self.noun} is called '{name}'{hint}")
        return self._entries[name]

    def add(self, entry: Registration[F]) -> None:
        """Take in a new entry. Only the module that registered a name may register it again (a notebook cell)."""
        known = self._entries.get(entry.name)
        if known is not None and known.build.__module__ != entry.build.__module__:
            raise TaskError(f"a {self.noun} called '{entry.name}' is already registered; choose another name")
        self._entries[entry.name] = entry

    def descriptions(self) -> Mapping[str, str]:
        """Each registered name with its one-line description."""
        return MappingProxyType({name: entry.description for name, entry in self._entries.items()})


models: Registry["Callable[..., nn.Module]"] = Registry("model")
datasets: Registry["Callable[..., RawData]"] = Registry("dataset")
tasks: Registry["Callable[[], TaskSettings]"] = Registry("task")


def register_model(name: str, *, version: int | None = None) -> Callable[[F], F]:
    """Register `f(input_shape: tuple[int, ...], num_classes: int, *, **options) -> nn.Module` under `name`.

    Without a `version` the model is identified by the function's code, so that editing it retrains what it changed.
    """

    def register(build: F) -> F:
        models.add(Registration(name, build, version))
        return build

    return register


def register_dataset(name: str, *, version: int | None = None, sources: Sources | None = None) -> Callable[[F], F]:
    """Register `f(root: Path, download: bool, *, **options) -> RawData` under `name`.

    With `sources`, the decoded arrays are cached until one of these files (its size or time), an option or the
    `version` changes. Without, the function is called whenever the dataset is loaded.
    """

    def register(build: F) -> F:
        datasets.add(Registration(name, build, version, sources))
        return build

    return register


def register_task(name: str) -> Callable[[F], F]:
    """Register `f() -> TaskSettings` under `name`; listing tasks calls it, so it must load no data.

    What uses the task raises TaskError where `f` returns something else.
    """

    def register(build: F) -> F:
        @functools.wraps(build)
        def checked() -> "TaskSettings":
            from lrbench.tasks.settings import TaskSettings

            settings = build()
            if not isinstance(settings, TaskSettings):
                kind = type(settings).__name__
                raise TaskError(f"the function that is registered as task '{name}' returns {kind}, not TaskSettings")
            return settings

        tasks.add(Registration(name, checked))
        return build

    return register
