"""How many policies of a study are decided for how many runs: by one look at a number of seeds, and until decided.

Studies are simulated from what was measured: normal scores with the means and the covariance of a study's seeds. From a
study that has 40 seeds its own are drawn, in another order each time. Measured means lie further apart than true ones,
so that a new study of the same policies would decide less. Policies that diverged on a seed are left out, since it is
no test that avoids them.

    python -m tests.benchmarks.decided [STORE] [--study NAME] [--draws N]

It prints a table in Markdown, of studies that ship with lrbench or of those in a store. Some minutes on one core.
"""

from __future__ import annotations

import argparse
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrbench.advice.evidence import TaskEvidence, shipped, stored
from lrbench.metrics.familywise import ScoresAtLooks, familywise_p
from lrbench.metrics.looks import Looks
from lrbench.metrics.racing import next_seeds
from lrbench.metrics.ranking import score_table
from lrbench.store import open_store

STUDIES = ("quickstart", "step_grid", "literature", "fashion_lenet", "mnist_lenet")
FACTORS = (0.5, 1.0, 2.0)
"""On a study's margin."""
SEEDS = (5, 10, 20, 40)
FIRST, LAST = 5, 40

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """The scores of a study's policies that never diverged, [policies, seeds], higher is better."""

    name: str
    scores: FloatArray
    margin: float
    alpha: float

    @classmethod
    def of(cls, evidence: TaskEvidence, name: str) -> Measured:
        scores, diverged = score_table(evidence.rows)
        kept = scores[~diverged.any(axis=1) & (np.isfinite(scores).sum(axis=1) >= 2)]
        kept = kept[:, np.isfinite(kept).all(axis=0)]
        return cls(name, kept, evidence.terms["margin"], evidence.terms.get("alpha", 0.05))

    def drawn(self, draws: int) -> FloatArray:
        """Studies of the same policies with `LAST` seeds, [draws, policies, seeds]."""
        rng = np.random.default_rng(0)
        seeds = self.scores.shape[1]
        if seeds >= LAST:
            return np.stack([self.scores[:, rng.permutation(seeds)[:LAST]] for _ in range(draws)])
        means = self.scores.mean(axis=1, keepdims=True)
        root = (self.scores - means) / np.sqrt(seeds - 1)
        simulated: FloatArray = means + root @ rng.standard_normal((draws, seeds, LAST))
        return simulated


def measured(bodies: Sequence[TaskEvidence], names: Sequence[str]) -> Iterator[Measured]:
    """The tasks of some studies, each with at least two policies and seeds."""
    for name in names:
        tasks = [body for body in bodies if body.study == name and not body.confirmed]
        for body in tasks:
            one = Measured.of(body, name if len(tasks) == 1 else f"{name}, {body.task}")
            if min(one.scores.shape) >= 2:
                yield one


def decided(study: Measured, scores: FloatArray, done: NDArray[np.int64], margin: float, looks: Looks) -> float:
    """The share of policies that are decided in one study."""
    p_good, p_avoid = familywise_p(ScoresAtLooks(scores, done, looks, 0.0), margin)
    return float(((p_good[-1] <= study.alpha) | (p_avoid[-1] <= study.alpha)).mean())


def once(study: Measured, draws: FloatArray, margin: float, seeds: int, looks: Looks) -> float:
    """The share of policies that are decided with a number of seeds."""
    done = np.full(draws.shape[1], seeds)
    return float(np.mean([decided(study, scores[:, :seeds], done, margin, looks) for scores in draws]))


def raced(study: Measured, draws: FloatArray, margin: float) -> tuple[float, float]:
    """The share of policies that are decided with `FIRST` to `LAST` seeds, and the runs of a study."""
    looks = Looks.between(FIRST, LAST)
    found = []
    for scores in draws:
        done, more = np.zeros(len(scores), dtype=np.int64), np.full(len(scores), FIRST)
        while (more != done).any():
            done = more
            seen = np.where(np.arange(LAST) < done[:, None], scores, np.nan)
            more = next_seeds(seen, done, margin, looks, LAST, alpha=study.alpha, resolution=0.0)
        found.append((decided(study, seen, done, margin, looks), done.sum()))
    share, runs = np.mean(found, axis=0)
    return float(share), float(runs)


def fewest(study: Measured, draws: FloatArray, margin: float, share: float) -> int | None:
    """The seeds of one look that decides as many, chosen in hindsight; None for more than `LAST`."""
    seeds = bisect_left(range(2, LAST + 1), share, key=lambda n: once(study, draws, margin, n, Looks.once(n))) + 2
    return None if seeds > LAST else seeds


def row(study: Measured, factor: float, draws: int) -> list[str]:
    k, margin, drawn = len(study.scores), study.margin * factor, study.drawn(draws)
    cells = [f"{study.name} ({k})", f"{margin:g}"]
    for n in SEEDS:
        old, new = (once(study, drawn, margin, n, looks) for looks in (Looks.once(n), Looks.planned(n)))
        cells.append(f"{old:.0%} / {new:.0%}")
    share, runs = raced(study, drawn, margin)
    as_many = fewest(study, drawn, margin, share)
    spent = f"over {LAST * k:,}" if as_many is None else f"{as_many * k:,}"
    return [*cells, f"{share:.0%}", f"{runs:,.0f}", spent]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", nargs="?", metavar="STORE", help="of studies that were run, by default what ships")
    parser.add_argument("--study", action="append", metavar="NAME", help="may repeat")
    parser.add_argument("--draws", type=int, default=100, metavar="N", help="simulated studies a row")
    given = parser.parse_args()
    if given.store is None:
        bodies = list(shipped())
    else:
        with open_store(given.store, must_exist=True) as store:
            bodies = list(stored(store))
    columns = [
        "study (policies)",
        "margin",
        *(f"{n} seeds" for n in SEEDS),
        f"{FIRST}..{LAST}",
        "its runs",
        "in one look",
    ]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for study in measured(bodies, given.study or STUDIES):
        for factor in FACTORS:
            print(f"| {' | '.join(row(study, factor, given.draws))} |", flush=True)


if __name__ == "__main__":
    main()
