"""The command line: it parses, calls the library, and prints."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Annotated

import typer

from lrbench.cli.commands.check import check
from lrbench.cli.commands.compare import compare
from lrbench.cli.commands.export import export
from lrbench.cli.commands.guide import guide
from lrbench.cli.commands.horizons import horizons
from lrbench.cli.commands.import_runs import import_runs
from lrbench.cli.commands.judge import judge
from lrbench.cli.commands.list import list_names
from lrbench.cli.commands.range_test import range_test
from lrbench.cli.commands.recommend import recommend
from lrbench.cli.commands.report import plot, report
from lrbench.cli.commands.run import run
from lrbench.cli.commands.score import score
from lrbench.cli.commands.search import search
from lrbench.cli.commands.serve import serve
from lrbench.cli.commands.show import show
from lrbench.cli.commands.status import status
from lrbench.cli.commands.verify import verify
from lrbench.cli.commands.watch import watch
from lrbench.cli.errors import OneSentenceGroup
from lrbench.cli.help import PlainCommand
from lrbench.cli.standard_streams import prepare_standard_streams
from lrbench.version import __version__

ALLOCATIONS_A_COLLECTION = 50_000
"""Python looks for garbage after more allocations than its own 700: what is imported, and a large study, stays."""

COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Train and rank": {
        "run": run,
        "score": score,
        "horizons": horizons,
        "range-test": range_test,
        "search": search,
        "recommend": recommend,
        "verify": verify,
    },
    "Look, without training": {"judge": judge, "show": show, "check": check, "list": list_names, "guide": guide},
    "Ask the store": {
        "import": import_runs,
        "status": status,
        "watch": watch,
        "compare": compare,
        "report": report,
        "plot": plot,
        "export": export,
        "serve": serve,
    },
}
"""The commands by their names, under the titles that the help has for them."""

app = typer.Typer(
    name="lrbench",
    cls=OneSentenceGroup,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for title, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, cls=PlainCommand, rich_help_panel=title)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"lrbench {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _lrbench(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Which learning-rate policy should I train with, which should I avoid, and how sure are we?

    \b
    lrbench run quickstart                        rank 13 policies on a task that needs no download
    lrbench show lrbench13 --steps 2000           look at their learning rates
    lrbench score "TRI(k0=0.01, k1=0.1, l=0.1dur)" --task mnist1d-mlp
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command that `sys.argv` names and exit with its code."""
    gc.set_threshold(ALLOCATIONS_A_COLLECTION)
    prepare_standard_streams()
    app()
