"""`lrbench score`: what one policy is worth on a task."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from lrbench.cli.commands.run import training
from lrbench.cli.errors import session_of
from lrbench.cli.options import (
    LabOptions,
    OutputOptions,
    PolicyText,
    Seeds,
    Steps,
    TaskName,
    how,
    task_or_file,
    with_groups,
)
from lrbench.cli.output import print_what_next
from lrbench.cli.policies import one_policy


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


@with_groups
def score(
    context: typer.Context,
    policy: PolicyText,
    *,
    task: TaskName,
    seeds: Seeds = 5,
    steps: Steps = None,
    target: Annotated[
        float | None,
        how("--target", metavar="SCORE", help="The validation score to count the iterations to.", callback=_finite),
    ] = None,
    base_lr_scales: Annotated[
        bool,
        how(
            "--base-lr-scales",
            help="Train at other base LRs too, and say how much of the score is kept there (five times the runs).",
        ),
    ] = False,
    options: LabOptions,
    output: OutputOptions,
) -> None:
    """Train one policy with several seeds and say what it is worth: every metric with its interval.

    \b
    Examples:
      lrbench score "TRI(k0=0.01, k1=0.1, l=0.1dur)" --task mnist1d-mlp
      lrbench score lrbench13/STEP --task mnist1d-mlp --seeds 3 --steps 500 --json
    """
    session = session_of(context)
    with options.lab() as lab:
        from lrbench.metrics import BASE_LR_SCALES

        value, trained = one_policy(policy), lab.task(task_or_file(task)).with_budget(steps)
        with training(session) as lab.listener:
            scales = BASE_LR_SCALES if base_lr_scales else ()
            card = lab.score(value, trained, seeds=seeds, target=target, base_lr_scales=scales)
        output.show(card, session)
        if not output.json:
            more = [("export", f"score {value} on {trained.name}, {trained.steps} iterations")]
            print_what_next(lab.store, options.store, more, session)
