"""Range test, search, recommendation and verification from Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lrbench.api import Location
from lrbench.search.bench import bench_at
from lrbench.search.config import load_search
from lrbench.search.driver import Found, find
from lrbench.search.lr_range import RangeTest, Sweep, find_range
from lrbench.search.question import Search
from lrbench.tasks import Task, load_task

if TYPE_CHECKING:
    from lrbench.study.store import Store


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
    **how: Any,
) -> RangeTest:
    """Find the range of constant learning rates in which a task learns, and where it stops to learn.

    Args:
        task: a `Task`, or the name of a registered one, such as "mnist1d-mlp".
        seeds: how many (0, 1, ...), or which; the range is the median over them.
        steps: iterations of each run; by default a fifth of the task's own, from 100 to 500.
        sweep: "exponential" or "linear": how the LR rises in the runs that say about where to look.
        sweep_range: from where to where it rises.
        store, data_root, download: as for `lrbench.run`.
        how: how runs are trained, as for `lrbench.run`: device, listener.

    Raises:
        LRBenchError: the task or the store cannot be used, or no learning rate learns anything.
    """
    task = task_named(task, data_root, download)
    with bench_at(store, how) as bench:
        return find_range(task, bench, seeds=seed_tuple(seeds), steps=steps, sweep=sweep, sweep_range=sweep_range)


def search(
    what: Search | Location,
    *,
    store: Store | Location | None = None,
    data_root: Location | None = None,
    download: bool = False,
    mirror: str | None = None,
    **how: Any,
) -> Found:
    """Search a space of policies for the best one on a task, and confirm it on fresh seeds.

    A search that was stopped goes on where it was, and one that is done is answered from the store.

    Args:
        what: a `Search`, a TOML file with a [search] table, or the name of one that ships with lrbench.
        mirror: the URL of an Optuna storage, such as "sqlite:///optuna.db", that is kept up to date for
            optuna-dashboard; the search itself needs none.
        store, data_root, download: as for `lrbench.run`.
        how: how runs are trained, as for `lrbench.run`: device, listener.

    Raises:
        LRBenchError: the search, its data or the store cannot be used.
        KeyboardInterrupt: after Ctrl-C, with everything written.
    """
    if not isinstance(what, Search):
        what = load_search(what, data_root=data_root, download=download)
    with bench_at(store, how) as bench:
        return find(what, bench, mirror_to=mirror)


def task_named(task: Task | str, data_root: Location | None, download: bool) -> Task:
    """The task itself, or the registered one of this name."""
    return load_task(task, data_root=data_root, download=download) if isinstance(task, str) else task


def seed_tuple(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """So many seeds from 0 on, or those that are given."""
    return tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
