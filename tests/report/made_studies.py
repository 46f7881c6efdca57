"""Stores of studies that were never trained: what their runs came to is said by the test."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from lrbench.metrics.direction import Better
from lrbench.store import Kind, NewRun, PolicyRecord, Score, Segment, Store, StudyRecord, StudySlot, TaskRecord

STEPS = 100
EVALUATIONS = (20, 40, 60, 80, 100)
CHANCE = 0.1

MISSING = "missing"
FAILED = "failed"
Outcome = float | str | None
"""The final validation score of a run; None where it diverged, or MISSING or FAILED."""


@dataclass(frozen=True)
class Place:
    """Which run an outcome is asked for."""

    task: str
    stage: str
    name: str
    variant: str
    scale: float
    seed: int


SearchState = Callable[[Place], Outcome]


def write_study(
    store: Store,
    policies: Mapping[str, str],
    outcome: SearchState,
    name: str = "a-study",
    seeds: Sequence[int] = (0, 1, 2),
    variants: Sequence[str] = (),
    scales: Sequence[float] = (),
    tasks: Sequence[str] = ("a-task",),
    objective: str = "top1",
    chance: float | None = CHANCE,
    finalists: Sequence[str] = (),
    class_names: Sequence[str] | None = None,
    better: Better | None = None,
    kind: Kind = "study",
    until_decided: int | None = None,
    looks: tuple[tuple[int, float], ...] | None = None,
    by: Sequence[str] = (),
) -> None:
    """Write a study and its runs as training would have; finalists are confirmed with as many fresh seeds.

    Without `better` the record is one of an older lrbench, which knew no direction.
    """
    variants = ("", *variants)
    places = [
        Place(task, stage, policy, variant, scale, seed)
        for task in tasks
        for policy in policies
        for variant in variants
        for stage, scale in (("main", 1.0), *(("scale", scale) for scale in scales if scale != 1))
        for seed in seeds
    ]
    fresh = [max(seeds, default=0) + 1 + number for number in range(len(seeds))]
    places += [Place(task, "confirm", name, "", 1.0, seed) for task in tasks for name in finalists for seed in fresh]
    direction: dict[str, Any] = {} if better is None else {"better": better, "bounds": (None, None)}
    record = StudyRecord(
        margin=0.05,
        until_decided=until_decided,
        looks=looks,
        target=0.5,
        by=tuple(by),
        confirm=len(fresh) if finalists else 0,
        base_lr_scales=tuple(scales),
        seeds=tuple(seeds),
        policies=tuple(PolicyRecord(name=entry, policy=text) for entry, text in policies.items()),
        variants=variants,
        tasks=tuple(
            TaskRecord(
                name=task,
                key=task,
                steps=STEPS,
                steps_per_epoch=10,
                eval_every=20,
                objective=objective,
                chance=chance,
                class_names=None if class_names is None else tuple(class_names),
                test_samples=1000,
                val_samples=1000,
                **direction,
            )
            for task in tasks
        ),
    )
    known = {place: outcome(place) for place in places}
    slots = [
        StudySlot(place.task, place.stage, place.name, place.variant, place.scale, place.seed, _key(name, place))
        for place in places
    ]
    store.save_study(name, record, slots, kind)
    begun = {place: result for place, result in known.items() if result != MISSING}
    with store.lease() as lease:
        lease.claim(_key(name, place) for place in begun)
        lease.begin(_new_run(name, place, policies[place.name]) for place in begun)
        lease.fail([_key(name, place) for place, result in begun.items() if result == FAILED], "ValueError: no luck")
        lease.append({_key(name, place): _segment(result) for place, result in begun.items() if result != FAILED})


def _key(study: str, place: Place) -> str:
    return blake2b(repr((study, place)).encode(), digest_size=16).hexdigest()


def _new_run(study: str, place: Place, policy: str) -> NewRun:
    versions = {"lrbench": "0.1.0", "torch": "2.4.0", "device": "cpu: test", "engine": "serial", "commit": None}
    return NewRun(_key(study, place), place.task, place.task, policy, place.variant, place.seed, STEPS, versions)


def _segment(result: Outcome) -> Segment:
    if result is None:
        score = Score(20, 3.0, 3.0, CHANCE, 3.0, CHANCE)
        return Segment(30, 0.1, 300_000, (score,), "diverged", diverged_at=30, evaluating=0.025)
    final = float(result)
    scores = tuple(_score(step, final * (0.5 + step / STEPS / 2)) for step in EVALUATIONS)
    return Segment(STEPS, 0.5, 1_000_000, scores, "finished", final=_final(final), evaluating=0.125)


def _score(step: int, score: float) -> Score:
    learnt = score if math.isfinite(score) else 0.0
    return Score(step, 2 - learnt, 2 - learnt, score, 2.1 - learnt, score - 0.01)


def _final(score: float) -> dict[str, object]:
    edges = [round(number / 15, 6) for number in range(16)]
    empty = [None, None]
    return {
        "val_loss": 2 - score,
        "test_loss": 2.1 - score,
        "loss_difference": 0.2,
        "val_top1": score,
        "test_top1": score - 0.01,
        "ac": 0.5 + score / 2,
        "ece": 0.05,
        "class_confidence": [0.5 + score / 4 + 0.02 * number for number in range(9)] + [None],
        "reliability": {
            "edges": edges,
            "count": [0, 0, *[10] * 13],
            "confidence": [*empty, *(edge - 0.03 for edge in edges[3:])],
            "accuracy": [*empty, *(edge - 0.06 for edge in edges[3:])],
        },
    }


def same_everywhere(scores: Mapping[str, Outcome], spread: float = 0.001) -> SearchState:
    """Runs that come to a score by policy, and a little more on each further seed."""

    def outcome(place: Place) -> Outcome:
        score = scores[place.name]
        return score + spread * place.seed if isinstance(score, float) else score

    return outcome


LONG = "a policy whose name goes on " + "and on " * 30
assert len(LONG) > 200

FIVE = {
    "falling": "POLY(k0=0.2, p=1.0, l=1dur)",
    "flat": "FIX(k0=0.1)",
    "wave": "TRI(k0=0.001, k1=0.2, l=0.25dur)",
    "steps": "STEP(k0=0.2, gamma=0.1, l=0.5dur)",
    "wild": "FIX(k0=10.0)",
}
SCORES: dict[str, Outcome] = {"falling": 0.7, "flat": 0.4, "wave": 0.69, "steps": 0.68, "wild": None}
