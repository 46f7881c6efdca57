"""Search files: TOML with a task, a [search] table and a [space] table, checked whole before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lrbench.errors import DataError, PolicyError, StudyError, TaskError, did_you_mean
from lrbench.files import utf8_text
from lrbench.policy import Parameter, functions
from lrbench.policy.budget import Length, read_length, read_per_length
from lrbench.policy.kind import DecayRate, LengthKind, LengthsKind, SlopeRate, WholeKind
from lrbench.policy_search.domain import Between, Domain, OneOf
from lrbench.policy_search.search import RUNGED, Search, SearchSettings, SearchTable
from lrbench.policy_search.space import SHORTEST, Space, domain_of, function_names
from lrbench.study.file import Table, find_study, read_toml
from lrbench.study.validation import toml_repr, validated

Fraction = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SearchFile(SearchSettings):
    """The keys of a search file. A field's description says what is allowed, in error messages too.

    Attributes:
        seeds: with which every policy is trained at the whole budget; at shorter ones, with the first of them
        margin: as in a study, for the verdicts on the finalists
        target: as in a study; the objective `steps` counts the iterations to it
        confirm: on how many fresh seeds the finalists are trained again
        description: one line for `lrbench list studies`
        task: what is trained, as in a study
        search: how the space is searched
        space: which policies are in it
    """

    description: Annotated[str, Field(description="a text")] = ""
    task: Annotated[str | Table, Field(description="the name of a task or a [task] table")]
    search: Table = Field(default={}, description="a [search] table")
    space: Table = Field(default={}, description="a [space] table")


class SpaceTable(BaseModel):
    """Which policies are searched; what is not named here is a function's own table.

    Attributes:
        functions: which functions policies are made of; a catalog stands for the functions in it
        lr: the range of the highest learning rate; `"auto"` takes it from a range test
        stages: of how many functions, one after the other, a policy may be made; 1 to 3
        warmup: whether the rate may rise from 0 first, and over how much of the budget
        levels: the number of evenly spaced values of every range; the sampler `grid` needs it
        axes: settings of the task that are chosen beside the policy, as those of a study: a list of values for each, or
            a range, `{ weight_decay = { low = 1e-5, high = 0.1, log = true }, batch_size = [32, 64] }`
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    functions: Annotated[list[str], Field(min_length=1, description="a list of functions and catalogs")] = ["lrbench13"]
    lr: Annotated[
        Literal["auto"] | Annotated[list[Rate], Field(min_length=2, max_length=2)],
        Field(description='"auto", or a list of the lowest and the highest, both positive'),
    ] = "auto"
    stages: Annotated[
        int | Annotated[list[int], Field(min_length=1)], Field(description="a number of stages, or a list of them")
    ] = 1
    warmup: Annotated[
        bool | Annotated[list[Fraction], Field(min_length=2, max_length=2)],
        Field(description="true, false, or a list of the least and the largest fraction of the budget, from 0 to 1"),
    ] = False
    levels: Annotated[int | None, Field(ge=2, le=1000, description="a number of values from 2 on")] = None
    axes: Annotated[
        Table, Field(description="a table with a list of values, or of low and high, for each setting")
    ] = {}


class RangeTable(BaseModel):
    """A range that one parameter of a function is narrowed to, or that a setting is chosen from.

    Attributes:
        low: the lowest value
        high: the highest value
        log: whether the logarithm is drawn evenly; as the parameter usually is, unless given, and not for a setting
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    low: Annotated[
        float | str, Field(description="a number, a length such as '0.1dur' or a rate such as '0.1 per 1dur'")
    ]
    high: Annotated[
        float | str, Field(description="a number, a length such as '0.5dur' or a rate such as '0.5 per 1dur'")
    ]
    log: Annotated[bool | None, Field(description="true or false")] = None


DEFAULT_WARMUP = Between(0.01, 0.2, log=True)
DEFAULT_RUNGS = 3


def load_search(
    path: str | Path,
    *,
    data_root: Path | str | None = None,
    download: bool = False,
    steps: Length | None = None,
    seeds: int | None = None,
    policies: int | None = None,
) -> Search:
    """Read a search file, check all of it, and load the data of its task. The file's name is the search's.

    Args:
        path: a TOML file, or the name of one that ships with lrbench.
        data_root, download: as for `load_study`.
        steps, seeds, policies: in place of the file's own; the seeds are 0, 1, ..., `seeds` - 1.

    Raises:
        StudyError: the file cannot be read or used; the sentence names the file, the key and what is allowed.
    """
    file = find_study(path)
    raw, where = read_toml(file), str(file)
    if "policies" in raw:
        raise StudyError(f"{where} is a study of given policies: call `lrbench run {file}`")
    given = validated(SearchFile, raw if seeds is None else {**raw, "seeds": seeds}, where)
    how = validated(SearchTable, given.search, f"{where}: [search]")
    from lrbench.tasks import task_of

    try:
        space = space_of(given.space, f"{where}: [space]")
        task = task_of(given.task, data_root=data_root, download=download, steps=steps)
    except (TaskError, DataError) as error:
        raise StudyError(f"{where}: {error}") from error
    many = how.objectives == ("accuracy",) and how.sampler in RUNGED
    settings: dict[str, Any] = {
        **dict(how),
        **{name: getattr(given, name) for name in SearchSettings.model_fields},
        "rungs": how.rungs or (DEFAULT_RUNGS if many else 1),
        "policies": how.policies if policies is None else policies,
    }
    try:
        return Search(name=utf8_text(file.stem), task=task, space=space, **settings)
    except StudyError as error:
        raise StudyError(f"{where}: {error}") from error


def space_of(table: Mapping[str, Any], where: str) -> Space:
    """Read a [space] table.

    Raises:
        StudyError: a value is not allowed.
    """
    form = validated(SpaceTable, table, where)
    stages = (form.stages,) if isinstance(form.stages, int) else tuple(form.stages)
    try:
        names = function_names(form.functions)
        return Space(
            functions=names,
            lr=None if form.lr == "auto" else Between(form.lr[0], form.lr[1], log=True),
            narrowed={name: _narrowed(name, value, names, where) for name, value in (form.model_extra or {}).items()},
            stages=stages,
            warmup=_warmup(form.warmup),
            levels=form.levels,
            axes={name: _axis(name, value, f"{where}: axes") for name, value in form.axes.items()},
        )
    except StudyError as error:
        sentence = str(error)
        raise StudyError(sentence if sentence.startswith(where) else f"{where}: {sentence}") from error


def _warmup(given: bool | list[float]) -> Between | None:
    if isinstance(given, bool):
        return DEFAULT_WARMUP if given else None
    return Between(given[0], given[1], log=True)


def _narrowed(name: str, table: Any, names: tuple[str, ...], where: str) -> dict[str, Domain]:
    if name not in functions():
        keys = [*SpaceTable.model_fields, *names]
        raise StudyError(f"{where}: unknown key {name!r}{did_you_mean(name, keys)}; allowed are {', '.join(keys)}")
    if not isinstance(table, dict):
        raise StudyError(f"{where}: {name} = {toml_repr(table)} must be a table of its parameters, as [space.{name}]")
    declared = {parameter.name: parameter for parameter in functions()[name].parameters}
    for key in table:
        if key not in declared:
            hint = did_you_mean(key, declared)
            raise StudyError(f"{where}: {name} has no parameter '{key}'{hint}: it takes {', '.join(declared)}")
    try:
        return {key: _domain(name, declared[key], value, f"{where}: {name}") for key, value in table.items()}
    except PolicyError as error:
        raise StudyError(f"{where}: {error}") from error


def _domain(function: str, parameter: Parameter, value: Any, where: str) -> Domain:
    """Read what a parameter is narrowed to.

    Raises:
        StudyError: it is no value, list or range, or does not follow the budget.
        PolicyError: the parameter does not allow a value.
    """
    if isinstance(value, dict):
        return _range(function, parameter, validated(RangeTable, value, f"{where}.{parameter.name}"), where)
    lists = isinstance(parameter.kind, LengthsKind)
    values = (
        value if isinstance(value, list) and (not lists or all(isinstance(one, list) for one in value)) else [value]
    )
    if not values:
        raise StudyError(
            f"{where}: {parameter.name} = [] must be a value, a list of at least one or a table of low and high"
        )
    read = [parameter.read(function, one) for one in values]
    for one in read:
        _check_portable(parameter, one, where)
    return OneOf(tuple(read))


def _range(function: str, parameter: Parameter, table: RangeTable, where: str) -> Between:
    if isinstance(parameter.kind, LengthsKind):
        raise StudyError(f"{where}: {parameter.name} is a list of lengths: give it as a list of such lists")
    low, high = (_number(parameter, end, where) for end in (table.low, table.high))
    if not low < high:
        raise StudyError(
            f"{where}: {parameter.name} must go from a low to a higher value, not {table.low} to {table.high}"
        )
    for end in (low, high):
        if not isinstance(parameter.kind, LengthKind | DecayRate | SlopeRate):
            parameter.read(function, end)
    log = table.log
    if log is None:
        usual = domain_of(function, parameter) if parameter.required or parameter.role == "range" else None
        log = isinstance(usual, Between) and usual.log and low > 0
    if log and low <= 0:
        raise StudyError(f"{where}: {parameter.name} has no logarithm at {low}: give log = false or a positive low")
    return Between(low, high, log=log, whole=isinstance(parameter.kind, WholeKind))


def _axis(name: str, value: Any, where: str) -> Domain:
    """Read the domain of a setting: a list of values, or a range, of whole numbers where its ends are written so."""
    if isinstance(value, list) and value:
        return OneOf(tuple(value))
    if not isinstance(value, dict):
        given = f"{name} = {toml_repr(value)}"
        raise StudyError(f"{where}: {given} must be a list of at least one value, or a table of low and high")
    log = bool(validated(RangeTable, value, f"{where}.{name}").log)
    low, high = value["low"], value["high"]
    if isinstance(low, str) or isinstance(high, str) or not 0 <= low < high < math.inf or (log and low == 0):
        zero = "above 0, where log = true" if log else "from 0 on"
        raise StudyError(f"{where}: {name} must go from a low number {zero} to a higher one, not {low} to {high}")
    return Between(low, high, log=log, whole=type(low) is type(high) is int)


def _number(parameter: Parameter, end: float | str, where: str) -> float:
    """Read an end of a range as a number: a length in budgets, a rate over the whole budget."""
    kind = parameter.kind
    if isinstance(kind, LengthKind):
        if isinstance(end, str) and isinstance(read_length(end), str) and end.strip().endswith("dur"):
            share = float(end.strip().removesuffix("dur"))
            _check_length(parameter, share, where)
            return share
        raise StudyError(f"{where}: the ends of {parameter.name} must be fractions of the budget, such as '0.1dur'")
    if isinstance(kind, DecayRate | SlopeRate):
        per = read_per_length(end)
        if per is not None and per[1] == "1dur" and per[0] in kind.bounds:
            return per[0]
        raise StudyError(f"{where}: the ends of {parameter.name} must be rates over the budget, such as '0.1 per 1dur'")
    if isinstance(end, str):
        raise StudyError(f"{where}: the ends of {parameter.name} must be numbers, not {toml_repr(end)}")
    return end


def _check_length(parameter: Parameter, share: float, where: str) -> None:
    """Refuse a length that a search would make longer."""
    if share < SHORTEST:
        raise StudyError(f"{where}: {parameter.name} must be at least {SHORTEST}dur, not {share:g}dur")


def _check_portable(parameter: Parameter, value: Any, where: str) -> None:
    """Refuse a value that does not scale with the budget: a search tries policies at several budgets."""
    kind = parameter.kind
    if isinstance(kind, LengthKind | LengthsKind):
        lengths = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(length, str) and length.endswith("dur") for length in lengths):
            raise StudyError(f"{where}: {parameter.name} must be a fraction of the budget, such as '0.25dur'")
        for length in lengths:
            _check_length(parameter, float(length.removesuffix("dur")), where)
    if isinstance(kind, DecayRate | SlopeRate) and not (isinstance(value, str) and value.endswith("dur")):
        raise StudyError(f"{where}: {parameter.name} must be a rate over the budget, such as '0.1 per 1dur'")
