"""`lrbench recommend`: policies to begin with on a task, and what that advice stands on."""

from __future__ import annotations

from typing import Annotated

import typer

from lrbench.cli.commands.run import resumable
from lrbench.cli.errors import session_of
from lrbench.cli.options import (
    HOW,
    DataRoot,
    Debug,
    Device,
    Download,
    Engine,
    GpusPerWorker,
    Json,
    NoColor,
    Plugins,
    Store,
    Workers,
    load_plugins,
    number_of_steps,
    whole_number,
)
from lrbench.cli.output import print_json, print_readable
from lrbench.cli.progress import progress_on_stderr


def recommend(
    context: typer.Context,
    task: Annotated[
        str,
        typer.Option(
            "--task", metavar="TASK", help="What is trained; `lrbench list tasks` has the names.", rich_help_panel=HOW
        ),
    ],
    goal: Annotated[
        str,
        typer.Option(
            "--goal",
            metavar="GOAL",
            help="accuracy, cost (iterations until near the best) or robust (against a wrong base LR).",
            rich_help_panel=HOW,
        ),
    ] = "accuracy",
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Train the recommended policies, in their order, until one reaches the target.",
            rich_help_panel=HOW,
        ),
    ] = False,
    target: Annotated[
        float | None,
        typer.Option(
            "--target",
            metavar="SCORE",
            help="The validation score to reach, for --verify.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            metavar="N",
            parser=number_of_steps,
            help="For a training of so many iterations, in place of the task's own.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", metavar="N", parser=whole_number(2, 10_000), help="Verify with N seeds.", rich_help_panel=HOW
        ),
    ] = 5,
    at_most: Annotated[
        int,
        typer.Option(
            "--at-most", metavar="N", parser=whole_number(1, 100), help="Recommend N policies.", rich_help_panel=HOW
        ),
    ] = 3,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="STUDY",
            help="Leave a study out of the evidence, as to see what the others say; may repeat.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    device: Device = "auto",
    workers: Workers = "auto",
    engine: Engine = "auto",
    gpus_per_worker: GpusPerWorker = 0.0,
    store: Store = None,
    data_root: DataRoot = None,
    download: Download = False,
    plugin: Plugins = None,
    json: Json = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Recommend policies for a task from the runs in the store and those that ship with lrbench.

    The nearest evidence speaks: the same task, else the same data or kind of model, else a range test, which is
    trained for it. The answer says which it was, and how many runs are behind it.

    \b
    Examples:
      lrbench recommend --task mnist1d-mlp
      lrbench recommend --task fashion-lenet --data-root ~/data --verify --target 0.88 --budget 1000
    """
    load_plugins(plugin)
    if verify != (target is not None):
        raise typer.BadParameter("--verify and --target SCORE are given together")

    from lrbench.api import recommend as advise
    from lrbench.store import open_store
    from lrbench.tasks import load_task
    from lrbench.training.runner import check_workers

    trained = load_task(task, data_root=data_root, download=download)
    check_workers(workers, device)
    session = session_of(context)
    with open_store(store) as opened, resumable(), progress_on_stderr(session, opened) as listener:
        advice = advise(
            trained,
            goal=goal,
            at_most=at_most,
            without=without or (),
            target=target,
            budget=budget,
            seeds=seeds,
            store=opened,
            device=device,
            workers=workers,
            engine=engine,
            gpus_per_worker=gpus_per_worker,
            listener=listener,
        )
    if json:
        print_json(advice.to_json())
    else:
        print_readable(advice, session)
