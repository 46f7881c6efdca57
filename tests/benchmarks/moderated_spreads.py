"""What moderated spreads would give and cost: the test of a pair with a spread that all pairs of a study inform.

A scaled inverse chi-squared prior is fitted to the variances of all paired differences (Smyth 2004, Statistical
Applications in Genetics and Molecular Biology 3:3). A pair that is noisier than the prior keeps its own variance and
its n - 1 degrees of freedom; any other has the moderated variance and the prior's degrees in addition, all of them or
at most (k - 2)(n - 1) / 2 of them.

    python tests/benchmarks/moderated_spreads.py

It prints the share of studies of equal policies with a wrong `avoid`, and the share of 13 unequal policies that is
decided.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from error_rates import ALPHA, NOISES, FloatArray
from scipy.special import digamma, polygamma, stdtr

from lrbench.metrics.familywise import by_best, p_of_avoid
from lrbench.metrics.pairs import Pairs

RULES = {"own spread": 0.0, "moderated": math.inf, "moderated, capped": 0.5}
"""The most degrees of freedom of a prior, as a share of (k - 2)(n - 1)."""

MANY = 1e6
"""Degrees of freedom of a prior from variances that do not differ."""


def claims(scores: FloatArray, margin: float, rule: str) -> FloatArray:
    """Return the p-values of good and avoid, [2, studies, policies], of one look at all seeds of [studies, k, n]."""
    pairs, k, n = Pairs.of(scores), scores.shape[-2], scores.shape[-1]
    variance, own, others = pairs.sd**2, n - 1.0, ~np.eye(k, dtype=bool)
    prior, degrees = fitted(variance[:, *np.triu_indices(k, 1)], own)
    degrees = np.minimum(degrees, RULES[rule] * (k - 2) * own if k > 2 else 0.0)[:, None, None]
    below = variance < prior[:, None, None]
    moderated = (degrees * prior[:, None, None] + own * variance) / (degrees + own)
    spread = np.sqrt(np.where(below, moderated, variance) + ~others)
    t = (pairs.gap - margin) / spread * math.sqrt(n)
    within, beyond = (stdtr(np.where(below, degrees, 0.0) + own, side) for side in (t, -t))
    return np.stack([by_best(within, others, k).max(axis=-2), p_of_avoid(np.where(others, beyond, 1.0).min(axis=-2))])


def fitted(variances: FloatArray, own: float) -> tuple[FloatArray, FloatArray]:
    """Return a prior's variance and degrees of freedom by moments of the logarithms, over the last axis."""
    logs = np.log(variances) - digamma(own / 2) + math.log(own / 2)
    more = logs.var(axis=-1, ddof=min(1, logs.shape[-1] - 1)) - polygamma(1, own / 2)
    half = np.full_like(more, 0.5)
    for _ in range(60):  # Newton's method for the inverse of the trigamma function
        slope = polygamma(2, half)
        value = polygamma(1, half)
        half += value * (1 - value / np.maximum(more, 2 / MANY)) / slope
    return np.exp(logs.mean(axis=-1) + digamma(half) - np.log(half)), 2 * half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000, metavar="N", help="simulated studies a cell")
    studies = parser.parse_args().studies
    for n in (3, 5):
        for k in (3, 4, 5, 13):
            for noise, last in (("gaussian", 1), ("spreads 1 to 5", 1), ("gaussian", 5)):
                rng = np.random.default_rng([n, k])
                scores = np.stack([NOISES[noise](rng, k)[:, :n] for _ in range(studies)])
                scores[:, -1] *= last
                wrong = {rule: (claims(scores, 0.0, rule)[1] <= ALPHA).any(axis=-1).mean() for rule in RULES}
                kind = noise if last == 1 else f"the last policy {last} times as noisy"
                print(f"wrong avoid, {k} policies, {n} seeds, {kind}:", percent(wrong), flush=True)
    for noise in ("gaussian", "correlation .8", "spreads 1 to 5"):
        for steps in (3, 10):
            rng = np.random.default_rng(steps)
            scores = np.stack([NOISES[noise](rng, 13)[:, :5] for _ in range(studies // 10)])
            scores -= np.linspace(0, steps, 13)[:, None]
            found = {rule: (claims(scores, 1.5, rule) <= ALPHA).any(axis=0).mean() for rule in RULES}
            print(f"decided, 13 policies over {steps} sd, margin 1.5 sd, 5 seeds, {noise}:", percent(found), flush=True)


def percent(shares: dict[str, float]) -> str:
    return ", ".join(f"{rule} {share:.1%}" for rule, share in shares.items())


if __name__ == "__main__":
    main()
