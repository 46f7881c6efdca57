"""Runs of a study for other programs: rows of metrics by step, in the long form that `lrbench import` reads.

The last row of a run has the metrics of its end too, and its card: what a table of numbers does not say, so that an
import gives the same scorecards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from lrbench.store import StoredRun, StudyRecord, StudySlot
from lrbench.study.export import lrs_of
from lrbench.study.study_runs import StudyRuns, record_of

if TYPE_CHECKING:
    import pandas

    from lrbench.store import TaskRecord

CARD = "lrbench"
"""The name of the column, tag or text that holds the cards."""

Row = dict[str, float]


class RunCard(BaseModel):
    """What an exported table does not say of a run.

    Attributes:
        record: the study, with the task and the policy of the run alone.
        place: of the run's task and row in the study.
        variant: the name of what the policy was trained with.
        final: the names of the metrics of the run's end.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    record: StudyRecord
    place: tuple[int, int]
    variant: str
    seed: int
    status: Literal["finished", "diverged"]
    step: int
    diverged_at: int | None
    final: tuple[str, ...]


@dataclass(frozen=True)
class PortableRun:
    """A run as other programs can have it.

    Attributes:
        key: of the run in its store.
        policy: the label of the policy with its variant.
        text: the text of the policy.
        rows: by rising step, each with `step` and the metrics that are known there.
        card: None for a run that has not ended.
    """

    key: str
    task: str
    policy: str
    text: str
    seed: int
    rows: tuple[Row, ...]
    card: str | None


def portable_runs(evidence: StudyRuns) -> Iterator[PortableRun]:
    """Yield the runs of a study that have ended, without those at other base LRs and of a confirmation."""
    tasks = {task.name: task for task in evidence.tasks}
    retention = {name: evidence.base_lr_robustness(task) for name, task in tasks.items()}
    for slot in ordered_slots(evidence):
        run = evidence.runs.get(slot.run)
        if run is not None and run.ended:
            yield portable_run(
                evidence, slot, run, retention[slot.task].get((slot.policy, slot.variant, slot.seed), {})
            )


def portable_run(
    evidence: StudyRuns, slot: StudySlot, run: StoredRun, extra: Mapping[str, float | None]
) -> PortableRun:
    """Return a run with what is known of it so far; `extra` are metrics that depend on other runs."""
    (place, task), *_ = [(i, task) for i, task in enumerate(evidence.tasks) if task.name == slot.task]
    texts = {policy.name: policy for policy in evidence.record.policies}
    rows = list(_rows(run, task, slot))
    known: dict[str, float] = {}
    if run.ended:
        if run.status == "diverged":
            rows.append({"step": run.diverged_at or run.step, f"val_{task.objective}": math.inf})
        final = record_of(run, task, slot.seed, extra).final if run.status == "finished" else {}
        known = {name: float(value) for name, value in final.items() if value is not None and math.isfinite(value)}
        spent = {"seconds": run.seconds or None, "evaluating": run.evaluating, "flops": run.flops or None}
        rows[-1] = {**known, **{name: value for name, value in spent.items() if value is not None}, **rows[-1]}
    card = RunCard(
        record=evidence.record.model_copy(
            update={
                "tasks": (task.model_copy(update={"class_names": None}),),
                "policies": (texts[slot.policy].model_copy(update={"lrs": ()}),),
                "confirm": 0,
                "until_decided": None,
                "looks": tuple(evidence.looks.shares_by_seeds.items()),
            }
        ),
        place=(place, list(evidence.labels).index((slot.policy, slot.variant))),
        variant=slot.variant,
        seed=slot.seed,
        status="diverged" if run.status == "diverged" else "finished",
        step=run.step,
        diverged_at=run.diverged_at,
        final=tuple(name for name in known if name not in (f"val_{task.objective}", f"test_{task.objective}")),
    )
    return PortableRun(
        key=run.key,
        task=slot.task,
        policy=evidence.labels[slot.policy, slot.variant],
        text=texts[slot.policy].policy,
        seed=slot.seed,
        rows=tuple(rows),
        card=card.model_dump_json() if run.ended else None,
    )


def ordered_slots(evidence: StudyRuns) -> list[StudySlot]:
    """List the slots of the main stage in the order of the study."""
    order = {row: place for place, row in enumerate(evidence.labels)}
    tasks = {task.name: place for place, task in enumerate(evidence.tasks)}
    main = [slot for slot in evidence.slots if slot.stage == "main"]
    return sorted(main, key=lambda slot: (tasks[slot.task], order[slot.policy, slot.variant], slot.seed))


def portable_table(runs: Iterable[PortableRun]) -> pandas.DataFrame:
    """Tabulate runs in long form: columns `task`, `policy`, `seed`, `step`, metrics, and `lrbench` for the cards."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for run in runs:
        place = {"task": run.task, "policy": run.policy, "seed": run.seed}
        rows += ({**place, **row} for row in run.rows)
        if run.card is not None:
            rows[-1][CARD] = run.card
    names = dict.fromkeys(("task", "policy", "seed", "step", *(name for row in rows for name in row if name != CARD)))
    return pd.DataFrame(rows, columns=[*names, CARD])


def _rows(run: StoredRun, task: TaskRecord, slot: StudySlot) -> Iterator[Row]:
    """Yield the evaluations of a run; a score that is not finite is infinite, since a table's NaN is no value."""
    lrs = lrs_of(run, reactive_is_known=not slot.variant)
    for score in run.scores:
        losses = {name: getattr(score, name) for name in ("train_loss", "val_loss", "test_loss")}
        losses[f"test_{task.objective}"] = score.test_score
        row = {name: value for name, value in losses.items() if math.isfinite(value)}
        if lrs is not None and 0 < score.step <= len(lrs):
            row["lr"] = float(lrs[score.step - 1])
        value = score.val_score if math.isfinite(score.val_score) else math.inf
        yield {"step": score.step, **row, f"val_{task.objective}": value}
