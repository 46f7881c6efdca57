"""What finished runs say of policies: those of a store, and those of the studies that ship with lrbench.

Evidence is kept together as it was measured: the policies that were trained on one task with one budget are one body
of evidence, within which they can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lrbench.errors import LRBenchError, StudyError, did_you_mean
from lrbench.metrics import Curve, PolicyRuns, RunRecord, retained_fraction
from lrbench.study.file import find_study, read_toml, study_names
from lrbench.study.results import StudyRuns, resolution

if TYPE_CHECKING:
    import pandas

    from lrbench.metrics import Better
    from lrbench.store import Store
    from lrbench.tasks import TaskSettings

SHIPPED = "shipped with lrbench"


@dataclass(frozen=True)
class TaskEvidence:
    """The runs of several policies on one task with one budget.

    Attributes:
        studies: the names of the studies that the runs were trained for.
        where: the store's name, or `SHIPPED`.
        key, eval_every: of the task with its budget; None where they are not known.
        settings: of the task, where it is one that is registered or that a shipped study describes.
        resolution: the step of the objective's scale; None where it is not known.
        runs: by the text of the policy and the seed.
        better: which way the objective is better.
    """

    task: str
    steps: int
    objective: str
    where: str
    studies: frozenset[str]
    key: str | None
    eval_every: int | None
    settings: TaskSettings | None
    resolution: float | None
    runs: Mapping[tuple[str, int], RunRecord] = field(repr=False)
    better: Better = "higher"

    @property
    def contenders(self) -> list[PolicyRuns]:
        """The policies with their runs."""
        runs: dict[str, list[RunRecord]] = {}
        for (policy, _), run in self.runs.items():
            runs.setdefault(policy, []).append(run)
        return [PolicyRuns(policy, policy, tuple(own)) for policy, own in runs.items()]

    @property
    def guessing(self) -> float | None:
        """The validation objective that guessing comes to; None where it is not known."""
        chance = next(iter(self.runs.values())).chance
        return None if chance is None or self.resolution is None else guessing(chance, round(1 / self.resolution))


def guessing(chance: float, samples: int) -> float:
    """The accuracy on so many samples that guessing comes to: chance, and two standard errors more."""
    return chance + 2 * math.sqrt(chance * (1 - chance) / samples)


def evidence_by_task(store: Store, without: Collection[str] = ()) -> list[TaskEvidence]:
    """All evidence, that of a store and what ships, but for some studies.

    Raises:
        StudyError: one of those is no study at all.
    """
    names = {*(entry.name for entry in store.studies()), *study_names()}
    for name in without:
        if name not in names:
            hint = did_you_mean(name, names)
            raise StudyError(f"there is no study '{name}' to leave out, in {store.name} or shipped with lrbench{hint}")
    return [*stored(store, without), *shipped(without)]


def stored(store: Store, without: Collection[str] = ()) -> Iterator[TaskEvidence]:
    """The evidence of a store: of every study the runs without modifiers, at the policies' own LRs.

    Range tests are none: their constant rates over few iterations would pass for what is good on a task.
    """
    found: dict[tuple[str, int], TaskEvidence] = {}
    for entry in sorted(store.studies(), key=lambda entry: (entry.name, entry.version)):
        if entry.name in without or entry.kind in ("range_test", "search"):
            continue
        evidence = StudyRuns.of(entry.id, store)
        for task in evidence.tasks:
            runs = {
                (contender.policy, run.seed): run
                for stage in ("main", "confirm")
                for contender in evidence.contenders(unmodified(evidence.records(task, stage)))
                for run in contender.runs
            }
            if runs:
                body = TaskEvidence(
                    task=task.name,
                    steps=task.steps,
                    objective=task.objective,
                    where=store.name,
                    studies=frozenset([entry.name]),
                    key=task.key,
                    eval_every=task.eval_every,
                    settings=registered(task.name),
                    resolution=resolution(task),
                    runs=runs,
                    better=task.better,
                )
                key = (task.key, task.steps)
                found[key] = body if key not in found else _joined(found[key], body)
    yield from found.values()


def shipped(without: Collection[str] = ()) -> Iterator[TaskEvidence]:
    """The evidence of the studies that ship, each a table of runs beside its file."""
    import pandas as pd

    found: dict[tuple[str, int, str], TaskEvidence] = {}
    for name in study_names():
        file = find_study(name)
        table = file.with_suffix(".csv")
        if name in without or not table.is_file():
            continue
        settings = {one.name: one for one in _described(read_toml(file))}
        every = pd.read_csv(table)
        every = every[every["status"].isin(["finished", "diverged"]) & every["modifier"].isna()]
        retained = _retained(every)
        for task, rows in every[every["scale"] == 1].groupby("task", sort=False):
            described = settings.get(str(task))
            steps = int(rows["step"].max()) if described is None else described.steps
            runs = {
                (str(row["policy"]), int(row["seed"])): _record(row, retained.get(_place(row)))
                for row in rows.to_dict(orient="records")
            }
            body = TaskEvidence(
                task=str(task),
                steps=steps,
                objective="top1",
                where=SHIPPED,
                studies=frozenset([name]),
                key=None,
                eval_every=None,
                settings=described,
                resolution=None,
                runs=runs,
            )
            key = (str(task), steps, repr(described and replace(described, eval_every=None)))
            found[key] = body if key not in found else _joined(found[key], body)
    yield from found.values()


def registered(task: str) -> TaskSettings | None:
    """The settings of a registered task; None for a task that is none."""
    from lrbench.tasks.registry import tasks

    return tasks[task].build() if task in tasks else None


def unmodified(records: Mapping[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """The records of training without a modifier."""
    return {(entry, variant): runs for (entry, variant), runs in records.items() if not variant}


def _described(raw: Mapping[str, Any]) -> Iterable[TaskSettings]:
    """The tasks of a shipped study; those that this installation cannot describe are left out."""
    from lrbench.tasks import settings_from_dict

    tables = raw.get("tasks") or [raw.get("task", {})]
    for table in tables:
        try:
            yield settings_from_dict({"base": table} if isinstance(table, str) else table)
        except LRBenchError:
            continue


def _joined(one: TaskEvidence, other: TaskEvidence) -> TaskEvidence:
    return replace(one, studies=one.studies | other.studies, runs={**one.runs, **other.runs})


def _place(row: Mapping[Any, Any]) -> tuple[str, str, int]:
    return str(row["task"]), str(row["policy"]), int(row["seed"])


def _retained(frame: pandas.DataFrame) -> dict[tuple[str, str, int], float | None]:
    """By task, policy and seed, what other base LRs leave of the validation score.

    Those that diverged at one of them are left out: a table does not say what chance is.
    """
    scores: dict[tuple[str, str, int], dict[float, float]] = {}
    for row in frame[frame["stage"].isin(["main", "scale"])].to_dict(orient="records"):
        scores.setdefault(_place(row), {})[float(row["scale"])] = float(row["val_top1"])
    return {
        place: retained_fraction(known, math.nan)
        for place, known in scores.items()
        if len(known) > 1 and 1.0 in known and all(map(math.isfinite, known.values()))
    }


def _record(row: Mapping[Any, Any], retention: float | None) -> RunRecord:
    """A row of a table of runs."""
    finished = row["status"] == "finished"
    final = {
        str(name): float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    return RunRecord(
        seed=int(row["seed"]),
        status="finished" if finished else "diverged",
        steps=int(row["step"]),
        curve=Curve((), ()),
        final={
            **{name: value for name, value in final.items() if name.startswith(("val_", "test_"))},
            "base_lr_retention": retention,
        },
        diverged_at=None if math.isnan(row["diverged_at"]) else int(row["diverged_at"]),
    )
