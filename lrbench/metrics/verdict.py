"""Verdicts: which policies are as good as the best, and which are worse, with bounded error rates.

Let m_i be the true mean score of policy i over seeds, b the truly best policy and d the margin, and call i *close* if
m_b - m_i <= d. From paired seeds, with normal differences of any covariance, `judge` claims

    good   i is close          P(some policy that is not close is called good)  <= alpha
    avoid  i is not close      P(some close policy is called avoid)             <= alpha

each over the whole study, whatever the truth is. It is multiple comparison with the best (Hsu 1981, 1996) by pairwise
one-sided t tests, each with its own variance, where Holm's procedure (1979) takes the place of a common-variance
critical value. The procedures, with their proofs, are in `metrics/familywise.py`.

**Divergence.** A policy that diverged on any seed, or more often than is tolerated (`metrics/divergence.py`), is avoid
by that fact, and is not among the k: claims are about the other policies. A policy with fewer than two runs is not
among the k either and stays undecided.

**Spread zero.** Accuracies are multiples of 1/N, and a few of them can agree by chance. A spread is never taken to be
less than the resolution of the score (`Pairs.of`), so that agreement of three seeds is no certainty. Where all scores
are the same and no resolution is given, there is no claim.

**Rare collapses.** Scores that collapse on one seed in fifty are not normal, and no test on five seeds finds a collapse
that none of the five showed.

**Unpaired runs.** Where policies share no seeds (`Unpaired`), the p-value of a pair is that of the difference of
two means, which holds for normal scores of any spreads and numbers of runs. The procedures stay as they are.

**Missing runs.** Each pair is compared on the seeds that both have. Claims hold if runs are missing for reasons that
have nothing to do with their score.

**Scores without a mean.** The iterations to a target of a run that never reached it are not known but for being more
than all others. Such scores are judged by sign tests (`Signs`), and a claim is about most seeds: i is close if no j is
ahead of it by more than d on more than half of the seeds, and `good` says that it is within d of the best on more than
half. The p-values of pairs are exact for any distribution; the procedures stay as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrbench.display.names import many
from lrbench.errors import StudyError
from lrbench.metrics.divergence import levels, p_of_divergence
from lrbench.metrics.familywise import ScoresAtLooks, familywise
from lrbench.metrics.goal import Margin
from lrbench.metrics.looks import MOST_SEEDS, PLANNED_POWER, Looks
from lrbench.metrics.pairs import ALL, FloatArray, Pairs, Test
from lrbench.metrics.statistics import NOTHING_KNOWN, Interval, seeds_to_decide

Label = Literal["good", "avoid", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """The claim of a study about one policy."""

    label: Label
    gap: Interval
    """By how much the best of the other policies is better than this one, paired by seed, with its plain (not
    familywise) 95% t interval; negative for the leader."""
    rival: int | None
    """Which policy that is: the one with the highest mean among the others that never diverged."""
    p_good: float | None
    """Familywise p-value of the claim `good`; None where the policy takes no part in the comparison."""
    p_avoid: float | None
    """Familywise p-value of the claim `avoid`."""
    seeds_needed: int | None
    """For an undecided policy, how many seeds in all would give each comparison it needs an 80% chance, if gaps and
    spreads are as they look now; None for more than 1,000, or where they cannot be estimated."""
    reason: str
    """The ground of the claim in one clause."""
    look: int | None = None
    """The number of seeds with which the claim was first made; None without a test's claim."""
    within: Margin | None = None
    """The smallest margin at which the policy is good: the study's, or a wider one; None where none is known."""
    beyond: Margin | None = None
    """The largest margin at which the policy is avoid: the study's, or a narrower one; None where none is known."""

    def numbers(self) -> dict[str, float | None]:
        """Return the look of the claim and its margins, as documents have them."""
        within, beyond = (None if one is None else one.size for one in (self.within, self.beyond))
        return {"look": self.look, "within": within, "beyond": beyond}

    @property
    def explanation(self) -> str:
        """The ground of the claim, and the margins at which it would be another one, rounded so that they hold."""
        within = None if self.within is None or self.label == "good" else self.within.rounded(up=True)
        beyond = None if self.beyond is None or self.label == "avoid" else self.beyond.rounded(up=False)
        at_most = f"by at most {within}" if self.label == "avoid" else f"within {within} of the best"
        at_least = f"worse by more than {beyond}"
        parts = (self.reason, "" if within is None else at_most, "" if beyond is None else at_least)
        return ", ".join(filter(None, parts))


def judge(
    scores: ArrayLike,
    margin: float,
    alpha: float = 0.05,
    diverged: ArrayLike | None = None,
    resolution: float | None = None,
    looks: Looks | None = None,
    done: ArrayLike | None = None,
    *,
    test: Test = Pairs,
    shown: Callable[[float], Margin] = Margin,
    tolerated: float = 0.0,
) -> list[Verdict]:
    """Judge every policy of a study against the best of them.

    Args:
        scores: [policies, seeds], higher is better, column s from the same seed for all; nan for a missing run. Scores
            of diverged runs are only used to describe the gap of their policy.
        margin: how much worse than the best is still as good, in units of the score, >= 0.
        alpha: the familywise error rate of each kind of claim.
        diverged: bool [policies, seeds], all False by default.
        resolution: the step of the score's scale, 1/N for an accuracy over N samples; by default the smallest step
            between two scores of a look.
        looks: the numbers of seeds at which verdicts are made, fixed before any score was seen; by default one, all
            seeds of the table.
        done: int [policies], how many of the first seeds each policy has been trained with, by default all; later
            seeds count in no test, since their neighbours may still be training.
        test: how policies are compared: by t tests, by those of runs that share no seeds, for which columns have no
            meaning, or by sign tests, for which a score may be minus infinity.
        tolerated: the share of seeds on which a policy may diverge, from 0 to below 1.
        shown: makes the margin of a study out of one between scores, by default the same.

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
    if resolution is not None and not (np.isfinite(resolution) and resolution >= 0):
        raise StudyError(f"the resolution must be a finite number of at least 0, but is {resolution}")
    seeds = table.shape[1]
    given = np.full(len(table), seeds) if done is None else np.asarray(done, dtype=np.int64)
    if given.shape != (len(table),) or (given > seeds).any() or (given < 0).any():
        raise StudyError(f"done must be {len(table)} numbers of seeds from 0 to {seeds}, but is {given.tolist()}")

    looks = Looks.once(seeds) if looks is None else looks
    ended = test.seen(table) | fell
    if tolerated:
        table = np.where(fell, np.nan, table)
    to_fall, to_compare = levels(alpha, tolerated)
    p_fell = p_of_divergence(fell, ended, given, tolerated, looks)
    finished, steady = test.seen(table), p_fell > to_fall
    compared = np.flatnonzero(steady & (finished.sum(axis=1) >= 2))
    terms = _Terms(margin, to_compare, resolution, looks, test, shown)
    claims = _claims(table[compared], given[compared], terms) if len(compared) >= 2 else []
    found = dict(zip(compared.tolist(), claims, strict=False))
    best = best_two(test.centers(table), steady)
    known = np.where(np.isfinite(table), table, np.nan)
    gaps: dict[int, tuple[int | None, Interval]] = {}
    for leader in reversed(best):
        others = [i for i in range(len(table)) if i != leader]
        gaps |= zip(others, ((leader, gap) for gap in test.intervals(known[leader], known[others])), strict=True)
    verdicts = []
    for i in range(len(table)):
        if i in found:
            verdict = found[i]
        elif steady[i]:
            verdict = _without_claim("undecided", _why_left_out(int(finished[i].sum())))
        else:
            more = f", more than the tolerated {tolerated:.2g} (p = {p_fell[i]:.2g})" if tolerated else ""
            verdict = _without_claim("avoid", f"diverged on {fell[i].sum()} of {ended[i].sum()} seeds{more}")
        rival, gap = gaps.get(i, (None, NOTHING_KNOWN))
        verdicts.append(replace(verdict, gap=gap, rival=rival))
    return verdicts


@dataclass(frozen=True)
class _Terms:
    """The terms of all verdicts of a study."""

    margin: float
    alpha: float
    resolution: float | None
    looks: Looks
    test: Test
    shown: Callable[[float], Margin]

    def seeds_to_decide(self, effects: FloatArray, tests: int, done: NDArray[np.int64]) -> list[int | None]:
        """Return the first later look that finds each effect with 80% chance; after the last, seeds of a new study."""
        level, last = self.alpha / tests, self.looks.seeds[-1]

        def in_new_study(effect: float, seeds: int) -> int | None:
            plan = seeds_to_decide(effect, level, PLANNED_POWER, MOST_SEEDS, self.test.power)
            return None if plan is None else max(plan, seeds + 1)

        plans = self.looks.finding(effects, level, done, self.test.power)
        return [
            plan if seeds < last else in_new_study(effect, seeds)
            for plan, effect, seeds in zip(plans, effects.tolist(), done.tolist(), strict=True)
        ]


def _claims(scores: FloatArray, done: NDArray[np.int64], terms: _Terms) -> list[Verdict]:
    """Judge policies that never diverged, each with at least two runs."""
    k, first_look, test = len(scores), terms.looks.seeds[0], terms.test
    seen = ScoresAtLooks(scores, done, terms.looks, terms.resolution, test).with_rivals()
    p_good, p_avoid, within, beyond = familywise(seen, terms.margin, terms.alpha)
    good, avoid = ((p <= terms.alpha).sum(axis=0) for p in (p_good, p_avoid))  # for how many looks each claim has stood
    nearest_to_beating_it = np.full(k, np.inf)
    nearest_to_beating_it[seen.rivals] = -np.inf
    for some, others in seen.blocks():
        effect = np.where(others, seen.pairs(some, seen.rivals).effect(terms.margin), -np.inf)
        nearest_to_beating_it[seen.rivals] = np.maximum(nearest_to_beating_it[seen.rivals], effect.max(axis=0))
    best, second = best_two(test.centers(scores), np.full(k, True))
    behind_best, behind_second = seen.pairs([best, second], ALL).effect(terms.margin)
    is_open = np.flatnonzero(good == avoid)
    behind = np.where(is_open == best, behind_second[is_open], behind_best[is_open])
    to_avoid = terms.seeds_to_decide(behind, k * (k - 1), done[is_open])
    to_accept = terms.seeds_to_decide(-nearest_to_beating_it[is_open], k - 1, done[is_open])
    plans = dict(zip(is_open.tolist(), zip(to_avoid, to_accept, strict=True), strict=True))

    def claim(i: int) -> Verdict:
        accepted, avoided = float(p_good[-1, i]), float(p_avoid[-1, i])
        look = terms.looks.seeds[len(p_good) - max(good[i], avoid[i])] if good[i] != avoid[i] else None
        label: Label = "good" if good[i] > avoid[i] else "avoid" if avoid[i] > good[i] else "undecided"
        needed = None
        if label == "good":
            reason = f"within {margin} of the best{test.which} (p = {accepted:.2g})"
        elif label == "avoid":
            reason = f"worse than the best by more than {margin}{test.which} (p = {avoided:.2g})"
        elif done[i] < first_look:
            reason = f"verdicts begin at {first_look} seeds, of which it has {done[i]}"
        elif np.count_nonzero(done >= first_look) < 2:
            reason = f"verdicts begin at {first_look} seeds, which no other policy has yet"
        else:
            needed = min((plan for plan in plans[i] if plan is not None), default=None)
            unknown = f"no number of {test.unit} up to {MOST_SEEDS} is known to decide"
            reason = unknown if needed is None else f"about {needed} {test.unit} would decide"
        # Of two contrary claims, the one that stands has the study's margin, and the other none.
        has_good = np.isfinite(within[i]) and (label != "avoid" or within[i] > terms.margin)
        has_avoid = beyond[i] >= 0 and (label != "good" or beyond[i] < terms.margin)
        good_at = terms.shown(float(within[i])) if has_good else None
        avoid_at = terms.shown(float(beyond[i])) if has_avoid else None
        return Verdict(label, NOTHING_KNOWN, None, accepted, avoided, needed, reason, look, good_at, avoid_at)

    margin = terms.shown(terms.margin)
    return [claim(i) for i in range(k)]


def _without_claim(label: Label, reason: str) -> Verdict:
    return Verdict(label, NOTHING_KNOWN, None, None, None, None, reason)


def _why_left_out(runs: int) -> str:
    if runs >= 2:
        return "there is no other policy to compare it with"
    return f"{many(runs, 'finished run')} with a value, at least 2 are needed"


def best_two(centers: FloatArray, eligible: NDArray[np.bool_]) -> list[int]:
    """Return up to two of the eligible policies, those with the highest centers of their scores, best first."""
    candidates = np.flatnonzero(~np.isnan(centers) & eligible)
    best: list[int] = candidates[np.argsort(-centers[candidates], kind="stable")][:2].tolist()
    return best
