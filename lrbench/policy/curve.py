"""Pictures of learning rates: of a policy's text over a budget, and of a policy without a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lrbench.display.curve import sparkline, svg_curve
from lrbench.display.names import many, wrapped
from lrbench.display.readable import printable
from lrbench.display.table import GAP, Cell, Column, Row, Table
from lrbench.errors import PolicyError
from lrbench.policy.budget import Budget, iterations
from lrbench.policy.notation import parse
from lrbench.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from lrbench.policy.policy import Policy

FIGURES: Registry[Callable[..., Figure]] = Registry("figure", PolicyError, "lrbench.report.plots.lr_curves")
"""The figure `lr` of learning rates by name, which the report registers: it imports policies, and not they it."""

SPARKLINE = 10
"""The width of a curve in a table of text, in characters."""

CELL, PICTURE = (100, 24), (360, 100)
"""The width and the height of a curve in a cell of HTML, and of one that stands alone, in pixels."""

BUDGETS = (Budget(1000, 50), Budget(100_000, 1000))
"""A policy that depends on the budget is drawn for the first of these that it fits."""

UNBOUNDED = 10_000
"""Iterations to draw of a policy without any length; of another four times its longest."""

MOST_POINTS = 20_000


class Sketch(NamedTuple):
    """Learning rates of a policy at points evenly spread over a horizon, and the horizon in words."""

    lrs: NDArray[np.float64]
    horizon: str


def rates_of(policy: str, budget: Budget) -> NDArray[np.float64] | None:
    """Return the learning rates of a policy's text over a budget, float64 [steps].

    None where they depend on training, or where the text names a function that is not registered.
    """
    try:
        bound = parse(policy).bind(*astuple(budget))
    except PolicyError:
        return None
    return None if bound.reacts else bound.lrs(0, budget.steps)


def sketch(policy: Policy) -> Sketch | None:
    """Choose the learning rates to draw of a policy; None where they depend on training, or no budget fits it."""
    if policy.reacts:
        return None
    if policy.is_bound:
        steps = horizon(policy)
        return Sketch(_spread(policy, steps), many(steps, "iteration"))
    for budget in BUDGETS:
        try:
            bound = policy.bind_to(budget)
        except PolicyError:
            continue
        return Sketch(_spread(bound, budget.steps), f"a budget of {budget.steps:,} iterations")
    return None


def horizon(policy: Policy) -> int:
    """Return how many iterations of a bound policy to draw."""
    if math.isfinite(policy.ends):
        return int(policy.ends)
    return 4 * max(_lengths(policy), default=0) or UNBOUNDED


def curve_cell(lrs: NDArray[np.float64]) -> Cell:
    """Draw learning rates in a cell of a table."""
    return Cell(sparkline(lrs, SPARKLINE), "cyan", svg_curve(lrs, *CELL))


def policies_table(policies: Mapping[str, Policy], title: str, width: int, *, drawn: bool) -> Table:
    """List policies by their names, each with its curve if `drawn`."""
    columns = (*([Column("LR")] if drawn else []), Column("name"), Column("policy"))
    room = max(1, width - max(map(len, policies), default=0) - len(columns) * GAP - drawn * SPARKLINE)
    rows: list[Row] = [
        (*([_sketched(policy)] if drawn else []), Cell(name, "bold"), wrapped(policy.text, room))
        for name, policy in policies.items()
    ]
    return Table(columns, rows, title)


def policy_html(policy: Policy) -> str:
    """Write a policy as HTML: its text, its curve, and the iterations of the curve."""
    found = sketch(policy)
    if found is None:
        why = "it reacts to evaluations" if policy.reacts else "it fits none of the budgets that pictures are drawn for"
        shown = f"<small>no curve: {why}</small>"
    else:
        caption = f"learning rates from 0 to {found.lrs.max():.3g}, over {found.horizon}"
        shown = f"{svg_curve(found.lrs, *PICTURE)}<br><small>{caption}</small>"
    return f"<div><code>{escape(printable(policy.text))}</code><br>{shown}</div>"


def _sketched(policy: Policy) -> Cell:
    found = sketch(policy)
    return Cell("") if found is None else curve_cell(found.lrs)


def _spread(policy: Policy, steps: int) -> NDArray[np.float64]:
    points = np.linspace(0, steps - 1, min(steps, MOST_POINTS)).round().astype(np.int64)
    return np.asarray(policy(points), dtype=np.float64)


def _lengths(policy: Policy) -> Iterator[int]:
    """List the lengths of a bound policy and of those inside it, in iterations."""
    for parameter in policy.parameters:
        if parameter.unit == "iterations":
            value = getattr(policy, parameter.name)
            yield from map(iterations, value if isinstance(value, tuple) else (value,))
    for part in policy.parts:
        yield from _lengths(part)
