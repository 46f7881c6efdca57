"""lrbench from Python: score a policy, run a study, find the range of LRs, search, recommend, verify."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

from lrbench.advice.evidence import evidence_by_task
from lrbench.advice.recommend import Advice, advise, verified
from lrbench.advice.verify import Verification, check_policy
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.errors import StudyError, TaskError
from lrbench.lr_range.auto_peak import with_auto_peaks
from lrbench.lr_range.range_test import RangeTest, Sweep, find_range
from lrbench.policy import Policy, parse
from lrbench.policy_search.file import load_search
from lrbench.policy_search.loop import SearchResult, find
from lrbench.policy_search.search import Search
from lrbench.store import Store, open_store
from lrbench.study.file import load_study
from lrbench.study.limits import check_scores, seeds_of
from lrbench.study.results import Results, results
from lrbench.study.study import Study, StudyPolicy
from lrbench.tasks import Task, load_task
from lrbench.training.lab import Lab, lab_at
from lrbench.training.listener import Listener
from lrbench.training.options import Location, TrainOptions
from lrbench.training.runner import RunCounts, check_workers
from lrbench.training.runner import run as train

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lrbench.metrics import Scorecard


@dataclass(frozen=True, repr=False)
class Outcome(Readable):
    """A study's results, and what it took to have them."""

    results: Results
    tally: RunCounts

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        yield from self.results.display(width, drawn=drawn)
        yield ""
        yield self.tally.sentence

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
    **how: Unpack[TrainOptions],
) -> Outcome:
    """Train what a study asks for and the store does not have yet, and rank its policies.

    Args:
        study: a `Study`, a TOML file, or the name of a study that ships with lrbench, such as "quickstart".
        store: an open store or where it is; by default LRBENCH_STORE, else `lrbench.db` in the working directory.
        data_root: the folder of data sets, laid out as torchvision does.
        download: let torchvision download what is missing there.
        listener: is told of progress.
        how: device, workers, engine and gpus_per_worker: see `TrainOptions`.

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
            study = with_auto_peaks(study, Lab(opened, {"listener": listener, **how}))
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
    **how: Unpack[TrainOptions],
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
        policies=(StudyPolicy(str(policy), policy),),
        seeds=seeds_of(seeds, "score"),
        target=target,
        base_lr_scales=tuple(base_lr_scales),
    )
    answer = run(study, store=store, listener=listener, **how).results.tasks[0]
    if not answer.scorecards:
        raise TaskError(f"no run of {policy} on task '{task.name}' could be finished: {answer.failures[0].error}")
    return replace(answer.scorecards[0], verdict=None)


def range_test(
    task: Task | str,
    *,
    seeds: int | Sequence[int] = 5,
    steps: int | None = None,
    sweep: Sweep = "exponential",
    sweep_range: tuple[float, float] = (1e-6, 10.0),
    store: Store | Location | None = None,
    data_root: Location | None = None,
    download: bool = False,
    listener: Listener | None = None,
    **how: Unpack[TrainOptions],
) -> RangeTest:
    """Find the range of constant learning rates in which a task learns, and where it stops to learn.

    Args:
        task: a `Task`, or the name of a registered one, such as "mnist1d-mlp".
        seeds: how many (0, 1, ...), or which; the range is the median over them.
        steps: iterations of each run; by default a fifth of the task's own, from 100 to 500.
        sweep: "exponential" or "linear": how the LR rises in the runs that say about where to look.
        sweep_range: from where to where it rises.
        store, data_root, download, listener, how: as for `lrbench.run`.

    Raises:
        LRBenchError: the task or the store cannot be used, or no learning rate learns anything.
    """
    seeds = seeds_of(seeds, "range test")
    task = _task_named(task, data_root, download)
    with lab_at(store, listener, how) as lab:
        return find_range(task, lab, seeds=seeds, steps=steps, sweep=sweep, sweep_range=sweep_range)


def search(
    what: Search | Location,
    *,
    store: Store | Location | None = None,
    data_root: Location | None = None,
    download: bool = False,
    mirror: str | None = None,
    listener: Listener | None = None,
    **how: Unpack[TrainOptions],
) -> SearchResult:
    """Search a space of policies for the best one on a task, and confirm it on fresh seeds.

    A search that was stopped goes on where it was, and one that is done is answered from the store.

    Args:
        what: a `Search`, a TOML file with a [search] table, or the name of one that ships with lrbench.
        mirror: the URL of an Optuna storage, such as "sqlite:///optuna.db", that is kept up to date for
            optuna-dashboard; the search itself needs none.
        store, data_root, download, listener, how: as for `lrbench.run`.

    Raises:
        LRBenchError: the search, its data or the store cannot be used.
        KeyboardInterrupt: after Ctrl-C, with everything written.
    """
    if not isinstance(what, Search):
        what = load_search(what, data_root=data_root, download=download)
    with lab_at(store, listener, how) as lab:
        return find(what, lab, mirror_to=mirror)


def verify(
    policy: Policy | str,
    task: Task | str,
    *,
    target: float,
    budget: int | None = None,
    seeds: int | Sequence[int] = 5,
    store: Store | Location | None = None,
    data_root: Location | None = None,
    download: bool = False,
    listener: Listener | None = None,
    **how: Unpack[TrainOptions],
) -> Verification:
    """Train a policy with several seeds, and say whether it reaches a target: yes, no or undecided.

    Args:
        target: the validation objective to reach by the end of the budget, as a mean over seeds.
        budget: in iterations; the task's own unless given. Lengths that are fractions of it follow it.
        seeds: how many (0, 1, ...), or which; at least two.
        store, data_root, download, listener, how: as for `lrbench.run`.

    Raises:
        LRBenchError: the policy, the task or the store cannot be used, or a run failed.
    """
    policy = parse(policy) if isinstance(policy, str) else policy
    seeds = seeds_of(seeds, "verify")
    trained = _task_named(task, data_root, download)
    check_scores({"target": target}, trained, "verify")
    with lab_at(store, listener, how) as lab:
        return check_policy(policy, trained, lab, target=target, budget=budget, seeds=seeds)


def recommend(
    task: Task | str,
    *,
    goal: str = "accuracy",
    at_most: int = 3,
    without: Collection[str] = (),
    target: float | None = None,
    budget: int | None = None,
    seeds: int | Sequence[int] = 5,
    store: Store | Location | None = None,
    data_root: Location | None = None,
    download: bool = False,
    listener: Listener | None = None,
    **how: Unpack[TrainOptions],
) -> Advice:
    """Recommend policies for a task from the nearest evidence: the store's runs and those that ship with lrbench.

    Where nothing is known of the task or one like it, a range test is trained, and policies that are good beginnings
    in general get its learning rates; the answer says so.

    Args:
        goal: "accuracy", "cost" (iterations until near the best) or "robust" (against a wrong base LR).
        at_most: how many policies.
        without: the names of studies to leave out of the evidence, as to see what the others say.
        target: train them on the task, in their order, until one is verified to reach this validation objective.
        budget, seeds: of that verification, as for `verify`.
        store, data_root, download, listener, how: as for `lrbench.run`.

    Raises:
        LRBenchError: the goal or a study to leave out is unknown, the task or the store cannot be used, or nothing
            learns on the task.
    """
    if at_most < 1:
        raise StudyError(f"recommend: at_most = {at_most} must be at least 1")
    seeds = seeds_of(seeds, "recommend")
    trained = _task_named(task, data_root, download)
    check_scores({"target": target}, trained, "recommend")
    with lab_at(store, listener, how) as lab:
        evidence = evidence_by_task(lab.store, without)
        advice = advise(trained.with_budget(budget), lab, evidence, goal=goal, at_most=at_most)
        if target is None:
            return advice
        return verified(advice, trained, lab, target=target, budget=budget, seeds=seeds)


def _task_named(task: Task | str, data_root: Location | None, download: bool) -> Task:
    """The task itself, or the registered one of this name."""
    return load_task(task, data_root=data_root, download=download) if isinstance(task, str) else task


def _opened(store: Store | Location | None) -> AbstractContextManager[Store]:
    return nullcontext(store) if isinstance(store, Store) else open_store(store)
