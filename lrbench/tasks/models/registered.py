"""A registered model with its options and the data's shape: a factory with an identity that is not its code."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from lrbench.errors import TaskError
from lrbench.tasks import registry
from lrbench.tasks.data import Data
from lrbench.tasks.fingerprint import package_of


@dataclass(frozen=True)
class RegisteredModel:
    """A factory of the registered model `name` for inputs [N, *input_shape] and `num_classes` outputs."""

    name: str
    input_shape: tuple[int, ...]
    num_classes: int
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def named(cls, name: str, data: Data, options: Mapping[str, Any] | None = None) -> "RegisteredModel":
        """Find the model for some data, and fill in its defaults.

        Raises:
            TaskError: there is no such model or option, or the model is not for this kind of data.
        """
        entry = registry.models.find(name)
        complete = tuple(entry.complete(options or {}, "model").items())
        if entry.reads_tokens:
            if data.language is None:
                raise TaskError(f"model '{name}' reads the tokens of a text, and the data is none")
            return cls(name, data.input_shape, data.language.vocabulary, complete)
        if data.num_classes is None:
            what = "has no class labels" if data.language is None else "is a text, which needs a model such as 'gpt'"
            raise TaskError(f"model '{name}' is a classifier, and the data {what}")
        return cls(name, data.input_shape, data.num_classes, complete)

    @property
    def takes_numbers(self) -> bool:
        """Whether it is one of lrbench's own models that take no ids."""
        entry = registry.models.find(self.name)
        return package_of(entry.build) == "lrbench" and not entry.reads_tokens

    def __call__(self) -> nn.Module:
        return registry.models.find(self.name).build(self.input_shape, self.num_classes, **dict(self.options))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.options)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the registered function too, so that a process that has not registered it can build the model."""
        return _restored, (registry.models.find(self.name), *(getattr(self, field.name) for field in fields(self)))

    def __fingerprint__(self) -> tuple[Any, ...]:
        """Return the values of its fingerprint: the version of the registered function, or its code if it has none."""
        entry = registry.models.find(self.name)
        code: Any = entry.build if entry.version is None else entry.version
        return (self.name, self.input_shape, self.num_classes, self.options, code)


def _restored(entry: registry.Registration[Any], *values: Any) -> RegisteredModel:
    if entry.name not in registry.models:
        registry.models.add(entry.name, entry, entry.build.__module__)
    return RegisteredModel(*values)
