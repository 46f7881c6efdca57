"""Exports of W&B: charts as CSV, and histories as JSON lines."""

import json
import math
from pathlib import Path

import pytest

from lrbench.errors import StudyError
from lrbench.imports.judge import judge
from lrbench.imports.read import read
from lrbench.imports.reading import Reading


def chart(names: list[str], metrics: list[str] | None = None) -> str:
    """A chart of two steps, the second of which the last run lacks."""
    columns = [f"{name} - {metric}" for name in names for metric in metrics or ["val_loss"]]
    head = ["Step", *(f"{column}{bound}" for column in columns for bound in ("", "__MIN", "__MAX"))]
    first = [f"{place},0,9" for place in range(len(columns))]
    second = [f"{place / 10},0,9" for place in range(len(columns) - 1)] + [",,"]
    return "\n".join([",".join(f'"{name}"' for name in head), ",".join(["0", *first]), ",".join(["10", *second])])


def test_a_chart_has_a_run_in_each_column_without_its_bounds(tmp_path: Path) -> None:
    (tmp_path / "chart.csv").write_text(chart(["adam seed=0", "adam seed=1", "sgd-seed-0", "sgd-seed-1"]))
    found = read(tmp_path / "chart.csv")
    assert found.metrics == ("val_loss",)
    assert found.have_seeds
    curves = {(curve.policy, curve.seed): curve.values.tolist() for curve in found.curves("val_loss")[0]}
    assert curves == {("adam", "0"): [0, 0], ("adam", "1"): [1, 0.1], ("sgd", "0"): [2, 0.2], ("sgd", "1"): [3]}


def test_names_of_runs_are_read_by_a_pattern_and_a_chart_may_have_several_metrics(tmp_path: Path) -> None:
    (tmp_path / "chart.csv").write_text(chart(["adam.0", "adam.1", "sgd.0"], ["val_loss", "val_acc"]))
    found = read(tmp_path / "chart.csv", Reading(wide="{policy}.{run}"))
    assert set(found.metrics) == {"val_loss", "val_acc"}
    assert set(found.table["policy"]) == {"adam", "sgd"}
    with pytest.raises(StudyError, match=r"the run 'adam\.0' is not named as"):
        read(tmp_path / "chart.csv", Reading(wide="{policy}_{seed}"))


def test_a_history_of_json_lines_is_a_run_with_media_left_out(tmp_path: Path) -> None:
    for policy, base in (("adam", 0.5), ("sgd", 0.25)):
        for run in ("fluffy-sunset-1", "amber-sea-2"):
            rows = [
                {"_step": 0, "_runtime": 1.5, "val_loss": 1.0, "images": {"_type": "images/separated"}},
                {"_step": 5, "train_loss": 0.9},
                {"_step": 9, "val_loss": base if run[0] == "f" else math.nan, "_timestamp": 1.7e9},
            ]
            (tmp_path / policy).mkdir(exist_ok=True)
            (tmp_path / policy / f"{run}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    judged = judge(tmp_path, metric="val_loss")
    assert {one.name: (one.n, one.diverged) for one in judged.tasks[0].policies} == {"sgd": (2, 1), "adam": (2, 1)}
