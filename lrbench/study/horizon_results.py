"""The answer of a study of horizons: score against budget, and what it costs to train on one trunk for all budgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.display.table import Cell, Column, Row, Table
from lrbench.errors import PolicyError
from lrbench.metrics import Interval, PolicyRuns
from lrbench.metrics.ranking import score_table
from lrbench.metrics.statistics import NOTHING_KNOWN, behind_best
from lrbench.modifiers.brief import is_setting
from lrbench.policy import parse
from lrbench.study.horizons import is_on_one_trunk, shared_with_longest
from lrbench.study.ranking_table import STYLES

if TYPE_CHECKING:
    from lrbench.metrics import Better
    from lrbench.store import TaskRecord
    from lrbench.study.results import TaskResults
    from lrbench.study.study_runs import Row as RowOfStudy


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
        rows: the policy and variant of each of them, by its name.
        form: the format of scores.
    """

    tasks: tuple[str, ...]
    objective: str
    better: Better
    policies: tuple[HorizonPolicy, ...]
    rows: Mapping[str, RowOfStudy] = field(default_factory=dict)
    form: str = ""

    def to_json(self) -> dict[str, Any]:
        head = {"tasks": list(self.tasks), "objective": self.objective, "better": self.better}
        return head | {"policies": [policy.to_json() for policy in self.policies]}

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        from lrbench.study.row_names import RowNames

        names = RowNames.of({one.name: self.rows.get(one.name, (one.name, "")) for one in self.policies}, width)
        steps = [score.steps for score in self.policies[0].scores] if self.policies else []
        titles, at = [Column(title) for title in names.titles], [Column(f"at {each:,}", right=True) for each in steps]
        called = {one.name: names.styled(one.name) for one in self.policies}
        rows = [
            (
                *called[one.name],
                "one trunk" if one.one_trunk else "anew",
                *(_score(score, self.form) for score in one.scores),
            )
            for one in self.policies
        ]
        title = f"Validation {self.objective} by budget in iterations, {self.better} is better, ± half the 95% interval"
        yield Table([*titles, Column("trained"), *at], rows, title).fitted(width)
        costs = [one for one in self.policies if any(score.behind for score in one.scores)]
        if costs:
            yield ""
            behind: list[Row] = [
                (*called[one.name], *(f"{each.behind or NOTHING_KNOWN:+.4f}" for each in one.scores)) for one in costs
            ]
            title = "What one trunk costs: behind the best policy that is trained anew for the budget, paired by seed"
            yield Table([*titles, *at], behind, title).fitted(width)
        total = sum(steps)
        for one in self.policies:
            if one.saved:
                forks = ", ".join(f"{score.shared:,}" for score in one.scores[:-1])
                saved = f"{one.saved:,} of {many(total, 'iteration')}"
                yield f"{names.joint(one.name)} forks at {forks}: its trunk saves {saved} a seed."
        yield from names.legend()


def horizons(
    tasks: Sequence[TaskRecord],
    contenders: Mapping[str, Sequence[PolicyRuns]],
    answers: Mapping[str, TaskResults],
) -> Iterator[Horizons]:
    """Answer for each task that a study has at several budgets.

    Args:
        contenders, answers: the policies with their runs, and their results, by the name of the task.
    """
    known = sorted((task for task in tasks if task.trunk is not None), key=lambda task: (task.trunk or "", task.steps))
    for _, group in groupby(known, key=lambda task: task.trunk):
        at = list(group)
        if len(at) > 1 and all(answers[task.name].scorecards for task in at):
            yield _horizons(at, contenders, answers)


def _horizons(
    tasks: Sequence[TaskRecord],
    contenders: Mapping[str, Sequence[PolicyRuns]],
    answers: Mapping[str, TaskResults],
) -> Horizons:
    longest = answers[tasks[-1].name]
    texts = {card.name: card.policy for card in longest.scorecards}
    shared = {name: _shared(text, longest.rows[name][1], tasks) for name, text in texts.items()}
    budgets = [task.budget for task in tasks]
    one_trunk = {name: is_on_one_trunk(common, budgets) for name, common in shared.items()}
    scores: dict[str, list[HorizonScore]] = {name: [] for name in texts}
    for place, task in enumerate(tasks):
        gains, _ = score_table(runs := contenders[task.name])
        by_name = {one.name: row for one, row in zip(runs, gains, strict=True)}
        anew = [by_name[name] for name in texts if not one_trunk[name] and name in by_name]
        card_of = {card.name: card for card in answers[task.name].scorecards}
        for name in texts:
            card = card_of.get(name)
            behind = behind_best(by_name[name], anew) if one_trunk[name] and anew and name in by_name else None
            verdict = None if card is None or card.verdict is None else card.verdict.label
            val = NOTHING_KNOWN if card is None else card.val
            scores[name].append(HorizonScore(task.steps, val, verdict, shared[name][place], behind))
    made = [HorizonPolicy(name, text, one_trunk[name], tuple(scores[name])) for name, text in texts.items()]
    ordered = sorted(made, key=lambda one: not one.one_trunk)
    named, form = tuple(task.name for task in tasks), longest.form
    return Horizons(named, longest.objective, longest.better, tuple(ordered), longest.shown, form)


def _score(score: HorizonScore, form: str) -> Cell:
    return Cell(f"{score.val:{form}} {score.verdict or ''}".strip(), STYLES.get(score.verdict or "", ""))


def _shared(text: str, variant: str, tasks: Sequence[TaskRecord]) -> list[int]:
    """Count for each budget the iterations that are those of the longest one too; none where that is not known.

    With a modifier a row is trained anew for each budget.
    """
    if variant and not is_setting(variant):
        return [0] * len(tasks)
    try:
        return shared_with_longest(parse(text), [task.budget for task in tasks])
    except PolicyError:
        return [0] * len(tasks)
