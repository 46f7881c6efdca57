"""What finished runs say of policies: those of a store, and those of the studies that ship with lrbench.

Evidence is judged as it was measured: by the study that trained it, with the margin of that study.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from lrbench.errors import LRBenchError, StudyError, did_you_mean
from lrbench.metrics import METRICS, Curve, PolicyRuns, RunRecord, rank, retained_fraction
from lrbench.metrics.goal import Criterion, criteria, objective_criterion
from lrbench.study.file import find_study, read_toml, study_names
from lrbench.study.horizons import name_at
from lrbench.study.limits import check_confirm, declared_looks, horizons_of, seeds_of, split_seeds
from lrbench.study.study_runs import ALPHA, Row, StudyRuns, labels, leading, resolution
from lrbench.training.plan import fresh_seeds

if TYPE_CHECKING:
    from pathlib import Path

    import pandas

    from lrbench.metrics import Better, Scorecard
    from lrbench.policy import Policy
    from lrbench.store import Kind, Store
    from lrbench.tasks import AnyTask, TaskSettings

SHIPPED = "shipped with lrbench"


@dataclass(frozen=True)
class TaskEvidence:
    """The runs of one study on one task, either those that ranked its policies or those that confirmed them.

    Attributes:
        study: the name of the study.
        where: the name of the store, or `SHIPPED`.
        confirmed: whether the seeds are fresh: they had no part in the choice of the policies.
        key, eval_every: of the task with its budget; None where they are not known.
        settings: of the task, where it is registered or a shipped study describes it.
        rows: every row of the study, those with modifiers too, for a verdict is about all of them.
        plain: the names of the rows without a modifier.
        terms: what `rank` takes besides the rows: the margin, the error rate and the looks of the study.
        target, base_lr_scales: of the study, which some goals need.
        better: which way the objective is better.
        paired: whether the runs of one seed belong together.
        is_imported: whether another program trained the runs: they say something of their own task alone.
    """

    task: str
    steps: int
    objective: str
    study: str
    where: str
    confirmed: bool
    key: str | None
    eval_every: int | None
    settings: TaskSettings | None
    rows: tuple[PolicyRuns, ...] = field(repr=False)
    plain: frozenset[str] = field(repr=False)
    terms: Mapping[str, Any] = field(repr=False)
    better: Better = "higher"
    target: float | None = None
    base_lr_scales: tuple[float, ...] = ()
    paired: bool = True
    is_imported: bool = False

    @property
    def contenders(self) -> list[PolicyRuns]:
        """The policies without a modifier, with their runs."""
        return [row for row in self.rows if row.name in self.plain]

    @cached_property
    def cards(self) -> list[Scorecard]:
        """The scorecards of the policies without a modifier, best first, with the verdicts of the study."""
        return [card for card in rank(self.rows, **self.terms) if card.name in self.plain]

    def criterion(self, goal: str, target: float | None) -> Criterion | None:
        """Find what a goal means on the task, with iterations counted to a target; None where the study lacks it."""
        objective = objective_criterion(self.objective, self.better, self.terms["margin"], self.terms.get("resolution"))
        objective = replace(objective, paired=self.paired)
        needed: dict[str, Any] = {"target": target, "base_lr_scales": self.base_lr_scales}
        try:
            return criteria(goal, objective, steps=self.steps, **needed)[0]
        except StudyError:
            return None

    def judged(self, by: Criterion) -> list[Scorecard]:
        """Return the scorecards of the policies without a modifier, ranked and judged by a goal of its own."""
        return [card for card in rank(self.rows, **{**self.terms, "by": (by,)}) if card.name in self.plain]

    @property
    def guessing(self) -> float | None:
        """The validation objective of guessing; None where it is not known."""
        chance, resolution = self.rows[0].runs[0].chance, self.terms.get("resolution")
        return None if chance is None or resolution is None else guessing(chance, round(1 / resolution))


@dataclass(frozen=True)
class AskedTask:
    """A task to advise on, as far as it is known without its data.

    Attributes:
        settings: None for a task that is not registered.
        task: None where its data is not there.
        is_imported: whether it is known by imported runs alone.
    """

    name: str
    steps: int
    objective: str
    better: Better
    settings: TaskSettings | None
    task: AnyTask | None
    is_imported: bool = False

    @classmethod
    def of(cls, task: AnyTask | TaskSettings) -> AskedTask:
        from lrbench.tasks import AnyTask

        if isinstance(task, AnyTask):
            return cls(task.name, task.steps, task.objective, task.better, registered(task.name), task)
        assert isinstance(task.steps, int)
        return cls(task.name, task.steps, task.objective, task.better, task, None)

    def is_of(self, body: TaskEvidence) -> bool:
        """Return whether evidence is of this task, at any budget.

        The store's is by the task's key, or by its name where there is no data to compute the key; what ships is by
        all settings. Imported runs are of imported tasks alone, by name.
        """
        if self.is_imported or body.is_imported:
            return self.is_imported and body.is_imported and body.task == self.name
        if body.key is not None:
            return body.task == self.name if self.task is None else body.key == self._key(body.steps, body.eval_every)
        if self.settings is None or body.settings is None:
            return False
        mine, theirs = (
            replace(one, name="", steps=1, eval_every=None, curve_samples=None)
            for one in (self.settings, body.settings)
        )
        return mine == theirs

    @cached_property
    def _key(self) -> Callable[[int, int | None], str]:
        task = self.task
        assert task is not None
        return cache(lambda steps, eval_every: task.with_(steps=steps, eval_every=eval_every).key)


def imported_task(name: str, store: Store) -> AskedTask | None:
    """Find a task by the imported runs of the study that was imported last; None where there are none."""
    for entry in store.studies():
        if entry.kind == "imported":
            for task in store.study(entry.id)[0].tasks:
                if task.name == name:
                    return AskedTask(name, task.steps, task.objective, task.better, None, None, is_imported=True)
    return None


def guessing(chance: float, samples: int) -> float:
    """Return the accuracy of guessing on a number of samples: chance and two standard errors."""
    return chance + 2 * math.sqrt(chance * (1 - chance) / samples)


def evidence_by_task(store: Store, without: Collection[str] = ()) -> list[TaskEvidence]:
    """List all evidence, the store's and what ships, without that of some studies.

    Raises:
        StudyError: there is no study of one of these names.
    """
    names = {*(entry.name for entry in store.studies()), *study_names()}
    for name in without:
        if name not in names:
            hint = did_you_mean(name, names)
            raise StudyError(f"there is no study '{name}' to leave out, in {store.name} or shipped with lrbench{hint}")
    return [*stored(store, without), *shipped(without)]


def unseen_seeds(count: int, policy: Policy, asked: AskedTask, store: Store) -> tuple[int, ...]:
    """Return the first `count` seeds after all that evidence of a policy on a task has used, at any budget.

    A choice among policies favours the one whose seeds were lucky, so that those seeds cannot judge it. Verifications
    choose nothing: the same verification again has the same seeds and trains nothing.

    Raises:
        StudyError: too few whole numbers come after them.
    """
    text = str(policy)
    skipped: tuple[Kind, ...] = ("verify",)
    seen = {
        run.seed
        for body in (*stored(store, skipped=skipped), *shipped())
        if any(row.policy == text for row in body.rows) and asked.is_of(body)
        for row in body.rows
        if row.policy == text
        for run in row.runs
    }
    if not seen:
        return tuple(range(count))
    check_confirm(count, tuple(seen), f"verify {text}")
    return fresh_seeds(seen, count)


def stored(
    store: Store, without: Collection[str] = (), skipped: Collection[Kind] = ("range_test", "verify")
) -> Iterator[TaskEvidence]:
    """Yield the evidence of a store.

    Range tests are none: their constant rates over few iterations would pass for what is good on a task. Verifications
    are none, so that the seeds that verify a policy never choose it.
    """
    for entry in sorted(store.studies(), key=lambda entry: (entry.name, entry.version)):
        if entry.name in without or entry.kind in skipped:
            continue
        study = StudyRuns.of(entry.id, store)
        for task in study.tasks:
            for stage in ("main", "confirm"):
                rows = study.contenders(study.records(task, stage))
                if not rows:
                    continue
                terms = {"margin": study.record.margin, "resolution": resolution(task)}
                yield TaskEvidence(
                    task=task.name,
                    steps=task.steps,
                    objective=task.objective,
                    study=study.name,
                    where=store.name,
                    confirmed=stage == "confirm" or entry.kind == "confirmation",
                    key=task.key,
                    eval_every=task.eval_every,
                    settings=None if task.is_imported else registered(task.name),
                    rows=tuple(rows),
                    plain=frozenset(row.name for row in rows if not study.rows[row.name][1]),
                    terms=study.terms(task, rows) if stage == "main" else terms,
                    better=task.better,
                    target=study.record.target,
                    base_lr_scales=study.record.base_lr_scales,
                    paired=task.paired,
                    is_imported=task.is_imported,
                )


def shipped(without: Collection[str] = ()) -> Iterator[TaskEvidence]:
    """Yield the evidence of the studies that ship, each a table of runs beside its file.

    Tasks that this installation cannot describe are left out: what their runs say could not be compared with a task.
    """
    for name in study_names():
        file = find_study(name)
        table = file.with_suffix(".csv")
        if name in without or not table.is_file():
            continue
        raw = read_toml(file)
        settings = described(raw)
        numbers, first = split_seeds(raw["seeds"], name)
        planned = seeds_of(numbers, name)
        declared = declared_looks(len(planned), first)
        every = exported(table)
        every = every[every["status"].isin(["finished", "diverged"])]
        scales = tuple(sorted(set(every["scale"])))
        plain = every[every["modifier"].isna()]
        every = every[every["scale"] == 1].assign(modifier=every["modifier"].astype(object).fillna(""))
        tasks = every["task"].nunique()
        for (task, stage), part in every.groupby(["task", "stage"], sort=False):
            if task not in settings:
                continue
            its = settings[task]
            retained = _retained(plain[plain["task"] == task], its)
            runs: dict[Row, list[RunRecord]] = {}
            texts: dict[Row, str] = {}
            for row in part.to_dict(orient="records"):
                place = str(row["name"]), str(row["modifier"])
                texts[place] = str(row["policy"])
                runs.setdefault(place, []).append(_record(row, its, None if place[1] else retained.get(_place(row))))
            names = labels(runs)
            done = [leading(planned, {record.seed for record in records}) for records in runs.values()]
            looks = {"alpha": ALPHA / tasks, "looks": declared, "seeds": planned, "done": done}
            yield TaskEvidence(
                task=str(task),
                steps=its.steps if isinstance(its.steps, int) else int(part["step"].max()),
                objective=its.objective,
                study=name,
                where=SHIPPED,
                confirmed=stage == "confirm",
                key=None,
                eval_every=None,
                settings=its,
                rows=tuple(PolicyRuns(names[place], texts[place], tuple(own)) for place, own in runs.items()),
                plain=frozenset(names[place] for place in runs if not place[1]),
                terms={"margin": float(raw.get("margin", 0.01))} | (looks if stage == "main" else {}),
                better=its.better,
                target=raw.get("target"),
                base_lr_scales=scales,
            )


def exported(table: Path) -> pandas.DataFrame:
    """Read the runs of a study as `lrbench export` writes them, the settings of axes among the modifiers again."""
    import pandas as pd

    runs = pd.read_csv(table, dtype={"modifier": "object", "run": "object"})
    return runs.assign(modifier=runs["modifier"].fillna(runs["setting"])) if "setting" in runs else runs


def registered(task: str) -> TaskSettings | None:
    """Return the settings of a registered task; None where there is none of that name, or it has none."""
    from lrbench.tasks import TaskSettings
    from lrbench.tasks.registry import tasks

    settings = tasks[task].build() if task in tasks else None
    return settings if isinstance(settings, TaskSettings) else None


def described(raw: Mapping[str, Any]) -> dict[str, TaskSettings]:
    """Return by name the tasks of a shipped study, as its file has them, that this installation can describe."""
    from lrbench.tasks import settings_from_dict

    found: dict[str, TaskSettings] = {}
    for table in raw.get("tasks") or [raw.get("task", {})]:
        try:
            settings = settings_from_dict({"base": table} if isinstance(table, str) else table)
        except LRBenchError:
            continue
        found[settings.name] = settings
        for length in horizons_of(raw.get("horizons", ())):
            at = settings.with_budget(length)
            name = name_at(settings.name, at.steps)
            found[name] = replace(at, name=name)
    return found


def _place(row: Mapping[Any, Any]) -> tuple[str, str, int]:
    return str(row["task"]), str(row["policy"]), int(row["seed"])


def _retained(frame: pandas.DataFrame, task: TaskSettings) -> dict[tuple[str, str, int], float | None]:
    """Return by task, policy and seed what other base LRs leave of the validation objective.

    A table does not say what chance is. So those that diverged at one of them are left out, and tasks where a lower
    objective is better.
    """
    if task.better == "lower":
        return {}
    scores: dict[tuple[str, str, int], dict[float, float]] = {}
    for row in frame[frame["stage"].isin(["main", "scale"])].to_dict(orient="records"):
        scores.setdefault(_place(row), {})[float(row["scale"])] = float(row[f"val_{task.objective}"])
    return {
        place: retained_fraction(known, math.nan)
        for place, known in scores.items()
        if len(known) > 1 and 1.0 in known and all(map(math.isfinite, known.values()))
    }


def _record(row: Mapping[Any, Any], task: TaskSettings, retention: float | None) -> RunRecord:
    """Read a row of a table of runs."""
    finished = row["status"] == "finished"
    final = {
        str(name): float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    measured = {name for name, metric in METRICS.items() if metric.at_end is not None}
    return RunRecord(
        seed=int(row["seed"]),
        status="finished" if finished else "diverged",
        steps=int(row["step"]),
        curve=Curve.parse(row["curve"]) if isinstance(row.get("curve"), str) else Curve((), ()),
        final={
            **{name: value for name, value in final.items() if name in measured or name.startswith(("val_", "test_"))},
            "base_lr_retention": retention,
        },
        diverged_at=None if math.isnan(row["diverged_at"]) else int(row["diverged_at"]),
        seconds=final.get("seconds"),
        flops=final.get("flops"),
        objective=task.objective,
        better=task.better,
    )
