"""Transforms of torchvision by name, from a study file: names and settings alone, no code."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode, v2

from lrbench.errors import TaskError, did_you_mean
from lrbench.tasks.probe import attempt
from lrbench.tasks.registry import check_options


def transforms_of(where: str, given: Any) -> v2.Transform:
    """Read a list of transforms, each a name or a table of `kind` and settings, as one that applies them in order.

    Raises:
        TaskError: one is none of `torchvision.transforms.v2`, takes a function, or has a setting that is not allowed.
    """
    if not isinstance(given, list | tuple):
        raise TaskError(f"{where} = {given!r} must be a list of names or tables with a kind")
    return v2.Compose([_transform(where, each) for each in given] or [v2.Identity()])


def _transform(where: str, given: Any) -> v2.Transform:
    table = {"kind": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or not isinstance(table.get("kind"), str):
        raise TaskError(f"{where}: {given!r} must be a name or a table with a kind")
    kind = table["kind"]
    known = {name: found for name, found in vars(v2).items() if _is_transform(found)}
    if kind not in known:
        raise TaskError(
            f"{where}: there is no transform '{kind}' in torchvision.transforms.v2{did_you_mean(kind, known)}"
        )
    named = f"{where}: {kind}"
    options = {name: _value(named, name, value) for name, value in table.items() if name != "kind"}
    check_options(named, options, list(inspect.signature(known[kind]).parameters))
    made: v2.Transform = attempt(f"{named} cannot be made", lambda: known[kind](**options))
    return made


def _is_transform(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, v2.Transform) and found not in (v2.Transform, v2.Lambda)


def _value(where: str, name: str, value: Any) -> Any:
    """Read a setting: a text as what it names, a table with a kind as a transform."""
    if isinstance(value, Mapping) and "kind" in value:
        return _transform(where, value)
    if isinstance(value, list | tuple):
        return [_value(where, name, member) for member in value]
    if not isinstance(value, str):
        return value
    if name == "dtype":
        found = getattr(torch, value, None)
        if not isinstance(found, torch.dtype):
            raise TaskError(f"{where}: dtype = {value!r} must be a type of torch, such as 'float32'")
        return found
    for texts, enum in (("interpolation", InterpolationMode), ("policy", AutoAugmentPolicy)):
        if name == texts:
            return attempt(
                f"{where}: {name} = {value!r} is none of {', '.join(one.value for one in enum)}", enum, value
            )
    return value
