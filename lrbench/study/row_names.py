"""The names of the rows of a study's tables: policies and variants that can be told apart at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.display.names import ShortNames, short_names
from lrbench.display.readable import LINE_WIDTH
from lrbench.modifiers.brief import brief_variant

if TYPE_CHECKING:
    from lrbench.study.results import TaskResults

NO_VARIANT = "–"

NAME_WIDTH = 22
"""Names of more characters than these are shortened in a line of 100."""


@dataclass(frozen=True)
class RowNames:
    """The names of one task's rows: for each scorecard, a policy, and in a study with modifiers a variant.

    Attributes:
        policies, variants: what each policy and each variant is called, by its name in the study.
        rows: the two names of each scorecard in the study, by its own name; the second is empty without a variant.
    """

    policies: ShortNames
    variants: ShortNames
    rows: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, task: TaskResults, width: int) -> RowNames:
        """Name the rows of a task for lines of `width` characters: long names are shortened if they stay different."""
        longest = NAME_WIDTH + max(0, width - LINE_WIDTH)
        rows = {card.name: task.rows[card.name] for card in task.scorecards}
        variants = dict.fromkeys(variant for _, variant in rows.values() if variant)
        brief = {variant: brief_variant(variant) for variant in variants}
        if len(set(brief.values())) < len(brief):
            brief = {variant: variant for variant in brief}
        shorter = short_names(brief.values(), longest)
        return cls(
            short_names((policy for policy, _ in rows.values()), longest),
            ShortNames({name: shorter.shown[text] for name, text in brief.items()}, shorter.patterns),
            rows,
        )

    @property
    def titles(self) -> tuple[str, ...]:
        """What the columns of names are called."""
        return ("policy", "modifier") if self.variants.shown else ("policy",)

    def cells(self, card: str) -> tuple[str, ...]:
        """What a scorecard's row is called, a name for each of `titles`."""
        policy, variant = self.rows[card]
        names = (self.policies.shown[policy], self.variants.shown.get(variant, NO_VARIANT))
        return names[: len(self.titles)]

    def joint(self, card: str) -> str:
        """What a scorecard is called in a sentence."""
        return " + ".join(name for name in self.cells(card) if name != NO_VARIANT)

    def legend(self) -> Iterator[str]:
        """What names stand for that something was left out of."""
        for pattern in (*self.policies.patterns, *self.variants.patterns):
            yield f"in full: {pattern}"
