"""Tables of `lrbench export -o`, in which a row is a run: its curve becomes rows again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.display.names import many
from lrbench.errors import StudyError
from lrbench.imports.table import Columns, Runs, runs_of, text_of
from lrbench.metrics import Curve
from lrbench.study.export import OVER_BASE_LRS, PLACE, READ_OFF, RECORDED, SCORES, as_it_was

if TYPE_CHECKING:
    import pandas

ENDED = ("finished", "diverged")
CURVE_DIGITS = 1e-5
"""How far, in parts of itself, a score of a curve may be from that of another column: curves have six digits."""


def is_exported(frame: pandas.DataFrame) -> bool:
    """Return whether a table is of `lrbench export -o`, of runs or of their evaluations."""
    return {*PLACE, "step", "run"} <= set(frame.columns)


def is_evaluation(columns: Iterable[object]) -> bool:
    """Return whether these are columns of evaluations, and not of runs."""
    return {*SCORES} <= {*columns}


def exported_runs(frame: pandas.DataFrame, where: str, columns: Columns | None, metric: str | None) -> Runs:
    """Read the runs of a study's main stage that have ended; the arguments are as for `runs_of`.

    A policy is called by its name and what it was trained with. It is judged by the objective of its task.

    Raises:
        StudyError: no run has ended, or a cell is not what its column needs.
    """
    import pandas

    scales = pandas.to_numeric(frame["scale"], errors="coerce")
    is_main = (frame["stage"] == "main") & (scales == 1)
    kept = frame[is_main & (frame["status"].isin(ENDED) if "status" in frame else True)]
    if kept.empty:
        raise StudyError(f"{where}: no run of the study has ended")
    objectives = {str(task): _objective(rows) for task, rows in kept.groupby("task", sort=False)}
    texts: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    for number, row in kept.to_dict(orient="index").items():
        parts = [as_it_was(text_of(row.get(part))) for part in ("name", "modifier", "setting")]
        label, task = " + ".join(filter(None, parts)), as_it_was(text_of(row["task"]))
        if not any(parts[1:]):
            texts[label] = as_it_was(text_of(row["policy"]))
        place = {"task": task, "policy": label, "name": parts[0], "seed": row["seed"]}
        try:
            rows += ({**place, **one} for one in _evaluations(row, objectives[str(row["task"])]))
        except ValueError:
            raise StudyError(f"{where}: row {int(str(number)) + 1} has no step or no curve of lrbench") from None
    runs = runs_of(pandas.DataFrame(rows), where, columns, metric)
    judged_by = {as_it_was(task): name for task, name in objectives.items()}
    others = len(frame) - len(kept)
    left_out = (
        f"{many(others, 'row')} of runs that have not ended, of a confirmation or at another base LR are left out."
    )
    return replace(
        runs,
        remarks=(*runs.remarks, *([left_out] if others else [])),
        metric_by_task={} if is_evaluation(frame.columns) else judged_by,
        texts=texts,
    )


def _objective(rows: pandas.DataFrame) -> str:
    """Return the column of the objective of a task: that whose values the curves end with, since no column names it.

    Without curves it is the loss where the runs have no other score.
    """
    import pandas

    named = [str(name) for name in rows if str(name).startswith("val_") and rows[name].map(text_of).any()]
    by_score = sorted(named, key="val_loss".__eq__)
    ends = _ends(rows)
    for name in by_score:
        values = pandas.to_numeric(rows.loc[list(ends), name], errors="coerce").to_numpy(np.float64)
        if np.isclose(values, list(ends.values()), rtol=CURVE_DIGITS, atol=0).all():
            return name
    return next(iter(by_score), "val_loss")


def _ends(rows: pandas.DataFrame) -> dict[Any, float]:
    """Return the last score of the curve of each finished run, by the label of its row."""
    found = {}
    if {"curve", "status"} <= set(rows.columns):
        for label, curve in rows.loc[rows["status"] == "finished", "curve"].items():
            with suppress(ValueError, IndexError):
                found[label] = Curve.parse(text_of(curve)).scores[-1]
    return found


def _evaluations(row: Mapping[Any, Any], objective: str) -> Iterator[dict[str, Any]]:
    """Yield the evaluations of a run, the last with all that was measured at its end; one that is given is itself.

    What a run that diverged has at its end is not finite.
    """
    done = {*PLACE, *READ_OFF, *OVER_BASE_LRS, *RECORDED, "setting", "status", "step", "diverged_at", "run", "curve"}
    final = {name: value for name, value in row.items() if name not in done}
    has_diverged = row.get("status") == "diverged"
    if is_evaluation(row):
        fell = has_diverged and text_of(row["step"]) == text_of(row["diverged_at"])
        yield {"step": row["step"], **final, **(dict.fromkeys(SCORES, math.inf) if fell else {})}
        return
    curve = Curve.parse(text_of(row.get("curve")))
    end = int(float(text_of(row["diverged_at"] if has_diverged else row["step"])))
    for step, score in zip(curve.steps, curve.scores, strict=True):
        if step < end:
            yield {"step": step, objective: score}
    yield {"step": end, **final, **({objective: math.inf} if has_diverged else {})}
