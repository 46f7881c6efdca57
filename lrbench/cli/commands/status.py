"""`lrbench status`: what is trained into a store now."""

from __future__ import annotations

import typer

from lrbench.cli.errors import session_of
from lrbench.cli.options import OutputOptions, StoreOptions, load_plugins, with_groups
from lrbench.cli.output import print_json, print_table
from lrbench.cli.stdout import say
from lrbench.display.table import Cell, Column


@with_groups
def status(context: typer.Context, *, options: StoreOptions, output: OutputOptions) -> None:
    """Show what is trained into the store now: by whom, how far it is, and which policy leads.

    \b
    Examples:
      lrbench status
      lrbench status --store runs.db --json
    """
    load_plugins(options.plugin)
    with options.opened() as store:
        from lrbench.progress import leader
        from lrbench.study.progress import StudyProgress, leaders, under_way
        from lrbench.study.results import results

        shown = [(StudyProgress.of(entry, store), leaders(results(entry.id, store))) for entry in under_way(store)]
        idle = [one for one in store.coordinators() if not one.runs]
    if output.json:
        print_json(
            {
                "store": store.name,
                "studies": [
                    {
                        "study": one.name,
                        "kind": one.entry.kind,
                        **one.to_json(),
                        "leaders": [dict(zip(("task", "name", "score"), each, strict=True)) for each in first],
                    }
                    for one, first in shown
                ],
                "idle": [{"machine": one.machine, "process": one.process} for one in idle],
            }
        )
        return
    rows = [
        (
            Cell(one.name, "bold"),
            one.runs,
            f"{one.done / one.steps:.0%}",
            "\n".join(f"process {each.process} on {each.machine} ({each.runs:,})" for each in one.coordinators),
            "\n".join(leader(name, score) for _, name, score in first),
        )
        for one, first in shown
    ]
    if rows:
        titles = ("study", "ended", "iterations", "trained by (runs held)", "leader")
        print_table(tuple(map(Column, titles)), rows, session_of(context))
    for one in idle:
        say(f"process {one.process} on {one.machine} holds no run now")
    if not rows and not idle:
        say(f"Nothing is trained into the store {store.name} now.")
