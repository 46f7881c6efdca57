"""`lrbench compare`: the paired difference of two policies of a study."""

from __future__ import annotations

from typing import Annotated

import typer

from lrbench.cli.errors import session_of
from lrbench.cli.options import Debug, Json, NoColor, Store, StoredStudy, study_name
from lrbench.cli.output import print_json, print_table
from lrbench.display.table import Column

COLUMNS = (
    Column("metric"),
    Column("difference", right=True),
    Column("low", right=True),
    Column("high", right=True),
    Column("seeds", right=True),
)


def compare(
    context: typer.Context,
    study: StoredStudy,
    a: Annotated[
        str, typer.Argument(metavar="A", help="A policy of the study, by its name or text.", show_default=False)
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The policy that A is compared with.", show_default=False)],
    store: Store = None,
    json: Json = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Compare two policies of a study by the runs in the store: the difference A - B, paired by seed.

    \b
    Examples:
      lrbench compare quickstart TRI FIX
      lrbench compare quickstart "FIX(k0=0.1)" SIN2 --json
    """
    from lrbench.store import open_store
    from lrbench.study.compare import compare_two

    name = study_name(study)
    with open_store(store, must_exist=True) as opened:
        comparisons = compare_two(name, a, b, opened)
    if json:
        print_json({"study": name, "comparisons": [comparison.to_json() for comparison in comparisons]})
        return
    for comparison in comparisons:
        known = [(metric, gap) for metric, gap in comparison.differences.items() if gap.mean is not None]
        rows = [(metric, *map(_number, (gap.mean, gap.low, gap.high)), str(gap.n)) for metric, gap in known]
        title = f"{comparison.first} - {comparison.second} on {comparison.task}, paired by seed, 95% intervals"
        print_table(COLUMNS, rows, session_of(context), title)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4g}"
