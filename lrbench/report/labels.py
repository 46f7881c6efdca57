"""What the rows and lines of figures are called: without what they share, and over few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.report.names import DIFFERS, short_names, wrapped
from lrbench.report.treatment_names import JOINT, brief_treatment

if TYPE_CHECKING:
    import pandas as pd

MOST_LINES = 2
"""A name has no more lines than this; its middle is left out where it would."""


def row_labels(table: pd.DataFrame, width: int) -> dict[str, str]:
    """By the label of each row what it is called, over lines of `width` characters.

    Args:
        table: with the columns label, name and modifier.
    """
    rows = table[["label", "name", "modifier"]].drop_duplicates("label")
    policies = short_names(rows["name"], width).shown
    brief = {modifier: brief_treatment(modifier) for modifier in rows["modifier"].unique() if modifier}
    if len(set(brief.values())) < len(brief):
        brief = {modifier: modifier for modifier in brief}
    called = {
        label: policies[name] + (f"{JOINT}{brief[modifier]}" if modifier else "")
        for label, name, modifier in rows.itertuples(index=False)
    }
    return {label: fitted(name, width) for label, name in called.items()}


def fitted(name: str, width: int, lines: int = MOST_LINES) -> str:
    """A name over at most so many lines of `width` characters: its beginning and its end, where it is longer."""
    kept = min(len(name), lines * width)
    while (text := wrapped(_without_middle(name, kept), width)).count("\n") >= lines:
        kept -= 2
    return text


def _without_middle(name: str, kept: int) -> str:
    return name if kept >= len(name) else f"{name[: kept // 2]}{DIFFERS}{name[-(kept // 2) :]}"
