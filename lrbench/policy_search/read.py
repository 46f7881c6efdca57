"""A search as a store has it, which may be under way: its proposals and what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from lrbench.errors import StudyError, did_you_mean
from lrbench.policy_search.finalists import confirmations
from lrbench.policy_search.ledger import read_ledger
from lrbench.policy_search.rungs import Trial, measure, row_of
from lrbench.study.study_runs import Row, StudyRuns

if TYPE_CHECKING:
    from lrbench.metrics import Better, Confirmation
    from lrbench.store import Proposal, Store, StoredRun


@dataclass(frozen=True)
class StoredSearch:
    """A search as a store has it.

    Attributes:
        objectives: what it looks for, of `lrbench.policy_search.search.OBJECTIVES`.
        accuracy: the name of the task's validation objective, such as "top1"; None before a run was asked for.
        trials: in the order in which they were asked for.
        confirmed: the finalists on fresh seeds, the winner first; empty before they were trained.
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
    rungs = [_rung(study, asked, objectives, whole=study in whole) for study in studies]
    rungs.sort(key=lambda rung: rung.steps)
    trials = tuple(_trial(one, rungs) for one in asked)
    confirmed: tuple[Confirmation, ...] = ()
    if whole and fresh:
        confirmed = confirmations(whole[0], fresh[0], objectives)
    if not rungs:
        return StoredSearch(name, objectives, None, trials, confirmed)
    (task,) = studies[0].tasks
    return StoredSearch(name, objectives, task.objective, trials, confirmed, task.better)


class _Rung(NamedTuple):
    """One budget of a search: the number of runs of each policy, and the trials whose runs are all over."""

    steps: int
    runs: Mapping[Row, int]
    trials: Mapping[Row, Trial]


def _rung(evidence: StudyRuns, proposals: Sequence[Proposal], objectives: Sequence[str], *, whole: bool) -> _Rung:
    runs = Counter((slot.policy, slot.variant) for slot in evidence.slots)
    going = (slot for slot in evidence.slots if not _is_over(evidence.runs.get(slot.run)))
    over = runs.keys() - {(slot.policy, slot.variant) for slot in going}
    ended = [one for one in proposals if row_of(one) in over]
    trials = measure(evidence, ended, objectives if whole else ("accuracy",), whole=whole)
    return _Rung(evidence.tasks[0].steps, runs, trials)


def _is_over(run: StoredRun | None) -> bool:
    return run is not None and (run.ended or run.status == "failed")


def _trial(proposal: Proposal, rungs: Sequence[_Rung]) -> Trial:
    row = row_of(proposal)
    iterations = sum(rung.runs.get(row, 0) * rung.steps for rung in rungs)
    reached = [rung.trials[row] for rung in rungs if row in rung.trials]
    return replace(reached[-1] if reached else Trial(proposal), iterations=iterations)


def _missing(name: str, store: Store) -> str:
    studies = store.studies()
    if name in {entry.name for entry in studies}:
        return f"'{name}' in the store {store.name} is a study of given policies, which nothing searched for"
    known = sorted(entry.name for entry in studies if entry.kind == "search")
    has = f"it has: {', '.join(known)}" if known else "it has none yet"
    return f"the store {store.name} has no search '{name}'{did_you_mean(name, known)}; {has}"
