"""`lrbench judge`: verdicts on runs that other programs trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lrbench.cli.errors import CLAIM_FAILED, say_error, session_of
from lrbench.cli.options import OutputOptions, how, shown, with_groups


@with_groups
def judge(
    context: typer.Context,
    runs: Annotated[
        Path,
        typer.Argument(
            metavar="RUNS",
            help="A table of runs (CSV, TSV, JSON lines, Parquet), a folder of tables or logs, or AlgoPerf's folders.",
        ),
    ],
    *,
    against: Annotated[
        str | None, how("--against", metavar="NAME", help="Compare every policy with this one, the baseline.")
    ] = None,
    margin: Annotated[
        str, how("--margin", metavar="M", help="The difference that does not matter: a number, or a share such as 1%.")
    ] = "0",
    metric: Annotated[
        str | None, how("--metric", metavar="COLUMN", help="The column to judge by, where it is not plain.")
    ] = None,
    better: Annotated[
        Literal["lower", "higher"] | None,
        how("--better", help="Which way the metric is better, where its name does not say."),
    ] = None,
    target: Annotated[
        float | None, how("--target", metavar="T", help="Judge by the steps until the metric reaches this value.")
    ] = None,
    task: Annotated[str | None, how("--task", metavar="NAME", help="Judge this task of the runs only.")] = None,
    column: Annotated[
        list[str] | None,
        how(
            "--column",
            metavar="ROLE=COLUMN",
            help="Which column is what, where its name does not say: policy, seed, run, step or task; may repeat.",
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        how(
            "--pattern",
            metavar="TEXT",
            help="RUNS are logs with such lines, as 'step:{step}/{steps} val_loss:{val_loss}'; a folder is a policy.",
        ),
    ] = None,
    wide: Annotated[
        str | None,
        how("--wide", metavar="TEXT", help="The table has a column for each run, named so, as '{policy}_{seed}'."),
    ] = None,
    paired: Annotated[
        bool | None,
        how("--paired/--unpaired", help="Runs of one name belong together, or not; by default where they are seeds."),
    ] = None,
    require: Annotated[
        list[str] | None,
        shown(
            "--require",
            metavar="CLAIM:NAME",
            help="Exit with code 1 unless this can be claimed: good:NAME, or better:NAME with --against; may repeat.",
        ),
    ] = None,
    output: OutputOptions,
) -> None:
    """Judge policies by runs that other programs trained: ranking, verdicts, and what more runs would decide.

    \b
    Examples:
      lrbench judge runs.csv
      lrbench judge runs.csv --against cosine --margin 0.002 --require better:wsd
      lrbench judge logs/ --pattern "step:{step}/{steps} val_loss:{val_loss}" --json
    """
    columns: dict[str, list[str]] = {}
    for one in column or ():
        role, equals, name = one.partition("=")
        if not (role and equals and name):
            raise typer.BadParameter(f"{one!r} is not ROLE=COLUMN, such as policy=optimizer", param_hint="--column")
        columns.setdefault(role, []).append(name)
    from lrbench.imports.judge import judge as judged_by

    judged = judged_by(
        runs,
        against=against,
        margin=margin,
        better=better,
        metric=metric,
        target=target,
        task=task,
        columns=columns,
        pattern=pattern,
        wide=wide,
        paired=paired,
    )
    failed = [claim for claim in require or () if not judged.holds(claim)]
    output.show(judged, session_of(context))
    if failed:
        say_error(f"These runs do not show: {', '.join(failed)}.")
        raise typer.Exit(CLAIM_FAILED)
