"""Specifications by name: optimizers and augmentations are frozen dataclasses that a study file names by class."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, TypeVar

from lrbench.errors import TaskError, did_you_mean
from lrbench.policy.kind import short_repr
from lrbench.registry import Registry

S = TypeVar("S")
C = TypeVar("C", bound=type)


def registering(registry: Registry[type[S]], method: str) -> Callable[[C], C]:
    """Make the class decorator that registers frozen dataclasses with this method by their names."""

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
    allowed = list(signature(build).parameters)
    unknown = next((name for name in options if name not in allowed), None)
    if unknown is not None:
        its = f"its options are {', '.join(allowed)}" if allowed else "it has no options"
        raise TaskError(f"{registry.noun} '{kind}' has no option '{unknown}'{did_you_mean(unknown, allowed)}; {its}")
    return build(**options)
