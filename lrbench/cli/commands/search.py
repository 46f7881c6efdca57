"""`lrbench search`: the best policy of a space, confirmed on fresh seeds."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lrbench.cli.commands.run import resumable
from lrbench.cli.errors import RUNS_FAILED, say_error, session_of
from lrbench.cli.options import (
    HOW,
    OUTPUT,
    DataRoot,
    Debug,
    Device,
    Download,
    Engine,
    GpusPerWorker,
    Json,
    NoColor,
    Plugins,
    Steps,
    Store,
    Workers,
    load_plugins,
    whole_number,
)
from lrbench.cli.output import print_json, print_readable
from lrbench.cli.progress import progress_on_stderr


def search(
    context: typer.Context,
    study: Annotated[
        str,
        typer.Argument(metavar="STUDY", help="A TOML file with a \\[search] table.", show_default=False),
    ],
    steps: Steps = None,
    policies: Annotated[
        int | None,
        typer.Option(
            "--policies",
            metavar="N",
            parser=whole_number(1, 100_000),
            help="Try at most N policies, in place of what the file says.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            "--mirror",
            metavar="URL",
            help="Keep an Optuna storage up to date too, such as sqlite:///optuna.db, for optuna-dashboard.",
            show_default=False,
            rich_help_panel=OUTPUT,
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
    """Search a space of policies for the best one, and confirm it on fresh seeds.

    What was asked for is stored: a search that was stopped goes on where it was, and asks nothing twice.

    \b
    Examples:
      lrbench search my_search.toml
      lrbench search my_search.toml --policies 200 --mirror sqlite:///optuna.db
    """
    session = session_of(context)
    load_plugins(plugin)

    from lrbench.api import search as find
    from lrbench.cli.hints import say_where_to_go_on
    from lrbench.policy_search import load_search
    from lrbench.store import open_store
    from lrbench.training.runner import check_workers

    wanted = load_search(study, data_root=data_root, download=download, steps=steps, policies=policies)
    check_workers(workers, device)
    with open_store(store) as opened:
        with resumable(), progress_on_stderr(session, opened) as listener:
            found = find(
                wanted,
                store=opened,
                mirror=mirror,
                device=device,
                workers=workers,
                engine=engine,
                gpus_per_worker=gpus_per_worker,
                listener=listener,
            )
        if json:
            print_json(found.to_json())
        else:
            print_readable(found, session)
            more = [("plot", "progress", wanted.name), ("export", wanted.name, "-o", "runs.csv")]
            say_where_to_go_on(opened, store, more, session)
    if found.failures:
        for failure in found.failures:
            say_error(f"Failed: {failure.name}, seed {failure.seed}: {failure.error}")
        sys.stderr.flush()
        raise typer.Exit(RUNS_FAILED)
