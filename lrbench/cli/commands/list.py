"""`lrbench list`: what can be named in a study file or on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from lrbench.cli.errors import session_of
from lrbench.cli.options import OutputOptions, StoreOptions, load_plugins, shown, with_groups
from lrbench.cli.output import line_width, print_blocks, print_json
from lrbench.display.docstring import first_sentence
from lrbench.display.table import Cell, Column, Row, Table

if TYPE_CHECKING:
    from lrbench.policy import Parameter
    from lrbench.store import StudyEntry
    from lrbench.tasks.registry import Registration

Noun = Literal[
    "functions",
    "policies",
    "tasks",
    "datasets",
    "models",
    "optimizers",
    "augmentations",
    "modifiers",
    "metrics",
    "plots",
    "keys",
    "studies",
]


MOST_OF_A_LIBRARY = 20
"""The most optimizers of a library that have a row each."""


class Listing(NamedTuple):
    """One list, as a table and as the items of a document."""

    columns: tuple[Column, ...]
    rows: list[Row]
    items: list[dict[str, Any]]


@with_groups
def list_names(
    context: typer.Context,
    noun: Annotated[
        Noun,
        typer.Argument(
            metavar="NOUN",
            help="functions, policies, tasks, datasets, models, optimizers, augmentations, modifiers, metrics, plots, "
            "keys of study files, or studies.",
            show_choices=False,
        ),
    ],
    everything: Annotated[bool, shown("--all", help="List the parts of searches too, such as their rungs.")] = False,
    *,
    options: StoreOptions,
    output: OutputOptions,
) -> None:
    """List what can be named in a study or on the command line, with the parameters, options or settings it takes.

    \b
    Examples:
      lrbench list functions
      lrbench list policies --json
      lrbench list modifiers
      lrbench list tasks --plugin my_tasks.py
    """
    load_plugins(options.plugin)
    listing = _studies(options.store, with_parts=everything) if noun == "studies" else LISTS[noun]()
    if output.json:
        print_json({noun: listing.items})
    else:
        session = session_of(context)
        print_blocks([Table(listing.columns, listing.rows).fitted(line_width(session))], session)


def _functions() -> Listing:
    from lrbench.policy import functions

    rows: list[Row] = [
        (Cell(name, "bold"), function.formula, first_sentence(function)) for name, function in functions().items()
    ]
    titles = ("function", "formula", "what it is")
    return Listing(tuple(map(Column, titles)), rows, [*map(function_document, functions())])


def function_document(name: str) -> dict[str, Any]:
    """Describe an LR function by its declarations."""
    from lrbench.policy import functions

    function = functions()[name]
    about = {"group": function.group, "formula": function.formula, "source": function.source}
    return {"name": name, **about, "parameters": [_parameter(each) for each in function.parameters]}


def _declaration(declared: Parameter) -> dict[str, Any]:
    return {
        "name": declared.name,
        "unit": declared.unit,
        "allowed": declared.allowed,
        "required": declared.required,
        "default": None if declared.required else declared.default,
        "doc": declared.doc,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {**_declaration(parameter), "role": parameter.role}


def _policies() -> Listing:
    from lrbench.policy import catalog, catalogs

    entries = [(name, key, entry) for name in catalogs() for key, entry in catalog(name).items()]
    return Listing(
        (Column("name"), Column("policy")),
        [(Cell(f"{name}/{key}", "bold"), str(entry.policy)) for name, key, entry in entries],
        [{"name": f"{name}/{key}", "catalog": name, "policy": str(entry.policy)} for name, key, entry in entries],
    )


def _tasks() -> Listing:
    from lrbench.tasks import TaskSettings
    from lrbench.tasks.registry import tasks

    rows: list[Row] = []
    items = []
    for name, entry in tasks.items():
        one = entry.build()
        parts: dict[str, str | int | None] = dict.fromkeys(("dataset", "model", "optimizer"))
        parts["batch_size"] = getattr(one, "batch_size", None)
        if isinstance(one, TaskSettings):
            parts |= {"dataset": str(one.dataset), "model": str(one.model), "optimizer": str(one.optimizer)}
            trained = f"{one.model} on {one.dataset} by {one.optimizer}"
        else:
            trained = str(one).splitlines()[0].removeprefix(f"{one.name}: ")
        items.append({"name": name, **parts, "steps": one.steps, "description": entry.description})
        batch = "" if parts["batch_size"] is None else str(parts["batch_size"])
        rows.append((Cell(name, "bold"), trained, batch, f"{one.steps}", entry.description))
    numbers = Column("batch", right=True), Column("steps", right=True)
    return Listing((Column("task"), Column("what is trained"), *numbers, Column("description")), rows, items)


def _datasets() -> Listing:
    from lrbench.tasks.registry import datasets

    return _registered("dataset", datasets)


def _models() -> Listing:
    from lrbench.tasks.registry import models

    return _registered("model", models)


def _optimizers() -> Listing:
    from lrbench.tasks.library_optimizers import library_optimizers, settings_of
    from lrbench.tasks.optimizers import OPTIMIZERS

    own = _declared(OPTIMIZERS)
    found = {name: (library, kind) for name, library, kind in library_optimizers() if name not in own}
    described = {n: (settings_of(kind), f"{first_sentence(kind)} [{library}]") for n, (library, kind) in found.items()}
    _, rows, items = _with_options("optimizer", own | described)
    by_library: dict[str, list[str]] = {}
    for name, (library, _) in found.items():
        by_library.setdefault(library, []).append(name)
    folded = {library: names for library, names in by_library.items() if len(names) > MOST_OF_A_LIBRARY}
    hidden = {name for names in folded.values() for name in names}
    rows = [row for row, item in zip(rows, items, strict=True) if item["name"] not in hidden]
    rows += [(Cell(library, "bold"), "see --json", ", ".join(names)) for library, names in folded.items()]
    return Listing(tuple(map(Column, ("optimizer", "options", "description"))), rows, items)


def _augmentations() -> Listing:
    from lrbench.tasks.augment import AUGMENTATIONS
    from lrbench.tasks.mixtures import MIXTURES

    return _with_options("augmentation", _declared({**AUGMENTATIONS, **MIXTURES}))


def _metrics() -> Listing:
    from lrbench.metrics import METRICS

    rows: list[Row] = [(Cell(name, "bold"), one.title, one.better or "", one.help) for name, one in METRICS.items()]
    items = [
        {
            "name": name,
            "title": one.title,
            "better": one.better,
            "bounds": one.bounds,
            "margin": one.default_margin,
            "margin_of": one.margin_of,
            "description": one.help,
        }
        for name, one in METRICS.items()
    ]
    return Listing(tuple(map(Column, ("metric", "column", "better", "what it is"))), rows, items)


def _plots() -> Listing:
    from lrbench.report.plot import plots

    rows: list[Row] = [(Cell(one.name, "bold"), one.of, one.title, one.needs) for one in plots()]
    items = [{"name": one.name, "of": one.of, "description": one.title, "needs": one.needs} for one in plots()]
    return Listing(tuple(map(Column, ("plot", "drawn of a", "what it shows", "what it takes"))), rows, items)


def _keys() -> Listing:
    from lrbench.cli.keys import keys

    rows: list[Row] = []
    declared = list(keys())
    for before, key in zip((None, *declared), declared, strict=False):
        if before is None or before.table != key.table:
            rows.append((Cell(key.table, "bold"), "", "", ""))
        rows.append((f"  {key.name}", key.allowed, key.default, key.help))
    titles = ("key", "must be", "default", "what it says")
    return Listing(tuple(map(Column, titles)), rows, [key._asdict() for key in declared])


def _modifiers() -> Listing:
    from lrbench.modifiers import Modifier, description, modifiers, settings_named

    rows: list[Row] = []
    items = []
    for name, method in modifiers().items():
        kind = "changes training" if issubclass(method, Modifier) else "only watches"
        settings, about = settings_named(name), description(name)
        declared = [_declaration(setting) for setting in settings]
        items.append({"name": name, "kind": kind, "description": about, "settings": declared})
        rows.append((Cell(name, "bold"), kind, "", "", "", about))
        for setting in settings:
            default = "required" if setting.required else str(setting.default)
            rows.append(("", "", setting.name, setting.allowed, default, _with_unit(setting)))
    titles = ("modifier", "kind", "setting", "must be", "default", "what it does or means")
    return Listing(tuple(Column(title) for title in titles), rows, items)


def _with_unit(setting: Parameter) -> str:
    return f"{setting.doc} [{setting.unit}]" if setting.unit else setting.doc


def _registered(noun: str, registry: Mapping[str, Registration[Any]]) -> Listing:
    return _with_options(noun, {name: (entry.options, entry.description) for name, entry in registry.items()})


def _declared(registry: Mapping[str, type]) -> dict[str, tuple[Mapping[str, Any], str]]:
    """List the options and the description of specifications by name."""
    return {
        name: (
            {option: one.default for option, one in inspect.signature(kind).parameters.items()},
            first_sentence(kind),
        )
        for name, kind in registry.items()
    }


def _with_options(noun: str, declared: Mapping[str, tuple[Mapping[str, Any], str]]) -> Listing:
    """List what takes options, by name, from its options with their defaults and its description."""
    rows: list[Row] = []
    items = []
    for name, (defaults, description) in declared.items():
        options = {key: None if value is inspect.Parameter.empty else value for key, value in defaults.items()}
        shown = ", ".join(key if value is None else f"{key}={value!r}" for key, value in options.items())
        rows.append((Cell(name, "bold"), shown, description))
        items.append({"name": name, "options": options, "description": description})
    return Listing(tuple(map(Column, (noun, "options", "description"))), rows, items)


def _studies(store: str | None, *, with_parts: bool) -> Listing:
    from lrbench.study.file import study_names

    shipped = study_names()
    stored = [entry for entry in _stored_studies(store) if with_parts or entry.parent is None]
    alone = {entry.address: entry for entry in stored if entry.parent is None}
    named: list[tuple[str, StudyEntry | None]] = [(name, alone.pop(name, None)) for name in shipped]
    named += [(entry.address, entry) for entry in stored if entry.address not in shipped or entry.parent is not None]
    rows: list[Row] = []
    items: list[dict[str, Any]] = []
    for name, entry in named:
        kind = "" if entry is None else entry.kind
        places = {"shipped": name in shipped, "stored": entry is not None}
        items.append({"name": name, "kind": kind or None, **places, "description": shipped.get(name, "")})
        found = " and ".join(
            place for place, is_there in zip(("lrbench", "the store"), places.values(), strict=True) if is_there
        )
        indent = "  " if entry is not None and entry.parent is not None else ""
        rows.append((Cell(indent + name, "bold"), kind.replace("_", " "), found, shipped.get(name, "")))
    titles = ("study", "kind", "found in", "description")
    return Listing(tuple(Column(title) for title in titles), rows, items)


def _stored_studies(store: str | None) -> list[StudyEntry]:
    """List the studies of the named store, or of the default one where that can be read, each before its parts."""
    from lrbench.errors import StoreError
    from lrbench.store import open_store

    try:
        with open_store(store, must_exist=True) as opened:
            listed = {entry.id: entry for entry in opened.studies()}
    except StoreError:
        if store is not None:
            raise
        return []

    def place(entry: StudyEntry) -> tuple[str, int, bool, str, int]:
        whole = entry if entry.parent is None else listed[entry.parent]
        return whole.name, whole.version, entry is not whole, entry.name, entry.version

    return sorted(listed.values(), key=place)


LISTS: Mapping[str, Callable[[], Listing]] = {
    "functions": _functions,
    "policies": _policies,
    "tasks": _tasks,
    "datasets": _datasets,
    "models": _models,
    "optimizers": _optimizers,
    "augmentations": _augmentations,
    "modifiers": _modifiers,
    "metrics": _metrics,
    "plots": _plots,
    "keys": _keys,
}
