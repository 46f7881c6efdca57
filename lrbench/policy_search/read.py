"""A search as a store has it, which may be under way: what it asked for, and what came of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.errors import StudyError, did_you_mean
from lrbench.policy_search.finalists import confirmations
from lrbench.policy_search.ledger import read_ledger, search_names
from lrbench.policy_search.rungs import measure
from lrbench.study.results import StudyRuns

if TYPE_CHECKING:
    from lrbench.metrics import Better, Confirmation
    from lrbench.policy_search.rungs import Measured
    from lrbench.store import Asked, Store, StoredRun


@dataclass(frozen=True)
class Trial:
    """A policy that a search asked for.

    Attributes:
        batch: the number of the batch that it belongs to, from 0.
        params: what the sampler chose, by dimension.
        iterations: of all of its runs that were asked for, each counted in full.
        budget: in iterations, the longest at which all of its runs are over; None where there is none yet.
        whole: whether that is the task's own.
        values: by objective, the means over the runs at that budget; at a shorter one the accuracy alone.
        diverged: the share of these runs that diverged or failed, which count as the worst that a run can be.
    """

    policy: str
    batch: int
    params: Mapping[str, Any]
    iterations: int
    budget: int | None
    whole: bool
    values: Mapping[str, float]
    diverged: float


@dataclass(frozen=True)
class StoredSearch:
    """A search as a store has it.

    Attributes:
        objectives: what it looks for, of `lrbench.policy_search.search.OBJECTIVES`.
        accuracy: the name of the task's validation objective, such as "top1"; None before a run was asked for.
        trials: in the order in which they were asked for.
        confirmed: the finalists on fresh seeds, best first; empty before they were trained.
        better: which way the validation objective is better.
    """

    name: str
    objectives: tuple[str, ...]
    accuracy: str | None
    trials: tuple[Trial, ...]
    confirmed: tuple[Confirmation, ...]
    better: Better = "higher"


def read_search(name: str, store: Store) -> StoredSearch:
    """Read a search from a store.

    Raises:
        StudyError: the store has no search of that name.
        StoreError: the store cannot be read.
    """
    ledger = read_ledger(name, store)
    if ledger is None:
        raise StudyError(_missing(name, store))
    identity, asked = ledger.record.identity, ledger.record.asked
    objectives = tuple(identity["objectives"])
    latest = {entry.name: entry for entry in reversed(ledger.studies)}
    read = [StudyRuns.of(entry.id, store) for entry in latest.values()]
    studies = [study for study in read if study.entry.kind == "rung"]
    whole = [study for study in studies if study.tasks[0].key == identity["task"]]
    fresh = [study for study in read if study.entry.kind == "confirmation"]
    rungs = [_rung(study, objectives, study in whole) for study in studies]
    rungs.sort(key=lambda rung: rung.budget)
    trials = tuple(_trial(one, rungs) for one in asked)
    confirmed: tuple[Confirmation, ...] = ()
    if whole and fresh:
        confirmed = confirmations(whole[0], fresh[0], objectives[0])
    if not rungs:
        return StoredSearch(name, objectives, None, trials, confirmed)
    (task,) = studies[0].tasks
    return StoredSearch(name, objectives, task.objective, trials, confirmed, task.better)


@dataclass(frozen=True)
class _Rung:
    """One budget of a search.

    Attributes:
        whole: whether it is the task's own.
        runs: how many were asked for, by the text of the policy.
        measured: what they say, where all of them are over.
    """

    whole: bool
    budget: int
    objectives: Sequence[str]
    runs: Mapping[str, int]
    measured: Mapping[str, Measured]


def _rung(evidence: StudyRuns, objectives: Sequence[str], is_whole: bool) -> _Rung:
    runs = Counter(slot.policy for slot in evidence.slots)
    going = {slot.policy for slot in evidence.slots if not _is_over(evidence.runs.get(slot.run))}
    known = objectives if is_whole else ("accuracy",)
    return _Rung(is_whole, evidence.tasks[0].steps, known, runs, measure(evidence, known, runs.keys() - going))


def _is_over(run: StoredRun | None) -> bool:
    return run is not None and (run.ended or run.status == "failed")


def _trial(asked: Asked, rungs: Sequence[_Rung]) -> Trial:
    iterations = sum(rung.runs.get(asked.policy, 0) * rung.budget for rung in rungs)
    reached = [rung for rung in rungs if asked.policy in rung.measured]
    if not reached:
        return Trial(asked.policy, asked.batch, asked.params, iterations, None, False, {}, 0.0)
    last = reached[-1]
    measured = last.measured[asked.policy]
    return Trial(
        asked.policy,
        asked.batch,
        asked.params,
        iterations,
        last.budget,
        last.whole,
        dict(zip(last.objectives, measured.values, strict=True)),
        measured.diverged,
    )


def _missing(name: str, store: Store) -> str:
    if name in {entry.name for entry in store.studies()}:
        return f"'{name}' in the store {store.name} is a study of given policies, which nothing searched for"
    known = search_names(store)
    has = f"it has: {', '.join(known)}" if known else "it has none yet"
    return f"the store {store.name} has no search '{name}'{did_you_mean(name, known)}; {has}"
