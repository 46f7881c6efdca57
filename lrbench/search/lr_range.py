"""Where the learning rate of a task lives: the range in which a constant LR learns, measured by short runs.

Two kinds of runs answer it, with several seeds each. A *sweep* raises the LR within one run from far too low to far
too high (Smith 2017, arXiv 1506.01186): a few runs tell about where to look, but what a rate does late in a sweep
depends on what came before it. *Constant* rates, each trained from the start, have no such memory: LRBench tries the
powers of ten and refines between them, and the range is read off these runs.

How it is read is our reconstruction. Per seed, let L(k) be the mean training loss over the last two fifths of the run
with the constant LR k, L0 the loss before anything is learnt, and fall(k) = (L0 - L(k)) / (L0 - min L): 1 for the rate
that learns most in so many iterations, 0 for one that learns nothing, -1 where the run diverged. Then, each by linear
interpolation in log k between neighbouring rates,

    low     the least rate with fall >= 1/2, below it training is slow
    high    the largest rate with fall >= 9/10, above it learning suffers
    cliff   the rate from which on fall < 1/10: nothing is learnt, or training diverges

and the reported figure is the median over seeds. The loss is steep where it crosses these levels, so that noise in it
moves a crossing little; a median does not follow one odd seed; and training loss does not mistake overfitting for
instability. That is what makes two sets of seeds agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Literal

from lrbench.errors import TaskError
from lrbench.policy import FIX, GEOMETRIC, LINEAR
from lrbench.study.study import Entry, Study

if TYPE_CHECKING:
    from lrbench.policy import Policy
    from lrbench.search.bench import Bench
    from lrbench.study.store import StoredRun
    from lrbench.tasks import Task

SLOW, FULL, DEAD = 0.5, 0.9, 0.1
"""The falls at which the range begins, at which it ends, and below which nothing is learnt."""

DIVERGED = -1.0
"""The fall of a run that diverged."""

RANGE_SEEDS = (0, 1, 2)
"""The seeds of a range test that something else asks for, so that all that do share its runs."""

CONSTANT, SWEEP = "range test of ", " sweep of "
"""What the names of its studies begin with, and what follows how a sweep rises in theirs."""

FEWEST_STEPS = 20
FEWEST_DEFAULT_STEPS, MOST_DEFAULT_STEPS = 100, 500
SWEEP_EVALUATIONS = 25
RUN_EVALUATIONS = 5
LAST_EVALUATIONS = 2
EVALUATED_SAMPLES = 1000
"""The range comes from the losses of training; accuracies, shown beside it, are of so many samples at most."""

PER_DECADE = 4
"""Rates are powers of 10^(1/4), and known by their exponents in quarters: 0 is 1, 4 is 10, -8 is 0.01."""

LOWEST, HIGHEST = -8 * PER_DECADE, 3 * PER_DECADE
"""No rate outside of these is tried."""

LEAST_FALL = 0.02
"""A loss that no rate lowers by this share of it has not begun to fall."""

Sweep = Literal["exponential", "linear"]
SWEEPS: tuple[Sweep, ...] = ("exponential", "linear")

Falls = Sequence[tuple[float, float]]
"""Learning rates, rising, and how far each lowers the loss: 1 as far as the best of them, 0 not at all."""


@dataclass(frozen=True)
class Estimate:
    """A learning rate with its spread: the median over seeds, and what each seed alone says."""

    value: float
    per_seed: tuple[float, ...]

    @property
    def spread(self) -> float:
        """The factor between the largest and the least estimate of a seed, at least 1."""
        return max(self.per_seed) / min(self.per_seed)

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "per_seed": list(self.per_seed), "spread": self.spread}


@dataclass(frozen=True)
class ConstantRun:
    """A short run with one learning rate.

    Attributes:
        loss: mean training loss over the last two fifths of the run; None where it diverged.
        score: the validation objective at the end; None where it diverged.
        steps: the iterations that were trained.
    """

    lr: float
    seed: int
    loss: float | None
    score: float | None
    steps: int


@dataclass(frozen=True)
class SweepRun:
    """A run through all learning rates.

    Attributes:
        lrs: for each evaluation, the rate half way since the evaluation before.
        losses: mean training loss since the evaluation before.
        scores: the validation objective.
        diverged_at: the rate at which training diverged, if it did.
        steps: the iterations that were trained.
    """

    seed: int
    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    scores: tuple[float, ...]
    diverged_at: float | None
    steps: int


@dataclass(frozen=True)
class RangeTest:
    """The range of constant learning rates in which a task learns.

    Attributes:
        steps: iterations of each run.
        low, high, cliff: as the module says; `cliff` is None where no rate that was tried is too high.
        steps_spent: the iterations of all runs together, whenever they were trained.
        steps_trained: those that this call trained.
    """

    task: str
    objective: str
    steps: int
    seeds: tuple[int, ...]
    low: Estimate
    high: Estimate
    cliff: Estimate | None
    constant: tuple[ConstantRun, ...]
    sweeps: tuple[SweepRun, ...]
    steps_spent: int
    steps_trained: int = field(default=0, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The document of `lrbench range-test --json`."""
        return {
            "task": self.task,
            "objective": self.objective,
            "steps": self.steps,
            "seeds": list(self.seeds),
            "low": self.low.to_json(),
            "high": self.high.to_json(),
            "cliff": None if self.cliff is None else self.cliff.to_json(),
            "constant": [vars(run) for run in self.constant],
            "sweeps": [vars(run) for run in self.sweeps],
            "steps_spent": self.steps_spent,
        }

    def __str__(self) -> str:
        count = len(self.seeds)
        lines = [f"{self.task}: constant LRs over {self.steps:,} iterations, {count} seed{'s' * (count > 1)}"]
        for name, what, estimate in (
            ("low", "below it training is slow", self.low),
            ("high", "above it learning suffers", self.high),
            ("cliff", "nothing is learnt from there on", self.cliff),
        ):
            if estimate is None:
                lines.append(f"{name:6}{'–':>9}  no rate up to {max(run.lr for run in self.constant):.3g} is too high")
                continue
            ends = f"{min(estimate.per_seed):.3g} to {max(estimate.per_seed):.3g} by seed"
            lines.append(f"{name:6}{estimate.value:>9.3g}  {what}; {ends}")
        return "\n".join([*lines, f"{self.steps_spent:,} iterations were trained for it"])


def find_range(
    task: Task,
    bench: Bench,
    *,
    seeds: Sequence[int],
    steps: int | None = None,
    sweep: Sweep = "exponential",
    sweep_range: tuple[float, float] = (1e-6, 10.0),
) -> RangeTest:
    """Find the range of constant learning rates in which a task learns; the same seeds give the same range.

    Args:
        steps: iterations of each run; by default a fifth of the task's own, from 100 to 500.
        sweep: how the LR rises within a sweep.
        sweep_range: from where to where.

    Raises:
        TaskError: there are too few iterations, or no rate learns anything in them.
    """
    steps = default_steps(task) if steps is None else steps
    _check(task, seeds, steps, sweep, sweep_range)
    light = task.with_(data=task.data.evaluated_on(EVALUATED_SAMPLES))
    short = light.with_(steps=steps, eval_every=max(1, steps // RUN_EVALUATIONS))
    watched = light.with_(steps=steps, eval_every=max(1, steps // SWEEP_EVALUATIONS))
    sweeps, steps_trained = _swept(watched, bench, seeds, sweep, sweep_range)

    def tried(exponents: Iterable[int]) -> tuple[ConstantRun, ...]:
        nonlocal steps_trained
        runs, trained = _constant(short, bench, seeds, sorted(exponents))
        steps_trained += trained
        return runs

    exponents = _decades(sweeps)
    runs = tried(exponents)
    while beyond := _beyond(exponents, _falls(runs, sweeps)):
        exponents |= beyond
        runs = tried(exponents)
    _check_learnt(short, runs, sweeps)
    for width in (PER_DECADE, PER_DECADE // 2):
        exponents |= _between(exponents, _falls(runs, sweeps), width)
        runs = tried(exponents)
    falls = _falls(runs, sweeps).values()
    return RangeTest(
        task=task.name,
        objective=task.objective,
        steps=steps,
        seeds=tuple(seeds),
        low=_estimate([below(fall, SLOW, upwards=False) or fall[0][0] for fall in falls]),
        high=_estimate([below(fall, FULL, upwards=True) or fall[-1][0] for fall in falls]),
        cliff=_cliff([below(fall, DEAD, upwards=True) for fall in falls]),
        constant=runs,
        sweeps=sweeps,
        steps_spent=sum(run.steps for run in runs) + sum(run.steps for run in sweeps),
        steps_trained=steps_trained,
    )


def belongs_to_a_range_test(study: str) -> bool:
    """Whether a study was trained to find a range: it compares constant rates over few iterations, not policies."""
    return study.startswith((CONSTANT, *(sweep + SWEEP for sweep in SWEEPS)))


def default_steps(task: Task) -> int:
    """Iterations of each run of a range test unless they are given."""
    return min(max(task.steps // 5, FEWEST_DEFAULT_STEPS), MOST_DEFAULT_STEPS)


def below(falls: Falls, level: float, *, upwards: bool) -> float | None:
    """The learning rate at which the fall sinks below a level on the way up (or down) from the best rate.

    Returns:
        It, interpolated in the logarithm of the rate; None where the fall stays at or above the level.
    """
    best = max(range(len(falls)), key=lambda place: falls[place][1])
    way = falls[best:] if upwards else falls[best::-1]
    for (inner, high), (outer, low) in pairwise(way):
        if low < level:
            share = (high - level) / (high - low) if high > level else 0.0
            return math.exp((1 - share) * math.log(inner) + share * math.log(outer))
    return None


def _check(task: Task, seeds: Sequence[int], steps: int, sweep: str, sweep_range: tuple[float, float]) -> None:
    where = f"range test of '{task.name}'"
    if not seeds:
        raise TaskError(f"{where}: give at least one seed")
    if steps < FEWEST_STEPS:
        raise TaskError(f"{where}: steps = {steps} must be at least {FEWEST_STEPS}")
    if sweep not in SWEEPS:
        raise TaskError(f"{where}: a sweep is exponential or linear, not {sweep!r}")
    low, high = sweep_range
    if not 0 < low < high < math.inf:
        raise TaskError(f"{where}: a sweep goes from a positive rate to a higher one, not from {low} to {high}")


def _swept(
    task: Task, bench: Bench, seeds: Sequence[int], sweep: Sweep, ends: tuple[float, float]
) -> tuple[tuple[SweepRun, ...], int]:
    """The sweeps, and how many iterations were trained for them now."""
    rising: Callable[..., Policy] = GEOMETRIC if sweep == "exponential" else LINEAR
    policy = rising(k0=ends[0], k1=ends[1], l="1dur")
    bound = policy.bind(task.steps, task.steps_per_epoch)
    runs, trained = _trained(f"{sweep}{SWEEP}{task.name}, {task.steps} steps", task, bench, seeds, {"sweep": policy})

    def swept(seed: int, run: StoredRun) -> SweepRun:
        middles = [(before + after) // 2 for before, after in pairwise([0, *(score.step for score in run.scores)])]
        return SweepRun(
            seed,
            tuple(bound(step) for step in middles),
            tuple(score.train_loss for score in run.scores),
            tuple(score.val_score for score in run.scores),
            None if run.diverged_at is None else bound(max(run.diverged_at - 1, 0)),
            run.step,
        )

    return tuple(swept(seed, run) for (_, seed), run in runs.items()), trained


def _constant(
    task: Task, bench: Bench, seeds: Sequence[int], exponents: Sequence[int]
) -> tuple[tuple[ConstantRun, ...], int]:
    """The runs with constant rates, and how many iterations were trained for them now."""
    rates = {f"{_rate(exponent):.4g}": _rate(exponent) for exponent in exponents}
    policies = {name: FIX(k0=rate) for name, rate in rates.items()}
    runs, trained = _trained(f"{CONSTANT}{task.name}, {task.steps} steps", task, bench, seeds, policies)

    def measured(name: str, seed: int, run: StoredRun) -> ConstantRun:
        if run.status != "finished":
            return ConstantRun(rates[name], seed, None, None, run.step)
        loss = fmean(score.train_loss for score in run.scores[-LAST_EVALUATIONS:])
        return ConstantRun(rates[name], seed, loss, run.scores[-1].val_score, run.step)

    return tuple(measured(name, seed, run) for (name, seed), run in runs.items()), trained


def _trained(
    name: str, task: Task, bench: Bench, seeds: Sequence[int], policies: Mapping[str, Policy]
) -> tuple[dict[tuple[str, int], StoredRun], int]:
    """The runs of policies by their names and seeds, trained where they were not, and how many iterations that took.

    Raises:
        TaskError: one of them failed.
    """
    entries = tuple(Entry(name, policy) for name, policy in policies.items())
    evidence, tally = bench.trained(Study(name=name, tasks=(task,), entries=entries, seeds=tuple(seeds)))
    for failure in evidence.failures(evidence.tasks[0]):
        raise TaskError(f"{name}: LR {failure.name}, seed {failure.seed} failed: {failure.error}")
    keys = {(member.entry, member.seed): member.run for member in evidence.members}
    runs = {(name, seed): evidence.runs[keys[name, seed]] for name in policies for seed in seeds}
    return runs, tally.steps_trained


def _rate(exponent: int) -> float:
    return float(10.0 ** (exponent / PER_DECADE))


def _decades(sweeps: Iterable[SweepRun]) -> set[int]:
    """The powers of ten from where the sweeps begin to learn to where they stop, and one more on either side."""
    starts, ends = zip(*(_bracket(sweep) for sweep in sweeps), strict=True)
    low, high = math.floor(math.log10(min(starts))) - 1, math.ceil(math.log10(max(ends))) + 1
    return {place * PER_DECADE for place in range(low, high + 1) if LOWEST <= place * PER_DECADE <= HIGHEST}


def _bracket(sweep: SweepRun) -> tuple[float, float]:
    """Where a sweep's loss has begun to fall, and where it is back at where it was; its ends where it never is."""
    if not sweep.losses:
        rate = sweep.diverged_at or 1.0
        return rate, rate
    first, best = sweep.losses[0], min(sweep.losses)
    begun = next(lr for lr, loss in zip(sweep.lrs, sweep.losses, strict=True) if loss <= first - DEAD * (first - best))
    after = list(zip(sweep.lrs, sweep.losses, strict=True))[sweep.losses.index(best) :]
    over = next((lr for lr, loss in after if loss > first), sweep.diverged_at or sweep.lrs[-1])
    return begun, over


def _initial_losses(runs: Sequence[ConstantRun], sweeps: Iterable[SweepRun]) -> dict[int, float]:
    """By seed, the loss before anything is learnt: the sweep's first, or that of the least rate where it is more."""
    initial = {sweep.seed: sweep.losses[0] for sweep in sweeps if sweep.losses}
    least = min(run.lr for run in runs)
    for run in runs:
        if run.lr == least and run.loss is not None:
            initial[run.seed] = max(run.loss, initial.get(run.seed, -math.inf))
    return initial


def _falls(runs: Sequence[ConstantRun], sweeps: Sequence[SweepRun]) -> dict[int, Falls]:
    """By seed, how far each rate lowers the loss."""
    initial = _initial_losses(runs, sweeps)
    falls: dict[int, Falls] = {}
    for seed in dict.fromkeys(run.seed for run in runs):
        own = sorted((run for run in runs if run.seed == seed), key=lambda run: run.lr)
        best = min((run.loss for run in own if run.loss is not None), default=math.inf)
        depth = initial.get(seed, -math.inf) - best
        falls[seed] = [
            (run.lr, DIVERGED if run.loss is None else (initial[seed] - run.loss) / depth if depth > 0 else 0.0)
            for run in own
        ]
    return falls


def _beyond(exponents: set[int], falls: Mapping[int, Falls]) -> set[int]:
    """The next power of ten on a side where some seed's crossing lies outside of the rates that were tried."""
    beyond = set()
    lowest, highest = min(exponents), max(exponents)
    if lowest > LOWEST and any(below(fall, SLOW, upwards=False) is None for fall in falls.values()):
        beyond.add(lowest - PER_DECADE)
    if highest < HIGHEST and any(below(fall, DEAD, upwards=True) is None for fall in falls.values()):
        beyond.add(highest + PER_DECADE)
    return beyond


def _between(exponents: set[int], falls: Mapping[int, Falls], width: int) -> set[int]:
    """The middles of the gaps of a width in which some seed has a crossing, and of those beside its best rate."""
    wanted = set()
    for fall in falls.values():
        best = max(fall, key=lambda point: point[1])[0]
        crossings = (below(fall, SLOW, upwards=False), *(below(fall, level, upwards=True) for level in (FULL, DEAD)))
        for rate in (best / 1.01, best * 1.01, *(crossing for crossing in crossings if crossing is not None)):
            place = PER_DECADE * math.log10(rate)
            for left, right in pairwise(sorted(exponents)):
                if left <= place <= right and right - left == width:
                    wanted.add((left + right) // 2)
    return wanted


def _check_learnt(task: Task, runs: Sequence[ConstantRun], sweeps: Sequence[SweepRun]) -> None:
    rates = [run.lr for run in runs]
    where, tried = f"range test of '{task.name}'", f"learning rate from {min(rates):.3g} to {max(rates):.3g}"
    if all(run.loss is None for run in runs):
        raise TaskError(f"{where}: training diverges with every {tried}: look at the loss, the model and the data")
    initial = _initial_losses(runs, sweeps)
    shares = []
    for seed, loss in initial.items():
        best = min((run.loss for run in runs if run.seed == seed and run.loss is not None), default=loss)
        shares.append((loss - best) / max(abs(loss), 1e-12))
    if not shares or median(shares) < LEAST_FALL:
        raise TaskError(
            f"{where}: no {tried} lowers the training loss within {task.steps} iterations: give it more steps"
        )


def _estimate(per_seed: Sequence[float]) -> Estimate:
    return Estimate(math.exp(median(math.log(rate) for rate in per_seed)), tuple(per_seed))


def _cliff(per_seed: Sequence[float | None]) -> Estimate | None:
    known = [rate for rate in per_seed if rate is not None]
    return _estimate(known) if len(known) == len(per_seed) else None
