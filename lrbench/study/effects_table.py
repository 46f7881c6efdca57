"""The table of what the modifiers of a study change, policy by policy."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent
from typing import TYPE_CHECKING, NamedTuple

from lrbench.display.names import wrapped
from lrbench.display.table import Cell, Column, Figures, Row, Table, leaving_room
from lrbench.metrics.interval_text import UNKNOWN, spread
from lrbench.study.row_names import RowNames

if TYPE_CHECKING:
    from lrbench.display.readable import Block
    from lrbench.metrics import Effect, Interaction
    from lrbench.metrics.statistics import Interval
    from lrbench.study.results import TaskResults

BETTER, WORSE = "green", "red"
INDENT = "  "
NAME_WIDTH = 16
"""The room for names below which figures are left out."""

CONTROL = "plp_control: the same without PLP, at 7/6 of the learning rates."
PERCENT = "seconds and forward FLOPs are in percent of the run without."


class Measure(NamedTuple):
    """What an effect is measured in.

    Attributes:
        metric: its name in an effect.
        form: how its numbers are written.
        relative: it is shown in percent of what it is without the modifier.
        gain: 1 where more is better, -1 where less is.
        dispensable: of those above 0, the highest are left out first where a line is short.
    """

    title: str
    metric: str
    form: str
    relative: bool
    gain: int
    dispensable: int


COSTS = (
    Measure("test loss", "test_loss", ".3f", False, -1, 2),
    Measure("to target", "steps_to_target", ",.0f", False, -1, 3),
    Measure("seconds", "seconds", ".1f", True, -1, 1),
    Measure("fwd FLOPs", "forward_flops", ".1f", True, -1, 0),
)


def effects(task: TaskResults, names: RowNames, width: int) -> Iterator[Block]:
    """List for each modifier and policy the paired differences it makes, with half the width of their intervals."""
    gain = 1 if task.better == "higher" else -1
    measures = (Measure(f"test {task.objective}", f"test_{task.objective}", ".3f", False, gain, 0), *COSTS)
    interactions = {interaction.modifier: interaction for interaction in task.interactions}
    called: list[Cell] = []
    figures: list[list[Cell]] = []
    for modifier in dict.fromkeys(effect.modifier for effect in task.effects):
        called.append(Cell(names.variants.shown[modifier], "bold"))
        figures.append([Cell(_dependence(interactions.get(modifier))), *[Cell("")] * len(COSTS)])
        for effect in task.effects:
            if effect.modifier == modifier:
                called.append(Cell(names.policies.shown[effect.policy]))
                figures.append([_cell(effect, measure, task) for measure in measures])
    columns = [
        Figures(measure.title, cells, measure.dispensable)
        for measure, cells in zip(measures, zip(*figures, strict=True), strict=True)
    ]
    kept, room = leaving_room(columns, NAME_WIDTH, width)
    rows: list[Row] = [
        (_fitted(name, room), *(column.cells[place] for column in kept)) for place, name in enumerate(called)
    ]
    title = f"Effects on {task.task}: with minus without, paired by seed, ± half the 95% interval"
    titles = (Column("modifier, policy"), *(Column(column.title, right=True) for column in kept))
    yield Table(titles, rows, title)
    yield from _legend(task, interactions)


def _fitted(name: Cell, width: int) -> Cell:
    """A name over as many lines as it takes; that of a policy, which has no style, is indented."""
    if name.style:
        return Cell(wrapped(name.text, width), name.style)
    return Cell(indent(wrapped(name.text, width - len(INDENT)), INDENT))


def _cell(effect: Effect, measure: Measure, task: TaskResults) -> Cell:
    """A difference; where fewer seeds are behind it than behind the effect's objective, how many."""
    interval = effect.differences.get(measure.metric)
    if interval is None or interval.mean is None:
        return Cell(UNKNOWN)
    unit, percent = 1.0, ""
    if measure.relative:
        without = _without(effect, measure, task)
        if not without:
            return Cell(UNKNOWN)
        unit, percent = without / 100, "%"
    text = spread(interval, measure.form, unit=unit, sign="+") + percent
    if interval.n < max(each.n for each in effect.differences.values()):
        text += f" n={interval.n}"
    return Cell(text, _style(interval, measure.gain))


def _without(effect: Effect, measure: Measure, task: TaskResults) -> float | None:
    """The mean of a figure over the runs without the modifier."""
    for card in task.scorecards:
        if card.name == effect.policy and measure.metric in card.metrics:
            return card.metrics[measure.metric].mean
    return None


def _style(interval: Interval, gain: int) -> str:
    """The colour of a difference whose interval leaves out 0."""
    if interval.low is None or interval.high is None or interval.low <= 0 <= interval.high:
        return ""
    return BETTER if (interval.low > 0) == (gain > 0) else WORSE


def _dependence(interaction: Interaction | None) -> str:
    """The p-value of "the effect is the same for every policy"."""
    if interaction is None or interaction.p is None:
        return ""
    return "p < 0.001" if interaction.p < 0.001 else f"p = {interaction.p:.3f}"


def _legend(task: TaskResults, interactions: dict[str, Interaction]) -> Iterator[str]:
    if any(interaction.p is not None for interaction in interactions.values()):
        yield (
            f"p: is the effect on test {task.objective} the same for every policy? A small p says that it depends on "
            "the policy (analysis of variance over paired seeds)."
        )
    yield PERCENT
    if any(effect.modifier.startswith("plp_control") for effect in task.effects):
        yield CONTROL
