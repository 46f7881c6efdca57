"""How far each constant learning rate lowers the training loss, and the rates at which that crosses a level.

How a range is read off runs is our reconstruction. Per seed, let L(k) be the mean training loss over the last two
fifths of the run with the constant LR k, L0 the loss before anything is learnt, and

    fall(k) = (L0 - L(k)) / (L0 - min L)

1 for the rate that learns most in these iterations, 0 for one that learns nothing, -1 where the run diverged. Then,
each by linear interpolation in log k between neighbouring rates,

    low     the least rate with fall >= 1/2, below it training is slow
    high    the largest rate with fall >= 9/10, above it learning suffers
    cliff   the rate from which on fall < 1/10: nothing is learnt, or training diverges

and the reported figure is the median over seeds. The loss is steep where it crosses these levels, so that noise in it
moves a crossing little; a median does not follow one odd seed; and training loss does not mistake overfitting for
instability. That is what makes two sets of seeds agree.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

SLOW, FULL, DEAD = 0.5, 0.9, 0.1
"""The falls at which the range begins, at which it ends, and below which nothing is learnt."""

DIVERGED = -1.0
"""The fall of a run that diverged."""

PER_DECADE = 4
"""Rates are powers of 10^(1/4), named by their exponents in quarters: 0 is 1, 4 is 10, -8 is 0.01."""

LOWEST, HIGHEST = -8 * PER_DECADE, 3 * PER_DECADE
"""No rate outside of these is tried."""

Falls = Sequence[tuple[float, float]]
"""Learning rates, rising, and how far each lowers the loss: 1 as far as the best of them, 0 not at all."""


@dataclass(frozen=True)
class Estimate:
    """A learning rate as the median over seeds, with the estimate of each seed."""

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


def below(falls: Falls, level: float, *, upwards: bool) -> float | None:
    """Find the learning rate at which the fall sinks below a level on the way up (or down) from the best rate.

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


def lr_of(exponent: int) -> float:
    """Return the rate of an exponent in quarters."""
    return float(10.0 ** (exponent / PER_DECADE))


def decades(sweeps: Iterable[SweepRun]) -> set[int]:
    """List the powers of ten from where the sweeps begin to learn to where they stop, and one more on either side."""
    starts, ends = zip(*(_bracket(sweep) for sweep in sweeps), strict=True)
    low, high = math.floor(math.log10(min(starts))) - 1, math.ceil(math.log10(max(ends))) + 1
    return {place * PER_DECADE for place in range(low, high + 1) if LOWEST <= place * PER_DECADE <= HIGHEST}


def _bracket(sweep: SweepRun) -> tuple[float, float]:
    """Find where a sweep's loss begins to fall, and where it is back at its start; its ends where it never is."""
    if not sweep.losses:
        rate = sweep.diverged_at or 1.0
        return rate, rate
    first, best = sweep.losses[0], min(sweep.losses)
    begun = next(lr for lr, loss in zip(sweep.lrs, sweep.losses, strict=True) if loss <= first - DEAD * (first - best))
    after = list(zip(sweep.lrs, sweep.losses, strict=True))[sweep.losses.index(best) :]
    over = next((lr for lr, loss in after if loss > first), sweep.diverged_at or sweep.lrs[-1])
    return begun, over


def initial_losses(runs: Sequence[ConstantRun], sweeps: Iterable[SweepRun]) -> dict[int, float]:
    """Return by seed the loss before anything is learnt: the sweep's first, or that of the least rate if larger."""
    initial = {sweep.seed: sweep.losses[0] for sweep in sweeps if sweep.losses}
    least = min(run.lr for run in runs)
    for run in runs:
        if run.lr == least and run.loss is not None:
            initial[run.seed] = max(run.loss, initial.get(run.seed, -math.inf))
    return initial


def falls_by_seed(runs: Sequence[ConstantRun], sweeps: Sequence[SweepRun]) -> dict[int, Falls]:
    """Return by seed how far each rate lowers the loss."""
    initial = initial_losses(runs, sweeps)
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


def beyond(exponents: set[int], falls: Mapping[int, Falls]) -> set[int]:
    """Return the next power of ten on a side where some seed's crossing lies outside of the rates that were tried."""
    wanted = set()
    lowest, highest = min(exponents), max(exponents)
    if lowest > LOWEST and any(below(fall, SLOW, upwards=False) is None for fall in falls.values()):
        wanted.add(lowest - PER_DECADE)
    if highest < HIGHEST and any(below(fall, DEAD, upwards=True) is None for fall in falls.values()):
        wanted.add(highest + PER_DECADE)
    return wanted


def between(exponents: set[int], falls: Mapping[int, Falls], width: int) -> set[int]:
    """Return the middles of the gaps of a width in which some seed has a crossing, and those beside its best rate."""
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


def ends(falls: Collection[Falls]) -> tuple[Estimate, Estimate, Estimate | None]:
    """Estimate low, high and cliff from the falls of each seed; the cliff is None where some seed has none."""
    cliffs = [below(fall, DEAD, upwards=True) for fall in falls]
    known = [rate for rate in cliffs if rate is not None]
    return (
        _estimate([below(fall, SLOW, upwards=False) or fall[0][0] for fall in falls]),
        _estimate([below(fall, FULL, upwards=True) or fall[-1][0] for fall in falls]),
        _estimate(known) if len(known) == len(cliffs) else None,
    )


def _estimate(per_seed: Sequence[float]) -> Estimate:
    return Estimate(math.exp(median(math.log(rate) for rate in per_seed)), tuple(per_seed))
