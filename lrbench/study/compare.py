"""Two policies of a study side by side, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lrbench.errors import StudyError, did_you_mean
from lrbench.metrics import Interval, PolicyRuns, paired_interval
from lrbench.store import Store
from lrbench.study.results import StudyRuns


@dataclass(frozen=True)
class Comparison:
    """The paired differences between two policies on one task.

    Attributes:
        differences: by metric, the 95% t interval of the first policy's value minus the second's, over the seeds
            where both have one.
    """

    task: str
    first: str
    second: str
    differences: Mapping[str, Interval]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare_two(study: str, first: str, second: str, store: Store) -> tuple[Comparison, ...]:
    """Compare two policies of a study, each named as in the study or by its text; one comparison a task.

    Raises:
        StudyError: the study has no such policy, or one of the two has no run that has ended.
        StoreError: the store has no study of that name, or cannot be read.
    """
    evidence = StudyRuns.of(study, store)
    one, other = _name(evidence, first), _name(evidence, second)
    comparisons = []
    for task in evidence.tasks:
        contenders = {contender.name: contender for contender in evidence.contenders(evidence.records(task, "main"))}
        for name in (one, other):
            if name not in contenders:
                raise StudyError(f"policy '{name}' of study '{study}' has no run on '{task.name}' that has ended")
        differences = _differences(contenders[one], contenders[other])
        comparisons.append(Comparison(task.name, one, other, differences))
    return tuple(comparisons)


def _name(evidence: StudyRuns, wanted: str) -> str:
    """Return the label of a row, which is given by itself or by the text of its policy."""
    names = list(evidence.rows)
    labels = {policy.policy: policy.name for policy in evidence.record.policies} | {name: name for name in names}
    if wanted in labels:
        return labels[wanted]
    raise StudyError(
        f"study '{evidence.name}' has no policy '{wanted}'{did_you_mean(wanted, names)}; "
        f"it has: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
    )


def _differences(one: PolicyRuns, other: PolicyRuns) -> dict[str, Interval]:
    ones, others = ({run.seed: run.figures() for run in contender.runs} for contender in (one, other))
    seeds = sorted(ones.keys() & others.keys())
    names = dict.fromkeys(name for seed in seeds for name in (*ones[seed], *others[seed]))
    return {name: paired_interval(_column(ones, seeds, name), _column(others, seeds, name)) for name in names}


def _column(figures: Mapping[int, Mapping[str, float | None]], seeds: Sequence[int], name: str) -> list[float]:
    values = (figures[seed].get(name) for seed in seeds)
    return [math.nan if value is None else float(value) for value in values]
