"""What the rows of a study's tables are called: policies and training methods that can be told apart at a glance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.cli.columns import GAP
from lrbench.modifiers.brief import brief_variant
from lrbench.report.names import ShortNames, short_names

if TYPE_CHECKING:
    from lrbench.study.results import TaskResults

NO_TREATMENT = "–"


@dataclass(frozen=True)
class RowNames:
    """The names of one task's rows: for each scorecard, a policy, and in a study with modifiers a treatment.

    Attributes:
        policies, treatments: what each policy and each treatment is called, by its name in the study.
        rows: the two names of each scorecard in the study, by its own name; the second is empty without a treatment.
    """

    policies: ShortNames
    treatments: ShortNames
    rows: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, task: TaskResults, longest: int) -> RowNames:
        """The names of a task's rows; those of over `longest` characters are shortened if they stay different."""
        rows = {}
        for card in task.scorecards:
            treatment = task.modifiers.get(card.name, "")
            rows[card.name] = (card.name.removesuffix(f" + {treatment}") if treatment else card.name, treatment)
        treatments = dict.fromkeys(treatment for _, treatment in rows.values() if treatment)
        brief = {treatment: brief_variant(treatment) for treatment in treatments}
        if len(set(brief.values())) < len(brief):
            brief = {treatment: treatment for treatment in brief}
        shorter = short_names(brief.values(), longest)
        return cls(
            short_names((policy for policy, _ in rows.values()), longest),
            ShortNames({name: shorter.shown[text] for name, text in brief.items()}, shorter.patterns),
            rows,
        )

    @property
    def titles(self) -> tuple[str, ...]:
        """What the columns of names are called."""
        return ("policy", "modifier") if self.treatments.shown else ("policy",)

    def cells(self, card: str) -> tuple[str, ...]:
        """What a scorecard's row is called, a name for each of `titles`."""
        policy, treatment = self.rows[card]
        names = (self.policies.shown[policy], self.treatments.shown.get(treatment, NO_TREATMENT))
        return names[: len(self.titles)]

    def joint(self, card: str) -> str:
        """What a scorecard is called in a sentence."""
        return " + ".join(name for name in self.cells(card) if name != NO_TREATMENT)

    def legend(self) -> Iterator[str]:
        """What names stand for that something was left out of."""
        for pattern in (*self.policies.patterns, *self.treatments.patterns):
            yield f"in full: {pattern}"


def widths_for(wanted: Sequence[int], room: int) -> list[int]:
    """How wide columns of names are that share a room: as wide as they want, or else those that want most share it.

    Args:
        wanted: the longest name of each column, in characters.
        room: characters for all of them and the gaps between them.
    """
    left = room - GAP * (len(wanted) - 1)
    widths = [0] * len(wanted)
    for place, column in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        widths[column] = max(1, min(wanted[column], left // (len(wanted) - place)))
        left -= widths[column]
    return widths
