"""`lrbench range-test`: where the learning rate of a task lives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrbench.cli.commands.run import training
from lrbench.cli.errors import session_of
from lrbench.cli.options import (
    LabOptions,
    OutputOptions,
    Seeds,
    TaskName,
    how,
    number_of_steps,
    shown,
    task_or_file,
    with_groups,
)

if TYPE_CHECKING:
    from lrbench.lr_range.range_test import Sweep


@with_groups
def range_test(
    context: typer.Context,
    *,
    task: TaskName,
    seeds: Seeds = 5,
    steps: Annotated[
        int | None,
        how(
            "--steps",
            metavar="N",
            parser=number_of_steps,
            help="Iterations of each run; a fifth of the task's own, from 100 to 500, unless given.",
        ),
    ] = None,
    linear: Annotated[bool, how("--linear", help="Sweep in a straight line, not by equal factors.")] = False,
    picture: Annotated[
        Path | None, shown("-o", "--output", metavar="FILE", help="Draw the test into this file, .png or .svg.")
    ] = None,
    options: LabOptions,
    output: OutputOptions,
) -> None:
    """Find the range of learning rates in which a task learns, by sweeps and short runs with constant rates.

    \b
    Examples:
      lrbench range-test --task mnist1d-mlp
      lrbench range-test --task mnist-lenet --data-root ~/data --seeds 5 -o range.svg
    """
    if picture is not None:
        from lrbench.report.output_file import check_output

        check_output(picture, ("png", "svg"))
    session = session_of(context)
    with options.lab() as lab, training(session) as lab.listener:
        sweep: Sweep = "linear" if linear else "exponential"
        found = lab.range_test(task_or_file(task), seeds=seeds, steps=steps, sweep=sweep)
    if picture is not None:
        from lrbench.report.range_test import range_figure
        from lrbench.report.style import save_figure

        save_figure(range_figure(found), picture)
    output.show(found, session)
