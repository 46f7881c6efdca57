"""Seeds until decided: which policies are given more.

A study that may go from 5 to 40 seeds adds them in rounds, from look to look (`metrics/looks.py`), and only for those
that they can help. After each look the next seeds go to

- the undecided policies that have hope,
- the leader by mean, with which all are compared,
- every policy c, unless it is `avoid`, that still keeps a hopeful one from `good`: i is good once q_c(i) <= alpha for
  every c (see `metrics/familywise.py`).

The p-values hold under any rule of giving seeds, so that neither this rule nor giving up costs an error.

**Hope.** Let e_i = max over j of (gap_ji - margin) / sd_ji: how far beyond the margin the policy stands that beats i
most clearly, in standard deviations of their difference on the m seeds that they share. For e_i > 0 the claim to come
is `avoid`, for e_i < 0 it is `good`, and while |e_i| is within its standard error, 1 / sqrt(m), it may be either. There
is no hope if one standard error more would not do: if (|e_i| + 1 / sqrt(m)) * sqrt(n) is less than the t that the last
look, n, needs.
"""

import math
from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrbench.metrics.divergence import levels, p_of_divergence
from lrbench.metrics.familywise import ScoresAtLooks, by_best, p_of_avoid
from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import FloatArray, Pairs, Signs, Test
from lrbench.metrics.verdict import best_two


def next_seeds(
    scores: ArrayLike,
    done: ArrayLike,
    margin: float,
    looks: Looks,
    last: int,
    *,
    alpha: float = 0.05,
    diverged: ArrayLike | None = None,
    resolution: float | None = None,
    test: Test = Pairs,
    tolerated: float = 0.0,
) -> NDArray[np.int64]:
    """Choose how many seeds each policy of a race has after the next round.

    Args:
        scores, margin, alpha, diverged, resolution, looks, test, tolerated: as for `judge`.
        done: int [policies], how many of the first seeds each policy has.
        last: the look after which no policy is given more.

    Returns:
        int [policies], at least `done`; equal to it once the race is over.
    """
    table, given = np.asarray(scores, dtype=np.float64), np.asarray(done, dtype=np.int64)
    if (given < looks.seeds[0]).any() and looks.seeds[0] <= last:
        return np.maximum(given, looks.seeds[0])
    fell = np.zeros(table.shape, dtype=bool) if diverged is None else np.asarray(diverged, dtype=bool)
    to_fall, alpha = levels(alpha, tolerated)
    steady = p_of_divergence(fell, test.seen(table) | fell, given, tolerated, looks) > to_fall
    if tolerated:
        table = np.where(fell, np.nan, table)
    compared = np.flatnonzero(steady & (test.seen(table).sum(axis=1) >= 2))
    target = looks.next_after(int(given.max(initial=0)))
    if target is None or target > last or len(compared) < 2:
        return given
    racing = np.zeros(len(table), dtype=bool)
    seen = ScoresAtLooks(table[compared], given[compared], looks, resolution, test).with_rivals()
    racing[compared] = _in_race(seen, margin, last, alpha)
    return np.where(racing, target, given)


def _in_race(seen: ScoresAtLooks, margin: float, last: int, alpha: float) -> NDArray[np.bool_]:
    k, rivals, level = seen.k, seen.rivals, alpha * seen.looks.shares_by_seeds[last]
    keeps_from_good = np.empty((k, len(np.arange(k)[rivals])), dtype=bool)
    beyond, hope = np.empty(k), np.empty(k, dtype=bool)
    for some, others in seen.blocks():
        keeps_from_good[some] = by_best(_last(seen.p_within(margin, some, rivals, alpha)), others, k) > alpha
        beyond[some] = np.where(others.T, _last(seen.p_beyond(margin, rivals, some, alpha)), 1.0).min(axis=0)
        hope[some] = _has_hope(seen.pairs(rivals, some), others.T, k, margin, last, level)
    good, avoid = np.zeros(k, dtype=bool), p_of_avoid(beyond) <= alpha
    good[rivals] = ~keeps_from_good.any(axis=0)
    inside: NDArray[np.bool_] = ~good & ~avoid & hope
    if inside.any():
        inside |= keeps_from_good[:, inside[rivals]].any(axis=1) & ~avoid
        inside[best_two(seen.test.centers(seen.scores), np.full(k, True))[0]] = True
    return inside


def _last(p_values: Iterable[FloatArray]) -> FloatArray:
    (p,) = deque(p_values, maxlen=1)
    return p


def _has_hope(
    pairs: Pairs | Signs, others: NDArray[np.bool_], k: int, margin: float, last: int, level: float
) -> NDArray[np.bool_]:
    """Return which columns of some pairs of k policies have hope at the last look with its level."""
    effect = np.where(np.isfinite(found := pairs.effect(margin)) & others, found, -np.inf)
    nearest = effect.argmax(axis=0)
    e, shared = effect.max(axis=0), pairs.n[nearest, np.arange(len(nearest))]
    to_avoid, to_accept = (pairs.threshold(last, level / tests) for tests in (k * (k - 1), k - 1))
    error = 1 / np.sqrt(np.maximum(shared, 1.0))
    threshold = np.where(e > error, to_avoid, to_accept)
    hope: NDArray[np.bool_] = (np.abs(e) + error) * math.sqrt(last) >= threshold
    return hope
