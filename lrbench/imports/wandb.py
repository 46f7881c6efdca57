"""Exports of W&B's charts: a column of steps, and of each run `NAME - METRIC`, `NAME - METRIC__MIN` and `__MAX`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.imports.naming import Naming

if TYPE_CHECKING:
    import pandas

BETWEEN = " - "
BOUNDS = ("__MIN", "__MAX")


def wandb_metrics(frame: pandas.DataFrame) -> list[str]:
    """Return the metrics of an export of W&B; none of another table."""
    names = {str(name) for name in frame}
    values = [name.removesuffix(BOUNDS[0]) for name in names if name.endswith(BOUNDS[0])]
    known = {name for name in values if BETWEEN in name and {name, name + BOUNDS[1]} <= names}
    return sorted({name.rpartition(BETWEEN)[2] for name in known})


def wandb_long(frame: pandas.DataFrame, metrics: list[str], naming: Naming) -> pandas.DataFrame:
    """Turn an export of W&B into a table in long form.

    Raises:
        StudyError: a run is not named as `naming` says.
    """
    import pandas

    runs: dict[str, dict[str, str]] = {}
    for name in map(str, frame):
        run, _, metric = name.rpartition(BETWEEN)
        if metric in metrics and run:
            runs.setdefault(run, {})[metric] = name
    rest = [name for name in frame if BETWEEN not in str(name)]
    return pandas.concat(
        [
            frame[rest].assign(**naming.place_of(run), **{metric: frame[name] for metric, name in columns.items()})
            for run, columns in runs.items()
        ],
        ignore_index=True,
    )
