"""The result of a search as `lrbench search` and `print` show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lrbench.display.names import many, unbroken, wrapped
from lrbench.display.readable import LINE_WIDTH
from lrbench.display.table import Column, Table
from lrbench.metrics.confirmation import explained

if TYPE_CHECKING:
    from lrbench.display.readable import Block
    from lrbench.policy_search.loop import SearchResult

LONGEST_POLICY = 50
"""In lines of 100 characters, a longer text of a policy is wrapped."""


def found_blocks(found: SearchResult, width: int) -> Iterator[Block]:
    """Show the finalists on fresh seeds, the front where there are two objectives, and the counts."""
    longest = LONGEST_POLICY + max(0, width - LINE_WIDTH)
    if found.confirmed:
        yield _confirmed(found, longest)
        yield from explained(found.confirmed)
    if len(found.objectives) > 1 and found.front:
        yield ""
        yield _front(found, longest)
    if found.front:
        yield ""
    if found.disappointment:
        yield found.disappointment[:1].upper() + found.disappointment[1:] + "."
    elif found.winner is not None:
        yield f"the winner: {unbroken(found.winner.name)}"
    whole = sum(one.whole for one in found.trials)
    counts = [f"{whole} trained for the whole budget", f"{sum(one.diverged > 0 for one in found.trials)} diverged"]
    if found.exhausted:
        counts.append("no further one is new")
    steps = f"{found.steps_trained:,} of {many(found.steps_nominal, 'iteration')} trained"
    low, high = found.lr
    policies = f"{many(len(found.trials), 'policy')}, the highest LRs from {low:.3g} to {high:.3g}"
    yield f"{policies}: {', '.join(counts)}; {steps}"


def _confirmed(found: SearchResult, longest: int) -> Table:
    card = found.confirmed[0].card
    columns = [Column("policy"), Column("verdict")]
    figures = (f"val {card.objective}", f"test {card.objective}", "val if chosen", "search val")
    columns += [Column(name, right=True) for name in figures]
    rows = [
        (
            wrapped(one.card.name, longest),
            "" if one.card.verdict is None else one.card.verdict.label,
            f"{one.card.val}",
            f"{one.card.test}",
            f"{one.simultaneous}",
            f"{one.search}",
        )
        for one in found.confirmed
    ]
    return Table(columns, rows, f"{found.search} on {found.task}: the finalists on {card.n} fresh seeds")


def _front(found: SearchResult, longest: int) -> Table:
    columns = [Column("policy"), *(Column(objective, right=True) for objective in found.objectives)]
    rows = [
        (wrapped(one.name, longest), *(f"{one.values[objective]:.4g}" for objective in found.objectives))
        for one in found.front
    ]
    return Table(columns, rows, f"no policy that was tried is better in both {' and '.join(found.objectives)}")
