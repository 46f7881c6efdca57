"""The ranking of a study's policies on a task, as `run` and `print` show it: a row for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from lrbench.display.names import unbroken, wrapped
from lrbench.display.table import GAP, Cell, Column, Figures, Row, Table, leaving_room, widths_for
from lrbench.metrics import METRICS, MetricDeclaration
from lrbench.metrics.confirmation import explained
from lrbench.metrics.goal import TO_TARGET
from lrbench.metrics.statistics import NOTHING_KNOWN
from lrbench.study.row_names import RowNames

if TYPE_CHECKING:
    from lrbench.display.readable import Block
    from lrbench.metrics import Confirmation, Scorecard, Verdict
    from lrbench.metrics.goal import Criterion
    from lrbench.study.results import Results, TaskResults

STYLES = {"good": "bold green", "avoid": "red", "undecided": "yellow"}

MOST_NAMES = 8
"""The most policies that a sentence below the ranking names."""

PER_GOAL = "Claims are per goal: each goal has an error rate of 5% of its own, and none is about all goals together."

MOST_BESIDE = 2
"""Verdicts by more goals than these stand below the values, in place of columns of their own."""

WIDEST = (40, 48)
"""The widths of one column of names, and of two together; longer names fill several lines."""


def ranking(results: Results, task: TaskResults, names: RowNames, width: int, *, drawn: bool) -> Iterator[Block]:
    """Tabulate the policies of a task, best first, with verdicts and remarks.

    Args:
        width: of a line in characters.
        drawn: show the learning rates of each policy.
    """
    title = f"{results.study} on {task.task}, {_terms(task)}"
    title += "" if results.target is None else f", target {results.target:g}"
    title += f", lower {task.objective} is better" if task.better == "lower" else ""
    figures = (*(_shapes(task) if drawn else ()), *_figures(task, results.target))
    yield _cards(task.scorecards, figures, names, width, title)
    if len(task.goals) > 1:
        yield PER_GOAL
    undecided = (line for goal in task.goals for line in _undecided(task, goal, names))
    yield from (*task.remarks, *undecided, *names.legend())
    if task.confirmed:
        yield ""
        yield _confirmed(task, task.confirmed, names, width)
        yield from explained(task.confirmed)


def _terms(task: TaskResults) -> str:
    """Return by what policies are judged: the margins, with the names of goals where these are not the objective."""
    if [goal.name for goal in task.goals] == [task.objective]:
        return f"margin {task.goals[0].margin}"
    return f"by {', '.join(f'{goal.name} (margin {goal.margin})' for goal in task.goals)}"


def _confirmed(task: TaskResults, confirmed: Sequence[Confirmation], names: RowNames, width: int) -> Table:
    cards = [confirmation.card for confirmation in confirmed]
    form = task.form
    beside = [Figures("search val", [Cell(f"{one.search:{form}}") for one in confirmed])]
    if len(cards) > 1:
        beside.insert(0, Figures("val if chosen", [Cell(f"{one.simultaneous:{form}}") for one in confirmed]))
    who = "The winner" if len(cards) == 1 else "The winner and its closest rivals"
    title = f"{who} on fresh seeds, n = {max(card.n for card in cards)}"
    is_judged = len(cards) > 1 or confirmed[0].refused  # one alone is compared with nothing
    goals = list(cards[0].verdicts) if is_judged else []
    scores = _scores(cards, task, goals)
    figures = (*scores[: len(goals)], *_by_other_goals(cards, task), *scores[len(goals) :], *beside)
    return _cards(cards, figures, names, width, title)


def _cards(cards: Sequence[Scorecard], figures: Sequence[Figures], names: RowNames, width: int, title: str) -> Table:
    called = [names.styled(card.name) for card in cards]
    texts = ([cell.text for cell in row] for row in called)
    longest = [max(map(len, column)) for column in zip(names.titles, *texts, strict=True)]
    wanted = min(sum(longest) + GAP * (len(longest) - 1), WIDEST[len(longest) - 1])
    kept, room = leaving_room(figures, wanted, width)
    widths = widths_for(longest, room)
    rows: list[Row] = [
        (
            *(cell._replace(text=wrapped(cell.text, width)) for cell, width in zip(row, widths, strict=True)),
            *(column.cells[place] for column in kept),
        )
        for place, row in enumerate(called)
    ]
    columns = (*map(Column, names.titles), *(Column(column.title, column.right) for column in kept))
    return Table(columns, rows, title)


def _scores(cards: Sequence[Scorecard], task: TaskResults, goals: Iterable[str]) -> tuple[Figures, ...]:
    """Show verdicts, by one goal or several, and the objective."""
    counts = [card.n for card in cards]
    names, form = list(goals), task.form
    is_tested = any(card.test.n for card in cards)
    titles = ["verdict"] if len(names) == 1 else [f"by {name}" for name in names]
    return (
        *(
            Figures(title, [_verdict(card.verdicts[name]) for card in cards], right=False)
            for title, name in zip(titles, names, strict=True)
        ),
        *([Figures("seeds", [Cell(f"{count:,}") for count in counts])] if len(set(counts)) > 1 else []),
        Figures(f"val {task.objective}", [Cell(f"{card.val:{form}}") for card in cards]),
        *([Figures(f"test {task.objective}", [Cell(f"{card.test:{form}}") for card in cards])] if is_tested else []),
    )


def _figures(task: TaskResults, target: float | None) -> tuple[Figures, ...]:
    cards = task.scorecards
    others = [goal for goal in task.goals if not goal.of_objective(task.objective)]
    measured = {name for card in cards for name, interval in card.metrics.items() if interval.n}
    known = (measured | ({TO_TARGET} if target is not None else set())) - {goal.figure for goal in others}

    def figures(metric: MetricDeclaration) -> Figures:
        if metric.name == TO_TARGET:
            dispensable = metric.dispensable if target is None else 0
            return Figures(metric.title, [Cell(_arrival(card, metric.form)) for card in cards], dispensable)
        means = [card.metrics[metric.name].point if metric.name in card.metrics else NOTHING_KNOWN for card in cards]
        return Figures(metric.title, [Cell(format(mean, metric.form)) for mean in means], metric.dispensable)

    columns = [metric for name, metric in METRICS.items() if metric.column == "ranking" and name in known]
    scores = _scores(cards, task, [goal.name for goal in task.goals])
    verdicts = len(task.goals)
    beside = (*scores[verdicts:], *map(figures, columns))
    if verdicts > MOST_BESIDE:
        judged = tuple(_judged(cards, goal) for goal in task.goals)
        titles = {column.title for column in judged}
        return *judged, *(one._replace(dispensable=1 + one.dispensable) for one in beside if one.title not in titles)
    return (*scores[:verdicts], *_by_other_goals(cards, task), *beside)


def _by_other_goals(cards: Sequence[Scorecard], task: TaskResults) -> tuple[Figures, ...]:
    """Show the values of the goals beside the objective."""
    others = (goal for goal in task.goals if not goal.of_objective(task.objective))
    return tuple(Figures(goal.title, [Cell(_of_goal(card, goal)) for card in cards]) for goal in others)


def _judged(cards: Sequence[Scorecard], goal: Criterion) -> Figures:
    """Show a goal's values, each with its verdict below."""
    labels = [card.verdicts[goal.name].label for card in cards]
    rows = zip(cards, labels, strict=True)
    return Figures(goal.title, [Cell(f"{_of_goal(card, goal)}\n{label}", STYLES[label]) for card, label in rows])


def _of_goal(card: Scorecard, goal: Criterion) -> str:
    """Show a metric by which policies are ranked, with its interval where there is one."""
    return measured_value(card, goal.figure, goal.form)


def measured_value(card: Scorecard, metric: str, form: str) -> str:
    """Show a metric with its interval; where not every seed reached the target, how many did in place of iterations."""
    interval = card.metrics.get(metric, NOTHING_KNOWN)
    return _arrival(card, form) if metric == TO_TARGET and interval.mean is None else f"{interval:{form}}"


def _shapes(task: TaskResults) -> Iterator[Figures]:
    """Draw the learning rates of each policy in one line."""
    if task.budget is None:
        return
    from lrbench.policy.curve import curve_cell, rates_of

    curves = [rates_of(card.policy, task.budget) for card in task.scorecards]
    yield Figures("LR", [Cell("") if lrs is None else curve_cell(lrs) for lrs in curves], dispensable=1, right=False)


def _verdict(verdict: Verdict) -> Cell:
    return Cell(verdict.label, STYLES[verdict.label])


def _arrival(card: Scorecard, form: str) -> str:
    """Show the iterations to the target, or how many seeds reached it, where not all did."""
    steps = card.metrics[TO_TARGET]
    if steps.mean is None and card.reached is not None:
        return f"{card.reached} of {card.n}"
    return format(steps.point, form)


def _undecided(task: TaskResults, goal: Criterion, names: RowNames) -> Iterator[str]:
    """Explain open verdicts: a line for those that more seeds would decide, and one for each other reason."""
    verdicts = [(card.name, card.verdicts[goal.name]) for card in task.scorecards]
    open_verdicts = [(name, verdict) for name, verdict in verdicts if verdict.label == "undecided"]
    what = "undecided" if len(task.goals) == 1 else f"undecided by {goal.name}"
    reasons: dict[str, list[str]] = {}
    for name, verdict in open_verdicts:
        needed = "" if verdict.seeds_needed is None else f" {verdict.seeds_needed}"
        within = None if verdict.within is None else verdict.within.rounded(up=True)
        is_margin = within is not None and (within.of_best or within.size <= goal.largest_margin)
        margin = f" ({within})" if is_margin else ""
        reason = f"about this many {goal.test.unit} would decide" if needed else verdict.reason
        reason += ", or this margin" if margin else ""
        reasons.setdefault(reason, []).append(unbroken(names.joint(name) + needed + margin))
    for reason, called in reasons.items():
        more = f", and {len(called) - MOST_NAMES} more" if len(called) > MOST_NAMES else ""
        yield f"{what}, {reason}: {', '.join(called[:MOST_NAMES])}{more}"
