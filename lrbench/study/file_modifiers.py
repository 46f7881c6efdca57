"""The [[modifiers]] tables of a study file as variants: methods as text, combinations, grids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lrbench.errors import StudyError, TaskError
from lrbench.modifiers import modifier_named, parse_modifier
from lrbench.study.validation import toml_repr, validated
from lrbench.study.variant import Variant

Name = Annotated[str | None, Field(min_length=1, description="a name for the results")]


class FromText(BaseModel):
    """One training method in the text notation, or several together."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    modifier: Annotated[
        str | Annotated[list[str], Field(min_length=1)],
        Field(description='a training method as text, such as "PLP()", or a list of several that are combined'),
    ]
    name: Name = None


class FromMethod(BaseModel):
    """A training method and its settings, of which every list is an axis of a grid."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    method: Annotated[str, Field(description="the name of a training method")]
    name: Name = None


def variants_of(tables: Sequence[Mapping[str, Any]], where: str) -> tuple[Variant, ...]:
    """The variants that a study file names, in its order.

    Raises:
        StudyError: a table says something that is not allowed.
    """
    variants: list[Variant] = []
    for number, table in enumerate(tables, start=1):
        place = f"{where}: [[modifiers]] {number}"
        try:
            variants.extend(_variants(table, place))
        except TaskError as error:
            raise StudyError(f"{place}: {error}") from error
    return tuple(variants)


def count_variants(tables: Sequence[Mapping[str, Any]], where: str) -> int:
    """Count the variants that a study file names, without making any.

    Raises:
        StudyError: a grid has an axis without values.
    """
    grids = (_axes(table, f"{where}: [[modifiers]] {number}") for number, table in enumerate(tables, start=1))
    return sum(math.prod(map(len, axes.values())) for axes in grids)


def _axes(table: Mapping[str, Any], where: str) -> dict[str, list[Any]]:
    """The values of each setting of a grid; none for a table that is no grid."""
    if "method" not in table:
        return {}
    form = validated(FromMethod, table, where)
    axes = {name: value if isinstance(value, list) else [value] for name, value in (form.model_extra or {}).items()}
    for name, axis in axes.items():
        if not axis:
            raise StudyError(f"{where}: {name} = [] must be a value or a list of at least one")
    return axes


def _variants(table: Mapping[str, Any], where: str) -> Iterator[Variant]:
    if ("modifier" in table) == ("method" in table):
        raise StudyError(f"{where}: one of the keys modifier and method says what it is")
    if "modifier" in table:
        text = validated(FromText, table, where)
        texts = [text.modifier] if isinstance(text.modifier, str) else text.modifier
        yield Variant.of(map(parse_modifier, texts), text.name or "")
        return
    form, axes = validated(FromMethod, table, where), _axes(table, where)
    size = math.prod(map(len, axes.values()))
    if form.name is not None and size > 1:
        raise StudyError(f"{where}: name = {toml_repr(form.name)} cannot stand for the {size} methods of a grid")
    for values in product(*axes.values()):
        yield Variant.of([modifier_named(form.method, dict(zip(axes, values, strict=True)))], form.name or "")
