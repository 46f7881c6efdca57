"""The scorecard of a policy: its metrics over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.display.table import Column, Table
from lrbench.errors import StudyError
from lrbench.metrics.direction import Better
from lrbench.metrics.goal import TO_TARGET
from lrbench.metrics.metric import METRICS, expected_metrics
from lrbench.metrics.runs import TOP1, Curve, PolicyRuns, RunRecord, arrivals, columns_of
from lrbench.metrics.statistics import NOTHING_KNOWN, UNKNOWN, Bounds, Interval, proportion_interval, t_intervals
from lrbench.metrics.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Scorecard(Readable):
    """One policy over its seeds.

    Runs that diverged, and scores that are NaN or infinitely bad, count as chance in the objective's two scores;
    diverged runs are left out of every other metric. The `n` of a metric counts the runs behind it. A metric that does
    not exist is None. Intervals are clipped to the bounds of their metric.
    """

    name: str
    policy: str
    """The policy's text."""
    n: int
    """Runs, finished or diverged."""
    verdict: Verdict | None
    """None where the policy was not compared with others."""
    metrics: Mapping[str, Interval]
    """The expected metrics; before them `val_<objective>` and `test_<objective>` where the objective is the task's own;
    after them the others of the runs."""
    objective: str = TOP1
    reached: int | None = None
    """Runs that reached the target; None without a target. `steps_to_target` has a mean only if all reached it, since
    the mean of those that did would flatter a policy that often fails."""
    better: Better = "higher"
    """Which way the objective is better."""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    """The verdicts by goal, of which `verdict` is the first."""
    not_finite: int = 0
    """Finished runs whose objective is NaN or infinite on validation or test."""

    @property
    def val(self) -> Interval:
        """The objective on the validation split, by which policies are ranked and judged."""
        return self.metrics[f"val_{self.objective}"]

    @property
    def test(self) -> Interval:
        """The objective on the test split, which is reported."""
        return self.metrics[f"test_{self.objective}"]

    def to_json(self) -> dict[str, Any]:
        """Return an entry of the list `policies` that `lrbench run --json` prints."""
        metrics = {name: interval.to_json() for name, interval in self.metrics.items()}
        metrics["steps_to_target"]["reached"] = self.reached
        return {
            "name": self.name,
            "policy": self.policy,
            "n": self.n,
            "not_finite": self.not_finite,
            "verdict": None if self.verdict is None else self.verdict.label,
            **({"look": None, "within": None, "beyond": None} if self.verdict is None else self.verdict.numbers()),
            "verdicts": {goal: {"verdict": one.label, **one.numbers()} for goal, one in self.verdicts.items()},
            "metrics": metrics,
        }

    def row(self) -> dict[str, Any]:
        """Return the card as a row of `to_frame`."""
        row: dict[str, Any] = {
            "name": self.name,
            "policy": self.policy,
            "verdict": None if self.verdict is None else self.verdict.label,
            "reason": None if self.verdict is None else self.verdict.reason,
            "seeds": self.n,
            "reached": self.reached,
            "objective": self.objective,
            "better": self.better,
        }
        for name, interval in {"val": self.val, "test": self.test, **self.metrics}.items():
            row |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return row

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame of one row; `pandas.concat` joins those of several cards.

        Its columns: name, policy, verdict and reason (None where the policy was not compared), seeds (how many runs),
        reached (how many of them reached the target), objective, better; the mean of the objective as `val` and `test`
        and of every metric by its name, each with the ends of its 95% interval as `<name>_low` and `<name>_high`.
        """
        import pandas as pd

        return pd.DataFrame([self.row()])

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        """List the metrics that are known, one a line, with the 95% interval over seeds and the spread between them."""
        yield from self._heading()
        yield ""
        rows = []
        for name, interval in self.metrics.items():
            if not interval.n:
                continue
            numbers = (interval.mean, interval.low, interval.high, interval.sd)
            shown = (UNKNOWN if number is None else format(number, _form(interval)) for number in numbers)
            rows.append((name, *shown, f"{interval.n}"))
        titles = (Column(title, right=True) for title in ("mean", "low", "high", "seed sd", "n"))
        yield Table((Column(""), *titles), rows)

    def _heading(self) -> list[str]:
        heading = [self.policy if self.name == self.policy else f"{self.name}: {self.policy}"]
        seeds = many(self.n, "seed")
        if self.verdict is not None:
            seeds += f", {self.verdict.label}: {self.verdict.reason}"
        heading.append(seeds)
        if self.reached is not None:
            heading.append(f"{self.reached} of {self.n} reached the target")
        if self.not_finite:
            heading.append(f"{self.objective} is NaN or infinite in {self.not_finite} of {self.n}")
        return heading


def summarise(
    name: str,
    policy: str,
    runs: Sequence[RunRecord],
    *,
    target: float | None = None,
    level: float = 0.95,
) -> Scorecard:
    """Make the scorecard of one policy.

    Args:
        runs: one a seed; there may be none.
        target: the validation score to which `steps_to_target` counts.
        level: of the intervals.

    Raises:
        StudyError: two runs have the same seed, or they differ in their objective.
    """
    return scorecards([PolicyRuns(name, policy, tuple(runs))], target=target, level=level)[0]


def scorecards(
    contenders: Sequence[PolicyRuns], *, target: float | None = None, level: float = 0.95
) -> list[Scorecard]:
    """Make the scorecards of policies with one objective, as `summarise` does that of one; all are computed together.

    Raises:
        StudyError: as `summarise`.
    """
    for one in contenders:
        seeds = [run.seed for run in one.runs]
        if len(set(seeds)) < len(seeds):
            twice = ", ".join(map(str, sorted(seeds)))
            raise StudyError(f"the runs of {one.name} must have different seeds, but have {twice}")
    runs = [run for one in contenders for run in one.runs]
    objective, better = objective_of(runs), runs[0].better if runs else "higher"
    counts = [len(one.runs) for one in contenders]
    is_run = np.arange(max(counts, default=0)) < np.array(counts, dtype=np.int64)[:, None]
    figures, unknown = columns_of(runs), np.full(len(runs), np.nan)

    def over_seeds(figure: str, values: NDArray[np.float64]) -> list[Interval]:
        table = np.full(is_run.shape, np.nan)
        table[is_run] = values
        return t_intervals(table, level, bounds_of(figure, runs))

    own = () if objective == TOP1 else (f"val_{objective}", f"test_{objective}")
    always = (*own, *expected_metrics())
    extra = sorted(figures.keys() - {*always})
    columns = {name: over_seeds(name, figures.get(name, unknown)) for name in (*always, *extra)}
    steps = unknown if target is None else np.array(arrivals(runs, target), dtype=np.float64)
    to_target = over_seeds(TO_TARGET, steps)
    cards = []
    for place, one in enumerate(contenders):
        metrics = {name: columns[name][place] for name in always}
        metrics |= {name: columns[name][place] for name in extra if columns[name][place].n}
        metrics["divergence_rate"] = proportion_interval(sum(run.diverged for run in one.runs), len(one.runs), level)
        reached = None if target is None else to_target[place].n
        if reached is not None:
            metrics[TO_TARGET] = to_target[place] if reached == len(one.runs) else NOTHING_KNOWN
        lost = sum(not run.is_finite for run in one.runs)
        cards.append(
            Scorecard(one.name, one.policy, len(one.runs), None, metrics, objective, reached, better, not_finite=lost)
        )
    return cards


def bounds_of(figure: str, runs: Sequence[RunRecord]) -> Bounds | None:
    """Return the bounds of a metric of these runs, of which those of the objective may be the task's own."""
    scores = {(run.objective, run.bounds) for run in runs} if figure.startswith(("val_", "test_")) else ()
    own = (bounds for objective, bounds in scores if figure in (f"val_{objective}", f"test_{objective}"))
    declared = next((bounds for bounds in own if bounds is not None), None)
    return METRICS[figure].bounds if declared is None and figure in METRICS else declared


def score_curves(
    curves: Iterable[Sequence[tuple[int, float]]],
    *,
    name: str = "curves",
    policy: str = "",
    objective: str = TOP1,
    target: float | None = None,
    chance: float | None = None,
    level: float = 0.95,
    better: Better = "higher",
) -> Scorecard:
    """Make a scorecard of curves that were logged elsewhere; metrics that do not follow from a curve are empty.

    Args:
        curves: one a seed, each a sequence of (iteration, validation score) with rising iterations.
            A curve that ends in a score that is not finite has diverged.
        objective: the name of the score.
        target: as for `summarise`.
        chance: the score as which a diverged curve counts; it is left out if None.
        better: which way the score is better.

    Raises:
        StudyError: a curve is empty or its iterations do not rise.
    """
    runs = [_run_of_curve(seed, curve, objective, chance, better) for seed, curve in enumerate(curves)]
    return summarise(name, policy or name, runs, target=target, level=level)


def objective_of(runs: Iterable[RunRecord]) -> str:
    """Return the objective that all runs share, top-1 of no runs.

    Raises:
        StudyError: they differ.
    """
    objectives = sorted({(run.objective, run.better) for run in runs})
    if len(objectives) > 1:
        known = ", ".join(name if better == "higher" else f"{name} (lower is better)" for name, better in objectives)
        raise StudyError(f"runs to be summarised together must have one objective, but have {known}")
    return objectives[0][0] if objectives else TOP1


def _run_of_curve(
    seed: int, curve: Sequence[tuple[int, float]], objective: str, chance: float | None, better: Better
) -> RunRecord:
    steps = [step for step, _ in curve]
    if not steps or any(later <= earlier for earlier, later in pairwise(steps)):
        raise StudyError(f"curve {seed} must have at least one point and rising iterations, but has {steps[:10]}")
    last_step, last_score = curve[-1]
    finished = math.isfinite(last_score)
    return RunRecord(
        seed=seed,
        status="finished" if finished else "diverged",
        steps=last_step,
        diverged_at=None if finished else last_step,
        curve=Curve(steps, [float(score) for _, score in curve]),
        final={f"val_{objective}": float(last_score)} if finished else {},
        chance=chance,
        objective=objective,
        better=better,
    )


def _form(interval: Interval) -> str:
    size = abs(interval.mean or 0.0)
    return ".3e" if size >= 1e7 else ",.4f" if size < 10 else ",.1f" if size < 1000 else ",.0f"
