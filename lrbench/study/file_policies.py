"""The [[policies]] tables of a study file: catalogs, policies as text, grids, LRBench's own notation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lrbench.errors import PolicyError, StudyError, did_you_mean, unknown_name
from lrbench.policy import Parameter, Policy, catalog, from_lrbench, functions, load_catalog, parse
from lrbench.policy.function import build
from lrbench.policy.kind import LengthsKind
from lrbench.study.study import StudyPolicy
from lrbench.study.validation import toml_repr, validated

Names = list[str] | None
Peak = Annotated[
    Literal["auto"] | None, Field(description='"auto", the upper end of a range test of the task, or be left out')
]
Name = Annotated[str | None, Field(min_length=1, description="a name for the results")]


class FromCatalog(BaseModel):
    """All entries of a catalog, or some of them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    catalog: Annotated[str, Field(min_length=1, description="the name of a catalog, or a TOML file beside the study")]
    only: Annotated[Names, Field(min_length=1, description="a list of names of entries")] = None
    excluded: Annotated[Names, Field(alias="except", min_length=1, description="a list of names of entries")] = None
    peak: Peak = None


class FromText(BaseModel):
    """One policy in the text notation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    policy: Annotated[str, Field(description='a policy as text, such as "FIX(k0=0.1)"')]
    name: Name = None
    peak: Peak = None


class FromLRBench(BaseModel):
    """One policy in LRBench's notation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    lrbench: Annotated[
        str | dict[str, Any] | list[dict[str, Any]], Field(description="a string, table or list of tables of LRBench")
    ]
    boundaries: Annotated[list[int], Field(description="a list of iterations, one for each part but the first")] = []
    name: Name = None
    peak: Peak = None


class FromFunction(BaseModel):
    """A function and its parameters, of which every list is an axis of a grid."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    function: Annotated[str, Field(description="the name of a function")]
    name: Name = None
    peak: Peak = None


Form = FromCatalog | FromText | FromLRBench | FromFunction

KINDS: Mapping[str, type[Form]] = {
    "catalog": FromCatalog,
    "policy": FromText,
    "lrbench": FromLRBench,
    "function": FromFunction,
}


def policies_of(tables: Sequence[Mapping[str, Any]], file: Path, *, most: int) -> tuple[StudyPolicy, ...]:
    """The policies that a study file names, in its order, at most `most` of them.

    Raises:
        StudyError: a table says something that is not allowed, or there are too many policies.
    """
    _check_number(count_policies(tables, file, most=most), file, most)
    policies: list[StudyPolicy] = []
    for form, where in _forms(tables, file):
        try:
            found = _as_written(form, where, file.parent)
            policies.extend(replace(policy, auto_peak=form.peak == "auto") for policy in found)
        except PolicyError as error:
            raise StudyError(f"{where}: {error}") from error
        _check_number(len(policies), file, most)
    return tuple(policies)


def count_policies(tables: Sequence[Mapping[str, Any]], file: Path, *, most: int) -> int:
    """Count the policies that a study file names, each catalog as one, without making any.

    Raises:
        StudyError: a table says something that is not allowed, or a grid has more than `most` policies.
    """
    return sum(
        _size(form, where, most) if isinstance(form, FromFunction) else 1 for form, where in _forms(tables, file)
    )


def _check_number(count: int, file: Path, most: int) -> None:
    if count > most:
        raise StudyError(f"{file} has at least {count:,} policies, more than the {most:,} runs that a study may have")


def _forms(tables: Sequence[Mapping[str, Any]], file: Path) -> Iterator[tuple[Form, str]]:
    """Each table by its declaration, and where it stands."""
    for number, table in enumerate(tables, start=1):
        where = f"{file}: [[policies]] {number}"
        kinds = [kind for kind in KINDS if kind in table]
        if len(kinds) != 1:
            given = " and ".join(kinds) if kinds else "none of them"
            raise StudyError(f"{where}: one of the keys {', '.join(KINDS)} says what it is, and {given} is given")
        yield validated(KINDS[kinds[0]], table, where), where


def _as_written(form: Form, where: str, folder: Path) -> Iterable[StudyPolicy]:
    match form:
        case FromCatalog():
            return _from_catalog(form, where, folder)
        case FromFunction():
            return _from_function(form)
        case FromText(policy=text, name=name):
            return [_entry(name, parse(text))]
        case FromLRBench(lrbench=source, boundaries=boundaries, name=name):
            return [_entry(name, from_lrbench(source, boundaries))]


def _entry(name: str | None, policy: Policy) -> StudyPolicy:
    return StudyPolicy(name or str(policy), policy)


def _from_catalog(form: FromCatalog, where: str, folder: Path) -> list[StudyPolicy]:
    known = load_catalog(folder / form.catalog) if form.catalog.endswith(".toml") else catalog(form.catalog)
    for key, names in (("only", form.only), ("except", form.excluded)):
        for name in names or ():
            if name not in known:
                hint = did_you_mean(name, known) or f"; it has {', '.join(known)}"
                raise StudyError(f"{where}: {key}: catalog '{form.catalog}' has no entry '{name}'{hint}")
    wanted = [name for name in known if name in (form.only or known) and name not in (form.excluded or ())]
    if not wanted:
        raise StudyError(f"{where}: only and except leave no entry of catalog '{form.catalog}'")
    return [StudyPolicy(name, known[name].policy) for name in wanted]


def _from_function(form: FromFunction) -> Iterator[StudyPolicy]:
    axes = _axes(form)
    for values in product(*axes.values()):
        yield _entry(form.name, build(form.function, dict(zip(axes, values, strict=True))))


def _axes(form: FromFunction) -> dict[str, list[Any]]:
    """The values of each parameter of a grid."""
    declared = {parameter.name: parameter for parameter in functions()[form.function].parameters}
    return {name: _axis(value, declared.get(name)) for name, value in (form.model_extra or {}).items()}


def _size(form: FromFunction, where: str, most: int) -> int:
    """The number of policies of a grid."""
    known = functions()
    if form.function not in known:
        raise StudyError(f"{where}: {unknown_name('LR function', form.function, known)}")
    axes = _axes(form)
    size = math.prod(len(axis) for axis in axes.values())
    if size > most:
        raise StudyError(f"{where}: the grid has {size:,} policies, more than the {most:,} runs that a study may have")
    if size == 0:
        empty = next(name for name, axis in axes.items() if not axis)
        raise StudyError(f"{where}: {empty} = [] must be a value or a list of at least one")
    if form.name is not None and size > 1:
        raise StudyError(f"{where}: name = {toml_repr(form.name)} cannot stand for the {size} policies of a grid")
    return size


def _axis(value: object, parameter: Parameter | None) -> list[Any]:
    """The values that a parameter takes one after the other; a list may also be one value, of one that takes lists."""
    takes_lists = parameter is not None and isinstance(parameter.kind, LengthsKind)
    if isinstance(value, list) and (not takes_lists or all(isinstance(item, list) for item in value)):
        return value
    return [value]
