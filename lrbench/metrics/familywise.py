"""Familywise p-values of the claims of `judge`, and the other margins at which they hold.

In the words of `metrics/verdict.py`, with k policies, let p(j, i) be the p-value against "m_j - m_i <= d" and q(j, i)
that against "m_j - m_i >= d".

**avoid.** i is close if and only if m_j - m_i <= d for every j. That hypothesis, H_i, is an intersection of k - 1, so
(k - 1) * min_j p(j, i) is a p-value for it (Bonferroni). Holm over the k hypotheses H_i bounds by alpha the
probability that any true one is rejected; a close policy called avoid is just that. The number of tests is that of the
ordered pairs, since the j that condemns i is chosen by the same data. It is not conservative: with k equal policies and
d = 0 all k(k - 1) hypotheses are true, and the error rate is within half a percent of 5% in simulation. Comparing with
an estimate of b alone (Edwards and Hsu 1983) found less: its k - 1 comparisons must all succeed, here one does.

**good.** For a possible best policy c let q_c(i) be Holm's adjusted p-values of the k - 1 hypotheses
"m_c - m_i >= d", i != c, and call i good if q_c(i) <= alpha for *every* c != i. Proof: c = b is one of them. If a
policy that is not close is called good, then Holm's procedure for c = b has rejected a true hypothesis, which has
probability at most alpha. So k - 1 tests are paid for, not k(k - 1), since the best is one fixed policy (the
partitioning argument behind Hsu's constrained intervals). The p-value of the claim is the maximum over c of q_c(i).

**Looking again.** Verdicts are made at the looks of a study (`metrics/looks.py`), on the first n seeds of its list.
Each p-value of a pair is divided by the share of its look, and the smallest so far counts. Nothing else changes, since
the procedures above take p-values of pairs and no more. A claim once made is final, whatever later looks say, but for
policies that diverge later: they leave the comparison, and with them what rested on them.

**Many policies.** Of more than `MOST_RIVALS` policies only the *rivals*, those of the highest means at a look, can
condemn others or be good: the p-values of all other claims are 1. No p-value is less than it was, so that the error
rates hold, and time and memory are linear in the policies. What is lost is the `good` of policies behind so many.

**Other margins.** What is not good at d is good at a wider margin, and what is not avoid at d may be avoid at a
narrower one. With D_i = m_b - m_i the verdicts come with two more claims,

    within   D_i <= w_i, w_i > d, where i is not good        P(some verdict good or some w_i is wrong) <= alpha
    beyond   D_i >  v_i, v_i < d, where i is not avoid       P(some verdict avoid or some v_i is wrong) <= alpha

To ask for the verdicts at every margin and to take for w_i the first at which i is good errs more often: in 11% of
studies of 13 policies that are 3 standard deviations apart, since Holm's procedure then tests each policy at the margin
where the fewest others are left to pay for. The claims here are the regions that belong to Holm's procedure at d
(Guilbaud 2008). For a possible best policy c that procedure leaves the policies L_c that are not rejected. Let w_c(i)
be the smallest margin at which the p-value of the pair is at most alpha / |L_c|, and w_i the largest of d and w_c(i)
over c. Let T be the policies with D_i > d, and p_i the p-value of the pair of b and i at the margin D_i; at narrower
ones it is larger. With probability 1 - alpha all p_i of T are above alpha / |T|. Then Holm's procedure for c = b
rejects none of T at d, so that T is a part of L_b, and no w_i of T is below D_i. The others are within d. Likewise for
v_i, with the close policies in place of T, and those that Holm's procedure over the H_i leaves.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import ALL, FloatArray, Pairs, Signs, Some, Test, resolution_of
from lrbench.metrics.statistics import holm

ROWS_AT_ONCE = 64
"""Of the matrix of policies and rivals no more rows than these are in memory, few enough for a processor's cache."""

MORE_THAN_ROUNDING = 0.01

MOST_RIVALS = 512
"""Of more policies than these, those with the highest means are compared with all, and the others with those alone."""


@dataclass(frozen=True)
class ScoresAtLooks:
    """Scores that are judged, and how.

    Attributes:
        scores: [..., k, seeds] of k >= 2 policies, higher is better, nan for a missing run; leading axes are
            independent studies.
        done: [..., k], how many of the first seeds each policy has.
        looks, resolution, test: as for `judge`.
        rivals: the policies that can be good and condemn others, by default all.
    """

    scores: FloatArray
    done: NDArray[np.int64]
    looks: Looks
    resolution: float | None = None
    test: Test = Pairs
    rivals: Some = field(default_factory=lambda: ALL)

    @property
    def k(self) -> int:
        return int(self.scores.shape[-2])

    @property
    def taken(self) -> int:
        """How many looks some policy has reached, at least one."""
        return max(self.looks.done(int(self.done.max(initial=0))), 1)

    def with_rivals(self) -> "ScoresAtLooks":
        """Choose the rivals of one study: all policies, or those of the highest means at some look.

        What was a rival at an early look stays one, so that claims are final.
        """
        if self.k <= MOST_RIVALS:
            return self
        found = np.zeros(self.k, dtype=bool)
        for seeds in self.looks.seeds[: self.taken]:
            centers = np.where(self.done >= seeds, self.test.centers(self.scores[:, :seeds]), np.nan)
            found[np.argsort(-centers, kind="stable")[:MOST_RIVALS]] = True
        return replace(self, rivals=np.flatnonzero(found))

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
        """Yield blocks of the rows of the matrix of policies and rivals, and where two are not the same policy."""
        policies = np.arange(self.k)
        for first in range(0, self.k, ROWS_AT_ONCE):
            some = slice(first, min(first + ROWS_AT_ONCE, self.k))
            yield some, policies[some, None] != policies[self.rivals]

    def pairs(self, rows: Some, columns: Some) -> Pairs | Signs:
        """Compare policies by all scores."""
        step = resolution_of(self.scores) if self.resolution is None else self.resolution
        return self.test.of(self.scores, step, rows, columns)

    def pairs_at_looks(self, rows: Some, columns: Some) -> Iterator[tuple[Pairs | Signs, NDArray[np.bool_], float]]:
        """Yield the pairs at each look that was taken, which of them have reached it, and its share of errors."""
        for seeds, share in islice(self.looks.shares_by_seeds.items(), self.taken):
            there = self.done >= seeds
            pairs = replace(self, scores=self.scores[..., :seeds]).pairs(rows, columns)
            yield pairs, there[..., rows, None] & there[..., None, columns], share

    def p_within(
        self, margin: float, rows: Some = ALL, columns: Some = ALL, level: float = 1.0
    ) -> Iterator[FloatArray]:
        """Yield the p-values against "j is better than i by at least the margin" after each look, [..., rows, columns].

        They hold at any time: the smallest p / share so far. Where their familywise p-values are above `level`, they
        may be 1, which saves their computation.
        """
        yield from self._p(lambda pairs: pairs.p_within(margin, self._up_to(level)), rows, columns)

    def p_beyond(
        self, margin: float, rows: Some = ALL, columns: Some = ALL, level: float = 1.0
    ) -> Iterator[FloatArray]:
        """Yield the p-values against "j is better than i by at most the margin", as `p_within` does."""
        yield from self._p(lambda pairs: pairs.p_beyond(margin, self._up_to(level)), rows, columns)

    def _up_to(self, level: float) -> float:
        """Return the p-value of a pair above which its familywise one is: that is k - rivals times as large or more."""
        tests = self.k - len(np.arange(self.k)[self.rivals])
        return (1 + MORE_THAN_ROUNDING) * level / tests if tests else 1.0

    def _p(self, p_of: Callable[[Pairs | Signs], FloatArray], rows: Some, columns: Some) -> Iterator[FloatArray]:
        p: FloatArray = np.ones(())
        for pairs, both, share in self.pairs_at_looks(rows, columns):
            p = np.minimum(p, np.where(both, p_of(pairs) / share, 1.0))
            yield p


def familywise_p(seen: ScoresAtLooks, margin: float) -> tuple[FloatArray, FloatArray]:
    """Return the familywise p-values (p_good, p_avoid) after each look that a policy has reached; see the module.

    Returns:
        Each [looks, ..., k], never rising from one look to the next.
    """
    return _p_and_left(seen, margin, 1.0)[:2]


class Familywise(NamedTuple):
    """The claims of studies: p-values after each look, [looks, ..., k], and other margins after the last, [..., k]."""

    p_good: FloatArray
    p_avoid: FloatArray
    within: FloatArray
    """The smallest margin at which a policy is good, from the study's on; inf where none is known."""
    beyond: FloatArray
    """The largest margin at which a policy is avoid, up to the study's; negative where there is none."""


def familywise(seen: ScoresAtLooks, margin: float, alpha: float) -> Familywise:
    """Return `familywise_p`, and the margins at which each policy would be good and avoid; see the module."""
    p_good, p_avoid, left_by_best = _p_and_left(seen, margin, alpha)
    left = (p_avoid[-1] > alpha).sum(axis=-1)[..., None, None]
    to_avoid = alpha / ((seen.k - 1) * np.maximum(left, 1))
    within, beyond = np.full(seen.done.shape, np.inf), np.empty(seen.done.shape)
    within[..., seen.rivals] = margin
    for some, others in seen.blocks():
        to_accept = alpha / np.maximum(left_by_best[..., some, None], 1)
        good, avoid = np.full(others.shape, np.inf), np.full(others.T.shape, -np.inf)
        for pairs, both, share in seen.pairs_at_looks(some, seen.rivals):
            good = np.minimum(good, np.where(both, pairs.within(to_accept * share), np.inf))
        for pairs, both, share in seen.pairs_at_looks(seen.rivals, some):
            avoid = np.maximum(avoid, np.where(both, pairs.beyond(to_avoid * share), -np.inf))
        widest = np.where(others, good, -np.inf).max(axis=-2)
        within[..., seen.rivals] = np.maximum(within[..., seen.rivals], widest)
        beyond[..., some] = np.where(others.T, avoid, -np.inf).max(axis=-2)
    return Familywise(p_good, p_avoid, within, np.minimum(beyond, margin))


def _p_and_left(seen: ScoresAtLooks, margin: float, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return `familywise_p`, and how many policies Holm's procedure leaves for each possible best one, [..., k]."""
    p_good, beyond = (np.ones((seen.taken, *seen.done.shape)) for _ in range(2))
    p_good[..., seen.rivals] = 0.0
    left = np.empty(seen.done.shape)
    for some, others in seen.blocks():
        level = alpha if (p_good[..., seen.rivals] == 1).all() else 1.0  # what `left` still needs
        within = seen.p_within(margin, some, seen.rivals, level)
        for look, (within_p, beyond_p) in enumerate(zip(within, seen.p_beyond(margin, seen.rivals, some), strict=True)):
            q = by_best(within_p, others, seen.k)
            p_good[look][..., seen.rivals] = np.maximum(p_good[look][..., seen.rivals], q.max(axis=-2))
            beyond[look][..., some] = np.where(others.T, beyond_p, 1.0).min(axis=-2)
            left[..., some] = seen.k - 1 - ((q <= alpha) & others).sum(axis=-1)
    return p_good, p_of_avoid(beyond), left


def p_of_avoid(beyond: FloatArray) -> FloatArray:
    """Return the familywise p-values of `avoid` from the smallest p(j, i) of each policy i, [..., k]."""
    return holm(np.minimum((beyond.shape[-1] - 1) * beyond, 1.0))


def by_best(within: FloatArray, others: NDArray[np.bool_], k: int) -> FloatArray:
    """Return q_c(i) of k policies for each row c and column i of `within`, 0 for c itself, where `others` is False."""
    last = np.where(others, within, 2.0)  # more than any p-value, so that it does not count among the k - 1
    return np.where(others, holm(last, k - 1), 0.0)
