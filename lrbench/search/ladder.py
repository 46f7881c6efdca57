"""The policies of a search on their way from short budgets to the whole one.

A policy begins at the shortest budget, with its lengths rescaled to it, so that one that decays late is compared with
others when it has decayed. Of all policies that were tried at a budget so far the best 1/reduction go on to the next:
successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943) whose rungs grow batch by batch, as in ASHA (Li et
al. 2020, arXiv 1810.05934), but without chance: who goes on follows from the batches up to a policy's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from lrbench.errors import StoreError
from lrbench.metrics import steps_to_target
from lrbench.policy import parse
from lrbench.study.results import Evidence
from lrbench.study.runner import Tally
from lrbench.study.study import Entry, Study

if TYPE_CHECKING:
    from lrbench.metrics import RunRecord
    from lrbench.search.bench import Bench
    from lrbench.search.history import Asked
    from lrbench.search.question import Search

UNREACHED = 2
"""A run that never reaches the target counts as so many times its budget."""

MOST_READINGS = 5


@dataclass(frozen=True)
class Measured:
    """What the runs of a policy at one budget say.

    Attributes:
        values: by objective; the validation objective alone at a shorter budget.
        diverged: the share of runs that diverged or failed.
    """

    values: tuple[float, ...]
    diverged: float


@dataclass(frozen=True)
class Climbed:
    """The policies of a search, each with what is known of it, rung by rung.

    Attributes:
        rungs: for each rung, what was measured there, by the text of the policy.
    """

    rungs: tuple[Mapping[str, Measured], ...]

    def highest(self, policy: str) -> int:
        """The last rung at which a policy was measured."""
        return max(place for place, rung in enumerate(self.rungs) if policy in rung)


def climb(search: Search, asked: Sequence[Asked], bench: Bench) -> tuple[Climbed, Tally]:
    """Train the policies that were asked for, at every budget that each of them earns."""
    batch_of = {one.policy: one.batch for one in asked}
    going, tally = list(batch_of), Tally()
    rungs: list[Mapping[str, Measured]] = []
    for rung in range(search.rungs):
        if not going:
            rungs.append({})
            continue
        evidence, trained = _train(rung_study(search, rung, going), bench)
        tally += trained
        rungs.append(_measure(search, rung, going, evidence))
        going = promoted(search, going, rungs[-1], batch_of)
    return Climbed(tuple(rungs)), tally


def rung_study(search: Search, rung: int, policies: Sequence[str]) -> Study:
    """The study that trains policies at the budget of a rung; at the whole budget it has the search's own name."""
    whole = rung == search.rungs - 1
    return Study(
        name=search.name if whole else f"{search.name} at {search.budgets[rung]} iterations",
        tasks=(search.task_at(rung),),
        entries=tuple(Entry(text, parse(text)) for text in policies),
        seeds=search.seeds_at(rung),
        margin=search.margin,
        target=search.target,
        base_lr_scales=search.base_lr_scales,
    )


def promoted(
    search: Search, policies: Sequence[str], measured: Mapping[str, Measured], batch_of: Mapping[str, int]
) -> list[str]:
    """The policies that go on to the next budget: not diverged, and in their time among the best 1/reduction."""
    order = sorted(policies, key=lambda text: (measured[text].diverged > 0, -measured[text].values[0]))
    chosen = []
    for text in policies:
        seen = [one for one in order if batch_of[one] <= batch_of[text]]
        rank = seen.index(text)
        if rank < math.ceil(len(seen) / search.reduction) and not measured[text].diverged:
            chosen.append(text)
    return chosen


def _train(study: Study, bench: Bench) -> tuple[Evidence, Tally]:
    """Train a study, and read it as it was asked: another process may have asked less of it under the same name."""
    tally = Tally()
    for _ in range(MOST_READINGS):
        tally += bench.train(study)
        evidence = Evidence.of(study.name, bench.store)
        if {entry.name for entry in study.entries} <= {member.entry for member in evidence.members}:
            return evidence, tally
    raise StoreError(f"the study '{study.name}' in the store {bench.store.name} is changed again and again by others")


def _measure(search: Search, rung: int, policies: Sequence[str], evidence: Evidence) -> dict[str, Measured]:
    """What the runs of policies at a rung say."""
    records = evidence.records(evidence.tasks[0], "main")
    seeds = len(search.seeds_at(rung))
    objectives = search.objectives if rung == search.rungs - 1 else ("accuracy",)
    return {
        text: _measured(search, records.get((text, ""), []), objectives, seeds, search.budgets[rung])
        for text in policies
    }


def _measured(
    search: Search, runs: Sequence[RunRecord], objectives: Sequence[str], seeds: int, budget: int
) -> Measured:
    fallen = seeds - sum(not run.diverged for run in runs)
    return Measured(tuple(_value(search, runs, name, seeds, budget) for name in objectives), fallen / seeds)


def _value(search: Search, runs: Sequence[RunRecord], objective: str, seeds: int, budget: int) -> float:
    """The mean of an objective over the seeds; what has diverged or failed counts as the worst that it can be."""
    finished = [run for run in runs if not run.diverged]
    missing = seeds - len(finished)
    match objective:
        case "accuracy":
            known = [run.score("val") for run in finished]
            worst = search.task.chance
        case "robustness":
            known = [run.final.get("base_lr_retention") for run in finished]
            worst = 0.0
        case _:
            assert search.target is not None
            worst = float(UNREACHED * budget)
            arrivals = [steps_to_target(*run.validation_curve(), search.target) for run in finished]
            known = [worst if steps is None else float(steps) for steps in arrivals]
    values = [worst if value is None or not math.isfinite(value) else value for value in known]
    return fmean([*values, *[worst] * missing])
