"""Specifications by name: optimizers and augmentations are frozen dataclasses that a study file names by class."""

from collections.abc import Mapping
from inspect import signature
from typing import Any, TypeVar

from lrbench.errors import TaskError, did_you_mean

S = TypeVar("S")


def specification_named(noun: str, known: Mapping[str, type[S]], kind: str, options: Mapping[str, Any]) -> S:
    """`known[kind](**options)`; raises TaskError for an unknown kind or option, with the nearest name."""
    if kind not in known:
        hint = did_you_mean(kind, known) or f"; there are {', '.join(known)}"
        raise TaskError(f"no {noun} is called '{kind}'{hint}")
    allowed = list(signature(known[kind]).parameters)
    unknown = next((name for name in options if name not in allowed), None)
    if unknown is not None:
        hint = did_you_mean(unknown, allowed)
        raise TaskError(f"{noun} '{kind}' has no option '{unknown}'{hint}; its options are {', '.join(allowed)}")
    return known[kind](**options)
