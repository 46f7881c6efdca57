"""`lrbench export`: the runs of a study, or their curves, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrbench.cli.options import OUTPUT, Debug, Json, NoColor, Store, StoredStudy, study_name
from lrbench.cli.output import json_text, print_json
from lrbench.cli.stdout import stdout

if TYPE_CHECKING:
    from pandas import DataFrame

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are = + - @ at full width."""


def export(
    study: StoredStudy,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write this file, .csv or .json; CSV goes to stdout without it.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    curves: Annotated[
        bool,
        typer.Option(
            "--curves",
            help="Export the curves: a row for each evaluation, with its losses, scores and LR.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    store: Store = None,
    json: Json = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Export the runs of a study from the store, one row a run with every number of it.

    The confidence by class and the reliability bins, which are lists, are in JSON alone.

    \b
    Examples:
      lrbench export quickstart -o runs.csv
      lrbench export quickstart --curves -o curves.csv
      lrbench export quickstart --json
    """
    suffix = None
    if output is not None:
        from lrbench.report.output_file import check_output

        suffix = check_output(output, ("csv", "json"))

    from lrbench.store import open_store
    from lrbench.study.export import export as exported
    from lrbench.study.export import export_curves

    name = study_name(study)
    with open_store(store, must_exist=True) as opened:
        frame = export_curves(name, opened) if curves else exported(name, opened)
    document = {"study": name, "curves" if curves else "runs": _records(frame)}
    if output is not None:
        from lrbench.report.output_file import write_output

        write_output(output, _csv(frame) if suffix == "csv" else f"{json_text(document)}\n".encode())
    if json:
        print_json(document)
    elif output is None:
        stdout().write(_csv(frame).decode())


def _csv(frame: DataFrame) -> bytes:
    from lrbench.study.export import flat

    text: str = _without_formulas(flat(frame)).to_csv(index=False, lineterminator="\n")
    return text.encode()


def _without_formulas(frame: DataFrame) -> DataFrame:
    """The table with an apostrophe before each text that a spreadsheet would take for a formula."""
    import pandas as pd

    return pd.DataFrame(
        {
            _as_text(name): pd.Series(map(_as_text, column), index=frame.index, dtype=column.dtype)
            for name, column in frame.items()
        }
    )


def _as_text(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    # A lone carriage return is left without quotes, and would begin another row with what follows it.
    return f"'{cell}".replace("\r", "\n") if cell.startswith(FORMULA_STARTS) else cell.replace("\r", "\n")


def _records(frame: DataFrame) -> list[dict[Any, Any]]:
    """The rows of a table, with None where one has no value."""
    return frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
