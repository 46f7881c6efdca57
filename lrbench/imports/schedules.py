"""The learning-rate policies of runs, of which lrbench exported the text, or whose learning rates were logged."""

from __future__ import annotations

import numpy as np

from lrbench.display.names import many
from lrbench.errors import PolicyError
from lrbench.imports.table import Runs
from lrbench.policy.policy import FloatArray, IntArray, Policy
from lrbench.policy.recognition import CLOSE, misfit, recognize
from lrbench.policy.table import TABLE

MOST_RECOGNIZED = 20
"""The most policies of a task whose schedules are searched for."""


def schedules_of(runs: Runs, task: str) -> tuple[dict[str, str], list[str]]:
    """Name the schedule of each policy: by its text where lrbench exported it, else as recognized in its first run.

    Returns:
        The text of the schedules that are known functions, by policy; and remarks on others, and on runs of a policy
        that differ in their learning rates; a schedule that most of them did not have is not named.
    """
    found, remarks = dict(runs.texts), []
    if "lr" not in runs.table:
        return found, []
    is_asked = (runs.table["task"] == task) & ~runs.table["policy"].isin(found)
    rows = runs.table[is_asked & runs.table["lr"].notna()]
    for number, (name, own) in enumerate(rows.groupby("policy", sort=False)):
        if number == MOST_RECOGNIZED:
            remarks.append(f"The schedules of policies after the first {MOST_RECOGNIZED} were not looked at.")
            break
        kept = own.drop_duplicates(["seed", "step"], keep="last").sort_values("step")
        logs = [(run["step"].to_numpy(np.int64), run["lr"].to_numpy(np.float64)) for _, run in kept.groupby("seed")]
        try:
            policy = recognize(*logs[0])
        except PolicyError:
            policy = TABLE(values=[0.0])
        if isinstance(policy, TABLE):
            remarks.append(f"{name}: its learning rates are of no known function.")
        others = sum(_differ(policy, logs[0], log) for log in logs[1:])
        if not isinstance(policy, TABLE) and others <= len(logs) / 2:
            found[str(name)] = str(policy)
        if others:
            remarks.append(
                f"{name}: {others:,} of its {many(len(logs), 'run')} had other learning rates than its first."
            )
    return found, remarks


def _differ(policy: Policy, one: tuple[IntArray, FloatArray], other: tuple[IntArray, FloatArray]) -> bool:
    """Return whether a log differs from a policy, or where that is a table from the one that it is of."""
    if not isinstance(policy, TABLE):
        return misfit(policy, *other) > 2 * CLOSE
    _, here, there = np.intersect1d(one[0], other[0], return_indices=True)
    return not np.allclose(one[1][here], other[1][there], rtol=2 * CLOSE, atol=1e-7 * one[1].max())
