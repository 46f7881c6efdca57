"""`lrbench verify`: whether a policy reaches a target within a budget."""

from __future__ import annotations

from typing import Annotated

import typer

from lrbench.cli.commands.run import training
from lrbench.cli.errors import session_of
from lrbench.cli.options import (
    FreshSeeds,
    LabOptions,
    OutputOptions,
    PolicyText,
    Steps,
    TaskName,
    how,
    task_or_file,
    with_groups,
)
from lrbench.cli.policies import one_policy


@with_groups
def verify(
    context: typer.Context,
    policy: PolicyText,
    *,
    task: TaskName,
    target: Annotated[float, how("--target", metavar="SCORE", help="The validation score to reach.")],
    steps: Steps = None,
    seeds: FreshSeeds = 5,
    options: LabOptions,
    output: OutputOptions,
) -> None:
    """Train a policy on fresh seeds, and decide whether it reaches a target: yes, no or undecided.

    The seeds come after all that runs of the policy on the task have used, so that luck that chose it counts nothing.
    More seeds may be asked for until there is an answer: its error rate holds at every look.

    \b
    Examples:
      lrbench verify "POLY(k0=0.2, p=1, l=1dur)" --task mnist1d-mlp --target 0.6
      lrbench verify lrbench13/STEP --task mnist-lenet --target 0.99 --steps 10000 --data-root ~/data
    """
    session = session_of(context)
    with options.lab() as lab, training(session) as lab.listener:
        checked = lab.verify(one_policy(policy), task_or_file(task), target=target, seeds=seeds, steps=steps)
    output.show(checked, session)
