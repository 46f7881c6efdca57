"""Runs from elsewhere as a study of a store: its record, its slots and its runs.

A metric counts as one on the validation split unless its name says otherwise. The text of a policy is that of its
learning rates where they were logged, are of a known function, and are those of no other policy of the task; else it is
its name. Seeds that are whole numbers stay what they are; runs of other names are numbered.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from lrbench.errors import StudyError
from lrbench.imports.choice import TaskCurves, curves_by_task, share_seeds
from lrbench.imports.reading import Reading
from lrbench.imports.schedules import schedules_of
from lrbench.imports.table import PLACE, Curve, Runs
from lrbench.metrics import METRICS, as_gain
from lrbench.metrics.goal import TO_TARGET, Margin
from lrbench.store import NewRun, PolicyRecord, Score, Segment, SourceRecord, StudyRecord, StudySlot, TaskRecord
from lrbench.store.records import IMPORTED_KEY
from lrbench.study.limits import check_name
from lrbench.study.portable import RunCard

SPLITS = {
    "train": frozenset(("train", "training")),
    "val": frozenset(("val", "valid", "validation", "eval", "dev")),
    "test": frozenset(("test",)),
}
"""The words of a metric's name that name a split."""

LARGEST_SEED = 2**63
SPENT = ("seconds", "evaluating", "flops")
MOST_SPENT = 2.0**62
IMPORTED = "imported, not exact"
"""The engine of an imported run, in its provenance."""

ByPolicy = Mapping[str, Mapping[str, Curve]]


@dataclass(frozen=True)
class ImportedStudy:
    """A study of runs from elsewhere, as a store takes it."""

    record: StudyRecord
    slots: tuple[StudySlot, ...]
    runs: tuple[tuple[NewRun, Segment], ...]
    remarks: tuple[str, ...]


def imported_study(source: Runs, name: str, asked: Reading, *, where: str = "") -> ImportedStudy:
    """Make a study of runs.

    Args:
        source: the runs.
        name: of the study, and of its task where the source names none.
        asked: by what they are judged; with a target that is the steps to it.
        where: the source, for the provenance of each run.

    Raises:
        StudyError: there is no such metric, or something cannot be used.
    """
    if asked.has_terms:
        source = replace(source, cards={})
    chosen, counted = curves_by_task(source, asked.metric, asked.better)
    last = source.table.groupby(list(PLACE), sort=False)[list(source.metrics)].last()
    made = [
        run
        for one in chosen
        for run in (_own_runs(one, source, last) if source.cards else _runs(one, source, last, name, asked.paired))
    ]
    digest = blake2b(repr([run.content for run in made]).encode(errors="surrogatepass"), digest_size=16).hexdigest()
    slots, written = [], []
    for run in made:
        for text in (run.task.name, run.policy.name, run.variant):
            check_name(text, f"study '{name}'")
        place = (run.task.name, "main", run.policy.name, run.variant, 1.0, run.number)
        key = blake2b(repr((digest, place)).encode(), digest_size=16).hexdigest()
        origin = {"engine": IMPORTED, "source": where, "imported_run": run.called}
        known = (run.task.name, f"{IMPORTED_KEY}{digest}:{run.task.name}", run.policy.policy, run.variant, run.number)
        slots.append(StudySlot(*place, key))
        written.append((NewRun(key, *known, max(run.segment.step, 1), origin), run.segment))
    record = (_own_record if source.cards else _record)(made, source, asked.distance, asked.target)
    tasks = tuple(task.model_copy(update={"key": f"{IMPORTED_KEY}{digest}:{task.name}"}) for task in record.tasks)
    found = SourceRecord(digest=digest, planned=bool(source.cards))
    return ImportedStudy(
        record.model_copy(update={"tasks": tasks, "source": found}),
        tuple(slots),
        tuple(written),
        (*source.remarks, *counted),
    )


@dataclass(frozen=True)
class _Run:
    """A run on its way into a store; `called` is what the source calls it."""

    task: TaskRecord
    policy: PolicyRecord
    variant: str
    number: int
    called: str
    segment: Segment

    @property
    def content(self) -> tuple[object, ...]:
        """What makes the run what it is."""
        task = (self.task.name, self.task.objective, self.task.better, self.task.paired)
        return (*task, self.policy.name, self.policy.policy, self.variant, self.number, self.segment)


def _runs(one: TaskCurves, source: Runs, last: Any, name: str, paired: bool | None) -> Iterator[_Run]:
    """Yield the runs of a task."""
    policies, beside = _counting(one, source.best_of), _beside(source)
    is_paired = (source.have_seeds if paired is None else paired) and share_seeds(policies.values())
    numbers = _numbers(policies, source.have_seeds, is_paired)
    segments = {
        (policy, seed): _segment(curve, source, split_of(one.metric)[1], beside, _final(curve, last, one))
        for policy, own in policies.items()
        for seed, curve in own.items()
    }
    schedules = schedules_of(source, one.task)[0]
    times = Counter(schedules.values())
    task = _task(one.task or name, one, _objective(one, beside), is_paired, list(segments.values()))
    for (policy, seed), segment in segments.items():
        text = schedules.get(policy, policy)  # of several that ran it, none is known by it
        known = PolicyRecord(name=policy, policy=text if times[text] == 1 else policy)
        yield _Run(task, known, "", numbers[policy, seed], seed, segment)


def _own_runs(one: TaskCurves, source: Runs, last: Any) -> Iterator[_Run]:
    """Yield the runs of a task that lrbench exported, in the order of their study."""
    cards = {place: card for place, card in source.cards.items() if place[0] == one.task}
    curves = {(curve.task, curve.policy, curve.seed): curve for curve in one.curves}
    for place in sorted(cards.keys() & curves.keys(), key=lambda place: (cards[place].place, cards[place].seed)):
        card, end = cards[place], last.loc[place]
        (task,), (policy,) = card.record.tasks, card.record.policies
        names = [name for name in (*card.final, *SPENT) if name in end.index and np.isfinite(end[name])]
        final = {name: float(end[name]) for name in names}
        logged = _segment(curves[place], source, task.objective, _beside(source), final, card)
        yield _Run(task, policy, card.variant, card.seed, place[2], logged)


def _record(runs: Sequence[_Run], source: Runs, distance: Margin, target: float | None) -> StudyRecord:
    """Describe a study of runs from elsewhere, whose one look is at all that there are."""
    objectives = {run.task.objective for run in runs} if target is None else {TO_TARGET}
    by = tuple(f"{objective}:{distance}" for objective in objectives) if distance.of_best or target is not None else ()
    if distance.of_best and len(objectives) > 1:
        raise StudyError(
            f"a margin of {distance} of the best needs one metric, and the tasks have {', '.join(sorted(objectives))}"
        )
    seeds, texts = sorted({run.number for run in runs}), dict[str, set[str]]()
    for run in runs:
        texts.setdefault(run.policy.name, set()).add(run.policy.policy)
    return StudyRecord(
        margin=0.0 if by else distance.size,
        by=by,
        target=target,
        seeds=tuple(seeds),
        looks=((max(len(seeds), 2), 1.0),),
        policies=tuple(
            PolicyRecord(name=name, policy=next(iter(known)) if len(known) == 1 else name)
            for name, known in texts.items()
        ),
        tasks=tuple({run.task.name: run.task for run in runs}.values()),
    )


def _own_record(runs: Sequence[_Run], source: Runs, *_: object) -> StudyRecord:
    """Describe a study that lrbench exported, with its terms.

    Raises:
        StudyError: runs are of different studies.
    """
    parts = {"tasks", "policies"}
    first, *others = source.cards.values()
    if any(card.record.model_dump(exclude=parts) != first.record.model_dump(exclude=parts) for card in others):
        raise StudyError(
            "the runs are of several studies that lrbench exported with different terms: import each alone"
        )
    ordered = sorted(source.cards.values(), key=lambda card: card.place)
    policies = {policy.name: policy for card in ordered for policy in card.record.policies}
    tasks = {task.name: task for card in ordered for task in card.record.tasks}
    return first.record.model_copy(update={"tasks": tuple(tasks.values()), "policies": tuple(policies.values())})


def split_of(metric: str) -> tuple[str, str]:
    """Return the split that the name of a metric begins or ends with, empty without one, and the rest.

    >>> split_of("validation/accuracy"), split_of("loss_train"), split_of("perplexity")
    (('val', 'accuracy'), ('train', 'loss'), ('', 'perplexity'))
    """
    words = [word for word in re.split(r"[\s_/.-]+", metric) if word]
    for place in (0, -1):
        for split, names in SPLITS.items():
            if len(words) > 1 and words[place].lower() in names:
                return split, "_".join(words[1:] if place == 0 else words[:-1])
    return "", metric


def _figure(metric: str) -> str:
    """Return what lrbench calls a metric, such as "val_loss" for "validation/loss"."""
    split, rest = split_of(metric)
    return f"{split}_{rest}" if split else metric


def _objective(one: TaskCurves, beside: Mapping[str, str]) -> str:
    """Name the objective of a task: without its split, unless that means another metric or one of other bounds."""
    split, rest = split_of(one.metric)
    values = np.concatenate([curve.values for curve in one.curves])
    is_free = split in ("", "val") and beside.get(f"val_{rest}", one.metric) == one.metric
    return rest if is_free and _fits(f"val_{rest}", values[np.isfinite(values)]) else f"logged {one.metric}"


def _fits(figure: str, values: Any) -> bool:
    """Return whether values are within the bounds of lrbench's metric of a name, if there is one."""
    low, high = (METRICS[figure].bounds if figure in METRICS else None) or (None, None)
    return bool(np.all(low is None or values >= low) and np.all(high is None or values <= high))


def _beside(source: Runs) -> Mapping[str, str]:
    """Find the columns of what lrbench's evaluations hold, by its names; of several the first."""
    return {_figure(name): name for name in reversed(source.metrics)}


def _counting(one: TaskCurves, best_of: str) -> dict[str, dict[str, Curve]]:
    """Return the curves that count by policy and run, the best one of each unit."""
    found: dict[str, dict[str, Curve]] = {}

    def gain(curve: Curve) -> float:
        return as_gain(float(curve.values[-1]), one.better) if np.isfinite(curve.values[-1]) else -math.inf

    for curve in one.curves:
        own, unit = found.setdefault(curve.policy, {}), curve.seed.split("/")[0] if best_of else curve.seed
        own[unit] = max(own.get(unit, curve), curve, key=gain)
    return found


def _numbers(policies: ByPolicy, have_seeds: bool, paired: bool) -> dict[tuple[str, str], int]:
    """Number the runs of each policy: by their seeds, else so that paired runs of one name have one number."""
    places = [(policy, seed) for policy, own in policies.items() for seed in own]
    if have_seeds and all(re.fullmatch(r"0|-?[1-9]\d{0,18}", seed, re.ASCII) for _, seed in places):
        seeds = {place: int(place[1]) for place in places}
        if all(-LARGEST_SEED <= seed < LARGEST_SEED for seed in seeds.values()):
            return seeds
    names = {seed: number for number, seed in enumerate(dict.fromkeys(seed for _, seed in places))}
    alone = {(policy, seed): number for policy, own in policies.items() for number, seed in enumerate(own)}
    return {place: names[place[1]] for place in places} if paired else alone


def _final(curve: Curve, last: Any, one: TaskCurves) -> dict[str, float]:
    """Return the last values of the other metrics of a run, by lrbench's names; one out of its bounds keeps its own."""
    place = curve.task, curve.policy, curve.seed
    if place not in last.index:
        return {}
    known = {str(name): float(value) for name, value in last.loc[place].items() if np.isfinite(value)}
    return {
        _figure(name) if _fits(_figure(name), np.array([value])) else f"logged {name}": value
        for name, value in known.items()
        if name != one.metric
    }


def _segment(
    curve: Curve,
    source: Runs,
    objective: str,
    beside: Mapping[str, str],
    final: Mapping[str, float],
    card: RunCard | None = None,
) -> Segment:
    """Make all that is known of a run; without a card, one diverged after the last finite value unless that is last."""
    finite = np.isfinite(curve.values)
    count = int(np.flatnonzero(finite)[-1]) + 1 if finite.any() else 0
    if card is not None:
        count = len(finite) - (card.status == "diverged")
    has_diverged = count < len(finite)
    steps = curve.steps.tolist() if len(curve.steps) else [1] * len(finite)

    def column(name: str) -> list[float]:
        if name not in beside:
            return [math.nan] * len(finite)
        values = source.table.loc[curve.rows, beside[name]].to_numpy(np.float64)
        finite_ones: list[float] = np.where(np.isfinite(values), values, np.nan).tolist()
        return finite_ones

    values = np.where(finite, curve.values, np.nan).tolist()
    columns = (column("train_loss"), column("val_loss"), values, column("test_loss"), column(f"test_{objective}"))
    scores = tuple(Score(*row) for row in zip(steps, *columns, strict=True))[:count]
    spent = {name: min(max(final.get(name, 0.0), 0.0), MOST_SPENT) for name in SPENT}
    return Segment(
        step=steps[count] if has_diverged else steps[-1],
        seconds=spent["seconds"],
        flops=int(spent["flops"]),
        scores=scores,
        status="diverged" if has_diverged else "finished",
        diverged_at=steps[count] if has_diverged else None,
        final=None if has_diverged else {name: value for name, value in final.items() if name not in spent},
        exact=False,
        evaluating=spent["evaluating"] if "evaluating" in final else None,
    )


def _task(name: str, one: TaskCurves, objective: str, paired: bool, segments: Sequence[Segment]) -> TaskRecord:
    steps = max(1, *(segment.step for segment in segments))
    return TaskRecord(
        name=name,
        key="",
        steps=steps,
        steps_per_epoch=steps,
        eval_every=min(_intervals(one), default=steps),
        objective=objective,
        chance=None,
        better=one.better,
        test_samples=None,
        val_samples=None,
        paired=paired,
    )


def _intervals(one: TaskCurves) -> Iterator[int]:
    """Yield the median iterations between two evaluations of each run."""
    for curve in one.curves:
        if len(curve.steps) > 1:
            yield max(1, int(np.median(np.diff(curve.steps))))
