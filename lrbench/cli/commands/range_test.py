"""`lrbench range-test`: where the learning rate of a task lives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lrbench.cli.commands.run import resumable
from lrbench.cli.errors import session_of
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
    Store,
    Workers,
    load_plugins,
    number_of_steps,
    whole_number,
)
from lrbench.cli.output import print_json, print_readable
from lrbench.cli.progress import progress_on_stderr


def range_test(
    context: typer.Context,
    task: Annotated[
        str,
        typer.Option(
            "--task", metavar="TASK", help="What to train; `lrbench list tasks` has the names.", rich_help_panel=HOW
        ),
    ],
    seeds: Annotated[
        int,
        typer.Option("--seeds", metavar="N", parser=whole_number(1, 1000), help="Train N seeds.", rich_help_panel=HOW),
    ] = 5,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            parser=number_of_steps,
            help="Iterations of each run; a fifth of the task's own, from 100 to 500, unless given.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    linear: Annotated[
        bool,
        typer.Option("--linear", help="Sweep in a straight line, not by equal factors.", rich_help_panel=HOW),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Draw the test into this file, .png or .svg.",
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
    """Find the range of learning rates in which a task learns, by sweeps and short runs with constant rates.

    \b
    Examples:
      lrbench range-test --task mnist1d-mlp
      lrbench range-test --task mnist-lenet --data-root ~/data --seeds 5 -o range.svg
    """
    session = session_of(context)
    load_plugins(plugin)
    if output is not None:
        from lrbench.report.output_file import check_output

        check_output(output, ("png", "svg"))

    from lrbench.api import range_test as find_range
    from lrbench.store import open_store
    from lrbench.tasks import load_task
    from lrbench.training.runner import check_workers

    check_workers(workers, device)
    trained = load_task(task, data_root=data_root, download=download)
    with open_store(store) as opened, resumable(), progress_on_stderr(session, opened) as listener:
        found = find_range(
            trained,
            seeds=seeds,
            steps=steps,
            sweep="linear" if linear else "exponential",
            store=opened,
            device=device,
            workers=workers,
            engine=engine,
            gpus_per_worker=gpus_per_worker,
            listener=listener,
        )
    if output is not None:
        from lrbench.report.range_test import range_figure
        from lrbench.report.style import save_figure

        save_figure(range_figure(found), output)
    if json:
        print_json(found.to_json())
    else:
        print_readable(found, session)
