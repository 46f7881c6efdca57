"""Every key of study and search files, from the declarations that check them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from lrbench.display.docstring import attributes

if TYPE_CHECKING:
    from pydantic import BaseModel

TASK = "The [task] table"

REQUIRED = "required"
REQUIRED_WITHOUT_BASE = "required without a `base`"


class Key(NamedTuple):
    """A key of a file.

    Attributes:
        table: the heading in the guide of the table that it stands in.
        allowed: what it must be; empty where `help` says it.
        default: as a study file writes it; empty where nothing stands for nothing.
        help: what it says.
    """

    table: str
    name: str
    allowed: str
    default: str
    help: str


def keys() -> Iterator[Key]:
    """List every key, table by table."""
    from lrbench.policy_search.file import RangeTable, SearchFile, SpaceTable
    from lrbench.policy_search.search import SearchTable
    from lrbench.study import file_modifiers, file_policies
    from lrbench.study.file import StudyFile

    forms: tuple[tuple[str, type[BaseModel]], ...] = (
        ("The keys of a study", StudyFile),
        ("Policies from a catalog", file_policies.FromCatalog),
        ("A policy as text", file_policies.FromText),
        ("A grid over a function", file_policies.FromFunction),
        ("A table of learning rates", file_policies.FromCSV),
        ("A policy of the original LRBench", file_policies.FromLRBench),
        ("A modifier as text", file_modifiers.FromText),
        ("A grid over a modifier", file_modifiers.FromSettings),
    )
    searches: tuple[tuple[str, type[BaseModel]], ...] = (
        ("The keys of a search", SearchFile),
        ("The [search] table", SearchTable),
        ("The [space] table", SpaceTable),
        ("A range for one parameter", RangeTable),
    )
    for table, form in forms:
        yield from _keys_of(table, form)
    yield from _keys_of_a_task()
    for table, form in searches:
        yield from _keys_of(table, form)


def as_toml(value: Any) -> str:
    """Write a value as a study file does."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    return json.dumps(value)


def _keys_of(table: str, form: type[BaseModel]) -> Iterator[Key]:
    said = attributes(form)
    for field_name, field in form.model_fields.items():
        name = field.alias or field_name
        default = REQUIRED if field.is_required() else _default(field.default)
        yield Key(table, name, field.description or "", default, said.get(name, ""))


def _keys_of_a_task() -> Iterator[Key]:
    from lrbench.tasks.optimizers import SGD
    from lrbench.tasks.settings import TaskSettings

    said = attributes(TaskSettings)
    yield Key(TASK, "base", "", "", "a registered task, of which the other keys change something")
    for field in dataclasses.fields(TaskSettings):
        default = _default(SGD.__name__ if field.name == "optimizer" else field.default)
        if field.name in ("dataset", "model", "steps"):
            default = REQUIRED_WITHOUT_BASE
        yield Key(TASK, field.name, "", default, said.get(field.name, ""))


def _default(value: Any) -> str:
    """Write a default as a study file does; nothing for a value that stands for nothing."""
    return "" if value in (None, [], (), {}) or value is dataclasses.MISSING else as_toml(value)
