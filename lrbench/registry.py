"""Registries of named values, filled by decorators."""

from collections.abc import ItemsView, Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

from lrbench.errors import LRBenchError, unknown_name

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """A read-only mapping of names to registered values, in the order of registration.

    Args:
        noun: the word for one value in error messages.
        error: raised where a name is unknown or taken.
        package: a package whose modules register the values that ship with lrbench, or a module that does; they are
            imported when the registry is first read.
    """

    def __init__(self, noun: str, error: type[LRBenchError], package: str = "") -> None:
        self.noun = noun
        self._error = error
        self._package = package
        self._entries: dict[str, tuple[T, str]] = {}

    def __getitem__(self, name: str) -> T:
        return self._loaded()[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())

    def items(self) -> ItemsView[str, T]:
        """Return names with their values."""
        return {name: value for name, (value, _) in self._loaded().items()}.items()

    def find(self, name: str) -> T:
        """Return the value registered as `name`; raise the registry's error where there is none."""
        if name not in self:
            raise self._error(unknown_name(self.noun, name, self))
        return self[name]

    def add(self, name: str, value: T, module: str) -> None:
        """Register a value under a name that no other module has registered.

        Args:
            module: the module of the value. It may register the name again, as a notebook's cell does.
        """
        # A module of the registry's own package may be half imported now; any other must find the name taken.
        entries = self._entries if f"{module}.".startswith(f"{self._package}.") else self._loaded()
        if name in entries and entries[name][1] != module:
            raise self._error(f"the {self.noun} '{name}' is registered already: choose another name")
        self._entries[name] = (value, module)

    def _loaded(self) -> dict[str, tuple[T, str]]:
        if package := self._package:
            for module in iter_modules(getattr(import_module(package), "__path__", []), f"{package}."):
                import_module(module.name)
            self._package = ""  # only now: another thread that reads meanwhile waits for the imports too
        return self._entries
