"""The policies of a search on their way from short budgets to the whole one.

A policy begins at the shortest budget, with its lengths rescaled to it, so that one that decays late is compared when
it has decayed. Of all policies tried at a budget so far, the best 1/reduction go on to the next: successive halving
(Jamieson and Talwalkar 2016, arXiv 1502.07943) whose rungs grow batch by batch, as in ASHA (Li et al. 2020, arXiv
1810.05934), but without chance: whether a policy goes on depends on the batches up to its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lrbench.policy import parse
from lrbench.policy_search.guessing import is_guessing
from lrbench.policy_search.ledger import read_ledger
from lrbench.policy_search.sampler import as_cost
from lrbench.study.axes import variant_at
from lrbench.study.study import Study, StudyPolicy
from lrbench.study.study_runs import Row, label_of

if TYPE_CHECKING:
    from lrbench.metrics import RunRecord
    from lrbench.policy_search.search import Rung, Search
    from lrbench.store import Proposal
    from lrbench.study.study_runs import StudyRuns
    from lrbench.training.runner import RunCounts
    from lrbench.training.trainer import Trainer

UNREACHED = 2
"""A run that never reaches the target counts as this many times its budget."""


@dataclass(frozen=True)
class Trial:
    """A proposal and its measured values.

    Attributes:
        values: by objective, the means over the runs at the longest budget at which all are over; at a budget shorter
            than the task's, the accuracy alone. Empty before that.
        steps: that budget in iterations; None before that.
        whole: whether it is the task's own.
        diverged: the share of the runs there that diverged or failed, which count as the worst that a run can be.
        iterations: of all its runs, each counted in full.
        runs: the number of runs there.
        reached: how many of them reached the target; None where that is no objective there.
    """

    proposal: Proposal
    values: Mapping[str, float] = field(default_factory=dict)
    steps: int | None = None
    whole: bool = False
    diverged: float = 0.0
    iterations: int = 0
    runs: int = 0
    reached: int | None = None

    @property
    def policy(self) -> str:
        """The policy's text."""
        return self.proposal.policy

    @property
    def setting(self) -> str:
        """The name of its settings; empty for the task's own."""
        return self.row[1]

    @property
    def row(self) -> Row:
        """The row that it has in the results of a rung."""
        return row_of(self.proposal)

    @property
    def name(self) -> str:
        """The name of policy and settings together, as on a scorecard."""
        return label_of(*self.row)

    def measured(self, objective: str) -> float | None:
        """Return a value; None where it is none that was measured, because a run never reached the target."""
        return None if objective == "steps" and self.reached != self.runs else self.values.get(objective)

    def to_json(self) -> dict[str, Any]:
        """The trial in the document of `lrbench search --json`."""
        settings = {"settings": dict(self.proposal.settings)} if self.proposal.settings else {}
        reached = {} if self.reached is None else {"reached": self.reached}
        return {
            "policy": self.policy,
            **settings,
            "values": {objective: self.measured(objective) for objective in self.values},
            **reached,
            **{name: getattr(self, name) for name in ("steps", "whole", "diverged")},
        }


@dataclass(frozen=True)
class RungResults:
    """The trials of a search, rung by rung.

    Attributes:
        rungs: for each rung, its trials by their rows.
        evidence: the runs of each rung that a policy has reached.
    """

    rungs: tuple[Mapping[Row, Trial], ...]
    evidence: tuple[StudyRuns, ...]


def train_rungs(search: Search, proposals: Sequence[Proposal], trainer: Trainer) -> tuple[RungResults, RunCounts]:
    """Train proposals, each at every budget that it earns."""
    from lrbench.training.runner import RunCounts

    going, tally = list(proposals), RunCounts()
    ledger = read_ledger(search.name, trainer.store)
    rungs: list[Mapping[Row, Trial]] = []
    read: list[StudyRuns] = []
    for rung in search.ladder:
        if not going:
            rungs.append({})
            continue
        study = _study(search, rung, going)
        evidence, trained = trainer.trained(study, "rung", None if ledger is None else ledger.entry.id)
        tally += trained
        read.append(evidence)
        rungs.append(measure(evidence, going, rung.objectives, whole=rung is search.ladder[-1]))
        going = promoted(search, list(rungs[-1].values()))
    return RungResults(tuple(rungs), tuple(read)), tally


def _study(search: Search, rung: Rung, proposals: Sequence[Proposal]) -> Study:
    """Make the study that trains policies at a rung; at the last one it has the search's own name."""
    last = rung is search.ladder[-1]
    return Study(
        name=search.name if last else f"{search.name} at {rung.task.steps} iterations",
        tasks=(rung.task,),
        policies=tuple(map(entry_of, proposals)),
        seeds=rung.seeds,
        margin=search.margin,
        target=search.target,
        base_lr_scales=search.base_lr_scales,
    )


def entry_of(proposal: Proposal) -> StudyPolicy:
    """Make the policy of a study of a proposal, which is trained at its settings alone."""
    own = variant_at(proposal.settings) if proposal.settings else None
    return StudyPolicy(proposal.policy, parse(proposal.policy), variant=own)


def row_of(proposal: Proposal) -> Row:
    """Return the row that a proposal has in the results of a rung."""
    return proposal.policy, variant_at(proposal.settings).name


def promoted(search: Search, trials: Sequence[Trial]) -> list[Proposal]:
    """Choose the proposals that go on to the next budget: not diverged, and among the best 1/reduction when tried."""

    def cost(trial: Trial) -> tuple[bool, float]:
        return trial.diverged > 0, as_cost("accuracy", next(iter(trial.values.values())), search.task.better)

    order = sorted(trials, key=cost)
    chosen = []
    for trial in trials:
        seen = [one for one in order if one.proposal.batch <= trial.proposal.batch]
        if seen.index(trial) < math.ceil(len(seen) / search.reduction) and not trial.diverged:
            chosen.append(trial.proposal)
    return chosen


def measure(
    evidence: StudyRuns, proposals: Iterable[Proposal], objectives: Sequence[str], *, whole: bool
) -> dict[Row, Trial]:
    """Measure proposals at the budget of a study, by row; a failed run counts as a diverged one."""
    (task,), seeds, target = evidence.tasks, len(evidence.record.seeds), evidence.record.target
    records = evidence.records(task, "main")
    trials = {}
    for proposal in proposals:
        row = row_of(proposal)
        finished = [run for run in records.get(row, []) if not run.diverged]
        fallen = seeds - len(finished)
        values = {name: fmean(_values(evidence, finished, name, fallen)) for name in objectives}
        reached = None
        if "steps" in objectives and target is not None:
            reached = sum(run.steps_to(target) is not None for run in finished)
        trials[row] = Trial(proposal, values, task.steps, whole, fallen / seeds, runs=seeds, reached=reached)
    return trials


def _values(evidence: StudyRuns, finished: Sequence[RunRecord], objective: str, fallen: int) -> list[float]:
    """List an objective by seed; a diverged or failed run counts as the worst value.

    So does the robustness of a run that does no better than guessing, which other base LRs cannot make worse.
    """
    (task,) = evidence.tasks
    match objective:
        case "accuracy":
            known = [run.score("val") for run in finished]
            worst = math.nan if task.chance is None else task.chance
        case "robustness":
            known = [
                None if is_guessing(run.score("val"), task) else run.final.get("base_lr_retention") for run in finished
            ]
            worst = 0.0
        case _:
            worst = float(UNREACHED * task.steps)
            assert evidence.record.target is not None
            known = [run.steps_to(evidence.record.target) for run in finished]
    values = [worst if value is None or not math.isfinite(value) else float(value) for value in known]
    return [*values, *[worst] * fallen]
