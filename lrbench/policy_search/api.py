"""Range test, search, recommendation and verification from Python."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Unpack

from lrbench.advice.evidence import bodies
from lrbench.advice.recommend import Advice, advise, verified
from lrbench.advice.verify import Verification, check_policy
from lrbench.errors import StudyError
from lrbench.lr_range.range_test import RangeTest, Sweep, find_range
from lrbench.policy import Policy, parse
from lrbench.policy_search.file import load_search
from lrbench.policy_search.loop import Found, find
from lrbench.policy_search.search import Search
from lrbench.study.file import check_scores
from lrbench.study.limits import seeds_of
from lrbench.tasks import Task, load_task
from lrbench.training.lab import bench_at
from lrbench.training.options import How, Location

if TYPE_CHECKING:
    from lrbench.store import Store
    from lrbench.training.listener import Listener


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
    **how: Unpack[How],
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
    task = task_named(task, data_root, download)
    with bench_at(store, listener, how) as bench:
        return find_range(task, bench, seeds=seeds, steps=steps, sweep=sweep, sweep_range=sweep_range)


def search(
    what: Search | Location,
    *,
    store: Store | Location | None = None,
    data_root: Location | None = None,
    download: bool = False,
    mirror: str | None = None,
    listener: Listener | None = None,
    **how: Unpack[How],
) -> Found:
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
    with bench_at(store, listener, how) as bench:
        return find(what, bench, mirror_to=mirror)


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
    **how: Unpack[How],
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
    trained = task_named(task, data_root, download)
    check_scores({"target": target}, trained, "verify")
    with bench_at(store, listener, how) as bench:
        return check_policy(policy, trained, bench, target=target, budget=budget, seeds=seeds)


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
    **how: Unpack[How],
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
    trained = task_named(task, data_root, download)
    check_scores({"target": target}, trained, "recommend")
    with bench_at(store, listener, how) as bench:
        evidence = bodies(bench.store, without)
        advice = advise(trained.with_budget(budget), bench, evidence, goal=goal, at_most=at_most)
        if target is None:
            return advice
        return verified(advice, trained, bench, target=target, budget=budget, seeds=seeds)


def task_named(task: Task | str, data_root: Location | None, download: bool) -> Task:
    """The task itself, or the registered one of this name."""
    return load_task(task, data_root=data_root, download=download) if isinstance(task, str) else task
