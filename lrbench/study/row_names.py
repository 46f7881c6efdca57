"""Short names of the policies and variants in a study's tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.display.names import ShortNames, short_names
from lrbench.display.readable import LINE_WIDTH
from lrbench.modifiers.brief import brief_variant, variant_noun

if TYPE_CHECKING:
    from lrbench.study.results import TaskResults

NO_VARIANT = "–"

NAME_WIDTH = 22
"""The longest name in a line of 100 characters that is not shortened."""


@dataclass(frozen=True)
class RowNames:
    """The names of one task's rows: for each scorecard, a policy, and in a study with modifiers or axes a variant.

    Attributes:
        policies, variants: short names, by the name in the study.
        rows: the policy and variant of each scorecard, by its name; the variant is empty without modifiers.
    """

    policies: ShortNames
    variants: ShortNames
    rows: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, task: TaskResults, width: int) -> RowNames:
        """Name the rows of a task for lines of `width` characters; long names are shortened if they stay different."""
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
        """The titles of the columns of names."""
        return ("policy", variant_noun(self.variants.shown)) if self.variants.shown else ("policy",)

    def cells(self, card: str) -> tuple[str, ...]:
        """Return the names of a scorecard, one for each of `titles`."""
        policy, variant = self.rows[card]
        names = (self.policies.shown[policy], self.variants.shown.get(variant, NO_VARIANT))
        return names[: len(self.titles)]

    def joint(self, card: str) -> str:
        """Return the name of a scorecard in a sentence."""
        return " + ".join(name for name in self.cells(card) if name != NO_VARIANT)

    def legend(self) -> Iterator[str]:
        """Yield the full forms of shortened names."""
        for pattern in (*self.policies.patterns, *self.variants.patterns):
            yield f"in full: {pattern}"
