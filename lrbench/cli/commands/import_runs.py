"""`lrbench import`: runs that other programs trained, as a study of the store."""

from __future__ import annotations

from typing import Annotated

import typer

from lrbench.cli.errors import session_of
from lrbench.cli.options import OutputOptions, SourceOptions, StoreOptions, load_plugins, shown, with_groups


@with_groups
def import_runs(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="What `lrbench judge` takes: a table of runs, or a folder.")
    ],
    *,
    name: Annotated[
        str | None,
        shown("--as", metavar="NAME", help="Name the study.", show_default="the name of the source"),
    ] = None,
    dry_run: Annotated[bool, shown("--dry-run", help="Say what would be imported, and write nothing.")] = False,
    reading: SourceOptions,
    options: StoreOptions,
    output: OutputOptions,
) -> None:
    """Import runs that other programs trained into the store, as a study that every other command knows.

    All of the source is imported or nothing; the same source again is nothing new. Nothing is trained.

    \b
    Examples:
      lrbench import runs.csv
      lrbench import runs.csv --dry-run
      lrbench import runs.csv --as optimizers --margin 0.002
      lrbench import logs/ --pattern "step:{step}/{steps} val_loss:{val_loss}"
    """
    load_plugins(options.plugin)
    from lrbench.imports.stored import runs_to_import
    from lrbench.store import open_store

    found = runs_to_import(source, name, **reading.as_arguments())
    if dry_run:
        output.show(found, session_of(context))
        return
    with open_store(options.store) as store:
        imported = found.into(store)
    output.show(imported, session_of(context))
