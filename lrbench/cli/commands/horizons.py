"""`lrbench horizons`: policies at several budgets, and what one trunk for all of them costs."""

from __future__ import annotations

from typing import Annotated

import typer

from lrbench.cli.commands.run import print_plan, train_and_show
from lrbench.cli.completion import complete_policy
from lrbench.cli.errors import session_of
from lrbench.cli.options import By, LabOptions, OutputOptions, Steps, TaskName, how, seeds_or_range, with_groups
from lrbench.cli.policies import named_policies


@with_groups
def horizons(
    context: typer.Context,
    policies: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY...",
            help="Policies as text, entries of a catalog such as modern/wsd, or whole catalogs.",
            autocompletion=complete_policy,
        ),
    ],
    *,
    task: TaskName,
    at: Annotated[
        str,
        how(
            "--at",
            metavar="N,N,...",
            help="The budgets: shares, iterations, or lengths such as 10ep.",
        ),
    ] = "25%,50%,100%",
    steps: Steps = None,
    seeds: Annotated[
        str,
        how("--seeds", metavar="N|A..B", parser=seeds_or_range, help="Train with seeds 0 to N-1; or A, and up to B."),
    ] = "5",
    margin: Annotated[
        float | None,
        how("--margin", metavar="M", help="The difference that does not matter, in place of the task's own."),
    ] = None,
    by: By = None,
    name: Annotated[str | None, how("--name", metavar="NAME", help="What the store keeps the study as.")] = None,
    dry_run: Annotated[bool, how("--dry-run", help="Say what would be trained, and train nothing.")] = False,
    options: LabOptions,
    output: OutputOptions,
) -> None:
    """Train policies for several budgets: score against budget, and what not knowing the budget costs.

    A policy with a constant part, such as WSD or FIX, is trained once along it, and its cooldown forks from there at
    each budget, equal to a run of that budget alone. Others, such as COSINE, are trained anew for each.

    \b
    Examples:
      lrbench horizons modern/wsd modern/cosine modern/linear --task mnist1d-mlp --seeds 3
      lrbench horizons "WSD(k0=0.1, up=40, down=0.2dur)" modern/cosine --task mnist1d-mlp --at 500,1000,2000
      lrbench horizons modern/wsd modern/cosine --task mnist1d-mlp --at 25%,50%,100% --dry-run
    """
    session = session_of(context)
    with options.lab() as lab:
        from lrbench.study.study import Study

        named = {called: policy for text in policies for called, policy in named_policies(text).items()}
        study = Study(
            policies=named,
            task=lab.task(task),
            horizons=at.split(","),
            seeds=seeds,
            steps=steps,
            margin=margin,
            by=by or (),
            name=name,
        )
        if dry_run:
            print_plan(study, options.store, options.engine, as_json=output.json)
        else:
            more = [("plot", "horizons", study.name), ("report", study.name)]
            train_and_show(study, lab, more, options, output, session)
