"""What the rows and lines of figures are called: without what they share, and over few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.display.names import fitted, short_names
from lrbench.modifiers.brief import JOINT, brief_variant

if TYPE_CHECKING:
    import pandas as pd


def row_labels(table: pd.DataFrame, width: int) -> dict[str, str]:
    """Name the rows of a table by their labels, over lines of `width` characters.

    Args:
        table: with the columns label, name and modifier.
    """
    rows = table[["label", "name", "modifier"]].drop_duplicates("label")
    policies = short_names(rows["name"], width).shown
    brief = {modifier: brief_variant(modifier) for modifier in rows["modifier"].unique() if modifier}
    if len(set(brief.values())) < len(brief):
        brief = {modifier: modifier for modifier in brief}
    called = {
        label: policies[name] + (f"{JOINT}{brief[modifier]}" if modifier else "")
        for label, name, modifier in rows.itertuples(index=False)
    }
    if len(set(called.values())) < len(called):
        called = {label: label for label in called}
    return {label: fitted(name, width) for label, name in called.items()}
