"""`lrbench verify`: whether a policy reaches a target within a budget."""

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
    complete_policy,
    load_plugins,
    number_of_steps,
    whole_number,
)
from lrbench.cli.output import print_json, print_readable
from lrbench.cli.policies import one_policy
from lrbench.cli.progress import progress_on_stderr


def verify(
    context: typer.Context,
    policy: Annotated[
        str,
        typer.Argument(
            metavar="POLICY",
            help="A policy as text, or an entry of a catalog such as lrbench13/TRI.",
            show_default=False,
            autocompletion=complete_policy,
        ),
    ],
    task: Annotated[
        str,
        typer.Option(
            "--task", metavar="TASK", help="What to train; `lrbench list tasks` has the names.", rich_help_panel=HOW
        ),
    ],
    target: Annotated[
        float,
        typer.Option("--target", metavar="SCORE", help="The validation score to reach.", rich_help_panel=HOW),
    ],
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            metavar="N",
            parser=number_of_steps,
            help="Within so many iterations, in place of the task's own.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option("--seeds", metavar="N", parser=whole_number(2, 10_000), help="Train N runs.", rich_help_panel=HOW),
    ] = 5,
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
    """Train a policy with several seeds, and say whether it reaches a target: yes, no or undecided.

    \b
    Examples:
      lrbench verify "POLY(k0=0.2, p=1, l=1dur)" --task mnist1d-mlp --target 0.6
      lrbench verify lrbench13/STEP --task mnist-lenet --target 0.99 --budget 10000 --data-root ~/data
    """
    load_plugins(plugin)
    value = one_policy(policy)

    from lrbench.api import verify as check
    from lrbench.store import open_store
    from lrbench.tasks import load_task
    from lrbench.training.runner import check_workers

    trained = load_task(task, data_root=data_root, download=download)
    check_workers(workers, device)
    session = session_of(context)
    with open_store(store) as opened, resumable(), progress_on_stderr(session, opened) as listener:
        checked = check(
            value,
            trained,
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
        print_json(checked.to_json())
    else:
        print_readable(checked, session)
