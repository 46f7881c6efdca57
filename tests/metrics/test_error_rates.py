"""The error rates that `judge` claims, found by simulating whole studies whose truth is known.

13 policies, margins and means in units of a score's standard deviation between seeds. The truths are least favourable:
ties, and gaps of exactly the margin, where a policy counts as close for the claim `avoid` and (as the limit of larger
gaps) as not close for the claim `good`. 2,000 studies each, with fixed seeds; a rate of truly 5% would then be seen
with a standard error of .5%, and three of those are allowed for.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from lrbench.metrics.familywise import ScoresAtLooks, familywise, familywise_p
from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import Ranks, Signs, Unpaired
from lrbench.metrics.verdict import judge
from tests.arrivals import ALONE, ARRIVALS, arrivals, arrivals_alone

FloatArray = NDArray[np.float64]

POLICIES = 13
STUDIES = 2000
ALPHA = 0.05
ROUNDING = 1e-9
ALLOWED = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / STUDIES)


@dataclass(frozen=True)
class Truth:
    gaps: FloatArray
    """[policies], how far each mean is below the best."""
    margin: float

    @property
    def close(self) -> NDArray[np.bool_]:
        return self.gaps <= self.margin + ROUNDING

    @property
    def not_close(self) -> NDArray[np.bool_]:
        return (self.gaps >= self.margin - ROUNDING) & (np.arange(len(self.gaps)) > 0)


def behind(best: int, gap: float) -> FloatArray:
    """`best` policies at the top, the others `gap` below."""
    return np.where(np.arange(POLICIES) < best, 0.0, gap)


TRUTHS = {
    "all equal, margin 0": Truth(behind(13, 0.0), 0.0),
    "all equal, small margin": Truth(behind(13, 0.0), 0.3),
    "one best, the others at a small margin": Truth(behind(1, 0.5), 0.5),
    "one best, the others at a wide margin": Truth(behind(1, 8.0), 8.0),
    "half at a small margin": Truth(behind(6, 0.5), 0.5),
    "half at a wide margin": Truth(behind(6, 8.0), 8.0),
    "a ladder across the margin": Truth(np.arange(POLICIES) / 2.0, 3.0),
}

ASCENDING = np.geomspace(1, 10, POLICIES)
SPREADS = {
    "equal spreads, independent": (np.ones(POLICIES), 0.0),
    "equal spreads, correlation .8": (np.ones(POLICIES), 0.8),
    "spreads from 1 to 10, worst the noisiest": (ASCENDING, 0.0),
    "spreads from 1 to 10, best the noisiest, correlation .8": (ASCENDING[::-1], 0.8),
    "the lower half ten times as noisy": (np.where(np.arange(POLICIES) < 6, 1.0, 10.0), 0.0),
}


def simulated(gaps: FloatArray, spread: FloatArray, correlation: float, seeds: int, studies: int) -> FloatArray:
    """Normal scores [studies, policies, seeds]."""
    rng = np.random.default_rng(seeds)
    shared = rng.standard_normal((studies, 1, seeds))
    own = rng.standard_normal((studies, len(gaps), seeds))
    noise: FloatArray = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
    return spread[:, None] * noise - gaps[:, None]


def claims(scores: FloatArray, margin: float, resolution: float = 0.0) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which policies are called good and which avoid, [studies, policies] each."""
    seeds = scores.shape[-1]
    done = np.full(scores.shape[:-1], seeds)
    p_good, p_avoid = familywise_p(ScoresAtLooks(scores, done, Looks.once(seeds), resolution), margin)
    return p_good[-1] <= ALPHA, p_avoid[-1] <= ALPHA


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("name", TRUTHS)
def test_wrong_claims_come_in_at_most_5_percent_of_studies(name: str, spread: str, seeds: int) -> None:
    truth = TRUTHS[name]
    sd, correlation = SPREADS[spread]
    good, avoid = claims(simulated(truth.gaps, sd, correlation, seeds, STUDIES), truth.margin)
    assert (avoid & truth.close).any(axis=1).mean() <= ALLOWED
    assert (good & truth.not_close).any(axis=1).mean() <= ALLOWED


LADDERS = {f"a ladder of steps of {step}": Truth(np.arange(0.0, POLICIES) * step, 3 * step) for step in (1.0, 3.0, 8.0)}
"""Truths at which the margin of each policy is another one: the least favourable for claims at all margins."""


def wrong_at_some_margin(scores: FloatArray, truth: Truth, looks: Looks) -> tuple[float, float]:
    """Return the shares of studies where a verdict `good` or a `within`, and an `avoid` or a `beyond`, is wrong."""
    done = np.full(scores.shape[:-1], scores.shape[-1])
    found = familywise(ScoresAtLooks(scores, done, looks, 0.0), truth.margin, ALPHA)
    good = (found.p_good[-1] <= ALPHA) & truth.not_close
    avoid = (found.p_avoid[-1] <= ALPHA) & truth.close
    too_narrow, too_wide = found.within < truth.gaps - ROUNDING, found.beyond >= truth.gaps - ROUNDING
    return float((good | too_narrow).any(axis=1).mean()), float((avoid | too_wide & truth.close).any(axis=1).mean())


@pytest.mark.parametrize("looks", [Looks.once(10), Looks.between(5, 10)], ids=["10", "5 to 10"])
@pytest.mark.parametrize("spread", ["equal spreads, correlation .8", "spreads from 1 to 10, worst the noisiest"])
@pytest.mark.parametrize("name", [*LADDERS, "all equal, small margin", "half at a small margin"])
def test_claims_at_other_margins_keep_the_error_rates_together_with_the_verdicts(
    name: str, spread: str, looks: Looks
) -> None:
    truth = (TRUTHS | LADDERS)[name]
    sd, correlation = SPREADS[spread]
    wrong = wrong_at_some_margin(simulated(truth.gaps, sd, correlation, 10, STUDIES), truth, looks)
    assert max(wrong) <= ALLOWED


def test_who_asks_for_the_verdicts_at_every_margin_errs_in_more_than_5_percent_of_studies() -> None:
    # What the claims at other margins are for: a policy is called good at a margin next below its true gap.
    gaps = LADDERS["a ladder of steps of 3.0"].gaps
    scores = simulated(gaps, np.ones(POLICIES), 0.0, 5, STUDIES)
    wrong = [claims(scores, gap)[0] & (gaps >= gap) & (gaps > 0) for gap in gaps]
    assert np.any(wrong, axis=0).any(axis=1).mean() > 2 * ALPHA


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("sd", [0.3, 1.0], ids=lambda sd: f"sd of {sd} steps")
@pytest.mark.parametrize("name", TRUTHS)
def test_scores_in_steps_of_one_thousandth_keep_the_error_rates(name: str, sd: float, seeds: int) -> None:
    # Means lie on the grid, where rounding a normal score leaves its mean as it is.
    step = 0.001
    truth = Truth(np.round(TRUTHS[name].gaps * sd) * step, float(np.round(TRUTHS[name].margin * sd) * step))
    exact = simulated(truth.gaps, np.full(POLICIES, sd * step), 0.0, seeds, STUDIES)
    good, avoid = claims(np.round(exact / step) * step, truth.margin, resolution=step)
    assert (avoid & truth.close).any(axis=1).mean() <= ALLOWED
    assert (good & truth.not_close).any(axis=1).mean() <= ALLOWED


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("best", [0.0, 0.25, 0.5])
def test_two_policies_scored_in_coarse_steps_keep_the_error_rates(best: float, seeds: int) -> None:
    # With two policies no multiplicity hides an excess. The means fall between the steps, and the margin is exactly the
    # gap that is left after rounding, known from 20,000 studies.
    for sd in (0.1, 0.2, 0.3, 0.5):
        latent = simulated(np.array([-best, 0.1]), np.full(2, sd), 0.0, seeds, 20_000)
        scores = np.round(latent)
        gap = float((scores[:, 0] - scores[:, 1]).mean())
        good, avoid = claims(scores, gap, resolution=1.0)
        assert good[:, 1].mean() <= ALPHA + 0.005
        assert avoid[:, 1].mean() <= ALPHA + 0.005


@pytest.mark.parametrize(("seeds", "gap"), [(5, 10.0), (10, 5.0)])
def test_a_clearly_worse_policy_is_found(seeds: int, gap: float) -> None:
    truth = behind(12, gap)
    _, avoid = claims(simulated(truth, np.ones(POLICIES), 0.0, seeds, STUDIES), margin=0.5)
    assert avoid[:, -1].mean() >= 0.95


@pytest.mark.parametrize(("seeds", "margin"), [(5, 5.0), (10, 3.0)])
def test_a_policy_well_within_the_margin_is_found(seeds: int, margin: float) -> None:
    good, _ = claims(simulated(behind(13, 0.0), np.ones(POLICIES), 0.0, seeds, STUDIES), margin)
    assert good.mean() >= 0.8


def test_the_simulated_claims_are_those_of_judge() -> None:
    scores = simulated(np.arange(POLICIES, dtype=np.float64) * 1.5, ASCENDING, 0.5, seeds=5, studies=20)
    good, avoid = claims(scores, margin=3.0)
    for study, called_good, called_avoid in zip(scores, good, avoid, strict=True):
        labels = np.array([verdict.label for verdict in judge(study, margin=3.0, resolution=0.0)])
        assert np.array_equal(labels == "good", called_good)
        assert np.array_equal(labels == "avoid", called_avoid)


@pytest.mark.parametrize("looks", [Looks.planned(5), Looks.between(5, 40)], ids=["5 planned", "5 to 40"])
@pytest.mark.parametrize("spread", ["equal spreads, independent", "spreads from 1 to 10, worst the noisiest"])
@pytest.mark.parametrize(
    "name", ["all equal, margin 0", "one best, the others at a wide margin", "half at a small margin"]
)
def test_who_looks_at_every_number_of_seeds_errs_in_at_most_5_percent_of_studies(
    name: str, spread: str, looks: Looks
) -> None:
    # Claims are final, so that those after the last look are all that somebody who always looks has ever seen.
    truth = TRUTHS[name]
    sd, correlation = SPREADS[spread]
    scores = simulated(truth.gaps, sd, correlation, 40, STUDIES)
    p_good, p_avoid = familywise_p(ScoresAtLooks(scores, np.full(scores.shape[:-1], 40), looks, 0.0), truth.margin)
    assert (np.diff(p_good, axis=0) <= 0).all()
    assert (np.diff(p_avoid, axis=0) <= 0).all()
    assert ((p_avoid[-1] <= ALPHA) & truth.close).any(axis=1).mean() <= ALLOWED
    assert ((p_good[-1] <= ALPHA) & truth.not_close).any(axis=1).mean() <= ALLOWED


def test_without_shares_who_looks_again_errs_in_more_than_5_percent_of_studies() -> None:
    # What the looks are for: each of them alone errs in 5%.
    scores = simulated(np.zeros(2), np.ones(2), 0.0, 20, STUDIES)
    seen = [claims(scores[..., :seeds], margin=0.0)[1].any(axis=1) for seeds in range(3, 21)]
    assert np.any(seen, axis=0).mean() > 3 * ALPHA


@pytest.mark.parametrize(
    ("policies", "seeds", "looks"),
    [(2, 8, Looks.once(8)), (13, 15, Looks.once(15)), (2, 40, Looks.planned(5)), (4, 40, Looks.between(5, 40))],
    ids=["2 policies, one look", "13 policies, one look", "5 seeds and more to 40", "5 to 40"],
)
@pytest.mark.parametrize("case", ARRIVALS)
def test_iterations_to_a_target_are_claimed_wrongly_in_at_most_5_percent_of_studies(
    case: str, policies: int, seeds: int, looks: Looks
) -> None:
    gains, margin = arrivals(case, policies, seeds, STUDIES)
    done = np.full(gains.shape[:-1], seeds)
    p_good, p_avoid = familywise_p(ScoresAtLooks(gains, done, looks, test=Signs), margin)
    assert (p_avoid[-1] <= ALPHA).any(axis=1).mean() <= ALLOWED
    if case != "all equal, margin 0":
        assert (p_good[-1, :, 1:] <= ALPHA).any(axis=1).mean() <= ALLOWED


def test_t_tests_of_iterations_cut_at_the_budget_err_in_more_than_5_percent_of_studies() -> None:
    # What sign tests are for: five seeds often do not show that one in ten never reaches the target.
    rng = np.random.default_rng(0)
    steps = 300 + 60 * rng.standard_normal((STUDIES, 2, 5))
    steps[:, 1] = np.where(rng.random((STUDIES, 5)) < 0.1, 1000, steps[:, 1])
    good, _ = claims(-steps, margin=50.0, resolution=20.0)
    assert good[:, 1].mean() > 2 * ALPHA


@pytest.mark.parametrize(("policies", "seeds"), [(2, 8), (13, 20)])
def test_a_policy_that_never_reaches_the_target_is_found(policies: int, seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    gains = -rng.lognormal(5.0, 0.1, (STUDIES, policies, seeds))
    gains[:, -1] = -math.inf
    done = np.full(gains.shape[:-1], seeds)
    _, p_avoid = familywise_p(ScoresAtLooks(gains, done, Looks.once(seeds), test=Signs), 20.0)
    assert (p_avoid[-1, :, -1] <= ALPHA).mean() >= 0.95


@pytest.mark.parametrize(("policies", "runs"), [(2, (5, 5)), (2, (20, 6)), (2, (6, 20)), (3, (8, 8)), (12, (12, 12))])
@pytest.mark.parametrize("case", ALONE)
def test_steps_of_unpaired_runs_that_may_miss_the_target_are_claimed_wrongly_in_at_most_5_percent_of_studies(
    case: str, policies: int, runs: tuple[int, int]
) -> None:
    gains, margin = arrivals_alone(case, policies, runs, STUDIES)
    done = np.full(gains.shape[:-1], gains.shape[-1])
    p_good, p_avoid = familywise_p(ScoresAtLooks(gains, done, Looks.once(gains.shape[-1]), test=Ranks), margin)
    assert (p_avoid[-1] <= ALPHA).any(axis=1).mean() <= ALLOWED
    if margin:
        assert (p_good[-1, :, 1:] <= ALPHA).any(axis=1).mean() <= ALLOWED


def test_means_wherever_no_run_misses_the_target_err_in_more_than_5_percent_of_studies() -> None:
    # Why runs are counted whether or not one misses: three runs often do not show that half of them would.
    gains, margin = arrivals_alone("half miss it", 2, (3, 3), STUDIES)
    arrived = np.isfinite(gains).all(axis=(1, 2))
    done = np.full(gains.shape[:-1], 3)
    p_good, _ = familywise_p(ScoresAtLooks(gains[arrived], done[arrived], Looks.once(3), 0.0, Unpaired), margin)
    assert (p_good[-1, :, 1] <= ALPHA).mean() * arrived.mean() > 2 * ALPHA
