"""lrbench from Python: score a policy, run a study."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

from lrbench.errors import TaskError
from lrbench.policy import Policy, parse
from lrbench.store import Store, open_store
from lrbench.study.file import load_study
from lrbench.study.limits import seeds_of
from lrbench.study.results import Results, results
from lrbench.study.study import Entry, Study
from lrbench.tasks import Task, load_task
from lrbench.training.listener import Listener
from lrbench.training.options import How, Location
from lrbench.training.runner import Tally, check_workers
from lrbench.training.runner import run as train

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lrbench.metrics import Scorecard


@dataclass(frozen=True)
class Outcome:
    """A study's results, and what it took to have them."""

    results: Results
    tally: Tally

    def to_json(self) -> dict[str, Any]:
        """The document of `lrbench run --json`."""
        return self.results.to_json() | self.tally.to_json()


def run(
    study: Study | Location,
    *,
    store: Store | Location | None = None,
    data_root: Location | None = None,
    download: bool = False,
    listener: Listener | None = None,
    **how: Unpack[How],
) -> Outcome:
    """Train what a study asks for and the store does not have yet, and rank its policies.

    Args:
        study: a `Study`, a TOML file, or the name of a study that ships with lrbench, such as "quickstart".
        store: an open store or where it is; by default LRBENCH_STORE, else `lrbench.db` in the working directory.
        data_root: the folder of data sets, laid out as torchvision does.
        download: let torchvision download what is missing there.
        listener: is told of progress.
        how: device, workers, engine and gpus_per_worker: see `How`.

    Raises:
        LRBenchError: the study, its data or the store cannot be used; nothing is trained then.
        TaskError: policies take their peak from a range test, and no learning rate learns anything.
        KeyboardInterrupt: after Ctrl-C, with everything written; running the study again goes on from there.
    """
    if not isinstance(study, Study):
        study = load_study(study, data_root=data_root, download=download)
    check_workers(how.get("workers", "auto"), how.get("device", "auto"))
    with _opened(store) as opened:
        if study.auto_peaks:
            from lrbench.lr_range.auto_peak import with_auto_peaks
            from lrbench.training.lab import Bench

            study = with_auto_peaks(study, Bench(opened, {"listener": listener, **how}))
        tally = train(study, opened, listener=listener, **how)
        return Outcome(results(study.name, opened), tally)


def score(
    policy: Policy | str,
    task: Task | str,
    *,
    seeds: int | Sequence[int] = 5,
    steps: int | None = None,
    target: float | None = None,
    base_lr_scales: Sequence[float] = (),
    store: Store | Location | None = None,
    data_root: Location | None = None,
    download: bool = False,
    listener: Listener | None = None,
    **how: Unpack[How],
) -> Scorecard:
    """Train one policy on a task with several seeds, and say what it is worth.

    Args:
        policy: a policy or its text, such as "TRI(k0=0.01, k1=0.1, l=0.1dur)".
        task: a `Task`, or the name of a registered one, such as "mnist1d-mlp".
        seeds: how many (0, 1, ...), or which.
        steps: the budget in iterations, where it is not the task's own; see `Task.with_budget`.
        target: the validation objective to reach, for `steps_to_target`.
        base_lr_scales: factors at which the policy is trained as well, for its robustness over the base LR.
        store, data_root, download, listener, how: as for `run`.

    Raises:
        LRBenchError: the policy, the task or the store cannot be used; nothing is trained then.
        TaskError: every run raised an error; the store has the tracebacks.
    """
    policy = parse(policy) if isinstance(policy, str) else policy
    task = load_task(task, data_root=data_root, download=download) if isinstance(task, str) else task
    task = task.with_budget(steps)
    study = Study(
        name=f"score {policy} on {task.name}",
        tasks=(task,),
        entries=(Entry(str(policy), policy),),
        seeds=seeds_of(seeds, "score"),
        target=target,
        base_lr_scales=tuple(base_lr_scales),
    )
    answer = run(study, store=store, listener=listener, **how).results.tasks[0]
    if not answer.scorecards:
        raise TaskError(f"no run of {policy} on task '{task.name}' could be finished: {answer.failures[0].error}")
    return replace(answer.scorecards[0], verdict=None)


def _opened(store: Store | Location | None) -> AbstractContextManager[Store]:
    return nullcontext(store) if isinstance(store, Store) else open_store(store)
