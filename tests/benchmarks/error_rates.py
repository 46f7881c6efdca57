"""How often a study claims what is false, by the kind of noise, the number of policies and who looks when; and how far
the figure of a confirmed winner is from the truth.

Whole studies are simulated whose truth is known, at the least favourable ones: ties, and gaps of exactly the margin,
where a policy counts as close for `avoid` and, as the limit of larger gaps, as not close for `good`. A study errs once,
however many of its claims are false.

    python tests/benchmarks/error_rates.py --studies 1000

It prints a line a cell and keeps its numbers in error_rates.json beside this file; cells that are there, with as many
studies or more, are not simulated again. `python -m tests.guide.tables` writes the tables of the guide from it.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrbench.metrics import Confirmation, Curve, PolicyRuns, RunRecord, confirm, finalists
from lrbench.metrics.familywise import ScoresAtLooks, familywise_p
from lrbench.metrics.looks import Looks
from lrbench.metrics.racing import next_seeds
from lrbench.metrics.statistics import Interval

ANSWER = Path(__file__).with_suffix(".json")
ALPHA = 0.05
FIRST, LAST = 5, 40
POLICIES = (2, 5, 13, 40)

FloatArray = NDArray[np.float64]
Claims = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]
"""Which policies are called good and which avoid, and the seeds of each, all [studies, policies]."""

AT_ONCE = 50
"""Studies that are simulated together."""


def truths(k: int) -> dict[str, tuple[FloatArray, float]]:
    """How far each policy is below the best, and the margin, in standard deviations between seeds."""
    first = np.arange(k)
    return {
        "all equal, margin 0": (np.zeros(k), 0.0),
        "all but one at the margin": (np.where(first > 0, 0.5, 0.0), 0.5),
        "half at the margin": (np.where(first >= (k + 1) // 2, 0.5, 0.0), 0.5),
    }


def gaussian(rng: np.random.Generator, k: int) -> FloatArray:
    return rng.standard_normal((k, LAST))


def correlated(rng: np.random.Generator, k: int) -> FloatArray:
    """Correlation .8 between the policies of a seed."""
    return math.sqrt(0.8) * rng.standard_normal((1, LAST)) + math.sqrt(0.2) * rng.standard_normal((k, LAST))


def unequal(rng: np.random.Generator, k: int) -> FloatArray:
    """Standard deviations from 1 to 5, the worst policy the noisiest."""
    return np.geomspace(1, 5, k)[:, None] * rng.standard_normal((k, LAST))


def heavy_tailed(rng: np.random.Generator, k: int) -> FloatArray:
    """Student's t with 3 degrees of freedom, scaled to a standard deviation of 1."""
    return rng.standard_t(3, (k, LAST)) / math.sqrt(3)


def equally_skewed(rng: np.random.Generator, k: int) -> FloatArray:
    """Gamma noise of skewness -1, as scores have that now and then fall behind."""
    return -(rng.gamma(4.0, 0.5, (k, LAST)) - 2.0)


def differently_shaped(rng: np.random.Generator, k: int) -> FloatArray:
    """The best policy calm, with a tenth of the others' spread, and these of skewness -2."""
    noise = 1.0 - rng.standard_exponential((k, LAST))
    noise[0] = 0.1 * rng.standard_normal(LAST)
    return noise


def collapsing(rng: np.random.Generator, k: int) -> FloatArray:
    """The last policy collapses on one seed in ten, by ten standard deviations."""
    noise = rng.standard_normal((k, LAST))
    noise[-1] += 1.0 - 10.0 * (rng.random(LAST) < 0.1)
    return noise


NOISES: dict[str, Callable[[np.random.Generator, int], FloatArray]] = {
    "gaussian": gaussian,
    "correlation .8": correlated,
    "spreads 1 to 5": unequal,
    "t, 3 degrees": heavy_tailed,
    "skewness -1": equally_skewed,
    "shapes that differ": differently_shaped,
    "rare collapses": collapsing,
}
STEP = 0.5
"""Scores are also read in steps of half a standard deviation, as accuracies over few samples are."""


def once(scores: FloatArray, margin: float, step: float, alpha: float) -> Claims:
    """One look at 5 seeds."""
    return claimed(scores, FIRST, margin, Looks.once(FIRST), step, alpha)


def always(scores: FloatArray, margin: float, step: float, alpha: float) -> Claims:
    """Five seeds planned, then seeds added to 40 by somebody who looks at every number."""
    return claimed(scores, LAST, margin, Looks.planned(FIRST), step, alpha)


def raced(scores: FloatArray, margin: float, step: float, alpha: float) -> Claims:
    """From 5 to 40 seeds, until decided."""
    looks, done = Looks.between(FIRST, LAST), np.zeros(scores.shape[:2], dtype=np.int64)
    seen = np.full_like(scores, np.nan)
    for table, given, all_of_it in zip(seen, done, scores, strict=True):
        while (more := next_seeds(table, given, margin, looks, LAST, alpha=alpha, resolution=step) > given).any():
            given[more] = looks.next_after(int(given.max()))
            table[:] = np.where(np.arange(LAST) < given[:, None], all_of_it, np.nan)
    return claimed(seen, done, margin, looks, step, alpha)


def unpaid(scores: FloatArray, margin: float, step: float, alpha: float) -> Claims:
    """What looks are for: a test at 5% at every number of seeds from 3 to 20, of which the first claim counts."""
    good = avoid = np.zeros(scores.shape[:2], dtype=bool)
    for seeds in range(3, 21):
        now_good, now_avoid, _ = claimed(scores, seeds, margin, Looks.once(seeds), step, alpha)
        good, avoid = good | now_good & ~avoid, avoid | now_avoid & ~good
    return good, avoid, np.full(scores.shape[:2], 20)


DESIGNS: dict[str, tuple[Callable[[FloatArray, float, float, float], Claims], int]] = {
    "once at 5": (once, 1),
    "every number to 40": (always, 1),
    "race 5..40": (raced, 1),
    "once at 5 on 4 tasks": (once, 4),
    "unpaid looks 3..20": (unpaid, 1),
}
"""Who looks, and at how many tasks, among which the error rate is divided."""


def claimed(
    scores: FloatArray, done: int | NDArray[np.int64], margin: float, looks: Looks, step: float, alpha: float
) -> Claims:
    given = np.broadcast_to(done, scores.shape[:2])
    p_good, p_avoid = familywise_p(ScoresAtLooks(scores, given, looks, step), margin)
    return p_good[-1] <= alpha, p_avoid[-1] <= alpha, given


class Cell(NamedTuple):
    """What is simulated of verdicts: who looks at how many policies, the truth, the noise and the step of the scale."""

    design: str
    k: int
    truth: str
    noise: str
    step: float = 0.0

    @property
    def name(self) -> str:
        kind = f"{self.noise}, steps of {self.step}" if self.step else self.noise
        return f"{self.design} | k = {self.k} | {self.truth} | {kind}"


def cells() -> Iterator[Cell]:
    for design in DESIGNS:
        for k in POLICIES:
            if design in ("unpaid looks 3..20", "once at 5 on 4 tasks") and k > 13:
                continue
            for truth in truths(k):
                yield from (Cell(design, k, truth, noise) for noise in NOISES)
                yield Cell(design, k, truth, "gaussian", STEP)


def simulated(cell: Cell, studies: int) -> dict[str, Any]:
    """The shares of studies with a wrong claim, of policies decided, and the mean seeds of a policy."""
    design, k, truth, noise, step = cell
    claims, tasks = DESIGNS[design]
    gaps, margin = truths(k)[truth]
    close, behind = gaps <= margin, (gaps >= margin) & (np.arange(k) > 0)
    rng = np.random.default_rng([k, len(truth), len(noise)])
    wrong_good = wrong_avoid = decided = seeds = 0.0
    for first in range(0, studies, AT_ONCE):
        now = min(AT_ONCE, studies - first)
        scores = np.stack([NOISES[noise](rng, k) for _ in range(now * tasks)]) - gaps[:, None]
        if step:
            # Gaps and margin lie on the grid, where rounding leaves the mean of a symmetric score as it is.
            scores = np.round(scores / step) * step
        good, avoid, used = claims(scores, margin, step, ALPHA / tasks)
        wrong_good += (good & behind).reshape(now, -1).any(axis=1).sum()
        wrong_avoid += (avoid & close).reshape(now, -1).any(axis=1).sum()
        decided += (good | avoid).mean() * now
        seeds += used.mean() * now
    found = {"wrong_good": wrong_good, "wrong_avoid": wrong_avoid, "decided": decided, "seeds": seeds}
    return {name: round(float(total) / studies, 4) for name, total in found.items()}


FINALISTS = 3
FRESH_SEEDS = (3, 5, 10)
SPREADS_OF_MEANS = (0.0, 0.5, 2.0)
"""Between policies, in standard deviations between seeds."""

FIGURES = ("bias", "covered", "simultaneous", "behind")

CHOICES: dict[str, Callable[[Sequence[Confirmation]], Confirmation]] = {
    "first": lambda confirmed: confirmed[0],
    "best on fresh seeds": lambda confirmed: max(confirmed, key=lambda one: one.card.val.mean or 0.0),
}


def confirmed(k: int, seeds: int, spread: float, studies: int) -> dict[str, dict[str, float]]:
    """The bias of a winner's figure in standard deviations between seeds, and how often its interval holds, by choice.

    `simultaneous` is how often the wider interval holds, `behind` how far the choice is from the best policy.
    """
    rng = np.random.default_rng([k, seeds, int(10 * spread)])
    sums = {name: np.zeros(4) for name in CHOICES}
    for _ in range(studies):
        means = spread * rng.standard_normal(k)
        scores = means[:, None] + rng.standard_normal((k, 2 * seeds))
        search = [contender(i, row, range(seeds)) for i, row in enumerate(scores)]
        chosen = finalists(search, at_most=FINALISTS, resolution=0.0)
        fresh = [contender(int(one.name), scores[int(one.name)], range(seeds, 2 * seeds)) for one in chosen]
        found = confirm(search, fresh, margin=0.5, resolution=0.0)
        for name, choose in CHOICES.items():
            one = choose(found)
            truth = means[int(one.card.name)]
            assert one.card.val.mean is not None
            held = holds(one.card.val, truth), holds(one.simultaneous, truth)
            sums[name] += one.card.val.mean - truth, *held, means.max() - truth
    figures = ("bias", "covered", "simultaneous", "behind")
    return {
        name: dict(zip(figures, np.round(total / studies, 4).tolist(), strict=True)) for name, total in sums.items()
    }


def contender(number: int, scores: FloatArray, seeds: Iterable[int]) -> PolicyRuns:
    """A policy whose scores have no bounds."""
    finals = {seed: {"val_gain": float(scores[seed])} for seed in seeds}
    runs = (RunRecord(s, "finished", 1, Curve((), ()), final, objective="gain") for s, final in finals.items())
    return PolicyRuns(str(number), "", tuple(runs))


def holds(interval: Interval, truth: float) -> bool:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= truth <= interval.high


def simulations() -> Iterator[tuple[str, str, Callable[[int], dict[str, Any]]]]:
    """What is simulated, the name of each cell, and its numbers from so many studies."""
    for cell in cells():
        yield cell.design, cell.name, partial(simulated, cell)
    for k, seeds, spread in product((5, 13, 50), FRESH_SEEDS, SPREADS_OF_MEANS):
        name = f"confirmed with {seeds} seeds | k = {k} | spread of means {spread:g}"
        yield "confirmation", name, partial(confirmed, k, seeds, spread)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, metavar="N", help="simulated studies a cell")
    parser.add_argument("--only", choices=(*DESIGNS, "confirmation"), action="append", help="may be given again")
    asked = parser.parse_args()
    for part, name, simulate in simulations():
        if asked.only and part not in asked.only:
            continue
        answer = json.loads(ANSWER.read_text()) if ANSWER.exists() else {}
        if answer.get(name, {}).get("studies", 0) < asked.studies:
            answer[name] = simulate(asked.studies) | {"studies": asked.studies}
            ANSWER.write_text(json.dumps(answer, indent=1) + "\n")
        print(name, answer[name], flush=True)


if __name__ == "__main__":
    main()
