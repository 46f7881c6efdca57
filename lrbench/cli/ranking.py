"""The ranking that `run` ends with: one line a policy, no line over 100 characters."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lrbench.cli.exits import Session
from lrbench.cli.output import Cell, Column, Row, console_for, print_table

if TYPE_CHECKING:
    from lrbench.metrics import Scorecard
    from lrbench.metrics.statistics import Interval
    from lrbench.study.results import Results, TaskResults
    from lrbench.study.runner import Tally

STYLES = {"good": "bold green", "avoid": "red", "undecided": "yellow"}
LINE_WIDTH = 100
NAME_WIDTH = 22
UNKNOWN = "–"


def print_ranking(results: Results, tally: Tally, session: Session) -> None:
    """The policies of every task, best first, with verdicts, and below it what they cost."""
    console = console_for(sys.stdout, session)
    longest = NAME_WIDTH + (0 if console is None else max(0, console.width - LINE_WIDTH))
    for task in results.tasks:
        _print_task(results, task, longest, session)
        print()
    runs = f"{tally.total} runs: {tally.trained} trained, {tally.cached} cached"
    ends = f"{tally.diverged} diverged, {tally.failed} failed"
    print(f"{runs}, {ends}; {tally.steps_trained:,} of {tally.steps_nominal:,} iterations trained")


def _print_task(results: Results, task: TaskResults, longest: int, session: Session) -> None:
    columns = (
        Column("policy"),
        Column("verdict"),
        Column(f"val {task.objective}", right=True),
        Column(f"test {task.objective}", right=True),
        Column("AC", right=True),
        Column("loss diff", right=True),
        Column("to target", right=True),
        Column("seconds", right=True),
    )
    title = f"{results.study} on {task.task}, margin {results.margin:g}"
    title += "" if results.target is None else f", target {results.target:g}"
    print_table(columns, [_row(card, longest) for card in task.scorecards], session, title)
    for line in _undecided(task.scorecards, longest):
        print(line)
    if task.confirmed:
        print()
        print_table(
            (*columns[:4], Column("val in the search", right=True)),
            [(*_row(final.card, longest)[:4], _spread(final.search)) for final in task.confirmed],
            session,
            "The winner and its closest rivals on fresh seeds",
        )


def _row(card: Scorecard, longest: int) -> Row:
    label = "" if card.verdict is None else card.verdict.label
    metrics = card.metrics
    return (
        Cell(_squeezed(card.name, longest), "bold"),
        Cell(label, STYLES.get(label, "")),
        _spread(card.val),
        _spread(card.test),
        _mean(metrics["ac"], ".3f"),
        _mean(metrics["loss_difference"], ".3f"),
        _arrival(card),
        _mean(metrics["seconds"], ".1f"),
    )


def _squeezed(name: str, longest: int) -> str:
    """The name with an ellipsis in its middle where it is too long: policies of a grid differ at either end."""
    if len(name) <= longest:
        return name
    tail = longest // 2
    return f"{name[: longest - 1 - tail]}…{name[-tail:]}"


def _undecided(cards: Sequence[Scorecard], longest: int) -> Iterator[str]:
    """What would decide the verdicts that are open: one line for those that seeds would, one for each other reason."""
    open_verdicts = [(card.name, card.verdict) for card in cards if card.verdict and card.verdict.label == "undecided"]
    reasons: dict[str, list[str]] = {}
    for name, verdict in open_verdicts:
        needed = verdict.seeds_needed
        reason = verdict.reason if needed is None else "about so many seeds would decide"
        reasons.setdefault(reason, []).append(_squeezed(name, longest) + (f" {needed}" if needed else ""))
    for reason, names in reasons.items():
        yield f"undecided, {reason}: {', '.join(names)}"


def _spread(interval: Interval) -> str:
    """The mean with half the width of its interval."""
    if interval.mean is None:
        return UNKNOWN
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} ±{(interval.high - interval.low) / 2:.3f}"


def _mean(interval: Interval, form: str) -> str:
    return UNKNOWN if interval.mean is None else format(interval.mean, form)


def _arrival(card: Scorecard) -> str:
    """Iterations to the target; where not every seed reached it, how many did."""
    steps = card.metrics["steps_to_target"].mean
    if steps is not None:
        return f"{steps:,.0f}"
    return f"{card.reached} of {card.n}" if card.reached is not None else UNKNOWN
