"""Tab completion: the names that an argument or an option may have, those of them that begin as what is typed."""

from __future__ import annotations

from collections.abc import Iterable

import typer


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def complete_study(incomplete: str) -> list[str]:
    """Complete the studies that ship; the shell completes files."""
    from lrbench.study.file import study_names

    return _beginning(study_names(), incomplete)


def complete_stored(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the studies of the store that `--store` names, else of the default one; none where there is no store."""
    from lrbench.errors import LRBenchError
    from lrbench.store import open_store

    try:
        with open_store(context.params.get("store"), must_exist=True) as store:
            return _beginning(
                dict.fromkeys(entry.name for entry in store.studies() if entry.parent is None), incomplete
            )
    except LRBenchError:
        return []


def complete_policy(incomplete: str) -> list[str]:
    """Complete catalogs and studies, and behind one of them its policies."""
    from lrbench.cli.policies import named_policies
    from lrbench.policy import catalogs
    from lrbench.study.file import study_names

    name, slash, _ = incomplete.partition("/")
    names = [*catalogs(), *study_names()]
    known = [f"{name}/{policy}" for policy in named_policies(name)] if slash and name in names else names
    return _beginning(known, incomplete)


def complete_shown(incomplete: str) -> list[str]:
    """Complete functions, and what else may be drawn."""
    from lrbench.policy import functions

    return [*_beginning(functions(), incomplete), *complete_policy(incomplete)]


def complete_task(incomplete: str) -> list[str]:
    """Complete registered tasks."""
    from lrbench.tasks.registry import tasks

    return _beginning(tasks, incomplete)


def complete_goal(incomplete: str) -> list[str]:
    """Complete the goals of a recommendation."""
    from lrbench.advice import GOALS

    return [*_beginning(GOALS, incomplete), *complete_by(incomplete)]


def complete_by(incomplete: str) -> list[str]:
    """Complete the goals that rank a study."""
    from lrbench.metrics.goal import metrics_by_goal

    return _beginning(metrics_by_goal(), incomplete)


def complete_plot(incomplete: str) -> list[str]:
    """Complete the kinds of plots."""
    from lrbench.cli.commands.report import plot_kinds

    return _beginning(plot_kinds(), incomplete)


def complete_page(incomplete: str) -> list[str]:
    """Complete the pages of the guide."""
    from lrbench.cli.commands.guide import pages

    return _beginning(pages(), incomplete)
