"""A tolerated rate of divergence, with its error rates by simulating whole studies."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from lrbench.metrics.divergence import levels, p_of_divergence
from lrbench.metrics.familywise import ScoresAtLooks, familywise_p
from lrbench.metrics.looks import Looks
from lrbench.metrics.racing import next_seeds
from lrbench.metrics.verdict import judge

STUDIES = 2000
ALPHA = 0.05
ALLOWED = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / STUDIES)


def test_the_p_value_is_that_of_scipys_binomial_test_by_holms_procedure() -> None:
    diverged = np.arange(20) < np.array([[7], [1]])
    p = p_of_divergence(diverged, np.full((2, 20), True), np.array([20, 20]), 0.1, Looks.once(20))
    first = binomtest(7, 20, 0.1, alternative="greater").pvalue
    assert p.tolist() == pytest.approx([2 * first, binomtest(1, 20, 0.1, alternative="greater").pvalue])


def test_a_policy_that_diverges_as_often_as_is_tolerated_is_compared_on_the_seeds_where_it_did_not() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal([[0.9], [0.9], [0.5]], 0.01, (3, 20))
    diverged = np.zeros((3, 20), dtype=bool)
    diverged[1, [3, 9]] = True
    scores[1, [3, 9]] = 0.1
    assert [v.label for v in judge(scores, 0.05, diverged=diverged)] == ["good", "avoid", "avoid"]
    verdicts = judge(scores, 0.05, diverged=diverged, tolerated=0.1)
    assert [v.label for v in verdicts] == ["good", "good", "avoid"]
    assert verdicts[1].gap.n == 18


def test_a_policy_that_diverges_more_often_than_is_tolerated_is_avoided_with_the_ground() -> None:
    rng = np.random.default_rng(0)
    diverged = np.arange(20) < np.array([[0], [12]])
    verdict = judge(rng.normal(0.9, 0.01, (2, 20)), 0.05, diverged=diverged, tolerated=0.1)[1]
    assert verdict.label == "avoid"
    assert verdict.reason.startswith("diverged on 12 of 20 seeds, more than the tolerated 0.1 (p = ")


@pytest.mark.parametrize("seeds", [5, 20, 40])
@pytest.mark.parametrize("tolerated", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("policies", [2, 13])
def test_avoid_is_wrong_in_at_most_5_percent_of_studies_of_policies_at_the_tolerated_rate(
    policies: int, tolerated: float, seeds: int
) -> None:
    # Least favourable: all are equal, and each diverges exactly as often as is tolerated.
    rng = np.random.default_rng([policies, seeds])
    diverged = rng.random((STUDIES, policies, seeds)) < tolerated
    scores = np.where(diverged, np.nan, rng.standard_normal(diverged.shape))
    done, looks = np.full((STUDIES, policies), seeds), Looks.between(5, seeds)
    to_fall, to_compare = levels(ALPHA, tolerated)
    fell = p_of_divergence(diverged, np.full(diverged.shape, True), done, tolerated, looks) <= to_fall
    _, p_avoid = familywise_p(ScoresAtLooks(scores, done, looks, 0.0), 0.0)
    assert fell.any(axis=1).mean() <= to_fall + 3 * math.sqrt(to_fall * (1 - to_fall) / STUDIES)
    assert (fell.any(axis=1) | (p_avoid[-1] <= to_compare).any(axis=1)).mean() <= ALLOWED


def test_avoid_by_divergence_does_not_grow_with_seeds_where_a_rate_is_tolerated() -> None:
    rng = np.random.default_rng(1)
    diverged = rng.random((STUDIES, 1, 40)) < 0.05
    avoided = {
        tolerated: [
            float(
                (
                    p_of_divergence(
                        diverged[..., :n], diverged[..., :n] | True, np.full((STUDIES, 1), n), tolerated, Looks.once(n)
                    )
                    <= levels(ALPHA, tolerated)[0]
                ).mean()
            )
            for n in (5, 40)
        ]
        for tolerated in (0.0, 0.05)
    }
    assert avoided[0.0][1] > 0.8 > 0.3 > avoided[0.0][0]
    assert max(avoided[0.05]) <= 0.02


def test_a_race_goes_on_for_a_policy_whose_divergence_is_tolerated() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(0.0, 1.0, (2, 20))
    diverged = np.zeros((2, 20), dtype=bool)
    diverged[1, 2] = True
    looks, done = Looks.between(5, 20), np.array([5, 5])
    assert next_seeds(scores, done, 1.0, looks, 20, diverged=diverged).tolist() == [5, 5]
    assert next_seeds(scores, done, 1.0, looks, 20, diverged=diverged, tolerated=0.1).tolist() == [7, 7]
