"""The explanation of an LR function: formula, parameters, source, and examples with values."""

from __future__ import annotations

from collections.abc import Iterator
from doctest import DocTestParser
from typing import TYPE_CHECKING

from lrbench.display.docstring import first_sentence
from lrbench.display.table import Cell, Column, Row, Table
from lrbench.errors import PolicyError
from lrbench.policy.notation import parse
from lrbench.policy.toml_catalog import catalog

if TYPE_CHECKING:
    from lrbench.display.readable import Block
    from lrbench.policy.function import Named
    from lrbench.policy.policy import Policy

CATALOGS = ("lrbench13", "lrbench_family", "modern")
"""The sources of examples, in the order of choice."""

COLUMNS = ("parameter", "what it means", "unit", "must be", "default")


def explained(function: type[Named], width: int) -> Iterator[Block]:
    """Describe an LR function in lines of `width` characters."""
    name, formula = function.__name__, function.formula
    yield f"{name}: {first_sentence(function)}"
    yield f"g(t) = {formula}, and lr(t) = min(k0, k1) + |k0 - k1| * g(t)" if hasattr(function, "g") else formula
    rows: list[Row] = [
        (
            Cell(parameter.name, "bold"),
            parameter.doc,
            parameter.unit,
            parameter.allowed,
            "required" if parameter.required else parameter.kind.text(parameter.default),
        )
        for parameter in function.parameters
    ]
    yield Table(tuple(map(Column, COLUMNS)), rows).fitted(width)
    yield from (f"{call} = {value}" for call, value in _examples(function))
    yield f"source: {function.source}"


def example_of(function: type[Named]) -> Policy | None:
    """Choose a policy of a function to draw: that of a catalog, else that of its docstring, else none."""
    entries = (entry.policy for known in CATALOGS for entry in catalog(known).values())
    shipped = next((policy for policy in entries if type(policy) is function), None)
    if shipped is not None:
        return shipped
    for call, _ in _examples(function):
        try:
            return parse(call[: call.rindex("(")].removeprefix("round("))
        except (PolicyError, ValueError):
            continue
    return None


def _examples(function: type[Named]) -> list[tuple[str, str]]:
    """List the calls in the docstring of a function, each with its value."""
    found = DocTestParser().get_examples(function.__doc__ or "")
    return [(one.source.strip(), one.want.strip()) for one in found if one.want]
