"""A race: who is given more seeds, and that verdicts hold whoever is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import FloatArray
from lrbench.metrics.racing import next_seeds
from lrbench.metrics.verdict import Verdict, judge

LOOKS, LAST = Looks.between(5, 40), 40
ALPHA = 0.05


def raced(scores: FloatArray, margin: float) -> tuple[list[Verdict], NDArray[np.int64]]:
    """The verdicts after a race over what would be the scores [policies, seeds], and how many seeds each policy had."""
    done = np.zeros(len(scores), dtype=np.int64)
    while True:
        seen = np.where(np.arange(scores.shape[1]) < done[:, None], scores, np.nan)
        more = next_seeds(seen, done, margin, LOOKS, LAST, resolution=0.0)
        if (more == done).all():
            return judge(seen, margin, resolution=0.0, looks=LOOKS, done=done), done
        done = more


def normal(gaps: FloatArray, seed: int = 0) -> FloatArray:
    """Scores [policies, 40], each policy so far below the first in standard deviations."""
    return np.random.default_rng(seed).standard_normal((len(gaps), LAST)) - gaps[:, None]


def test_everybody_begins_with_the_first_look() -> None:
    scores = normal(np.zeros(4))
    assert next_seeds(np.full((4, 0), np.nan), np.zeros(4), 0.5, LOOKS, LAST).tolist() == [5] * 4
    assert next_seeds(scores[:, :3], np.full(4, 3), 0.5, LOOKS, LAST).tolist() == [5] * 4


def test_a_policy_that_was_cut_off_before_the_first_look_is_brought_to_it() -> None:
    scores = normal(np.zeros(3))[:, :7]
    scores[0, 1:] = scores[1:, 3:] = np.nan
    assert next_seeds(scores, np.array([7, 3, 3]), 0.5, LOOKS, LAST).tolist() == [7, 5, 5]
    assert next_seeds(scores, np.array([1, 3, 3]), 0.5, LOOKS, LAST).tolist() == [5, 5, 5]


def test_who_is_decided_gets_no_more_seeds_and_who_is_not_goes_to_the_next_look() -> None:
    scores = np.vstack([normal(np.array([0.0, 0.5])) / 100, normal(np.array([50.0])) / 100])[:, :5]
    labels = [verdict.label for verdict in judge(scores, 0.004, looks=LOOKS)]
    assert labels == ["undecided", "undecided", "avoid"]
    assert next_seeds(scores, np.full(3, 5), 0.004, LOOKS, LAST).tolist() == [7, 7, 5]


def test_a_good_policy_that_keeps_another_from_good_goes_on() -> None:
    # The two calm policies are good at once. The noisy third is compared with each of them, so that both go on.
    calm = np.array([[0.9, 0.901, 0.899, 0.9, 0.9005], [0.9, 0.9, 0.9, 0.901, 0.899]])
    noisy = np.array([[0.91, 0.88, 0.915, 0.875, 0.9]])
    scores = np.vstack([calm, noisy])
    assert [verdict.label for verdict in judge(scores[:2], 0.02, looks=LOOKS)] == ["good", "good"]
    assert next_seeds(scores, np.full(3, 5), 0.02, LOOKS, LAST).tolist() == [7, 7, 7]


def test_a_race_without_hope_ends_before_the_last_look() -> None:
    # Gaps of exactly the margin can be decided by no number of seeds.
    scores = np.tile([[0.0], [-0.5]], LAST) + np.tile([[1.0, -1.0], [-1.0, 1.0]], LAST // 2)
    verdicts, done = raced(scores, margin=0.5)
    assert verdicts[1].label == "undecided"
    assert done.max() < LAST


def test_a_policy_that_diverged_gets_no_more_seeds() -> None:
    scores = normal(np.array([0.0, 0.2, 0.1]))[:, :5]
    diverged = np.zeros(scores.shape, dtype=bool)
    diverged[2, 4] = True
    assert next_seeds(scores, np.full(3, 5), 0.3, LOOKS, LAST, diverged=diverged).tolist() == [7, 7, 5]


def test_a_race_among_one_policy_or_none_is_over_after_the_first_look() -> None:
    assert next_seeds(normal(np.zeros(1))[:, :5], np.full(1, 5), 0.5, LOOKS, LAST).tolist() == [5]
    assert next_seeds(np.zeros((0, 5)), np.zeros(0), 0.5, LOOKS, LAST).tolist() == []


def test_a_race_ends_at_its_last_look_whatever_later_looks_there_are() -> None:
    scores = normal(np.linspace(0, 1, 5))
    _, done = raced(scores, margin=0.5)
    assert done.max() == LAST < LOOKS.seeds[-1]


@pytest.mark.parametrize(("k", "margin"), [(2, 0.0), (2, 0.5), (5, 0.5)])
def test_a_race_errs_in_at_most_5_percent_of_studies(k: int, margin: float) -> None:
    gaps = np.where(np.arange(k) > 0, margin, 0.0)
    studies = 200
    wrong_good = wrong_avoid = 0
    for study in range(studies):
        verdicts, _ = raced(normal(gaps, seed=study), margin)
        labels = np.array([verdict.label for verdict in verdicts])
        wrong_good += bool((labels[1:] == "good").any())
        wrong_avoid += bool((labels == "avoid").any())
    allowed = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / studies)
    assert wrong_good / studies <= allowed
    assert wrong_avoid / studies <= allowed


def test_a_race_decides_what_differs_with_fewer_seeds_than_all() -> None:
    gaps = np.array([0.0, 0.1, 0.2, 3.0, 4.0, 5.0])
    found = [raced(normal(gaps, seed), margin=1.5) for seed in range(20)]
    labels = np.array([[verdict.label for verdict in verdicts] for verdicts, _ in found])
    assert (labels[:, 3:] == "avoid").mean() >= 0.9
    assert (labels[:, :3] == "good").mean() >= 0.9
    assert np.mean([done for _, done in found]) < LAST / 2
