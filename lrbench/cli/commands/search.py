"""`lrbench search`: the best policy of a space, confirmed on fresh seeds."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lrbench.cli.commands.run import training
from lrbench.cli.errors import RUNS_FAILED, say_error, session_of
from lrbench.cli.options import LabOptions, OtherSeeds, OutputOptions, Steps, how, shown, whole_number, with_groups
from lrbench.cli.output import print_what_next


@with_groups
def search(
    context: typer.Context,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A TOML file with a \\[search] table.")],
    *,
    steps: Steps = None,
    seeds: OtherSeeds = None,
    policies: Annotated[
        int | None,
        how(
            "--policies",
            metavar="N",
            parser=whole_number(1, 100_000),
            help="Try at most N policies, in place of what the file says.",
        ),
    ] = None,
    mirror: Annotated[
        str | None,
        shown(
            "--mirror",
            metavar="URL",
            help="Keep an Optuna storage up to date too, such as sqlite:///optuna.db, for optuna-dashboard.",
        ),
    ] = None,
    options: LabOptions,
    output: OutputOptions,
) -> None:
    """Search a space of policies for the best one, and confirm it on fresh seeds.

    What was asked for is stored: a search that was stopped goes on where it was, and asks nothing twice.

    \b
    Examples:
      lrbench search my_search.toml
      lrbench search my_search.toml --policies 200 --mirror sqlite:///optuna.db
    """
    session = session_of(context)
    with options.lab() as lab:
        with training(session) as lab.listener:
            found = lab.search(study, steps=steps, seeds=seeds, policies=policies, mirror=mirror)
        output.show(found, session)
        if not output.json:
            more = [("plot", "progress", found.search), ("export", found.search, "-o", "runs.csv")]
            print_what_next(lab.store, options.store, more, session)
    if found.failures:
        for failure in found.failures:
            say_error(f"Failed: {failure.name}, seed {failure.seed}: {failure.error}")
        sys.stderr.flush()
        raise typer.Exit(RUNS_FAILED)
