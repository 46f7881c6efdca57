"""`lrbench check`: whether the schedule that really ran is the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli.completion import complete_policy
from lrbench.cli.errors import session_of
from lrbench.cli.options import OutputOptions, number_of_steps, whole_number, with_groups
from lrbench.cli.policies import one_policy

NOT_AS_PLANNED = 1
"""The exit code where something is off."""


@with_groups
def check(
    context: typer.Context,
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="The file that lrbench.trace(optimizer, FILE) wrote.")],
    *,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="POLICY",
            help="What was to run: a policy as text, an entry of a catalog, or a CSV of LRs; if left out, what ran.",
            autocompletion=complete_policy,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            parser=number_of_steps,
            help="How many times the optimizer was to step; by default, as often as it did.",
        ),
    ] = None,
    steps_per_epoch: Annotated[
        int | None,
        typer.Option(
            "--steps-per-epoch",
            metavar="N",
            parser=whole_number(1),
            help="How many optimizer steps make an epoch, for lengths such as 3ep.",
        ),
    ] = None,
    output: OutputOptions,
) -> None:
    """Say what is off in the schedule that a training loop really ran, and what mends it.

    Exits with 1 where something is off. `lrbench guide checking-schedules` has the faults.

    Without --policy, it says which policy ran.

    \b
    Examples:
      lrbench check lrs.trace
      lrbench check lrs.trace --policy "COSINE(k0=0.1, l=1dur).warmup(0.05dur)" --steps 10000
      lrbench check lrs.trace --policy modern/WSD --steps 10000 --steps-per-epoch 500 --json
    """
    from lrbench.schedule_check.check import check as check_trace

    planned = None if policy is None else one_policy(policy)
    checked = check_trace(trace, planned, steps=steps, steps_per_epoch=steps_per_epoch)
    output.show(checked, session_of(context))
    if not checked.ok:
        raise typer.Exit(NOT_AS_PLANNED)
