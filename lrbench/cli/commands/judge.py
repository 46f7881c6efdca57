"""`lrbench judge`: verdicts on runs that other programs trained."""

from __future__ import annotations

from typing import Annotated

import typer

from lrbench.cli.errors import CLAIM_FAILED, say_error, session_of
from lrbench.cli.options import OutputOptions, SourceOptions, how, shown, with_groups


@with_groups
def judge(
    context: typer.Context,
    runs: Annotated[
        str,
        typer.Argument(
            metavar="RUNS",
            help="A table of runs (CSV, TSV, JSON lines, Parquet), a folder of tables or logs, or AlgoPerf's folders.",
        ),
    ],
    *,
    against: Annotated[
        str | None, how("--against", metavar="NAME", help="Compare every policy with this one, the baseline.")
    ] = None,
    task: Annotated[str | None, how("--task", metavar="NAME", help="Judge this task of the runs only.")] = None,
    require: Annotated[
        list[str] | None,
        shown(
            "--require",
            metavar="CLAIM:NAME",
            help="Exit with code 1 unless this can be claimed: good:NAME, or better:NAME with --against; may repeat.",
        ),
    ] = None,
    reading: SourceOptions,
    output: OutputOptions,
) -> None:
    """Judge policies by runs that other programs trained: ranking, verdicts, and what more runs would decide.

    \b
    Examples:
      lrbench judge runs.csv
      lrbench judge runs.csv --against cosine --margin 0.002 --require better:wsd
      lrbench judge logs/ --pattern "step:{step}/{steps} val_loss:{val_loss}" --json
    """
    from lrbench.imports.judge import judge as judged_by

    judged = judged_by(runs, against=against, task=task, **reading.as_arguments())
    failed = [claim for claim in require or () if not judged.holds(claim)]
    output.show(judged, session_of(context))
    if failed:
        say_error(f"These runs do not show: {', '.join(failed)}.")
        raise typer.Exit(CLAIM_FAILED)
