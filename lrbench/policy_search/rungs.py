"""The policies of a search on their way from short budgets to the whole one.

A policy begins at the shortest budget, with its lengths rescaled to it, so that one that decays late is compared with
others when it has decayed. Of all policies that were tried at a budget so far the best 1/reduction go on to the next:
successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943) whose rungs grow batch by batch, as in ASHA (Li et
al. 2020, arXiv 1810.05934), but without chance: who goes on follows from the batches up to a policy's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from lrbench.policy import parse
from lrbench.policy_search.ledger import ledger_id
from lrbench.policy_search.sampler import as_cost
from lrbench.study.study import Study, StudyPolicy
from lrbench.training.runner import RunCounts

if TYPE_CHECKING:
    from lrbench.metrics import RunRecord
    from lrbench.policy_search.search import Rung, Search
    from lrbench.store import Asked
    from lrbench.study.results import StudyRuns
    from lrbench.training.trainer import Trainer

UNREACHED = 2
"""A run that never reaches the target counts as so many times its budget."""


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
class RungResults:
    """The policies of a search, each with what is known of it, rung by rung.

    Attributes:
        rungs: for each rung, what was measured there, by the text of the policy.
        evidence: the runs that it was read off, for each rung that a policy has come to.
    """

    rungs: tuple[Mapping[str, Measured], ...]
    evidence: tuple[StudyRuns, ...]

    def highest(self, policy: str) -> int:
        """The last rung at which a policy was measured."""
        return max(place for place, rung in enumerate(self.rungs) if policy in rung)


def train_rungs(search: Search, asked: Sequence[Asked], trainer: Trainer) -> tuple[RungResults, RunCounts]:
    """Train the policies that were asked for, at every budget that each of them earns."""
    batch_of = {one.policy: one.batch for one in asked}
    going, tally = list(batch_of), RunCounts()
    parent = ledger_id(search, trainer.store)
    rungs: list[Mapping[str, Measured]] = []
    read: list[StudyRuns] = []
    for rung in search.ladder:
        if not going:
            rungs.append({})
            continue
        evidence, trained = trainer.trained(_study(search, rung, going), "rung", parent)
        tally += trained
        read.append(evidence)
        rungs.append(measure(evidence, rung.objectives, going))
        going = promoted(search, going, rungs[-1], batch_of)
    return RungResults(tuple(rungs), tuple(read)), tally


def _study(search: Search, rung: Rung, policies: Sequence[str]) -> Study:
    """The study that trains policies for a rung; that of the last one has the search's own name."""
    last = rung is search.ladder[-1]
    return Study(
        name=search.name if last else f"{search.name} at {rung.task.steps} iterations",
        tasks=(rung.task,),
        policies=tuple(StudyPolicy(text, parse(text)) for text in policies),
        seeds=rung.seeds,
        margin=search.margin,
        target=search.target,
        base_lr_scales=search.base_lr_scales,
    )


def promoted(
    search: Search, policies: Sequence[str], measured: Mapping[str, Measured], batch_of: Mapping[str, int]
) -> list[str]:
    """The policies that go on to the next budget: not diverged, and in their time among the best 1/reduction."""
    costs = {text: as_cost("accuracy", measured[text].values[0], search.task.better) for text in policies}
    order = sorted(policies, key=lambda text: (measured[text].diverged > 0, costs[text]))
    chosen = []
    for text in policies:
        seen = [one for one in order if batch_of[one] <= batch_of[text]]
        rank = seen.index(text)
        if rank < math.ceil(len(seen) / search.reduction) and not measured[text].diverged:
            chosen.append(text)
    return chosen


def measure(evidence: StudyRuns, objectives: Sequence[str], policies: Iterable[str]) -> dict[str, Measured]:
    """What the runs of policies at the budget of a study say; what failed counts as what diverged does."""
    records = evidence.records(evidence.tasks[0], "main")
    return {text: _measured(evidence, records.get((text, ""), []), objectives) for text in policies}


def _measured(evidence: StudyRuns, runs: Sequence[RunRecord], objectives: Sequence[str]) -> Measured:
    finished = [run for run in runs if not run.diverged]
    seeds = len(evidence.record.seeds)
    fallen = seeds - len(finished)
    values = tuple(fmean(_values(evidence, finished, objective, fallen)) for objective in objectives)
    return Measured(values, fallen / seeds)


def _values(evidence: StudyRuns, finished: Sequence[RunRecord], objective: str, fallen: int) -> list[float]:
    """An objective by seed; what has fallen counts as the worst that it can be."""
    (task,) = evidence.tasks
    match objective:
        case "accuracy":
            known = [run.score("val") for run in finished]
            worst = math.nan if task.chance is None else task.chance
        case "robustness":
            known = [run.final.get("base_lr_retention") for run in finished]
            worst = 0.0
        case _:
            worst = float(UNREACHED * task.steps)
            assert evidence.record.target is not None
            known = [run.steps_to(evidence.record.target) for run in finished]
    values = [worst if value is None or not math.isfinite(value) else float(value) for value in known]
    return [*values, *[worst] * fallen]
