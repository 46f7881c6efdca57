"""The policies of a study, read from values, texts or tables: catalogs, grids, LRBench's own notation, CSV files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from lrbench.errors import PolicyError, StudyError, did_you_mean, unknown_name
from lrbench.policy import (
    POLYLINE,
    TABLE,
    CatalogEntry,
    Parameter,
    Policy,
    catalog,
    from_lrbench,
    functions,
    load_catalog,
    load_lrs,
    policy_of,
)
from lrbench.policy.function import build
from lrbench.policy.kind import LengthsKind
from lrbench.policy.table import RatesKind, function_name
from lrbench.study.limits import MOST_RUNS, named_items
from lrbench.study.study import StudyPolicy
from lrbench.study.validation import toml_repr, validated

Names = list[str] | None
Peak = Annotated[
    Literal["auto"] | None, Field(description='"auto", the upper end of a range test of the task, or be left out')
]
Name = Annotated[str | None, Field(min_length=1, description="a name for the results")]


class FromCatalog(BaseModel, extra="forbid", strict=True, frozen=True):
    """All entries of a catalog, or some of them.

    Attributes:
        catalog: the catalog; `lrbench list policies` has those that ship
        only: take these entries alone
        except: take all but these
        peak: the source of the highest rate, where that is not the policy
    """

    catalog: Annotated[str, Field(min_length=1, description="the name of a catalog, or a TOML file beside the study")]
    only: Annotated[Names, Field(min_length=1, description="a list of names of entries")] = None
    excluded: Annotated[Names, Field(alias="except", min_length=1, description="a list of names of entries")] = None
    peak: Peak = None


class FromText(BaseModel, extra="forbid", strict=True, frozen=True):
    """One policy in the text notation, or the LR of each iteration.

    Attributes:
        policy: the policy, or a list of LRs
        name: its name in results; its text unless given
        peak: the source of the highest rate, where that is not the policy
    """

    policy: Annotated[
        str | list[float] | Callable[[Any], Any],
        Field(description='a policy as text, such as "FIX(k0=0.1)", or a list of LRs'),
    ]
    name: Name = None
    peak: Peak = None


class FromLRBench(BaseModel, extra="forbid", strict=True, frozen=True):
    """One policy in LRBench's notation.

    Attributes:
        lrbench: the policy as in LRBench's own files, such as `{lrPolicy = "SIN", k0 = 0.001, k1 = 0.006, l = 2000}`
        boundaries: where each part begins, where there are several
        name: its name in results
        peak: the source of the highest rate, where that is not the policy
    """

    lrbench: Annotated[
        str | dict[str, Any] | list[dict[str, Any]], Field(description="a string, table or list of tables of LRBench")
    ]
    boundaries: Annotated[list[int], Field(description="a list of iterations, one for each part but the first")] = []
    name: Name = None
    peak: Peak = None


class FromFunction(BaseModel, extra="allow", strict=True, frozen=True):
    """A function and its parameters, of which every list is an axis of a grid.

    Attributes:
        function: the function; every other key is one of its parameters
        name: its name in results, where the grid has one policy
        peak: the source of the highest rate, where that is not the policy
    """

    function: Annotated[str, Field(description="the name of a function")]
    name: Name = None
    peak: Peak = None


class FromCSV(BaseModel, extra="forbid", strict=True, frozen=True):
    """The LR of each iteration, or LRs that straight lines go through, from a CSV file.

    Attributes:
        table: the file beside the study; its column `lr`, or its only one
        l: the length over which the LRs are evenly spread; without it each is that of one iteration
        name: its name in results; the file's without its suffix unless given
        peak: the source of the highest rate, where that is not the policy
    """

    table: Annotated[str, Field(min_length=1, description="a CSV file beside the study")]
    l: Annotated[int | str | None, Field(description="iterations, '3ep' or '1dur'")] = None
    name: Name = None
    peak: Peak = None


Form = FromCatalog | FromText | FromLRBench | FromFunction | FromCSV

KINDS: Mapping[str, type[Form]] = {
    "catalog": FromCatalog,
    "policy": FromText,
    "lrbench": FromLRBench,
    "function": FromFunction,
    "table": FromCSV,
}


def policies_of(given: object, where: str, folder: Path = Path(), steps: int | None = None) -> tuple[StudyPolicy, ...]:
    """Read the policies of a study: values, texts and tables, in a list or in a table with a name for each.

    Args:
        where: the beginning of an error message.
        folder: of files of catalogs and of LRs.
        steps: the iterations for which a function of the iteration is asked.

    Raises:
        StudyError: one is not allowed, or there are more than a study may have runs.
    """
    items = named_items(given, "policies", "policy", where)
    _check_number(sum(_size(item, place) for _, item, place in items), where)
    policies: list[StudyPolicy] = []
    for name, item, place in items:
        try:
            policies.extend(_policies(name, item, place, folder, steps))
        except PolicyError as error:
            raise StudyError(f"{place}: {error}") from error
        _check_number(len(policies), where)
    return tuple(policies)


def count_policies(given: object, where: str) -> int:
    """Count the policies of a study, each catalog as one, without making any.

    Raises:
        StudyError: a table is not allowed, or a grid has more policies than a study may have runs.
    """
    return sum(_size(item, place) for _, item, place in named_items(given, "policies", "policy", where))


def _check_number(count: int, where: str) -> None:
    if count > MOST_RUNS:
        raise StudyError(
            f"{where} has at least {count:,} policies, more than the {MOST_RUNS:,} runs that a study may have"
        )


def _policies(name: str | None, item: Any, where: str, folder: Path, steps: int | None) -> Iterable[StudyPolicy]:
    match item:
        case Mapping():
            form = _form(item if name is None else {**item, "name": name}, where)
            made = _from_table(form, where, folder, steps)
            return [replace(each, auto_peak=form.peak == "auto") for each in made]
        case StudyPolicy():
            return [replace(item, name=name or item.name, policy=policy_of(item.policy, steps))]
        case CatalogEntry():
            return [StudyPolicy(name or item.name, item.policy)]
    return [_named(name or function_name(item), policy_of(item, steps))]


def _form(table: Mapping[str, Any], where: str) -> Form:
    """Validate a table by the declaration of its form."""
    kinds = [kind for kind in KINDS if kind in table]
    if len(kinds) != 1:
        given = " and ".join(kinds) if kinds else "none of them"
        raise StudyError(f"{where}: one of the keys {', '.join(KINDS)} says what it is, and {given} is given")
    return validated(KINDS[kinds[0]], table, where)


def _from_table(form: Form, where: str, folder: Path, steps: int | None) -> Iterable[StudyPolicy]:
    match form:
        case FromCatalog():
            return _from_catalog(form, where, folder)
        case FromFunction():
            return _from_function(form)
        case FromText(policy=given, name=name):
            return [_named(name or function_name(given), policy_of(given, steps))]
        case FromLRBench(lrbench=source, boundaries=boundaries, name=name):
            return [_named(name, from_lrbench(source, boundaries))]
        case FromCSV(table=file, l=l, name=name):
            lrs = load_lrs(folder / file)
            return [_named(name or Path(file).stem, TABLE(values=lrs) if l is None else POLYLINE(values=lrs, l=l))]


def _named(name: str | None, policy: Policy) -> StudyPolicy:
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
        yield _named(form.name, build(form.function, dict(zip(axes, values, strict=True))))


def _axes(form: FromFunction) -> dict[str, list[Any]]:
    """List the values of each parameter of a grid."""
    declared = {parameter.name: parameter for parameter in functions()[form.function].parameters}
    return {name: _axis(value, declared.get(name)) for name, value in (form.model_extra or {}).items()}


def _size(item: object, where: str) -> int:
    """Count the policies of a grid; everything else counts as one."""
    form = _form(item, where) if isinstance(item, Mapping) else None
    if not isinstance(form, FromFunction):
        return 1
    known = functions()
    if form.function not in known:
        raise StudyError(f"{where}: {unknown_name('LR function', form.function, known)}")
    axes = _axes(form)
    size = math.prod(len(axis) for axis in axes.values())
    if size > MOST_RUNS:
        raise StudyError(f"{where}: the grid has {size:,} policies, more than the {MOST_RUNS:,} runs of a study")
    if size == 0:
        empty = next(name for name, axis in axes.items() if not axis)
        raise StudyError(f"{where}: {empty} = [] must be a value or a list of at least one")
    if form.name is not None and size > 1:
        raise StudyError(f"{where}: name = {toml_repr(form.name)} cannot stand for the {size} policies of a grid")
    return size


def _axis(value: object, parameter: Parameter | None) -> list[Any]:
    """List the values of a parameter; a list is one value of a parameter that takes lists."""
    takes_lists = parameter is not None and isinstance(parameter.kind, LengthsKind | RatesKind)
    if isinstance(value, list) and (not takes_lists or all(isinstance(item, list) for item in value)):
        return value
    return [value]
