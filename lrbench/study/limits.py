"""The settings of a study, in its file and from Python, and its limits of size."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from lrbench.errors import StudyError
from lrbench.files import is_utf8
from lrbench.metrics import BASE_LR_SCALES, METRICS
from lrbench.metrics.goal import texts_of
from lrbench.metrics.looks import Looks
from lrbench.metrics.metric import default_margin
from lrbench.metrics.runs import TOP1
from lrbench.policy.budget import NUMBER, read_length, read_number
from lrbench.study.validation import toml_repr, validated
from lrbench.tasks.limits import A_BUDGET

if TYPE_CHECKING:
    from lrbench.tasks import AnyTask

MOST_RUNS = 100_000
"""The most runs of a study; more are taken for a typing error."""

MOST_RATES = 500_000_000
"""The most learning rates of all policies of a study: they are compared in memory, 16 bytes each."""

END_OF_SEEDS = 2**63
"""The end of the range of seeds: random streams and databases have 63 bits for them."""


def _plain(value: object) -> object:
    """Turn a number of any numeric type, such as one of NumPy's, into one of Python's own."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    number = int(value) if isinstance(value, Integral) else read_number(value)
    return value if number is None else number


Whole = Annotated[int, BeforeValidator(_plain)]


def _listed(seeds: object) -> object:
    """List the seeds 0, 1, ... where a number of them is given."""
    if isinstance(seeds, Iterable) and not isinstance(seeds, str | bytes | Mapping):
        return tuple(map(_plain, seeds))
    count = _plain(seeds)
    return tuple(range(count)) if type(count) is int and count <= MOST_RUNS else seeds


Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=END_OF_SEEDS)], ...],
    BeforeValidator(_listed),
    Field(
        min_length=1,
        description=f"a number of seeds from 1 on, at most {MOST_RUNS:,}, or a list of whole numbers from 0 on, "
        "at most 2^63 - 1",
    ),
]

_RANGE = re.compile(r"\s*(\d{1,6})\s*\.\.\s*(\d{1,6})\s*")


def split_seeds(seeds: object, where: str) -> tuple[object, int | None]:
    """Split seeds until decided, "5..40" or {from = 5, to = 40}, into all that there may be and the first ones' number.

    Returns:
        Other seeds as they are, and None.

    Raises:
        StudyError: the range is not from 2 seeds on, or to more than a study may have.
    """
    if isinstance(seeds, str):
        found = _RANGE.fullmatch(seeds)
        ends = (int(found[1]), int(found[2])) if found else None
    elif isinstance(seeds, Mapping):
        ends = (seeds["from"], seeds["to"]) if seeds.keys() == {"from", "to"} else None
    else:
        return seeds, None
    if ends is None or not all(type(end) is int for end in ends) or not 2 <= ends[0] <= ends[1] <= MOST_RUNS:
        raise StudyError(
            f"{where}: seeds = {toml_repr(seeds)} must be a number of seeds, a list of them, or a range such as "
            f'"5..40" or {{ from = 5, to = 40 }}, from 2 on and at most to {MOST_RUNS:,}'
        )
    return range(ends[1]), ends[0]


class SharedSettings(BaseModel):
    """Settings of studies and searches. The description of a field lists what is allowed, in error messages too.

    Attributes:
        seeds: how many (0, 1, ...), or which; all policies share them, so that differences are paired
        margin: a policy this close to the best is as good as the best; that of the task's metric unless given
        target: a validation score; the ranking has the iterations until it is reached
        confirm: the number of fresh seeds on which the winner and its closest rivals are trained again
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    seeds: Seeds = (0, 1, 2, 3, 4)
    margin: Annotated[
        Annotated[float, Field(ge=0, allow_inf_nan=False)] | None,
        BeforeValidator(_plain),
        Field(description="a finite number from 0 on"),
    ] = None
    target: Annotated[
        Annotated[float, Field(allow_inf_nan=False)] | None,
        BeforeValidator(_plain),
        Field(description="a finite number"),
    ] = None
    confirm: Annotated[
        Whole, Field(ge=0, le=MOST_RUNS, description=f"a number of fresh seeds from 0 on, at most {MOST_RUNS:,}")
    ] = 0


def _scales(given: object) -> object:
    if isinstance(given, bool):
        return BASE_LR_SCALES if given else ()
    return tuple(map(_plain, given)) if isinstance(given, Iterable) and not isinstance(given, str | Mapping) else given


def _different(scales: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(scales)) < len(scales):
        raise ValueError
    return scales


def _goals(by: object) -> object:
    return texts_of(by) if isinstance(by, str | Mapping | Sequence) else by


def _length(given: object) -> object:
    """Read a training budget in iterations, or as a length."""
    read = read_length(_plain(given))
    if given is not None and read is None:
        raise ValueError
    return read


_SHARE = re.compile(rf"\s*({NUMBER})\s*%\s*")


def horizons_of(given: Any) -> Any:
    """Read horizons, each a length, or a share of the budget: "25%" is "0.25dur"; what is no list stays as it is."""
    return tuple(map(_horizon, given)) if isinstance(given, Sequence) and not isinstance(given, str) else given


def _horizon(given: object) -> object:
    share = _SHARE.fullmatch(given) if isinstance(given, str) else None
    whole = int(given) if isinstance(given, str) and given.strip().isdecimal() else given
    return _length(whole if share is None else f"{float(share[1]) / 100}dur")


_BUDGET = re.compile(r"\s*(\d{1,15})\s*(runs|steps)\s*")


def _budget(given: object) -> object:
    """Write a budget, "200 runs" or {runs = 200}, as a text."""
    if isinstance(given, Mapping):
        given = " ".join(f"{count} {unit}" for unit, count in given.items())
    found = _BUDGET.fullmatch(given) if isinstance(given, str) else None
    return given if found is None else f"{int(found[1])} {found[2]}"


class StudySettings(SharedSettings):
    """Settings of studies.

    Attributes:
        by: the goals that rank and judge policies, such as `"steps_to_target"` or `["top1", "seconds:5%"]`, the first
            of which ranks; the task's objective unless given
        until_decided: the number of seeds with which every policy begins, where seeds are added until it is decided
        tolerated_divergence: the share of seeds on which a policy may diverge; 0: none of those that are trained
        budget: the most runs or iterations that a study of seeds until decided asks for, its confirmation included; no
            round goes over it
        steps: the budget of every task, in place of the task's own, in iterations or as a length such as `"10ep"`,
            `"0.5dur"`, `"2e6tok"` or `"20tok/param"`
        horizons: budgets at each of which every policy is trained, such as `["25%", "50%", "100%"]`, iterations or
            lengths; runs of a policy share what they have in common
        axes: settings that every policy is trained at as well, such as `{ weight_decay = [0.0, 1e-4] }`: an option of
            the optimizer, or a setting of how the task is trained, such as `model`, `optimizer`, `batch_size`,
            `augment`, `precision` or `clip_norm`; each combination is one
        base_lr_scales: train every policy at other base LRs too, for its robustness; `true` stands for 0.1, 0.5, 1,
            5, 10
    """

    by: Annotated[
        tuple[str, ...],
        BeforeValidator(_goals),
        Field(
            description="the name of a metric, a list of them, each with a margin behind a colon if need be, or a "
            "table of their margins"
        ),
    ] = ()
    until_decided: Annotated[Annotated[Whole, Field(ge=2)] | None, Field(description="a number of seeds from 2 on")] = (
        None
    )
    tolerated_divergence: Annotated[
        float,
        BeforeValidator(_plain),
        Field(ge=0, lt=1, allow_inf_nan=False, description="a share of seeds from 0 to below 1"),
    ] = 0.0
    budget: Annotated[
        Annotated[str, Field(pattern=r"^[1-9][0-9]* (runs|steps)$")] | None,
        BeforeValidator(_budget),
        Field(description='a number of runs or of iterations from 1 on, such as "200 runs" or { steps = 200_000 }'),
    ] = None
    steps: Annotated[int | str | None, BeforeValidator(_length), Field(description=A_BUDGET)] = None
    horizons: Annotated[
        tuple[int | str, ...],
        BeforeValidator(horizons_of),
        Field(description="a list of budgets, each a share such as '25%', a number of iterations or a length"),
    ] = ()
    axes: dict[str, list[Any] | tuple[Any, ...]] = Field(
        default={}, description="a table with a list of values for each setting"
    )
    base_lr_scales: Annotated[
        tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...],
        BeforeValidator(_scales),
        AfterValidator(_different),
        Field(description="true, false or a list of positive factors, each of them once"),
    ] = ()


def seeds_of(seeds: object, where: str) -> tuple[int, ...]:
    """List the seeds that are given, or 0, 1, ... where a number of them is given.

    Args:
        seeds: a number of seeds, or the seeds.
        where: the beginning of an error message.

    Raises:
        StudyError: there are none, more than a study may have, or one is no whole number from 0 to 2^63 - 1.
    """
    return validated(SharedSettings, {"seeds": seeds}, where).seeds


def declared_looks(seeds: int, until_decided: int | None) -> Looks:
    """Return the looks of a study of `seeds` seeds, all of them for every policy or from `until_decided` on."""
    return Looks.planned(seeds) if until_decided is None else Looks.between(until_decided, seeds)


def check_confirm(confirm: int, seeds: Sequence[int], where: str) -> None:
    """Refuse a number of fresh seeds that there cannot be.

    Raises:
        StudyError: too few whole numbers come after the seeds.
    """
    if max(seeds) + confirm >= END_OF_SEEDS:
        raise StudyError(f"{where}: no {confirm} fresh seeds to confirm by come after {max(seeds)}")


def margin_of(tasks: Iterable[AnyTask], where: str) -> float:
    """Return the margin of the objective of tasks, for a study that gives none.

    Raises:
        StudyError: the tasks have different ones.
    """
    margins = {task.name: _margin(task) for task in tasks}
    if len(set(margins.values())) > 1:
        shown = ", ".join(f"{margin:g} of '{name}'" for name, margin in margins.items())
        raise StudyError(f"{where}: margin is missing, and the tasks' metrics have different ones ({shown}): give one")
    return next(iter(margins.values()))


def _margin(task: AnyTask) -> float:
    declared = METRICS.get(f"val_{task.objective}") if task.margin is None else None
    return default_margin(task.margin, task.bounds) if declared is None else declared.default_margin


def check_scores(scores: Mapping[str, float | None], task: AnyTask, where: str) -> None:
    """Refuse scores, by their keys, that an accuracy cannot have.

    Raises:
        StudyError: the task is judged by accuracy, and one of them is not a fraction.
    """
    if task.objective != TOP1:
        return
    for key, value in scores.items():
        if value is not None and not 0 <= value <= 1:
            raise StudyError(f"{where}: {key} = {toml_repr(value)} must be from 0 to 1: accuracy is a fraction")


def check_name(name: str, where: str) -> None:
    """Refuse a name that a database cannot hold.

    Raises:
        StudyError: it has a NUL character, or half of one.
    """
    if "\0" in name or not is_utf8(name):
        raise StudyError(f"{where}: the name {name!a} has a character that no store can hold")


def check_runs(where: str, factors: Iterable[int]) -> None:
    """Refuse a study whose runs, the product of `factors`, are too many.

    Raises:
        StudyError: they are more than `MOST_RUNS`.
    """
    runs = math.prod(factors)
    if runs > MOST_RUNS:
        raise StudyError(f"{where} asks for {runs:,} runs, more than the {MOST_RUNS:,} that a study may have")


def check_rates(where: str, policies: int, steps: int) -> None:
    """Refuse a study whose learning rates take too much memory.

    Args:
        policies: the number of policies, counted once for each base LR.
        steps: the longest budget in iterations.

    Raises:
        StudyError: there are more than `MOST_RATES`.
    """
    if policies * steps > MOST_RATES:
        raise StudyError(
            f"{where} has {policies:,} policies of {steps:,} iterations, which is {policies * steps:,} learning rates, "
            f"more than the {MOST_RATES:,} that a study may have"
        )


def named_items(given: object, key: str, noun: str, where: str) -> list[tuple[str | None, Any, str]]:
    """List the items under a key of a study: name, or None, value, and place for error messages.

    Raises:
        StudyError: it is neither a list nor a table of names.
    """
    if isinstance(given, Mapping):
        return [(str(name), item, f"{where}: {noun} {str(name)!r}") for name, item in given.items()]
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise StudyError(f"{where}: {key} = {toml_repr(given)} must be a list, or a table with a name for each")
    titles = ((item, f"[[{key}]]" if isinstance(item, Mapping) else noun) for item in given)
    return [(None, item, f"{where}: {title} {number}") for number, (item, title) in enumerate(titles, start=1)]
