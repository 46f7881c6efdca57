"""Short names of the policies and variants in a study's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.display.names import ShortNames, short_names
from lrbench.display.readable import LINE_WIDTH
from lrbench.display.table import Cell
from lrbench.modifiers.brief import brief_variant, variant_noun

if TYPE_CHECKING:
    from lrbench.study.study_runs import Row

NO_VARIANT = "–"

STYLES = ("bold", "cyan")
"""The styles of a policy's name and of a variant's."""

NAME_WIDTH = 22
"""The longest name in a line of 100 characters that is not shortened."""


@dataclass(frozen=True)
class RowNames:
    """The names of rows of results: for each a policy, and in a study with modifiers or axes a variant.

    Attributes:
        policies, variants: short names, by the name in the study.
        rows: the policy and variant of each, by its label; the variant is empty without modifiers.
    """

    policies: ShortNames
    variants: ShortNames
    rows: Mapping[str, Row]

    @classmethod
    def of(cls, rows: Mapping[str, Row], width: int) -> RowNames:
        """Name rows for lines of `width` characters; long names are shortened if they stay different."""
        longest = NAME_WIDTH + max(0, width - LINE_WIDTH)
        variants = dict.fromkeys(variant for _, variant in rows.values() if variant)
        brief = {variant: brief_variant(variant) for variant in variants}
        if len(set(brief.values())) < len(brief):
            brief = {variant: variant for variant in brief}
        shorter = short_names(brief.values(), longest)
        return cls(
            short_names((policy for policy, _ in rows.values()), longest),
            ShortNames({name: shorter.shown[text] for name, text in brief.items()}, shorter.patterns),
            dict(rows),
        )

    @property
    def titles(self) -> tuple[str, ...]:
        """The titles of the columns of names."""
        return ("policy", variant_noun(self.variants.shown)) if self.variants.shown else ("policy",)

    def cells(self, label: str) -> tuple[str, ...]:
        """Return the names of a row, one for each of `titles`."""
        policy, variant = self.rows[label]
        names = (self.policies.shown[policy], self.variants.shown.get(variant, NO_VARIANT))
        return names[: len(self.titles)]

    def styled(self, label: str) -> list[Cell]:
        """Return those names as cells of a table."""
        return [Cell(name, style) for name, style in zip(self.cells(label), STYLES, strict=False)]

    def joint(self, label: str) -> str:
        """Return the name of a row in a sentence."""
        return " + ".join(name for name in self.cells(label) if name != NO_VARIANT)

    def legend(self) -> Iterator[str]:
        """Yield the full forms of shortened names."""
        for pattern in (*self.policies.patterns, *self.variants.patterns):
            yield f"in full: {pattern}"
