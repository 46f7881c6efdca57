"""Which policies are as good as the best, which are worse, and how sure we are.

Let m_i be the true mean score of policy i over seeds, b the truly best policy and d the margin, and call i *close* if
m_b - m_i <= d. From paired seeds, with normal differences of any covariance, `judge` claims

    good   i is close          P(some policy that is not close is called good)  <= alpha
    avoid  i is not close      P(some close policy is called avoid)             <= alpha

each over the whole study, whatever the truth is. It is multiple comparison with the best (Hsu 1981, 1996) by pairwise
one-sided t tests, each with its own variance, where Holm's procedure (1979) takes the place of a common-variance
critical value. With k policies, p(j, i) the p-value against "m_j - m_i <= d" and q(j, i) that against
"m_j - m_i >= d":

**avoid.** i is close if and only if m_j - m_i <= d for every j. That hypothesis, H_i, is an intersection of k - 1, so
(k - 1) * min_j p(j, i) is a p-value for it (Bonferroni). Holm over the k hypotheses H_i bounds by alpha the
probability that any true one is rejected; a close policy called avoid is just that. The number of tests is that of the
ordered pairs, since which j is good enough to condemn i is found in the same data. Nothing is lost by it: with k equal
policies and d = 0 all k(k - 1) hypotheses are true and the error rate comes to within a half percent of 5% in
simulation. Working out b first and comparing with it alone (Edwards and Hsu 1983) was tried: its k - 1 comparisons
must all succeed, where here one does, and it found less.

**good.** For a possible best policy c let q_c(i) be Holm's adjusted p-values of the k - 1 hypotheses
"m_c - m_i >= d", i != c, and call i good if q_c(i) <= alpha for *every* c != i. Proof: c = b is one of them. If a
policy that is not close is called good, then Holm's procedure for c = b has rejected a true hypothesis, which has
probability at most alpha. So k - 1 tests are paid for, not k(k - 1): whoever is best, it is one fixed policy (the
partitioning argument behind Hsu's constrained intervals). The p-value of the claim is the maximum over c of q_c(i).

**Divergence.** A policy that diverged on any seed is avoid by that fact, and is not among the k: claims are about the
policies that never diverged. A policy with fewer than two runs is not among the k either and stays undecided.

**Spread zero.** Accuracies are multiples of 1/N, and a few of them can agree by chance. A spread is never taken to be
less than the resolution of the score (`Pairs.of`), so that agreement of three seeds is no certainty. Where all scores
are the same and no resolution is given, there is no claim.

**What it cannot see.** Scores that collapse on one seed in fifty are not normal, and no test on five seeds knows of a
collapse that none of the five showed.

**Missing runs.** Each pair is compared on the seeds that both have. What is claimed holds if runs are missing for
reasons that have nothing to do with their score.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrbench.errors import StudyError
from lrbench.metrics.pairs import Pairs, resolution_of
from lrbench.metrics.statistics import NOTHING_KNOWN, Interval, holm, paired_interval, seeds_to_decide

FloatArray = NDArray[np.float64]
Label = Literal["good", "avoid", "undecided"]

PLANNED_POWER = 0.8
MOST_SEEDS = 1000

ROWS_AT_ONCE = 1024
"""Of the matrix of all pairs of policies no more rows than these are in memory."""


@dataclass(frozen=True)
class Verdict:
    """What a study says of one policy."""

    label: Label
    gap: Interval
    """By how much the best of the other policies is better than this one, paired by seed, with its plain (not
    familywise) t interval; negative for the leader."""
    rival: int | None
    """Which policy that is: the one with the highest mean among the others that never diverged."""
    p_good: float | None
    """Familywise p-value of the claim `good`; None where the policy takes no part in the comparison."""
    p_avoid: float | None
    """Familywise p-value of the claim `avoid`."""
    seeds_needed: int | None
    """For an undecided policy, how many seeds in all would give each comparison it needs an 80% chance, if gaps and
    spreads stay as they look now; None for more than 1,000, or where they cannot be estimated."""
    reason: str
    """One clause a person can read."""


def judge(
    scores: ArrayLike,
    margin: float,
    alpha: float = 0.05,
    diverged: ArrayLike | None = None,
    resolution: float | None = None,
) -> list[Verdict]:
    """Judge every policy of a study against the best of them.

    Args:
        scores: [policies, seeds], higher is better, column s from the same seed for all; nan for a missing run. Scores
            of diverged runs are only used to describe the gap of their policy.
        margin: how much worse than the best is still as good, in units of the score, >= 0.
        alpha: the familywise error rate of each kind of claim.
        diverged: bool [policies, seeds], all False by default.
        resolution: the step of the score's scale, 1/N for an accuracy over N samples; by default the smallest step
            between two scores of the study.

    Raises:
        StudyError: the arrays are not [policies, seeds], or a number is outside its range.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2:
        raise StudyError(f"scores must have the shape [policies, seeds], but have {table.shape}")
    fell = np.zeros(table.shape, dtype=bool) if diverged is None else np.asarray(diverged, dtype=bool)
    if fell.shape != table.shape:
        raise StudyError(f"diverged must have the shape of the scores, {table.shape}, but has {fell.shape}")
    if not (np.isfinite(margin) and margin >= 0):
        raise StudyError(f"the margin must be a finite number of at least 0, but is {margin}")
    if not 0 < alpha < 1:
        raise StudyError(f"alpha must lie between 0 and 1, but is {alpha}")
    step = resolution_of(table) if resolution is None else resolution
    if not (np.isfinite(step) and step >= 0):
        raise StudyError(f"the resolution must be a finite number of at least 0, but is {step}")

    steady = np.logical_not(fell.any(axis=1))
    compared = np.flatnonzero(steady & (np.isfinite(table).sum(axis=1) >= 2))
    evidence = _evidence(table[compared], margin, alpha, step) if len(compared) >= 2 else []
    found = dict(zip(compared.tolist(), evidence, strict=False))
    best_two = _best_two(table, steady)
    verdicts = []
    for i in range(len(table)):
        rival = next((j for j in best_two if j != i), None)
        gap = NOTHING_KNOWN if rival is None else paired_interval(table[rival], table[i], 1 - alpha)
        if fell[i].any():
            why = f"diverged on {fell[i].sum()} of {len(fell[i])} seeds"
            verdicts.append(Verdict("avoid", gap, rival, None, None, None, why))
        elif i in found:
            verdicts.append(_verdict(found[i], gap, rival, margin, alpha))
        else:
            verdicts.append(Verdict("undecided", gap, rival, None, None, None, _why_left_out(table[i])))
    return verdicts


def familywise_p(pairs: Pairs, margin: float) -> tuple[FloatArray, FloatArray]:
    """The familywise p-values (p_good, p_avoid), each [..., k], of k >= 2 policies; the module's text proves them."""
    p_good, beyond = _over_rows(pairs, margin, first=0)
    return p_good, _p_avoid(beyond)


def _over_rows(pairs: Pairs, margin: float, first: int) -> tuple[FloatArray, FloatArray]:
    """The largest q_c(i) and the smallest p(j, i) over the rows c and j of the pairs, each [..., k].

    `first` is the policy of the first row.
    """
    *lead, rows, k = pairs.gap.shape
    others = ~np.eye(rows, k, first, dtype=bool)
    within = pairs.p_within(margin)[..., others].reshape(*lead, rows, k - 1)
    by_best = np.zeros_like(pairs.gap)
    by_best[..., others] = holm(within).reshape(*lead, rows * (k - 1))
    return by_best.max(axis=-2), np.where(others, pairs.p_beyond(margin), 1.0).min(axis=-2)


def _p_avoid(beyond: FloatArray) -> FloatArray:
    return holm(np.minimum((beyond.shape[-1] - 1) * beyond, 1.0))


@dataclass(frozen=True)
class _Evidence:
    p_good: float
    p_avoid: float
    seeds_needed: int | None


def _evidence(scores: FloatArray, margin: float, alpha: float, resolution: float) -> list[_Evidence]:
    k, seeds = scores.shape
    p_good, beyond, nearest_to_beating_it = np.zeros(k), np.ones(k), np.full(k, -np.inf)
    for first in range(0, k, ROWS_AT_ONCE):
        pairs = Pairs.of(scores, resolution, slice(first, first + ROWS_AT_ONCE))
        largest, smallest = _over_rows(pairs, margin, first)
        p_good, beyond = np.maximum(p_good, largest), np.minimum(beyond, smallest)
        effect = pairs.effect(margin)
        np.fill_diagonal(effect[:, first:], -np.inf)
        nearest_to_beating_it = np.maximum(nearest_to_beating_it, effect.max(axis=0))
    p_avoid = _p_avoid(beyond)
    best, second = _best_two(scores, np.full(k, True))
    behind_best, behind_second = Pairs.of(scores, resolution, [best, second]).effect(margin)

    def needed(i: int) -> int | None:
        if min(p_good[i], p_avoid[i]) <= alpha:
            return None
        behind = float((behind_second if i == best else behind_best)[i])
        to_avoid = seeds_to_decide(behind, alpha / (k * (k - 1)), PLANNED_POWER, MOST_SEEDS)
        to_accept = seeds_to_decide(float(-nearest_to_beating_it[i]), alpha / (k - 1), PLANNED_POWER, MOST_SEEDS)
        return min((max(plan, seeds + 1) for plan in (to_avoid, to_accept) if plan is not None), default=None)

    return [_Evidence(float(p_good[i]), float(p_avoid[i]), needed(i)) for i in range(k)]


def _verdict(evidence: _Evidence, gap: Interval, rival: int | None, margin: float, alpha: float) -> Verdict:
    good, avoid = evidence.p_good <= alpha, evidence.p_avoid <= alpha
    label: Label
    if good and not avoid:
        label, reason = "good", f"within {margin:g} of the best (p = {evidence.p_good:.2g})"
    elif avoid and not good:
        label, reason = "avoid", f"worse than the best by more than {margin:g} (p = {evidence.p_avoid:.2g})"
    elif evidence.seeds_needed is not None:
        label, reason = "undecided", f"about {evidence.seeds_needed} seeds would decide"
    else:
        label, reason = "undecided", f"no number of seeds up to {MOST_SEEDS} is known to decide"
    return Verdict(label, gap, rival, evidence.p_good, evidence.p_avoid, evidence.seeds_needed, reason)


def _why_left_out(scores: FloatArray) -> str:
    runs = int(np.isfinite(scores).sum())
    if runs >= 2:
        return "there is no other policy to compare it with"
    return f"{runs} finished {'run' if runs == 1 else 'runs'}, at least 2 are needed"


def _best_two(scores: FloatArray, eligible: NDArray[np.bool_]) -> list[int]:
    finite = np.isfinite(scores)
    runs = finite.sum(axis=1)
    means = np.where(finite, scores, 0.0).sum(axis=1) / np.maximum(runs, 1)
    candidates = np.flatnonzero((runs > 0) & eligible)
    best: list[int] = candidates[np.argsort(-means[candidates], kind="stable")][:2].tolist()
    return best
