"""The reports of the studies that ship, from their tables of runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.advice.evidence import described, exported
from lrbench.files import read_toml
from lrbench.metrics import METRICS, Curve
from lrbench.metrics.goal import texts_of
from lrbench.metrics.runs import TOP1
from lrbench.report import report_page, study_frames
from lrbench.store import NewRun, PolicyRecord, Score, Segment, Store, StudyRecord, StudySlot, TaskRecord, open_store
from lrbench.study.limits import declared_looks, seeds_of, split_seeds

if TYPE_CHECKING:
    import pandas as pd

    from lrbench.tasks import TaskSettings

CHANCE = 0.1
"""Of every task of the studies that ship and is judged by accuracy: each has ten classes."""

PROVENANCE = ("lrbench", "commit", "torch", "numpy", "python", "engine", "precision", "device")


def tables(studies: Path) -> list[Path]:
    """List the tables of runs that lrbench trained, each beside the study file of its name."""
    return sorted(file for file in studies.glob("*.csv") if file.with_suffix(".toml").is_file())


def report(table: Path) -> str:
    """Write the report of a study from its table of runs."""
    with open_store(":memory:") as store:
        restore(table, store)
        return report_page(study_frames(table.stem, store))


def restore(table: Path, store: Store) -> None:
    """Put a study and its runs, as `lrbench export` wrote them beside its file, into a store.

    A table has no losses but the last ones of a run, and of older versions no curve.
    """
    rows = exported(table).fillna({"modifier": ""})
    raw = read_toml(table.with_suffix(".toml"))
    tasks = described(raw)
    store.save_study(table.stem, _record(rows, raw, tasks), list(_slots(rows)))
    ended = rows[rows["run"].notna()].drop_duplicates("run").to_dict(orient="records")
    with store.lease() as lease:
        lease.claim(row["run"] for row in ended)
        lease.begin(_run(row) for row in ended)
        lease.append({row["run"]: _segment(row, tasks[row["task"]].objective) for row in ended})


def _record(rows: pd.DataFrame, raw: Mapping[str, Any], tasks: Mapping[str, TaskSettings]) -> StudyRecord:
    numbers, first = split_seeds(raw["seeds"], "seeds")
    seeds = seeds_of(numbers, "seeds")
    scales = tuple(sorted(set(rows["scale"])))
    policies = rows.drop_duplicates("name")
    return StudyRecord(
        margin=raw.get("margin", 0.01),
        target=raw.get("target"),
        confirm=raw.get("confirm", 0),
        base_lr_scales=scales if len(scales) > 1 else (),
        seeds=seeds,
        until_decided=first,
        by=texts_of(raw.get("by", ())),
        looks=tuple(declared_looks(len(seeds), first).shares_by_seeds.items()),
        policies=tuple(PolicyRecord(name=row["name"], policy=row["policy"]) for _, row in policies.iterrows()),
        variants=tuple(rows["modifier"].unique()),
        tasks=tuple(_task(tasks[str(name)], of_task) for name, of_task in rows.groupby("task", sort=False)),
    )


def _task(task: TaskSettings, rows: pd.DataFrame) -> TaskRecord:
    steps = int(rows["step"].max())
    is_accuracy = task.objective == TOP1
    return TaskRecord(
        name=task.name,
        key=task.name,
        steps=steps,
        steps_per_epoch=steps,
        eval_every=steps,
        objective=task.objective,
        better=task.better,
        chance=CHANCE if is_accuracy else None,
        bounds=(0.0, 1.0) if is_accuracy else None,
        test_samples=None,
        val_samples=None,
    )


def _slots(rows: pd.DataFrame) -> Iterator[StudySlot]:
    for number, row in rows.iterrows():
        place = (row["task"], row["stage"], row["name"], row["modifier"], float(row["scale"]), int(row["seed"]))
        yield StudySlot(*place, f"missing {number}" if _is_empty(row["run"]) else row["run"])


def _run(row: Mapping[Any, Any]) -> NewRun:
    provenance = {name: row[name] for name in PROVENANCE if not _is_empty(row[name])}
    task = row["task"]
    return NewRun(
        row["run"], task, task, row["policy"], row["modifier"], int(row["seed"]), int(row["step"]), provenance
    )


def _segment(row: Mapping[Any, Any], objective: str) -> Segment:
    val, test = f"val_{objective}", f"test_{objective}"
    measured = {name for name, metric in METRICS.items() if metric.at_end is not None} | {val, test}
    step = int(row["step"])
    if "curve" in row:
        curve = Curve.parse("" if _is_empty(row["curve"]) else row["curve"])
    else:
        curve = Curve((step,), (row[val],))
    before = [
        Score(at, math.nan, math.nan, score, math.nan, math.nan)
        for at, score in zip(curve.steps, curve.scores, strict=True)
    ]
    last = Score(step, math.nan, row["val_loss"], row[val], row["test_loss"], row[test])
    finished = row["status"] == "finished"
    return Segment(
        step,
        row["seconds"],
        int(row["flops"]),
        (*before[:-1], last) if finished else tuple(before),
        row["status"],
        diverged_at=None if _is_empty(row["diverged_at"]) else int(row["diverged_at"]),
        final={name: row[name] for name in measured if not _is_empty(row.get(name))} if finished else None,
        exact=row["engine"] == "serial",
        evaluating=None if _is_empty(row.get("evaluating")) else row["evaluating"],
    )


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
