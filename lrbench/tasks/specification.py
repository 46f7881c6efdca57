"""Specifications by name: optimizers and augmentations are frozen dataclasses that a study file names by class."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, TypeVar

from lrbench.errors import TaskError
from lrbench.policy.kind import short_repr
from lrbench.registry import Registry
from lrbench.tasks.registry import check_options

S = TypeVar("S")
C = TypeVar("C", bound=type)


def registering(registry: Registry[type[S]], method: str) -> Callable[[C], C]:
    """Make the class decorator that registers frozen dataclasses with a method by their names."""

    def register(specification: C) -> C:
        params = vars(specification).get("__dataclass_params__") if isinstance(specification, type) else None
        if params is None or not params.frozen or not hasattr(specification, method):
            wanted = f"a frozen dataclass with the method {method}"
            raise TaskError(
                f"what is registered as an {registry.noun} must be {wanted}, not {short_repr(specification)}"
            )
        registry.add(specification.__name__, specification, specification.__module__)
        return specification

    return register


def specification_named(registry: Registry[type[S]], kind: str, options: Mapping[str, Any]) -> S:
    """Build the specification registered as `kind`; raise TaskError for an unknown kind or option."""
    build = registry.find(kind)
    check_options(f"{registry.noun} '{kind}'", options, signature(build).parameters)
    return build(**options)
