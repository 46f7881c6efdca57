"""The answer of a study of horizons: score against budget, and what it costs to train on one trunk for all budgets."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.display.table import Cell, Column, Row, Table
from lrbench.errors import PolicyError
from lrbench.metrics import Interval, PolicyRuns
from lrbench.metrics.ranking import score_table
from lrbench.metrics.statistics import NOTHING_KNOWN, behind_best
from lrbench.policy import parse
from lrbench.study.horizons import is_on_one_trunk, shared_with_longest

if TYPE_CHECKING:
    from lrbench.metrics import Better, Scorecard
    from lrbench.store import TaskRecord

STYLES = {"good": "bold green", "avoid": "red", "undecided": "yellow"}


@dataclass(frozen=True)
class HorizonScore:
    """A policy at one horizon.

    Attributes:
        steps: the horizon, in iterations.
        val: the validation objective at its end.
        verdict: "good", "avoid" or "undecided"; None where nothing is claimed.
        shared: the iterations that are those of the longest horizon too, but for rounding to whole checkpoints.
        behind: how far a policy on one trunk is behind the best one that is trained anew for the horizon, in the unit
            of the objective, more being worse; None for one that is trained anew, or where there is none.
    """

    steps: int
    val: Interval
    verdict: str | None
    shared: int
    behind: Interval | None

    def to_json(self) -> dict[str, Any]:
        behind = None if self.behind is None else self.behind.to_json()
        return {**vars(self), "val": self.val.to_json(), "behind": behind}


@dataclass(frozen=True)
class HorizonPolicy:
    """A policy at all horizons.

    Attributes:
        one_trunk: whether runs of all horizons begin as that of the longest one, for a quarter of each or more.
    """

    name: str
    policy: str
    one_trunk: bool
    scores: tuple[HorizonScore, ...]

    @property
    def saved(self) -> int:
        """The iterations that one seed saves by its trunk."""
        return sum(score.shared for score in self.scores[:-1]) if self.one_trunk else 0

    def to_json(self) -> dict[str, Any]:
        own = {"name": self.name, "policy": self.policy, "one_trunk": self.one_trunk, "saved": self.saved}
        return own | {"scores": [score.to_json() for score in self.scores]}


@dataclass(frozen=True, repr=False)
class Horizons(Readable):
    """Score against budget, on one task at several horizons.

    Attributes:
        tasks: the names of the task at its horizons, shortest first.
        policies: those on one trunk first, each best first at the longest horizon.
    """

    tasks: tuple[str, ...]
    objective: str
    better: Better
    policies: tuple[HorizonPolicy, ...]

    def to_json(self) -> dict[str, Any]:
        head = {"tasks": list(self.tasks), "objective": self.objective, "better": self.better}
        return head | {"policies": [policy.to_json() for policy in self.policies]}

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        steps = [score.steps for score in self.policies[0].scores] if self.policies else []
        columns = [Column("policy"), Column("trained"), *(Column(f"at {each:,}", right=True) for each in steps)]
        rows = [
            (
                Cell(one.name, "bold"),
                "one trunk" if one.one_trunk else "anew",
                *map(_score, one.scores),
            )
            for one in self.policies
        ]
        title = f"Validation {self.objective} by budget in iterations, {self.better} is better, ± half the 95% interval"
        yield Table(columns, rows, title).fitted(width)
        costs = [one for one in self.policies if any(score.behind for score in one.scores)]
        if costs:
            yield ""
            behind: list[Row] = [
                (Cell(one.name, "bold"), *(f"{each.behind:+.4f}" for each in one.scores)) for one in costs
            ]
            title = "What one trunk costs: behind the best policy that is trained anew for the budget, paired by seed"
            yield Table([columns[0], *columns[2:]], behind, title).fitted(width)
        total = sum(steps)
        for one in self.policies:
            if one.saved:
                forks = ", ".join(f"{score.shared:,}" for score in one.scores[:-1])
                saved = f"{one.saved:,} of {many(total, 'iteration')}"
                yield f"{one.name} forks at {forks}: its trunk saves {saved} a seed."


def horizons(
    tasks: Sequence[TaskRecord],
    contenders: Mapping[str, Sequence[PolicyRuns]],
    cards: Mapping[str, Sequence[Scorecard]],
    modified: Container[str],
) -> Iterator[Horizons]:
    """Answer for each task that a study has at several budgets.

    Args:
        contenders, cards: the policies with their runs, and their scorecards, by the name of the task.
        modified: the names of rows with a modifier, which are trained anew for each budget.
    """
    known = sorted((task for task in tasks if task.trunk is not None), key=lambda task: (task.trunk or "", task.steps))
    for _, group in groupby(known, key=lambda task: task.trunk):
        at = list(group)
        if len(at) > 1 and all(cards[task.name] for task in at):
            yield _horizons(at, contenders, cards, modified)


def _horizons(
    tasks: Sequence[TaskRecord],
    contenders: Mapping[str, Sequence[PolicyRuns]],
    cards: Mapping[str, Sequence[Scorecard]],
    modified: Container[str],
) -> Horizons:
    names = [card.name for card in cards[tasks[-1].name]]
    texts = {card.name: card.policy for card in cards[tasks[-1].name]}
    shared = {name: [0] * len(tasks) if name in modified else _shared(text, tasks) for name, text in texts.items()}
    budgets = [task.budget for task in tasks]
    one_trunk = {name: is_on_one_trunk(common, budgets) for name, common in shared.items()}
    scores: dict[str, list[HorizonScore]] = {name: [] for name in names}
    for place, task in enumerate(tasks):
        gains, _ = score_table(runs := contenders[task.name])
        by_name = {one.name: row for one, row in zip(runs, gains, strict=True)}
        anew = [by_name[name] for name in names if not one_trunk[name] and name in by_name]
        card_of = {card.name: card for card in cards[task.name]}
        for name in names:
            card = card_of.get(name)
            behind = behind_best(by_name[name], anew) if one_trunk[name] and anew and name in by_name else None
            verdict = None if card is None or card.verdict is None else card.verdict.label
            val = NOTHING_KNOWN if card is None else card.val
            scores[name].append(HorizonScore(task.steps, val, verdict, shared[name][place], behind))
    made = [HorizonPolicy(name, texts[name], one_trunk[name], tuple(scores[name])) for name in names]
    ordered = sorted(made, key=lambda one: not one.one_trunk)
    return Horizons(tuple(task.name for task in tasks), tasks[0].objective, tasks[0].better, tuple(ordered))


def _score(score: HorizonScore) -> Cell:
    return Cell(f"{score.val} {score.verdict or ''}".strip(), STYLES.get(score.verdict or "", ""))


def _shared(text: str, tasks: Sequence[TaskRecord]) -> list[int]:
    """Count for each budget the iterations that are those of the longest one too; none where that is not known."""
    try:
        return shared_with_longest(parse(text), [task.budget for task in tasks])
    except PolicyError:
        return [0] * len(tasks)
