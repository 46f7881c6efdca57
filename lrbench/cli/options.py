"""The options that several commands share, each declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from lrbench.cli.completion import complete_stored, complete_task
from lrbench.cli.errors import session_of
from lrbench.cli.stdout import part_stream
from lrbench.files import utf8_text

if TYPE_CHECKING:
    from lrbench.api import Lab

WHERE = "Where things are"
HOW = "How to train"
OUTPUT = "Output"


def whole_number(low: int, high: int | None = None) -> Callable[[str | int], int]:
    """A parser of whole numbers from `low` to `high`, whose error names the value."""
    allowed = f"a whole number from {low} " + ("on" if high is None else f"to {high}")

    def parse(text: str | int) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if number < low or (high is not None and number > high):
            raise typer.BadParameter(f"{text!r} is not {allowed}")
        return number

    return parse


def seeds_or_range(text: str | int) -> int | str:
    """Parse a number of seeds, or the range A..B of seeds until decided, whose ends the library checks."""
    return text if isinstance(text, str) and ".." in text else whole_number(1)(text)


def number_of_steps(text: str | int) -> int:
    """Parse a budget in iterations."""
    from lrbench.tasks.limits import MOST_STEPS

    return whole_number(1, MOST_STEPS)(text)


def _known_workers(value: str) -> int | str:
    from lrbench.training.workers import parse_workers

    return parse_workers(value)


def _remember_debug(context: typer.Context, value: bool) -> bool:
    session_of(context).debug |= value
    return value


def _remember_color(context: typer.Context, value: bool) -> bool:
    session_of(context).color &= not value
    return value


Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="The store of finished runs: a SQLite file or a database URL.",
        show_default="$LRBENCH_STORE, else lrbench.db",
        rich_help_panel=WHERE,
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        metavar="DIR",
        help="The folder that holds the data sets, laid out as torchvision does.",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
Download = Annotated[
    bool,
    typer.Option("--download", help="Fetch a data set that is not under the data root yet.", rich_help_panel=WHERE),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        help="Run a Python file of yours that registers models, data sets, tasks, functions or modifiers; may repeat.",
        show_default=False,
        rich_help_panel=WHERE,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="What to train on: auto, cpu, cuda, cuda:N or mps.",
        rich_help_panel=HOW,
    ),
]
Workers = Annotated[
    str,
    typer.Option(
        "--workers",
        metavar="N",
        help="How many processes train; auto, one a core where there is enough to do; ray, or a Ray cluster's address.",
        callback=_known_workers,
        rich_help_panel=HOW,
    ),
]
GpusPerWorker = Annotated[
    float,
    typer.Option(
        "--gpus-per-worker",
        metavar="X",
        help="On Ray: the share of a GPU that each worker is given.",
        rich_help_panel=HOW,
    ),
]
Engine = Annotated[
    Literal["auto", "serial", "stacked"],
    typer.Option(
        "--engine",
        metavar="NAME",
        help="serial, run by run and exact to the bit; stacked, many at once; auto, what a probe finds faster.",
        rich_help_panel=HOW,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        metavar="N",
        parser=number_of_steps,
        help="The training budget in iterations, in place of the task's own.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds", metavar="N", parser=whole_number(1), help="Train with seeds 0 to N-1.", rich_help_panel=HOW
    ),
]
OtherSeeds = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        metavar="N",
        parser=whole_number(1),
        help="Train with seeds 0 to N-1, in place of the file's own.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
StudySeeds = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        metavar="N|A..B",
        parser=seeds_or_range,
        help="Train with seeds 0 to N-1 in place of the file's own; or with A, and up to B until all are decided.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
TaskName = Annotated[
    str,
    typer.Option(
        "--task",
        metavar="TASK",
        help="What to train; `lrbench list tasks` has the names.",
        autocompletion=complete_task,
        rich_help_panel=HOW,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.", rich_help_panel=OUTPUT),
]
NoColor = Annotated[
    bool,
    typer.Option(
        "--no-color",
        help="Plain text, as in a pipe; setting NO_COLOR does the same.",
        callback=_remember_color,
        rich_help_panel=OUTPUT,
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show the traceback of an error.",
        callback=_remember_debug,
        is_eager=True,
        rich_help_panel=OUTPUT,
    ),
]


StoredStudy = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="A study in the store, by its name or by the file that it was run from.",
        show_default=False,
        autocompletion=complete_stored,
    ),
]


def study_name(study: str) -> str:
    """The name that the store knows a study by: that of its file, without folder and suffix."""
    return utf8_text(Path(study).stem if study.endswith(".toml") else study)


def load_plugins(files: list[Path] | None) -> None:
    """Run the user's files, in the order given, so that the names they register are known.

    From here on what is not printed by `say` goes to stderr.
    """
    part_stream()
    if files:
        from lrbench.tasks import load_plugin

        for file in files:
            load_plugin(file)


@dataclass(frozen=True)
class LabOptions:
    """How to train, and where the store, the data and the user's own code are: what a lab is made of."""

    device: Device = "auto"
    workers: Workers = "auto"
    engine: Engine = "auto"
    gpus_per_worker: GpusPerWorker = 0.0
    store: Store = None
    data_root: DataRoot = None
    download: Download = False
    plugin: Plugins = None

    def lab(self) -> Lab:
        """Run the user's files, and return a lab that shows no progress of its own."""
        load_plugins(self.plugin)
        from lrbench.api import Lab

        return Lab(
            store=self.store,
            data_root=self.data_root,
            download=self.download,
            device=self.device,
            workers=self.workers,
            engine=self.engine,
            gpus_per_worker=self.gpus_per_worker,
            progress=False,
        )


@dataclass(frozen=True)
class OutputOptions:
    """How a command prints what it was asked for."""

    json: Json = False
    no_color: NoColor = False
    debug: Debug = False


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of each dataclass among its parameters, in place of that parameter."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += inspect.signature(groups[name], eval_str=True).parameters.values()
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    def merged(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    merged.__doc__ = command.__doc__
    merged.__dict__["__signature__"] = inspect.Signature(
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    return merged
