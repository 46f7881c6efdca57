"""The table of the effects of a study's modifiers, policy by policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import indent
from typing import TYPE_CHECKING

from lrbench.display.names import many, wrapped
from lrbench.display.table import Cell, Column, Figures, Row, Table, leaving_room
from lrbench.metrics import METRICS, MetricDeclaration
from lrbench.metrics.effects import EffectVerdict
from lrbench.metrics.statistics import NOTHING_KNOWN, Interval
from lrbench.modifiers.brief import variant_noun
from lrbench.study.row_names import RowNames

if TYPE_CHECKING:
    from lrbench.display.readable import Block
    from lrbench.metrics import Better, Effect, Interaction
    from lrbench.metrics.goal import Criterion
    from lrbench.study.results import TaskResults

BETTER, WORSE = "green", "red"
VERDICTS: dict[EffectVerdict, str] = {"helps": BETTER, "hurts": WORSE, "no gain": "", "undecided": ""}
INDENT = "  "
MOST_TEXTS = 3
"""The most different things that are said of a modifier's runs."""

NAME_WIDTH = 16
"""The width of names below which columns of numbers are left out."""

WITH_MINUS_WITHOUT = "with minus without, paired by seed, ± half the 95% interval"

PERCENT = "seconds and forward FLOPs are in percent of the run without."

COSTS = {"test_loss": 2, "steps_to_target": 3, "seconds": 1, "forward_flops": 0}
"""The metrics beside the objective; in a short line those of the highest numbers are left out first, but for 0."""


def effects(task: TaskResults, names: RowNames, width: int) -> Iterator[Block]:
    """Tabulate the effects of each modifier on each policy, with half the width of their intervals.

    The loss of a task that is judged by it stands once, and what no run has, such as the iterations to a target that
    is not given, nowhere.
    """
    objective = MetricDeclaration(f"test_{task.objective}", f"test {task.objective}", "", better=task.better)
    known = {name for effect in task.effects for name, value in effect.differences.items() if value.n}
    metrics = (objective, *(METRICS[name] for name in COSTS if name in known - {objective.name}))
    interactions = {interaction.modifier: interaction for interaction in task.interactions}

    def depends(modifier: str) -> list[Cell]:
        return [Cell(""), Cell(_dependence(interactions.get(modifier))), *[Cell("")] * (len(metrics) - 1)]

    def measured(effect: Effect) -> list[Cell]:
        return [Cell(effect.verdict, VERDICTS[effect.verdict]), *(_cell(effect, metric, task) for metric in metrics)]

    columns = [("effect", 0), *((metric.title, COSTS.get(metric.name, 0)) for metric in metrics)]
    title = f"Effects on {task.task}: {WITH_MINUS_WITHOUT}"
    yield _by_modifier(task, names, width, title, columns, depends, measured)
    yield from _legend(task, interactions)
    if any(not goal.of_objective(task.objective) for goal in task.goals):
        yield ""
        yield from _by_goal(task, names, width)
    for modifier, did in task.did.items():
        yield f"{names.variants.shown[modifier]}: {what_was_done(did)}."


def _by_modifier(
    task: TaskResults,
    names: RowNames,
    width: int,
    title: str,
    columns: Sequence[tuple[str, int]],
    of_modifier: Callable[[str], list[Cell]],
    of_effect: Callable[[Effect], list[Cell]],
) -> Table:
    """Make a table with a row for each modifier, and below it one for each policy.

    Args:
        columns: the title of each, and how dispensable it is.
        of_modifier, of_effect: the cells of a row.
    """
    called: list[Cell] = []
    lines: list[list[Cell]] = []
    for modifier in dict.fromkeys(effect.modifier for effect in task.effects):
        called.append(Cell(names.variants.shown[modifier], "bold"))
        lines.append(of_modifier(modifier))
        for effect in task.effects:
            if effect.modifier == modifier:
                called.append(Cell(names.policies.shown[effect.policy]))
                lines.append(of_effect(effect))
    cells = zip(columns, zip(*lines, strict=True), strict=True)
    figures = [Figures(title, column, dispensable) for (title, dispensable), column in cells]
    kept, room = leaving_room(figures, NAME_WIDTH, width)
    rows: list[Row] = [
        (_fitted(name, room), *(column.cells[place] for column in kept)) for place, name in enumerate(called)
    ]
    named = Column(f"{variant_noun(effect.modifier for effect in task.effects)}, policy")
    return Table((named, *(Column(column.title, right=column.title != "effect") for column in kept)), rows, title)


def _by_goal(task: TaskResults, names: RowNames, width: int) -> Iterator[Block]:
    """Tabulate what each modifier does to each goal, policy by policy: the paired difference, and a claim below it.

    The last goals are left out where the line has no room for them.
    """
    columns = [(goal.title, place) for place, goal in enumerate(task.goals)]
    yield _by_modifier(
        *(task, names, width, f"By goal on {task.task}: {WITH_MINUS_WITHOUT}", columns),
        lambda _: [Cell("")] * len(task.goals),
        lambda effect: [_claim(effect, goal) for goal in task.goals],
    )
    noun = variant_noun(effect.modifier for effect in task.effects)
    margins = ", ".join(f"{goal.name} {goal.margin}" for goal in task.goals)
    yield (
        f"no gain: the {noun} makes it better by less than the margin ({margins}). Each goal is judged by itself, over "
        f"all policies of a {noun}, with at most 5% of wrong claims of `helps` or `hurts`, and as many of `no gain`."
    )


def _claim(effect: Effect, goal: Criterion) -> Cell:
    interval, verdict = effect.differences.get(goal.figure, NOTHING_KNOWN), effect.by_goal.get(goal.name, "undecided")
    return Cell(f"{interval:+{goal.form}}\n{verdict}", VERDICTS[verdict])


def what_was_done(did: Mapping[str, Sequence[str | float]]) -> str:
    """Say what a modifier did over its runs: ranges of counts, and how many runs each other thing happened in.

    >>> what_was_done({"means": [4, 4], "samples": [3, 7], "drops": ["none", "none"]})
    'means 4, samples 3 to 7, drops in 2 of 2 runs: none'
    """
    return ", ".join(f"{name.replace('_', ' ')} {_over_runs(values)}" for name, values in did.items())


def _over_runs(values: Sequence[str | float]) -> str:
    numbers = [value for value in values if not isinstance(value, str)]
    if numbers:
        low, high = min(numbers), max(numbers)
        return f"{low:,g}" if low == high else f"{low:,g} to {high:,g}"
    counts = Counter(text for text in values if text).most_common()
    if not counts:
        return "in no run"
    told = "; ".join(f"in {count} of {many(len(values), 'run')}: {text}" for text, count in counts[:MOST_TEXTS])
    return told + (f"; and {len(counts) - MOST_TEXTS} more" if len(counts) > MOST_TEXTS else "")


def _fitted(name: Cell, width: int) -> Cell:
    """Wrap a name; that of a policy, which has no style, is indented."""
    if name.style:
        return Cell(wrapped(name.text, width), name.style)
    return Cell(indent(wrapped(name.text, width - len(INDENT)), INDENT))


def _cell(effect: Effect, metric: MetricDeclaration, task: TaskResults) -> Cell:
    """Show a difference, and its number of seeds where that is less than the objective's."""
    interval = effect.differences.get(metric.name, NOTHING_KNOWN)
    text = f"{interval:+{metric.form}}"
    if metric.effect == "percent":
        without = _without(effect, metric.name, task)
        interval = interval.per(without / 100) if without else NOTHING_KNOWN
        text = f"{interval:+.1f}%"
    if interval.mean is None:
        return Cell(f"{interval}")
    if interval.n < max(each.n for each in effect.differences.values()):
        text += f" n={interval.n}"
    return Cell(text, _style(interval, metric.better))


def _without(effect: Effect, metric: str, task: TaskResults) -> float | None:
    """Return the mean of a metric over the runs without the modifier."""
    for card in task.scorecards:
        if card.name == effect.policy and metric in card.metrics:
            return card.metrics[metric].mean
    return None


def _style(interval: Interval, better: Better | None) -> str:
    """Choose the colour of a difference whose interval does not contain 0."""
    if interval.low is None or interval.high is None or interval.low <= 0 <= interval.high:
        return ""
    return BETTER if (interval.low > 0) == (better == "higher") else WORSE


def _dependence(interaction: Interaction | None) -> str:
    """Show the p-value of "the effect is the same for every policy"."""
    if interaction is None or interaction.p is None:
        return ""
    return "p < 0.001" if interaction.p < 0.001 else f"p = {interaction.p:.3f}"


def _legend(task: TaskResults, interactions: dict[str, Interaction]) -> Iterator[str]:
    from lrbench.modifiers import modifiers

    if any(interaction.p is not None for interaction in interactions.values()):
        yield (
            f"p: is the effect on test {task.objective} the same for every policy? A small p says that it depends on "
            "the policy (rotation test over paired seeds)."
        )
    noun = variant_noun(effect.modifier for effect in task.effects)
    yield (
        f"helps, hurts: test {task.objective} is better, worse with the {noun}, over all policies of a {noun} with at "
        "most 5% of wrong claims."
    )
    yield PERCENT
    called = {effect.modifier.partition(" + ")[0] for effect in task.effects}
    for kind in modifiers().values():
        for control in getattr(kind, "controls", ()):
            if control.name in called:
                yield f"{control.name}: {control.meaning}."
