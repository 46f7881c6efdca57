"""Verdicts on runs from elsewhere: which policies are good, which to avoid, and which beat a baseline.

Runs that are named by their seeds, of which every two policies share at least two, are compared seed by seed; all
others by the procedure for unpaired runs (`metrics/pairs.py`). With a target, seeds or pairs of runs are counted, as in
a study by iterations to it, whether or not a run misses it: t tests wherever no run does claim what is false in 13% of
studies of three runs each, where a policy misses the target half of the time. The runs that there are make one look:
what the claims of one look are worth after more runs were added until a claim appeared, `metrics/looks.py` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from lrbench.display.readable import LINE_WIDTH, Block, Readable
from lrbench.display.table import Cell, Column, Table
from lrbench.errors import StudyError, unknown_name
from lrbench.imports.choice import TaskCurves, curves_by_task, share_seeds
from lrbench.imports.read import Source, runs_from
from lrbench.imports.reading import Reading, ReadingArguments
from lrbench.imports.schedules import schedules_of
from lrbench.imports.table import Curve, Runs
from lrbench.metrics.direction import Better, as_gain
from lrbench.metrics.goal import Criterion, Margin
from lrbench.metrics.pairs import FloatArray, Signs, Test, resolution_of
from lrbench.metrics.statistics import NOTHING_KNOWN, Interval, fewest_to_agree, holm, t_interval
from lrbench.metrics.verdict import Verdict
from lrbench.metrics.verdict import judge as verdicts_of
from lrbench.signatures import spells_out

ALPHA = 0.05
POWER = 0.8
MOST_POLICIES = 1000
STYLES = {"good": "bold green", "better": "bold green", "avoid": "red", "worse": "red", "undecided": "yellow"}
CLAIMS = ("good", "better")
LARGEST_EFFECT = 1e6
LOWER: Better = "lower"

Flags = NDArray[np.bool_]
Relation = Literal["better", "worse", "same", "undecided"]


@dataclass(frozen=True)
class AgainstBaseline:
    """The comparison of a policy with the baseline.

    Attributes:
        claim: better or worse by more than the margin, or the same: within the margin. Each kind of claim has an error
            rate of 5% over all policies of a task.
        difference: the policy's score minus the baseline's, with its plain 95% interval.
    """

    claim: Relation
    difference: Interval
    p_better: float
    p_worse: float
    p_same: float

    def to_json(self) -> dict[str, Any]:
        p = {"p_better": self.p_better, "p_worse": self.p_worse, "p_same": self.p_same}
        return {"claim": self.claim, "difference": self.difference.to_json(), **p}


@dataclass(frozen=True)
class JudgedPolicy:
    """What was found of one policy on one task.

    Attributes:
        n: its runs.
        diverged: those of them that ended with a value that is not finite.
        score: the mean over its other runs with its 95% interval.
        reached: how many runs reached the target; None without a target.
        schedule: the policy that its runs were exported with, or that of the learning rates that they logged, as text;
            None where they have none, or are of no known function.
    """

    name: str
    n: int
    diverged: int
    score: Interval
    verdict: Verdict
    reached: int | None
    against: AgainstBaseline | None
    schedule: str | None

    def to_json(self) -> dict[str, Any]:
        verdict = self.verdict
        return {
            "policy": self.name,
            "schedule": self.schedule,
            "n": self.n,
            "diverged": self.diverged,
            "reached": self.reached,
            "score": self.score.to_json(),
            "verdict": verdict.label,
            "reason": verdict.explanation,
            "behind_best": verdict.gap.to_json(),
            "p_good": verdict.p_good,
            "p_avoid": verdict.p_avoid,
            "runs_needed": verdict.seeds_needed,
            **verdict.numbers(),
            "against": None if self.against is None else self.against.to_json(),
        }


@dataclass(frozen=True)
class JudgedTask:
    """The verdicts of one task, its policies from the best to the worst.

    Attributes:
        noise_floor: the true difference, beyond the margin, that as many runs as these find with 80% chance.
    """

    task: str
    metric: str
    better: Better
    margin: Margin
    paired: bool
    policies: tuple[JudgedPolicy, ...]
    noise_floor: Margin | None
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "metric": self.metric,
            "better": self.better,
            "margin": self.margin.size,
            "margin_of_best": self.margin.of_best,
            "paired": self.paired,
            "noise_floor": None if self.noise_floor is None else self.noise_floor.size,
            "policies": [policy.to_json() for policy in self.policies],
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True, repr=False)
class Judged(Readable):
    """The verdicts on runs from elsewhere."""

    tasks: tuple[JudgedTask, ...]
    baseline: str | None
    remarks: tuple[str, ...]

    def holds(self, claim: str) -> bool:
        """Return whether a claim can be made on every task.

        Args:
            claim: "good:NAME", NAME is within the margin of the best; or "better:NAME", it is better than the baseline
                by more than the margin. The name may be left out where there is one policy beside the baseline.

        Raises:
            StudyError: there is no such claim or policy, or no baseline.
        """
        kind, colon, name = claim.partition(":")
        if kind not in CLAIMS:
            raise StudyError(f"{unknown_name('claim', kind, CLAIMS)}, as in good:NAME")
        if kind == "better" and self.baseline is None:
            raise StudyError("the claim 'better' needs a baseline to compare with")
        others = sorted({policy.name for task in self.tasks for policy in task.policies} - {self.baseline})
        if not colon and len(others) != 1:
            raise StudyError(f"the claim '{kind}' needs a name, as in {kind}:{others[0] if others else 'NAME'}")
        wanted = name if colon else others[0]
        if wanted not in (*others, self.baseline) or (kind == "better" and wanted == self.baseline):
            raise StudyError(unknown_name("policy", wanted, others))
        found = [next((one for one in task.policies if one.name == wanted), None) for task in self.tasks]
        if kind == "good":
            return all(one is not None and one.verdict.label == "good" for one in found)
        return all(one is not None and one.against is not None and one.against.claim == "better" for one in found)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "baseline": self.baseline,
            "tasks": [task.to_json() for task in self.tasks],
            "remarks": list(self.remarks),
        }

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        for task in self.tasks:
            yield self._table(task).fitted(width)
            named = [one for one in task.policies if one.schedule not in (None, one.name)]
            yield from (f"{one.name} ran {one.schedule}" for one in named)
            yield from task.remarks
            yield ""
        yield from self.remarks

    def _table(self, task: JudgedTask) -> Table:
        form = _form([policy.score for policy in task.policies])
        has_target = any(policy.reached is not None for policy in task.policies)
        columns = [Column("policy"), Column("verdict"), Column("n", right=True)]
        columns += [Column("reached", right=True)] if has_target else []
        columns += [Column(task.metric, right=True)]
        columns += [Column("behind the best", right=True), Column("runs to decide", right=True)]
        if self.baseline is not None:
            columns += [Column(f"minus {self.baseline}", right=True), Column("and so")]
        rows = []
        for policy in task.policies:
            verdict, against = policy.verdict, policy.against
            row = [
                Cell(policy.name),
                Cell(verdict.label, STYLES[verdict.label]),
                Cell(f"{policy.n:,}"),
                *([Cell(f"{policy.reached:,}")] if has_target else []),
                Cell(f"{policy.score:{form}}"),
                Cell(f"{verdict.gap:+{form}}"),
                Cell("" if verdict.seeds_needed is None else f"{verdict.seeds_needed:,}"),
            ]
            if self.baseline is not None:
                claim = "" if against is None else against.claim
                row += [
                    Cell("" if against is None else f"{against.difference:+{form}}"),
                    Cell(claim, STYLES.get(claim, "")),
                ]
            rows.append(row)
        where = f"{task.task}: " if task.task else ""
        how = "paired by seed" if task.paired else "unpaired"
        return Table(columns, rows, f"{where}{task.metric}, {task.better} is better, margin {task.margin}, {how}")


@spells_out(ReadingArguments, Reading)
def judge(
    runs: Source, *, against: str | None = None, task: str | None = None, **reading: Unpack[ReadingArguments]
) -> Judged:
    """Judge policies by runs from elsewhere; nothing is trained or stored.

    A run counts by its last value, or, with a target, by the steps to it.

    Args:
        runs: a file or folder, as for `read`; a DataFrame in long form; or the scores of each policy, one a run.
        against: the policy that the others are compared with.
        task: judge this task only.
        reading: the fields of a `Reading`: metric, better, margin, target, columns, pattern, wide, paired. With a
            target fewer steps are better, and the margin is in steps.

    Raises:
        StudyError: the runs cannot be read, or what is asked for is not there.
    """
    asked = Reading(**reading)
    source = runs_from(runs, asked)
    tasks, counted = curves_by_task(source, asked.metric, asked.better, task)
    judged = tuple(_judge_task(one, source, asked, against) for one in tasks)
    remarks = [*source.remarks, *counted]
    if len(tasks) > 1:
        remarks.append("Claims are per task: each task has an error rate of 5% of its own.")
    remarks.append("One look: the error rate of 5% is that of runs whose number was not chosen by what they show.")
    return Judged(judged, against, tuple(remarks))


def _judge_task(own: TaskCurves, source: Runs, asked: Reading, against: str | None) -> JudgedTask:
    task, metric, direction, curves = own.task, own.metric, own.better, own.curves
    margin, target, paired = asked.distance, asked.target, asked.paired
    remarks = []
    lengths = {int(curve.steps[-1]) for curve in curves if len(curve.steps)}
    if target is None and len(lengths) > 1:
        remarks.append(
            f"Runs end at different steps, from {min(lengths):,} to {max(lengths):,}: each counts by its last value."
        )
    scores, fell = _scores(curves, source, direction, target)
    names = list(scores)
    if len(names) > MOST_POLICIES:
        raise StudyError(f"there are {len(names):,} policies, at most {MOST_POLICIES:,} can be judged")
    if against is not None and against not in scores:
        raise StudyError(f"{f'on {task}: ' if task else ''}{unknown_name('policy', against, names)}")
    is_paired = (source.have_seeds if paired is None else paired) and share_seeds(scores.values())
    if (paired or (paired is None and source.have_seeds)) and not is_paired and len(names) > 1:
        remarks.append("Some policies share fewer than two seeds, so that all are judged as unpaired.")
    by_steps = target is not None
    figure, ranked = (f"steps to {target:g}", LOWER) if target is not None else (metric, direction)
    goal = Criterion(figure, figure, ranked, margin, is_censored=by_steps, paired=is_paired)
    test = goal.test
    # A run that reached the target counts, however it ended.
    raw, diverged = _arrays(scores, {} if by_steps else fell, is_paired)
    missed: Flags = np.isinf(raw)
    if by_steps:
        remarks += _too_few(test, [len(own) for own in scores.values()])
    if margin.of_best and (raw[np.isfinite(raw)] <= 0).any():
        raise StudyError(f"a margin of {margin} of the best needs positive values of '{figure}': give it in its unit")
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.vectorize(as_gain, otypes=[np.float64])(np.log(raw) if margin.of_best else raw, goal.better)
    claims = verdicts_of(gains, goal.distance, ALPHA, diverged, test=test, shown=goal.margin_at)
    schedules, found = schedules_of(source, task)
    remarks += found
    intervals = [t_interval(row[np.isfinite(row)]) for row in raw]
    compared = _against(names, against, gains, raw, diverged, goal, test)
    policies = [
        JudgedPolicy(
            name=name,
            n=len(scores[name]),
            diverged=len(fell[name]),
            score=intervals[place] if not missed[place].any() else intervals[place].point._replace(mean=None),
            verdict=_in_units(claims[place], raw, place, test, goal.better),
            reached=int(np.isfinite(raw[place]).sum()) if by_steps else None,
            against=compared.get(name),
            schedule=schedules.get(name),
        )
        for place, name in enumerate(names)
    ]
    centers = np.nan_to_num(test.centers(gains), nan=-np.inf)
    share = np.isfinite(raw).sum(axis=1) / np.maximum([len(scores[name]) for name in names], 1)
    means = [-np.inf if interval.mean is None else as_gain(interval.mean, goal.better) for interval in intervals]
    order = sorted(range(len(names)), key=lambda i: (diverged[i].any(), -centers[i], -share[i], -means[i]))
    floor = _noise_floor(gains[~diverged.any(axis=1)], test)
    shown = None if floor is None else goal.margin_at(floor).rounded(up=True)
    if shown is not None:
        is_factor = shown.of_best and shown.size >= 1
        what = f"factor of {Margin(1 + shown.size).rounded(up=True).size:,g}" if is_factor else f"difference of {shown}"
        remarks.append(f"Noise floor: a {what} beyond the margin is found with a chance of 80%.")
    remarks += [f"{policies[i].name}: {claims[i].explanation}" for i in order if policies[i].n < 2 or diverged[i].any()]
    ranked_policies = tuple(policies[i] for i in order)
    return JudgedTask(task, figure, goal.better, margin, is_paired, ranked_policies, shown, tuple(remarks))


def _too_few(test: Test, runs: Sequence[int]) -> Iterator[str]:
    """Name the fewest runs with which counting them gives a claim, where policies have fewer."""
    others = len(runs) - 1
    to_good, to_avoid = (fewest_to_agree(ALPHA / tests) for tests in (max(others, 1), max(others * (others + 1), 1)))
    if others and min(runs) < to_avoid:
        yield (
            f"{'Seeds' if test is Signs else 'Pairs of runs'} are counted: where all agree, 'good' and 'better' need "
            f"{to_good} {test.unit} of each policy, and 'avoid' needs {to_avoid}."
        )


def _scores(
    curves: Sequence[Curve], source: Runs, better: Better, target: float | None
) -> tuple[dict[str, dict[str, float]], dict[str, set[str]]]:
    """Return the score of each run by policy and seed, infinite where it misses the target, and the diverged runs."""
    scores: dict[str, dict[str, float]] = {}
    fell: dict[str, set[str]] = {}
    by_steps = target is not None
    best = max if better == "higher" and not by_steps else min
    worst = -math.inf if better == "higher" and not by_steps else math.inf
    for curve in curves:
        own, gone = scores.setdefault(curve.policy, {}), fell.setdefault(curve.policy, set())
        value = float(curve.values[-1]) if target is None else _steps_to(curve, better, target)
        unit = curve.seed.split("/")[0] if source.best_of else curve.seed
        own[unit] = best(own.get(unit, worst), worst if math.isinf(value) else value)
        is_gone = math.isinf(own[unit]) if not by_steps else not np.isfinite(curve.values[-1])
        (gone.add if is_gone else gone.discard)(unit)
    return scores, fell


def _steps_to(curve: Curve, better: Better, target: float) -> float:
    if not len(curve.steps):
        raise StudyError("a target needs steps, which these runs do not have")
    good = np.isfinite(curve.values) & (curve.values >= target if better == "higher" else curve.values <= target)
    return float(curve.steps[np.argmax(good)]) if good.any() else math.inf


def _arrays(
    scores: Mapping[str, Mapping[str, float]], fell: Mapping[str, set[str]], paired: bool
) -> tuple[FloatArray, Flags]:
    """Lay scores out as [policies, runs], of which equal seeds are in one column where they are paired."""
    seeds = list(dict.fromkeys(seed for own in scores.values() for seed in own))
    width = len(seeds) if paired else max(map(len, scores.values()))
    raw, diverged = np.full((len(scores), width), np.nan), np.zeros((len(scores), width), dtype=bool)
    for row, (name, own) in enumerate(scores.items()):
        for place, (seed, value) in enumerate(own.items()):
            column = seeds.index(seed) if paired else place
            diverged[row, column] = seed in fell.get(name, ())
            raw[row, column] = np.nan if diverged[row, column] else value
    return raw, diverged


def _in_units(verdict: Verdict, raw: FloatArray, place: int, test: Test, better: Better) -> Verdict:
    """Give the gap of a verdict in the unit of the metric, positive where the policy is behind."""
    if verdict.rival is None:
        return verdict
    one, other = (verdict.rival, place) if better == "higher" else (place, verdict.rival)
    return replace(verdict, gap=_difference(raw[one], raw[other], test))


def _difference(one: FloatArray, other: FloatArray, test: Test) -> Interval:
    """Return the difference of two policies; it is not known where a run missed the target."""
    if np.isinf(one).any() or np.isinf(other).any():
        return NOTHING_KNOWN
    return test.intervals(one, other[None])[0]


def _against(
    names: Sequence[str],
    baseline: str | None,
    gains: FloatArray,
    raw: FloatArray,
    diverged: Flags,
    goal: Criterion,
    test: Test,
) -> dict[str, AgainstBaseline]:
    """Compare every policy with the baseline; Holm's procedure over them for each kind of claim."""
    if baseline is None:
        return {}
    base = names.index(baseline)
    others = [place for place in range(len(names)) if place != base]
    finished = np.where(diverged.any(axis=1, keepdims=True), np.nan, gains)
    pairs = test.of(finished, resolution_of(finished))
    beyond, within = pairs.p_beyond(goal.distance), pairs.p_within(goal.distance)
    better, worse = holm(beyond[others, base]), holm(beyond[base, others])
    same = holm(np.maximum(within[others, base], within[base, others]))
    found = {}
    for i, up, down, equal in zip(others, better, worse, same, strict=True):
        claims: dict[Relation, float] = {"better": float(up), "worse": float(down), "same": float(equal)}
        claim: Relation = next((name for name, p in claims.items() if p <= ALPHA), "undecided")
        difference = _difference(raw[i], raw[base], test)
        found[names[i]] = AgainstBaseline(claim, difference, float(up), float(down), float(equal))
    return found


def _noise_floor(gains: FloatArray, test: Test) -> float | None:
    """Return the true difference that a test of a typical pair finds with 80% chance; None where it is not known.

    The pair has the median spread and number of runs, and the level of `avoid` among all policies.
    """
    k = len(gains)
    pairs = test.of(gains, resolution_of(gains))
    if k < 2 or isinstance(pairs, Signs):
        return None
    off = ~np.eye(k, dtype=bool) & np.isfinite(pairs.sd) & (pairs.sd > 0) & (pairs.n >= 2)
    if not off.any():
        return None
    runs, level = int(np.median(pairs.n[off])), ALPHA / (k * (k - 1))
    low, high = 0.0, 1.0
    while test.power(high, runs, level) < POWER:
        high *= 2
        if high > LARGEST_EFFECT:
            return None
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if test.power(middle, runs, level) >= POWER else (middle, high)
    return high * float(np.median(pairs.sd[off]))


def _form(scores: Sequence[Interval]) -> str:
    """Return a format with two significant digits of the narrowest half-width that is known."""
    widths = [(one.high - one.low) / 2 for one in scores if one.high is not None and one.low is not None]
    positive = [width for width in widths if width > 0]
    digits = 1 - math.floor(math.log10(float(np.median(positive)))) if positive else 4
    return f".{min(max(digits, 0), 8)}f"
