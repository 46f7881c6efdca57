"""`lrbench score`: what one policy is worth on a task."""

from __future__ import annotations

import math
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
    Steps,
    Store,
    Workers,
    complete_policy,
    load_plugins,
    whole_number,
)
from lrbench.cli.output import print_json, print_readable
from lrbench.cli.policies import one_policy
from lrbench.cli.progress import progress_on_stderr


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def score(
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
    seeds: Annotated[
        int,
        typer.Option("--seeds", metavar="N", parser=whole_number(1, 10_000), help="Train N runs.", rich_help_panel=HOW),
    ] = 5,
    steps: Steps = None,
    target: Annotated[
        float | None,
        typer.Option(
            "--target",
            metavar="SCORE",
            help="The validation score to count the iterations to.",
            callback=_finite,
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    base_lr_scales: Annotated[
        bool,
        typer.Option(
            "--base-lr-scales",
            help="Train at other base LRs too, and say how much of the score is kept there (five times the runs).",
            rich_help_panel=HOW,
        ),
    ] = False,
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
    """Train one policy with several seeds and say what it is worth: every metric with its interval.

    \b
    Examples:
      lrbench score "TRI(k0=0.01, k1=0.1, l=0.1dur)" --task mnist1d-mlp
      lrbench score lrbench13/STEP --task mnist1d-mlp --seeds 3 --steps 500 --json
    """
    load_plugins(plugin)
    value = one_policy(policy)

    from lrbench.api import score as score_policy
    from lrbench.cli.hints import say_where_to_go_on
    from lrbench.metrics import BASE_LR_SCALES
    from lrbench.store import open_store
    from lrbench.tasks import load_task
    from lrbench.training.runner import check_workers

    session = session_of(context)
    trained = load_task(task, data_root=data_root, download=download)
    check_workers(workers, device)
    with open_store(store) as opened:
        with resumable(), progress_on_stderr(session, opened) as listener:
            card = score_policy(
                value,
                trained,
                seeds=seeds,
                steps=steps,
                target=target,
                base_lr_scales=BASE_LR_SCALES if base_lr_scales else (),
                store=opened,
                device=device,
                workers=workers,
                engine=engine,
                gpus_per_worker=gpus_per_worker,
                listener=listener,
            )
        if json:
            print_json(card.to_json())
        else:
            print_readable(card, session)
            more = [("export", f"score {value} on {trained.name}")]
            say_where_to_go_on(opened, store, more, session)
