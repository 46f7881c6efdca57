"""The modifiers of a study, read from values, texts or tables, as variants: combinations and grids."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Annotated, Any

from pydantic import BaseModel, Field

from lrbench.engine import Watcher
from lrbench.errors import StudyError, TaskError
from lrbench.modifiers import modifier_named, parse_modifier
from lrbench.policy.kind import short_repr
from lrbench.study.limits import named_items
from lrbench.study.validation import toml_repr, validated
from lrbench.study.variant import Variant

Name = Annotated[str | None, Field(min_length=1, description="a name for the results")]


class FromText(BaseModel, extra="forbid", strict=True, frozen=True):
    """One modifier in the text notation, or several together.

    Attributes:
        modifier: a modifier, or several that are combined
        name: its name in results
    """

    modifier: Annotated[
        str | Annotated[list[str], Field(min_length=1)],
        Field(description='a modifier as text, such as "PLP()", or a list of several that are combined'),
    ]
    name: Name = None


class FromSettings(BaseModel, extra="allow", strict=True, frozen=True):
    """A modifier by its name, and its settings, of which every list is an axis of a grid.

    Attributes:
        modifier: the modifier; every other key is one of its settings, and every list an axis of a grid
        name: its name in results, where the grid has one modifier
    """

    modifier: Annotated[str, Field(pattern=r"^\w+$", description="the name of a modifier where it has settings beside")]
    name: Name = None


def variants_of(given: object, where: str) -> tuple[Variant, ...]:
    """Read the modifiers of a study: values, texts, lists of both that are combined, and tables.

    Raises:
        StudyError: one is not allowed.
    """
    variants: list[Variant] = []
    for name, item, place in named_items(given, "modifiers", "modifier", where):
        try:
            variants.extend(_variants(name, item, place))
        except TaskError as error:
            raise StudyError(f"{place}: {error}") from error
    return tuple(variants)


def count_variants(given: object, where: str) -> int:
    """Count the variants of a study, without making any.

    Raises:
        StudyError: a grid has an axis without values.
    """
    items = named_items(given, "modifiers", "modifier", where)
    return sum(math.prod(map(len, _axes(item, place).values())) for _, item, place in items)


def _axes(item: object, where: str) -> dict[str, list[Any]]:
    """List the values of each setting of a grid; none where it is no grid."""
    if not isinstance(item, Mapping):
        return {}
    given = {name: value for name, value in item.items() if name not in FromSettings.model_fields}
    axes = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    for name, axis in axes.items():
        if not axis:
            raise StudyError(f"{where}: {name} = [] must be a value or a list of at least one")
    return axes


def _variants(name: str | None, item: object, where: str) -> Iterator[Variant]:
    if isinstance(item, Variant):
        yield replace(item, name=name or item.name)
    elif isinstance(item, Mapping):
        yield from _from_table(item if name is None else {**item, "name": name}, where)
    else:
        parts = item if isinstance(item, Iterable) and not isinstance(item, str) else [item]
        yield Variant.of([_part(part, where) for part in parts], name or "")


def _part(given: object, where: str) -> Watcher:
    part = parse_modifier(given) if isinstance(given, str) else given
    if not isinstance(part, Watcher):
        raise StudyError(f'{where}: {short_repr(given)} must be a modifier, or its text such as "PLP()"')
    return part


def _from_table(table: Mapping[str, Any], where: str) -> Iterator[Variant]:
    axes = _axes(table, where)
    if not axes:
        text = validated(FromText, table, where)
        texts = [text.modifier] if isinstance(text.modifier, str) else text.modifier
        yield Variant.of(map(parse_modifier, texts), text.name or "")
        return
    form = validated(FromSettings, table, where)
    size = math.prod(map(len, axes.values()))
    if form.name is not None and size > 1:
        raise StudyError(f"{where}: name = {toml_repr(form.name)} cannot stand for the {size} modifiers of a grid")
    for values in product(*axes.values()):
        yield Variant.of([modifier_named(form.modifier, dict(zip(axes, values, strict=True)))], form.name or "")
