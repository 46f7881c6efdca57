"""The result of a search as `lrbench search` and `print` show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from lrbench.display.names import many, unbroken, wrapped
from lrbench.display.readable import LINE_WIDTH
from lrbench.display.table import Cell, Column, Figures, Table, leaving_room
from lrbench.metrics import METRICS
from lrbench.metrics.confirmation import explained, order_explained
from lrbench.policy_search.finalists import GOALS
from lrbench.study.ranking_table import measured_value

if TYPE_CHECKING:
    from lrbench.display.readable import Block
    from lrbench.policy_search.loop import SearchResult
    from lrbench.policy_search.rungs import Trial

LONGEST_POLICY = 50
"""In lines of 100 characters, a longer text of a policy is wrapped."""

LEAST_POLICY = 30
"""The characters of a line that are left for policies, if need be by leaving out columns."""


def found_blocks(found: SearchResult, width: int) -> Iterator[Block]:
    """Show the finalists on fresh seeds, the front where there are two objectives, and the counts."""
    if found.confirmed:
        yield _confirmed(found, width)
        yield from explained(found.confirmed) if _is_for_score(found) else order_explained(found.confirmed)
    if len(found.objectives) > 1 and found.front:
        yield ""
        yield _front(found, LONGEST_POLICY + max(0, width - LINE_WIDTH))
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


def _confirmed(found: SearchResult, width: int) -> Table:
    """Show the finalists by what the search was for: their values on fresh seeds, and beside them the search's own.

    Where the names need room, the columns of an objective that does not order the finalists go.
    """
    cards = [one.card for one in found.confirmed]
    score = cards[0].objective
    searched = {trial.name: trial for trial in found.trials if trial.whole}
    for_score = _is_for_score(found)

    def column(title: str, texts: Iterable[str], dispensable: int = 0) -> Figures:
        return Figures(title, [Cell(text) for text in texts], dispensable)

    scores = [
        column(f"val {score}", (f"{card.val}" for card in cards), 0 if for_score else 1),
        column(f"test {score}", (f"{card.test}" for card in cards), 1 if for_score else 2),
    ]
    if for_score:
        scores.append(column("val if chosen", (f"{one.simultaneous}" for one in found.confirmed)))
        scores.append(column("search val", (f"{one.search}" for one in found.confirmed)))
    others = []
    for objective in found.objectives:
        if objective in GOALS:
            metric = METRICS[GOALS[objective]]
            own, beside = (1, 3) if objective != found.objectives[0] else (0, 0)
            others.append(column(metric.title, (measured_value(card, metric.name, metric.form) for card in cards), own))
            seen = (_searched(searched[card.name], objective, metric.form) for card in cards)
            others.append(column(f"search {metric.title}", seen, beside))
    verdicts = ["" if card.verdict is None else card.verdict.label for card in cards]
    figures = [Figures("verdict", [Cell(label) for label in verdicts], right=False)]
    figures += [*scores, *others] if for_score else [*others, *scores]
    kept, room = leaving_room(figures, min(max(len(card.name) for card in cards), LEAST_POLICY), width)
    names = (wrapped(card.name, max(room, LEAST_POLICY)) for card in cards)
    rows = list(zip(names, *(one.cells for one in kept), strict=True))
    columns = [Column("policy"), *(Column(one.title, one.right) for one in kept)]
    return Table(columns, rows, f"{found.search} on {found.task}: the finalists on {cards[0].n} fresh seeds")


def _searched(trial: Trial, objective: str, form: str) -> str:
    """Show what a search saw of a policy; where not every run reached the target, how many did."""
    value = trial.measured(objective)
    return f"{trial.reached} of {trial.runs}" if value is None else f"{value:{form}}"


def _is_for_score(found: SearchResult) -> bool:
    """Whether the first objective, which orders the finalists, is the score of the task."""
    return found.objectives[0] not in GOALS


def _front(found: SearchResult, longest: int) -> Table:
    columns = [Column("policy"), *(Column(objective, right=True) for objective in found.objectives)]
    rows = [
        (wrapped(one.name, longest), *(_searched(one, objective, ".4g") for objective in found.objectives))
        for one in found.front
    ]
    return Table(columns, rows, f"no policy that was tried is better in both {' and '.join(found.objectives)}")
