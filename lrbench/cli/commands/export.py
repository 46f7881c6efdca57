"""`lrbench export`: the runs of a study, or their curves, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lrbench.cli.options import OutputOptions, StoredStudy, StoreOptions, load_plugins, shown, study_name, with_groups
from lrbench.cli.output import json_text, print_json
from lrbench.cli.stdout import say, stdout
from lrbench.display.names import many

if TYPE_CHECKING:
    from pandas import DataFrame


@with_groups
def export(
    study: StoredStudy,
    destination: Annotated[
        str | None,
        typer.Argument(
            metavar="[DEST]", help="What --to writes: a file, a folder of TensorBoard, or a store of MLflow."
        ),
    ] = None,
    *,
    to: Annotated[
        Literal["csv", "parquet", "tensorboard", "mlflow"] | None,
        shown(
            "--to", metavar="FORMAT", help="Write runs with their curves to DEST: csv, parquet, tensorboard, mlflow."
        ),
    ] = None,
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

    --to writes runs with their curves in a form that other programs read, and `lrbench import` with nothing lost.
    The confidence by class and the reliability bins, which are lists, are in JSON alone.

    \b
    Examples:
      lrbench export quickstart -o runs.csv
      lrbench export quickstart --curves -o curves.csv
      lrbench export quickstart --json
      lrbench export quickstart --to tensorboard runs/
    """
    from lrbench.report.output_file import check_output, write_output

    if (to is None) != (destination is None):
        raise typer.BadParameter("--to FORMAT and DEST are given together, as in --to parquet runs.parquet")
    suffix = None if file is None else check_output(file, ("csv", "json"))
    name = study_name(study)
    load_plugins(options.plugin)
    from lrbench.study import export as exports

    with options.opened() as store:
        if to is not None and destination is not None:
            from lrbench.study.study_runs import StudyRuns
            from lrbench.study.trackers import export_to

            count = export_to(to, destination, StudyRuns.of(name, store))
            if output.json:
                print_json({"study": name, "to": to, "destination": destination, "runs": count})
            else:
                say(f"{many(count, 'run')} of study '{name}' written to {destination}")
            return
        frame = exports.export_curves(name, store) if curves else exports.export(name, store)
    document = {"study": name, "curves" if curves else "runs": _records(frame)}
    if file is not None:
        write_output(file, exports.csv_of(frame) if suffix == "csv" else f"{json_text(document)}\n".encode())
    if output.json:
        print_json(document)
    elif file is None:
        stdout().write(exports.csv_of(frame).decode())


def _records(frame: DataFrame) -> list[dict[Any, Any]]:
    """List the rows of a table, with None where one has no value."""
    return frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
