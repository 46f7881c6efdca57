"""The result of a search as `lrbench search` and `print` show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lrbench.display.names import many, unbroken, wrapped
from lrbench.display.readable import LINE_WIDTH
from lrbench.display.table import Column, Table
from lrbench.metrics import METRICS
from lrbench.metrics.confirmation import explained, order_explained
from lrbench.policy_search.finalists import GOALS
from lrbench.study.ranking_table import measured_value

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
        yield from explained(found.confirmed) if _is_for_score(found) else order_explained(found.confirmed)
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
    """Show the finalists by what the search was for: their values on fresh seeds, and beside them the search's own."""
    cards = [one.card for one in found.confirmed]
    score = cards[0].objective
    verdicts = ["" if card.verdict is None else card.verdict.label for card in cards]
    scores = {f"val {score}": [f"{card.val}" for card in cards], f"test {score}": [f"{card.test}" for card in cards]}
    if _is_for_score(found):
        scores["val if chosen"] = [f"{one.simultaneous}" for one in found.confirmed]
        scores["search val"] = [f"{one.search}" for one in found.confirmed]
    searched = {trial.name: trial.values for trial in found.trials if trial.whole}
    others: dict[str, list[str]] = {}
    for objective in found.objectives:
        if objective in GOALS:
            metric = METRICS[GOALS[objective]]
            others[metric.title] = [measured_value(card, metric.name, metric.form) for card in cards]
            others[f"search {metric.title}"] = [f"{searched[card.name][objective]:{metric.form}}" for card in cards]
    figures = scores | others if _is_for_score(found) else others | scores
    columns = [Column("policy"), Column("verdict"), *(Column(title, right=True) for title in figures)]
    rows = list(zip((wrapped(card.name, longest) for card in cards), verdicts, *figures.values(), strict=True))
    return Table(columns, rows, f"{found.search} on {found.task}: the finalists on {cards[0].n} fresh seeds")


def _is_for_score(found: SearchResult) -> bool:
    """Whether the first objective, which orders the finalists, is the score of the task."""
    return found.objectives[0] not in GOALS


def _front(found: SearchResult, longest: int) -> Table:
    columns = [Column("policy"), *(Column(objective, right=True) for objective in found.objectives)]
    rows = [
        (wrapped(one.name, longest), *(f"{one.values[objective]:.4g}" for objective in found.objectives))
        for one in found.front
    ]
    return Table(columns, rows, f"no policy that was tried is better in both {' and '.join(found.objectives)}")
