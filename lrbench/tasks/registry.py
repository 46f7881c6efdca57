"""Names for datasets, models and tasks: three registries filled by decorators.

A registration is a function with keyword-only options. Its signature declares those options, and `lrbench list` prints
the first line of its docstring.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from lrbench.errors import TaskError, did_you_mean
from lrbench.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from lrbench.tasks.any_task import AnyTask
    from lrbench.tasks.raw_data import RawData
    from lrbench.tasks.settings import TaskSettings

F = TypeVar("F", bound=Callable[..., Any])
Options = Mapping[str, Any]


class Sources(Protocol):
    """The files that a dataset is decoded from, in a fixed order; raises DataError where one is missing."""

    def __call__(self, root: Path, *, download: bool, **options: Any) -> tuple[Path, ...]: ...


@dataclass(frozen=True)
class Registration(Generic[F]):
    """A registered function. Its `version` identifies its result; without one, its code does.

    A model that `reads_tokens` is one of texts.
    """

    name: str
    build: F
    version: int | None = None
    sources: Sources | None = None
    reads_tokens: bool = False

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.build) or "").partition("\n")[0]

    @property
    def options(self) -> Mapping[str, Any]:
        """The function's options with their defaults; `inspect.Parameter.empty` marks a required one."""
        parameters = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def complete(self, options: Options, noun: str) -> dict[str, Any]:
        """Fill in the defaults of options.

        Raises:
            TaskError: an option is unknown or missing.
        """
        declared = self.options
        check_options(f"{noun} '{self.name}'", options, declared)
        complete = {**declared, **{name: frozen(value) for name, value in options.items()}}
        missing = next((name for name, value in complete.items() if value is inspect.Parameter.empty), None)
        if missing is not None:
            raise TaskError(f"{noun} '{self.name}' needs the option '{missing}'")
        return complete


def check_options(where: str, options: Options, allowed: Collection[str]) -> None:
    """Raise TaskError for the first option that is not allowed."""
    unknown = next((name for name in options if name not in allowed), None)
    if unknown is not None:
        its = f"its options are {', '.join(allowed)}" if allowed else "it has no options"
        raise TaskError(f"{where} has no option '{unknown}'{did_you_mean(unknown, allowed)}; {its}")


def frozen(value: Any) -> Any:
    """Return lists as tuples, so that an option read from a file equals the same option written in Python."""
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


models: Registry[Registration["Callable[..., nn.Module]"]] = Registry("model", TaskError, "lrbench.tasks.models")
datasets: Registry[Registration["Callable[..., RawData]"]] = Registry("dataset", TaskError, "lrbench.tasks.datasets")
tasks: Registry[Registration["Callable[[], TaskSettings | AnyTask]"]] = Registry(
    "task", TaskError, "lrbench.tasks.registered"
)


def register_model(name: str, *, version: int | None = None, reads_tokens: bool = False) -> Callable[[F], F]:
    """Register `f(input_shape: tuple[int, ...], num_classes: int, *, **options) -> nn.Module` under `name`.

    Without a `version` the model is identified by the function's code, so that editing it retrains what it changed.
    One that `reads_tokens` is for texts: its inputs are token ids [N, T], `num_classes` is the vocabulary, and its
    outputs are logits [N, vocabulary, T].
    """

    def register(build: F) -> F:
        models.add(name, Registration(name, build, version, reads_tokens=reads_tokens), build.__module__)
        return build

    return register


def register_dataset(name: str, *, version: int | None = None, sources: Sources | None = None) -> Callable[[F], F]:
    """Register `f(root: Path, download: bool, *, **options) -> RawData` under `name`.

    With `sources`, the decoded arrays are cached until one of these files (its size or time), an option or the
    `version` changes. Without, the function is called whenever the dataset is loaded.
    """

    def register(build: F) -> F:
        datasets.add(name, Registration(name, build, version, sources), build.__module__)
        return build

    return register


def register_task(name: str) -> Callable[[F], F]:
    """Register `f() -> TaskSettings` under `name`, or `f() -> Task`, which may be a task that is made already.

    Listing tasks calls it, so that it should load no large data. Using the task raises TaskError where `f` returns
    something else.
    """

    def register(build: F) -> F:
        @functools.wraps(build)
        def checked() -> "TaskSettings | AnyTask":
            from lrbench.tasks.any_task import AnyTask
            from lrbench.tasks.settings import TaskSettings

            task = build()
            if not isinstance(task, TaskSettings | AnyTask):
                kind = type(task).__name__
                raise TaskError(f"the function that is registered as task '{name}' returns {kind}, no Task")
            return task

        tasks.add(name, Registration(name, checked), build.__module__)
        return build

    return register
