"""`lrbench compare`: the difference of two policies of a study, paired by seed unless runs are not paired."""

from __future__ import annotations

from typing import Annotated

import typer

from lrbench.cli.errors import session_of
from lrbench.cli.options import By, OutputOptions, StoredStudy, StoreOptions, load_plugins, study_name, with_groups
from lrbench.cli.output import print_json, print_table
from lrbench.display.table import Column

COLUMNS = (Column("metric"), *(Column(title, right=True) for title in ("difference", "low", "high")))
NOT_COUNTED = ("", "")
"""The seeds on which each policy is better, of a metric that is no goal."""


@with_groups
def compare(
    context: typer.Context,
    study: StoredStudy,
    a: Annotated[str, typer.Argument(metavar="A", help="A policy of the study, by its name or text.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The policy that A is compared with.")],
    *,
    by: By = None,
    options: StoreOptions,
    output: OutputOptions,
) -> None:
    """Compare two policies of a study by the runs in the store: the difference A - B, paired by seed where runs are.

    \b
    Examples:
      lrbench compare quickstart TRI FIX
      lrbench compare quickstart TRI FIX --by steps_to_target --by seconds
      lrbench compare quickstart "FIX(k0=0.1)" SIN2 --json
    """
    name = study_name(study)
    load_plugins(options.plugin)
    with options.opened() as store:
        from lrbench.study.compare import compare_two

        comparisons = compare_two(name, a, b, store, by or ())
    if output.json:
        print_json({"schema": 1, "study": name, "comparisons": [comparison.to_json() for comparison in comparisons]})
        return
    for comparison in comparisons:
        shown = {name: gap for name, gap in comparison.differences.items() if by or gap.mean is not None}
        is_counted = not comparison.ahead.keys().isdisjoint(shown)
        rows = [
            (
                metric,
                *map(_number, (gap.mean, gap.low, gap.high)),
                str(gap.n),
                *(map(str, comparison.ahead.get(metric, NOT_COUNTED)) if is_counted else ()),
            )
            for metric, gap in shown.items()
        ]
        seeds = Column("seeds" if comparison.paired else "runs", right=True)
        ahead = (Column("A better", right=True), Column("B better", right=True)) if is_counted else ()
        columns, how = (*COLUMNS, seeds, *ahead), "paired by seed" if comparison.paired else "unpaired"
        title = f"{comparison.first} - {comparison.second} on {comparison.task}, {how}, 95% intervals"
        print_table(columns, rows, session_of(context), title)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4g}"
