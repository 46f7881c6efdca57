"""The axes of a study: settings of its tasks that each policy is trained at, as variants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from lrbench.errors import StudyError, TaskError
from lrbench.study.limits import check_runs
from lrbench.study.validation import toml_repr
from lrbench.study.variant import Variant

if TYPE_CHECKING:
    from lrbench.tasks import AnyTask


def variants_of_axes(axes: Mapping[str, Sequence[Any]], tasks: Sequence[AnyTask], where: str) -> Iterator[Variant]:
    """Make a variant of each combination of settings but that of the tasks themselves.

    Raises:
        StudyError: an axis has no values, there are too many combinations, or a task cannot be trained at one.
    """
    for name, values in axes.items():
        if not isinstance(values, list | tuple) or not values:
            raise StudyError(f"{where}: axes: {name} = {toml_repr(values)} must be a list of at least one value")
    if not axes:
        return
    check_runs(where, map(len, axes.values()))
    for values in product(*axes.values()):
        variant = variant_at(dict(zip(axes, values, strict=True)))
        try:
            if any(variant.task_of(task).key != task.key for task in tasks):
                yield variant
        except TaskError as error:
            raise StudyError(f"{where}: axes: {variant.name}: {error}") from error


def variant_at(settings: Mapping[str, Any]) -> Variant:
    """Make the variant of settings of the task; that of none is the task as it is."""
    named = ", ".join(f"{key}={_text(value)}" for key, value in settings.items())
    return Variant(named, settings=tuple(settings.items()))


def _text(value: Any) -> str:
    """Write the value of a setting: a table as `NAdam(eps=0.1)` or `(head.*=10.0)`."""
    if isinstance(value, Mapping):
        options = ", ".join(f"{key}={_text(option)}" for key, option in value.items() if key != "kind")
        return f"{value.get('kind', '')}({options})" if options or not value else str(value["kind"])
    return value if isinstance(value, str) else toml_repr(value)
