"""Signatures of functions that take as keywords what another callable declares."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def own_parameters(function: Callable[..., object]) -> list[Parameter]:
    """Return the parameters of a function but for `**keywords`."""
    return [one for one in signature(function).parameters.values() if one.kind is not Parameter.VAR_KEYWORD]


def spells_out(arguments: type, declared: Callable[..., object]) -> Callable[[F], F]:
    """Show arguments one by one in the signature of a function, in place of its `**keywords`.

    Args:
        arguments: the TypedDict that names them.
        declared: what has them in its signature, with their defaults.
    """
    known = arguments.__annotations__
    shown = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own_parameters(declared) if one.name in known]

    def spelled(function: F) -> F:
        parameters = [*own_parameters(function), *shown]
        function.__dict__["__signature__"] = signature(function).replace(parameters=parameters)
        return function

    return spelled
