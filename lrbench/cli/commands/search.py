"""`lrbench search`: the best policy of a space, confirmed on fresh seeds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lrbench.cli.cells import spread
from lrbench.cli.commands.run import resumable
from lrbench.cli.errors import RUNS_FAILED, Session, say_error, session_of
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
from lrbench.cli.output import Column, line_width, print_json, print_table
from lrbench.cli.progress import progress_on_stderr
from lrbench.cli.stdout import say
from lrbench.report.names import paragraph, wrapped

if TYPE_CHECKING:
    from lrbench.policy_search import SearchResult

LONGEST_POLICY = 50
"""A policy's text fills several lines where it has more characters than these."""


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
            print_found(found, session)
            more = [("plot", "progress", wanted.name), ("export", wanted.name, "-o", "runs.csv")]
            say_where_to_go_on(opened, store, more, session)
    if found.failures:
        for failure in found.failures:
            say_error(f"Failed: {failure.name}, seed {failure.seed}: {failure.error}")
        sys.stderr.flush()
        raise typer.Exit(RUNS_FAILED)


def print_found(found: SearchResult, session: Session) -> None:
    """The finalists on fresh seeds, the front where there are two objectives, and what it took."""
    width = line_width(session)
    whole = sum(one.whole for one in found.tried)
    low, high = found.lr
    if found.confirmed:
        seeds = found.confirmed[0].card.n
        _print_confirmed(found, session, f"{found.search} on {found.task}: the finalists on {seeds} fresh seeds")
    if len(found.objectives) > 1 and found.front:
        _print_front(found, session)
    if found.front:
        say()
    if found.disappointment:
        say(paragraph(found.disappointment[:1].upper() + found.disappointment[1:] + ".", width))
    elif found.winner is not None:
        say(f"the winner: {found.winner.policy}")
    counts = [f"{whole} trained for the whole budget", f"{sum(one.diverged > 0 for one in found.tried)} diverged"]
    if found.exhausted:
        counts.append("no further one is new")
    steps = f"{found.steps_trained:,} of {found.steps_nominal:,} iterations trained"
    count = len(found.tried)
    policies = f"{count} {'policy' if count == 1 else 'policies'}, the highest LRs from {low:.3g} to {high:.3g}"
    say(paragraph(f"{policies}: {', '.join(counts)}; {steps}", width))


def _print_confirmed(found: SearchResult, session: Session, title: str) -> None:
    objective = found.confirmed[0].card.objective
    columns = [Column("policy"), Column("verdict")]
    columns += [Column(name, right=True) for name in (f"val {objective}", f"test {objective}", "search val")]
    rows = [
        (
            wrapped(one.card.policy, LONGEST_POLICY),
            "" if one.card.verdict is None else one.card.verdict.label,
            spread(one.card.val),
            spread(one.card.test),
            spread(one.search),
        )
        for one in found.confirmed
    ]
    print_table(columns, rows, session, title)


def _print_front(found: SearchResult, session: Session) -> None:
    columns = [Column("policy"), *(Column(objective, right=True) for objective in found.objectives)]
    rows = [
        (wrapped(one.policy, LONGEST_POLICY), *(f"{one.values[objective]:.4g}" for objective in found.objectives))
        for one in found.front
    ]
    say()
    print_table(columns, rows, session, f"no policy that was tried is better in both {' and '.join(found.objectives)}")
