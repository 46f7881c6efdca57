"""`lrbench export`: the runs of a study, or their curves, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from lrbench.cli.options import OutputOptions, StoredStudy, StoreOptions, load_plugins, shown, study_name, with_groups
from lrbench.cli.output import json_text, print_json
from lrbench.cli.stdout import stdout

if TYPE_CHECKING:
    from pandas import DataFrame

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are = + - @ at full width."""


@with_groups
def export(
    study: StoredStudy,
    *,
    file: Annotated[
        Path | None,
        shown("-o", "--output", metavar="FILE", help="Write this file, .csv or .json; CSV goes to stdout without it."),
    ] = None,
    curves: Annotated[
        bool, shown("--curves", help="Export the curves: a row for each evaluation, with its losses, scores and LR.")
    ] = False,
    options: StoreOptions,
    output: OutputOptions,
) -> None:
    """Export the runs of a study from the store, one row a run with every number of it.

    The confidence by class and the reliability bins, which are lists, are in JSON alone.

    \b
    Examples:
      lrbench export quickstart -o runs.csv
      lrbench export quickstart --curves -o curves.csv
      lrbench export quickstart --json
    """
    from lrbench.report.output_file import check_output, write_output

    suffix = None if file is None else check_output(file, ("csv", "json"))
    name = study_name(study)
    load_plugins(options.plugin)
    with options.opened() as store:
        from lrbench.study import export as exports

        frame = exports.export_curves(name, store) if curves else exports.export(name, store)
    document = {"study": name, "curves" if curves else "runs": _records(frame)}
    if file is not None:
        write_output(file, _csv(frame) if suffix == "csv" else f"{json_text(document)}\n".encode())
    if output.json:
        print_json(document)
    elif file is None:
        stdout().write(_csv(frame).decode())


def _csv(frame: DataFrame) -> bytes:
    from lrbench.study.export import flat

    text: str = _without_formulas(flat(frame)).to_csv(index=False, lineterminator="\n")
    return text.encode()


def _without_formulas(frame: DataFrame) -> DataFrame:
    """Put an apostrophe before each text that a spreadsheet would take for a formula."""
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
    """List the rows of a table, with None where one has no value."""
    return frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
