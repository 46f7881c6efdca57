"""A study as tables: all that plots and the report are drawn from."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.display.names import many
from lrbench.display.readable import printable
from lrbench.errors import StudyError, did_you_mean
from lrbench.garbage import without_collection
from lrbench.metrics.direction import is_worthless
from lrbench.policy.budget import Budget
from lrbench.store.records import EVALUATION
from lrbench.study.export import run_rows
from lrbench.study.results import Results, TaskResults, answer
from lrbench.study.study_runs import StudyRuns

if TYPE_CHECKING:
    import pandas as pd

    from lrbench.metrics import Better, Confirmation
    from lrbench.metrics.goal import By
    from lrbench.store import Store, StoredRun, StudyRecord, StudySlot, TaskRecord

CURVE = (
    *("task", "stage", "label", "name", "modifier", "scale", "seed", "status", "diverged_at"),
    *("objective", "better", "chance", "step", "train_loss", "val_loss", "val_score", "test_loss", "test_score"),
)
RUN = (
    *("task", "stage", "name", "policy", "modifier", "scale", "seed", "status", "step", "diverged_at", "seconds"),
    *("evaluating", "flops", "run", "label", "objective", "better", "chance", "val_score", "test_score"),
    *("class_confidence", "reliability"),
)
EFFECT = ("task", "name", "modifier", "figure", "difference", "low", "high", "seeds")


@dataclass(frozen=True)
class Frames:
    """A study's runs and what they say, as pandas DataFrames; without runs they have their columns and no row.

    A *label* is what a policy by a modifier is called; the label of a policy by none is its name.

    Attributes:
        study: its name.
        store: where the database is that it was read from.
        record: what the store knows of it beside its runs.
        results: its answer, as `lrbench.study.results` gives it.
        runs: a row for each run that the study asks for, with the columns of `lrbench.study.export.export`; and label,
            objective, better, chance, `val_score` and `test_score` (the final objective on the two splits; chance for
            a run that diverged or whose score is NaN or infinitely bad, nan for one that has not ended),
            class_confidence (list [classes]) and reliability (dict of lists [bins]) of a finished run of a classifier.
            `better` says which way the objective is better, here and in the other tables.
        policies: a row for each scorecard, as `Results.to_frame` gives it.
        effects: a row for each policy, modifier and figure: the mean paired `difference`, with the modifier minus
            without it, and the ends of its interval.
        evidence: the study as it was read, of which `curves` are made.
    """

    study: str
    store: str
    record: StudyRecord
    results: Results
    runs: pd.DataFrame
    policies: pd.DataFrame
    effects: pd.DataFrame
    evidence: StudyRuns

    @cached_property
    def curves(self) -> pd.DataFrame:
        """A row for each evaluation of each run: `step` iterations were done when it was made.

        `train_loss` is the mean since the evaluation before; the scores are the task's objective, nan where it is not
        finite. Of a large study these are millions of rows, which are made when they are first asked for.
        """
        return self.curves_of(self.evidence.rows)

    def curves_of(self, labels: Container[str]) -> pd.DataFrame:
        """Return the rows of `curves` of the policies with these labels."""
        return _curves(self.evidence, self.tasks, labels)

    def __repr__(self) -> str:
        counts = ", ".join((many(len(self.runs), "run"), many(len(self.curves), "evaluation")))
        return f"<Frames: {printable(self.study)}, {counts}>"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the study's tasks."""
        return tuple(task.name for task in self.record.tasks)

    def on(self, task: str) -> Frames:
        """Return the tables of one task.

        Raises:
            StudyError: the study has no such task.
        """
        if task not in self.tasks:
            known = ", ".join(self.tasks)
            raise StudyError(
                f"study '{self.study}' has no task '{task}'{did_you_mean(task, self.tasks)}; it has {known}"
            )
        tables = {name: getattr(self, name) for name in ("runs", "policies", "effects")}
        return replace(
            self,
            record=self.record.model_copy(
                update={"tasks": tuple(one for one in self.record.tasks if one.name == task)}
            ),
            results=replace(self.results, tasks=tuple(one for one in self.results.tasks if one.task == task)),
            **{name: table[table["task"] == task].reset_index(drop=True) for name, table in tables.items()},
        )


def study_frames(study: int | str, store: Store, by: By = ()) -> Frames:
    """Read a study from a store.

    Args:
        by: the goals, in place of the study's own.

    Raises:
        StoreError: the store has no study of that name, or cannot be read.
        StudyError: a goal cannot be used.
    """
    evidence = StudyRuns.of(study, store)
    return frames_of(evidence, answer(evidence, by), store.name)


@without_collection()
def frames_of(evidence: StudyRuns, results: Results, store: str) -> Frames:
    """Tabulate a study that was read already, with its results.

    Args:
        store: the name of the store that it was read from.
    """
    import pandas as pd

    return Frames(
        evidence.name,
        store,
        evidence.record,
        results,
        _runs(evidence),
        results.to_frame(),
        pd.DataFrame(_effects(results.tasks), columns=list(EFFECT)),
        replace(evidence),  # without the records of its runs that it remembers
    )


def with_finalists(frames: Frames, confirmed: tuple[Confirmation, ...]) -> Frames:
    """Add to a study of one task its finalists on fresh seeds, which another study trained, the winner first."""
    if not confirmed:
        return frames
    (task,) = frames.results.tasks
    return replace(
        frames,
        record=frames.record.model_copy(update={"confirm": confirmed[0].card.n}),
        results=replace(frames.results, tasks=(replace(task, confirmed=confirmed),)),
    )


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """List the rows of a table as dicts, with None where a row has no value."""
    columns = {str(name): table[name].astype(object).where(table[name].notna(), None).tolist() for name in table}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def budget_of(row: Mapping[str, Any]) -> Budget:
    """Return the budget of a task from a row of the policies of a study."""
    known: dict[str, Any] = {each.name: row.get(each.name) for each in fields(Budget)}
    return Budget(**known)


def one_task(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table, which has rows of one task.

    Raises:
        StudyError: it has rows of several tasks, which a figure of one task cannot show.
    """
    names = table["task"].unique()
    if len(names) > 1:
        raise StudyError(f"this figure shows one task, and the table has {', '.join(names)}: take frames.on(task)")
    return table


def objective_name(objective: str) -> str:
    """Name a task's objective in a sentence."""
    return "top-1 accuracy" if objective == "top1" else objective


def objective_label(objective: str, better: Better) -> str:
    """Name a task's objective on an axis, with its direction."""
    return f"{objective_name(objective)} ({better} is better)"


def score_label(table: pd.DataFrame) -> str:
    """Name the objective of a table's one task on an axis."""
    return objective_label(table["objective"].iloc[0], "lower" if sign_of(table) < 0 else "higher")


def sign_of(table: pd.DataFrame) -> int:
    """Return the sign, 1 or -1, that makes more of the scores of a table's one task better."""
    return -1 if (table["better"] == "lower").any() else 1


def _runs(evidence: StudyRuns) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(run_rows(evidence))
    table = table.reindex(columns=list(dict.fromkeys((*table.columns, *RUN))))
    tasks = {task.name: task for task in evidence.tasks}
    stored = [evidence.runs.get(key) for key in table["run"]]
    columns: dict[str, list[Any]] = {
        column: [_final(run, column, tasks[task]) for run, task in zip(stored, table["task"], strict=True)]
        for column in ("val_score", "test_score")
    }
    return table.assign(
        label=[evidence.labels[names] for names in zip(table["name"], table["modifier"], strict=True)],
        **{
            column: [getattr(tasks[task], column) for task in table["task"]]
            for column in ("objective", "better", "chance")
        },
        **columns,
    )


def _final(run: StoredRun | None, column: str, task: TaskRecord) -> float | None:
    if run is None or not run.ended:
        return None
    score = math.nan if run.status == "diverged" else getattr(run.scores[-1], column)
    return task.chance if is_worthless(score, task.better) else _finite(score)


def _finite(number: float) -> float:
    """Return the number, or NaN for an infinite one, which no axis has a place for."""
    return number if math.isfinite(number) else math.nan


def _curves(evidence: StudyRuns, on: Container[str], labels: Container[str]) -> pd.DataFrame:
    import pandas as pd

    tasks = {task.name: task for task in evidence.tasks}
    asked = (
        slot for slot in evidence.slots if slot.task in on and evidence.labels[slot.policy, slot.variant] in labels
    )
    begun = [(slot, run) for slot in asked if (run := evidence.runs.get(slot.run)) is not None and run.scores]
    if not begun:
        return pd.DataFrame(columns=list(CURVE))
    places = pd.DataFrame(
        [
            _place(slot, run, tasks[slot.task]) | {"label": evidence.labels[slot.policy, slot.variant]}
            for slot, run in begun
        ]
    )
    table = places.loc[places.index.repeat([len(run.scores) for _, run in begun])].reset_index(drop=True)
    for name in EVALUATION.names or ():
        values = np.concatenate([run.scores.column(name) for _, run in begun])
        table[name] = values if name == "step" else np.where(np.isfinite(values), values, np.nan)
    return table[list(CURVE)]


def _place(slot: StudySlot, run: StoredRun, task: TaskRecord) -> dict[str, Any]:
    return {
        "task": slot.task,
        "stage": slot.stage,
        "name": slot.policy,
        "modifier": slot.variant,
        "scale": slot.scale,
        "seed": slot.seed,
        "status": run.status,
        "diverged_at": run.diverged_at,
        "objective": task.objective,
        "better": task.better,
        "chance": task.chance,
    }


def _effects(tasks: Iterable[TaskResults]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        for effect in task.effects:
            for figure, interval in effect.differences.items():
                yield {
                    "task": task.task,
                    "name": effect.policy,
                    "modifier": effect.modifier,
                    "figure": figure,
                    "difference": interval.mean,
                    "low": interval.low,
                    "high": interval.high,
                    "seeds": interval.n,
                }
