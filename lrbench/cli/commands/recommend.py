"""`lrbench recommend`: policies to begin with on a task, and what that advice stands on."""

from __future__ import annotations

from typing import Annotated

import typer

from lrbench.cli.commands.run import training
from lrbench.cli.completion import complete_goal
from lrbench.cli.errors import session_of
from lrbench.cli.options import (
    FreshSeeds,
    LabOptions,
    OutputOptions,
    Steps,
    TaskName,
    how,
    task_or_file,
    whole_number,
    with_groups,
)


@with_groups
def recommend(
    context: typer.Context,
    *,
    task: TaskName,
    goal: Annotated[
        str,
        how(
            "--goal",
            metavar="GOAL",
            help="accuracy, cost (iterations until near the best), robust (against a wrong base LR), or a goal that "
            "ranks studies, such as loss or seconds:5%.",
            autocompletion=complete_goal,
        ),
    ] = "accuracy",
    verify: Annotated[
        bool, how("--verify", help="Train the recommended policies, in their order, until one reaches the target.")
    ] = False,
    target: Annotated[
        float | None, how("--target", metavar="SCORE", help="The validation score to reach, for --verify.")
    ] = None,
    range_test: Annotated[
        bool, how("--range-test", help="Where there is no evidence, train a range test for the LRs of common policies.")
    ] = False,
    steps: Steps = None,
    seeds: FreshSeeds = 5,
    at_most: Annotated[
        int, how("--at-most", metavar="N", parser=whole_number(1, 100), help="Recommend N policies.")
    ] = 3,
    without: Annotated[
        list[str] | None,
        how(
            "--without",
            metavar="STUDY",
            help="Leave a study out of the evidence, as to see what the others say; may repeat.",
        ),
    ] = None,
    options: LabOptions,
    output: OutputOptions,
) -> None:
    """Recommend policies for a task from the runs in the store and those that ship with lrbench.

    The nearest evidence speaks: the same task, else the same data or kind of model. The answer says which it was, and
    how many runs are behind it. Nothing is trained, and no data is needed, without --range-test or --verify.

    \b
    Examples:
      lrbench recommend --task mnist1d-mlp
      lrbench recommend --task fashion-lenet --data-root ~/data --verify --target 0.88 --steps 1000
    """
    if verify != (target is not None):
        raise typer.BadParameter("--verify and --target SCORE are given together")
    session = session_of(context)
    with options.lab() as lab, training(session) as lab.listener:
        advice = lab.recommend(
            task_or_file(task),
            goal=goal,
            at_most=at_most,
            without=without or (),
            range_test=range_test,
            target=target,
            seeds=seeds,
            steps=steps,
        )
    output.show(advice, session)
