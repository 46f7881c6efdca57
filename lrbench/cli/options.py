"""The options that several commands share, each declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from lrbench.cli.completion import complete_by, complete_policy, complete_stored, complete_task
from lrbench.cli.errors import Session, session_of
from lrbench.cli.output import Answer, print_json, print_readable
from lrbench.cli.stdout import part_stream
from lrbench.files import utf8_text

if TYPE_CHECKING:
    from lrbench.api import Lab
    from lrbench.store import Store as StudyStore

where = partial(typer.Option, rich_help_panel="Where things are")
how = partial(typer.Option, rich_help_panel="How to train")
shown = partial(typer.Option, rich_help_panel="Output")
"""Declare an option, under the title that the help has for it."""


def whole_number(low: int, high: int | None = None) -> Callable[[str | int], int]:
    """Make a parser of whole numbers from `low` to `high`, whose error names the value."""
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


def budget_of_training(text: str | int) -> int | str:
    """Parse a training budget: iterations, or a length, which the task reads."""
    from lrbench.policy.budget import read_length
    from lrbench.tasks.limits import A_BUDGET

    if isinstance(text, int) or text.strip().lstrip("+-").isdecimal():
        return number_of_steps(text)
    length = read_length(text)
    if not isinstance(length, str):
        raise typer.BadParameter(f"{text!r} is not {A_BUDGET}")
    return length


def task_or_file(task: str) -> str | dict[str, Any]:
    """Return the name of a task, or the task of a study or search file, FILE.toml."""
    if not task.endswith(".toml"):
        return task
    from lrbench.study.file import task_in

    return task_in(task)


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
    where(
        "--store",
        metavar="URL",
        help="The store of finished runs: a SQLite file or a database URL.",
        show_default="$LRBENCH_STORE, else lrbench.db",
    ),
]
DataRoot = Annotated[
    Path | None,
    where("--data-root", metavar="DIR", help="The folder that holds the data sets, laid out as torchvision does."),
]
Download = Annotated[bool, where("--download", help="Fetch a data set that is not under the data root yet.")]
Plugins = Annotated[
    list[Path] | None,
    where(
        "--plugin",
        metavar="FILE.py",
        help="Run a Python file of yours that registers models, data sets, tasks, functions or modifiers; may repeat.",
    ),
]
Device = Annotated[str, how("--device", metavar="NAME", help="What to train on: auto, cpu, cuda, cuda:N or mps.")]
Workers = Annotated[
    str,
    how(
        "--workers",
        metavar="N",
        help="How many processes train; auto, one a core where there is enough to do; ray, or a Ray cluster's address.",
        callback=_known_workers,
    ),
]
GpusPerWorker = Annotated[
    float, how("--gpus-per-worker", metavar="X", help="On Ray: the share of a GPU that each worker is given.")
]
Engine = Annotated[
    Literal["auto", "serial", "stacked"],
    how(
        "--engine",
        metavar="NAME",
        help="serial, run by run and exact to the bit; stacked, many at once; auto, what a probe finds faster.",
    ),
]
Steps = Annotated[
    str | None,
    how(
        "--steps",
        metavar="N|LENGTH",
        parser=budget_of_training,
        help="The training budget in iterations, or as a length such as 10ep or 2e6tok, in place of the task's own.",
    ),
]
Seeds = Annotated[int, how("--seeds", metavar="N", parser=whole_number(1), help="Train with seeds 0 to N-1.")]
FreshSeeds = Annotated[int, how("--seeds", metavar="N", parser=whole_number(1), help="Verify with N fresh seeds.")]
OtherSeeds = Annotated[
    int | None,
    how("--seeds", metavar="N", parser=whole_number(1), help="Train with seeds 0 to N-1, in place of the file's own."),
]
StudySeeds = Annotated[
    str | None,
    how(
        "--seeds",
        metavar="N|A..B",
        parser=seeds_or_range,
        help="Train with seeds 0 to N-1 in place of the file's own; or with A, and up to B until all are decided.",
    ),
]
By = Annotated[
    list[str] | None,
    shown(
        "--by",
        metavar="GOAL",
        help="Rank and judge by this goal in place of the study's own, such as loss, steps_to_target:50 or seconds:5%, "
        "where the margin stands behind the colon; may repeat for verdicts by each.",
        autocompletion=complete_by,
    ),
]
TaskName = Annotated[
    str,
    how(
        "--task",
        metavar="TASK",
        help="What to train: one of `lrbench list tasks`, or a study or search file, FILE.toml, whose task it is.",
        autocompletion=complete_task,
    ),
]
Json = Annotated[bool, shown("--json", help="Print one JSON document on stdout, and nothing else there.")]
NoColor = Annotated[
    bool,
    shown("--no-color", help="Plain text, as in a pipe; setting NO_COLOR does the same.", callback=_remember_color),
]
Debug = Annotated[
    bool, shown("--debug", help="Show the traceback of an error.", callback=_remember_debug, is_eager=True)
]
PolicyText = Annotated[
    str,
    typer.Argument(
        metavar="POLICY",
        help="A policy as text, or an entry of a catalog such as lrbench13/TRI.",
        autocompletion=complete_policy,
    ),
]
StoredStudy = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="A study in the store, by its name or by the file that it was run from.",
        autocompletion=complete_stored,
    ),
]


def study_name(study: str) -> str:
    """Return the name of a study in the store: that of its file, without folder and suffix."""
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
class StoreOptions:
    """Where the store is, and the user's own code, without which some of its numbers have no name."""

    store: Store = None
    plugin: Plugins = None

    def opened(self) -> StudyStore:
        """Open the store.

        Raises:
            StoreError: there is none, or it cannot be opened.
        """
        from lrbench.store import open_store

        return open_store(self.store, must_exist=True)


@dataclass(frozen=True)
class SourceOptions:
    """How runs of other programs are read, and what they are judged by."""

    margin: Annotated[
        str, how("--margin", metavar="M", help="The difference that does not matter: a number, or a share such as 1%.")
    ] = "0"
    metric: Annotated[
        str | None, how("--metric", metavar="COLUMN", help="The column to judge by, where it is not plain.")
    ] = None
    better: Annotated[
        Literal["lower", "higher"] | None,
        how("--better", metavar="lower|higher", help="Which way the metric is better, where its name does not say."),
    ] = None
    target: Annotated[
        float | None, how("--target", metavar="T", help="Judge by the steps until the metric reaches this value.")
    ] = None
    column: Annotated[
        list[str] | None,
        how(
            "--column",
            metavar="ROLE=COLUMN",
            help="Which column is what, where its name does not say: policy, seed, run, step or task; may repeat.",
        ),
    ] = None
    pattern: Annotated[
        str | None,
        how(
            "--pattern",
            metavar="TEXT",
            help="RUNS are logs with such lines, as 'step:{step}/{steps} val_loss:{val_loss}'; a folder is a policy.",
        ),
    ] = None
    wide: Annotated[
        str | None,
        how("--wide", metavar="TEXT", help="The table has a column for each run, named so, as '{policy}_{seed}'."),
    ] = None
    paired: Annotated[
        bool | None,
        how("--paired/--unpaired", help="Runs of one name belong together, or not; by default where they are seeds."),
    ] = None

    def as_arguments(self) -> dict[str, Any]:
        """Return the fields of a `Reading`.

        Raises:
            typer.BadParameter: a column has no role.
        """
        columns: dict[str, list[str]] = {}
        for one in self.column or ():
            role, equals, name = one.partition("=")
            if not (role and equals and name):
                raise typer.BadParameter(f"{one!r} is not ROLE=COLUMN, such as policy=optimizer", param_hint="--column")
            columns.setdefault(role, []).append(name)
        return {**{name: value for name, value in vars(self).items() if name != "column"}, "columns": columns}


@dataclass(frozen=True)
class DataOptions:
    """Where the data sets are."""

    data_root: DataRoot = None
    download: Download = False


@dataclass(frozen=True)
class LabOptions(DataOptions, StoreOptions):
    """What a lab is made of: how to train, and where the store, the data and the user's own code are."""

    device: Device = "auto"
    workers: Workers = "auto"
    engine: Engine = "auto"
    gpus_per_worker: GpusPerWorker = 0.0

    def lab(self) -> Lab:
        """Run the user's files, and return a lab that shows no progress of its own."""
        load_plugins(self.plugin)
        from lrbench.api import Lab

        return Lab(**{name: value for name, value in vars(self).items() if name != "plugin"}, progress=False)


@dataclass(frozen=True)
class TerminalOptions:
    """How a command speaks on a terminal; `Session` remembers it."""

    no_color: NoColor = False
    debug: Debug = False


@dataclass(frozen=True)
class OutputOptions(TerminalOptions):
    """How a command prints its answer."""

    json: Json = False

    def show(self, answer: Answer, session: Session) -> None:
        """Print an answer on stdout, for a person to read or as one JSON document."""
        if self.json:
            print_json(answer.to_json())
        else:
            print_readable(answer, session)


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
