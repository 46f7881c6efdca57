import math

import numpy as np
import pytest
from scipy import stats

from lrbench.metrics import Curve, RunRecord, effect, equal_means_p, interaction, judge_effects
from lrbench.metrics.familywise import ScoresAtLooks
from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import Signs
from tests.interactions import CASES, greenhouse_geisser_p, rejected


def run(seed: int, test: float, seconds: float = 1.0, reached: int = 30, status: str = "finished") -> RunRecord:
    curve = Curve(range(10, 60, 10), [0.9 if step >= reached else 0.1 for step in range(10, 60, 10)])
    final = {"val_top1": test, "test_top1": test, "test_loss": 1 - test} if status == "finished" else {}
    return RunRecord(seed, status, 50, curve, final, seconds=seconds, flops=100.0, chance=0.1)  # type: ignore[arg-type]


def test_an_effect_is_with_minus_without_over_the_seeds_of_both() -> None:
    without = [run(0, 0.5), run(1, 0.6), run(2, 0.7)]
    treated = [run(1, 0.65, seconds=2.0), run(2, 0.71, seconds=2.0), run(3, 0.9)]
    found = effect("FIX", "PLP()", without, treated, target=None).differences
    assert found["test_top1"].mean == pytest.approx((0.05 + 0.01) / 2)
    assert found["test_loss"].mean == pytest.approx(-(0.05 + 0.01) / 2)
    assert found["seconds"].mean == pytest.approx(1.0)
    assert found["test_top1"].n == 2


def test_steps_to_target_are_compared_only_where_both_reached_it() -> None:
    without = [run(0, 0.5, reached=30), run(1, 0.5, reached=30)]
    treated = [run(0, 0.5, reached=20), run(1, 0.5, reached=1000)]
    found = effect("FIX", "PLP()", without, treated, target=0.8).differences["steps_to_target"]
    assert (found.mean, found.n) == (-10, 1)


def test_a_diverged_run_counts_as_chance_and_has_no_other_figure() -> None:
    found = effect("FIX", "PLP()", [run(0, 0.5)], [run(0, 0.0, status="diverged")], target=None).differences
    assert found["test_top1"].mean == pytest.approx(0.1 - 0.5)
    assert found["test_loss"].n == 0


def test_for_two_policies_the_interaction_is_the_paired_t_test() -> None:
    table = np.random.default_rng(0).normal(size=(2, 6))
    assert equal_means_p(table) == pytest.approx(stats.ttest_rel(*table).pvalue)


def test_the_interaction_agrees_with_an_angle_measured_by_hand() -> None:
    # The deviations of the two subjects are (3, -3, 0) and (2, -1, -1): their Gram matrix is 18 9 | 9 6. In the plane,
    # u'Gu is at least what (1, 1)/sqrt(2) makes of it where u is no farther from the matrix's axis than that is. The
    # axis is at half the angle of (18 - 6, 2 * 9), the diagonal at 45 degrees, and u is up to 90 degrees from the axis.
    table = [[3, 2], [-3, -1], [0, -1]]
    assert equal_means_p(table) == pytest.approx((45 - math.degrees(math.atan2(18, 12)) / 2) / 90)


def test_the_interaction_is_the_share_of_rotations_with_row_means_as_far_apart() -> None:
    rng = np.random.default_rng(5)
    table = rng.normal(size=(4, 5)) * np.array([[1], [1], [2], [5]]) + np.array([[0], [2], [0], [0]])
    deviations = table - table.mean(axis=0)
    directions = rng.normal(size=(100_000, 5))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = np.square(directions @ deviations.T).sum(axis=1)
    share = np.mean(found >= 5 * np.square(deviations.mean(axis=1)).sum())
    assert 0.01 < share < 0.99
    assert equal_means_p(table) == pytest.approx(share, abs=0.006)


def test_without_variation_or_with_too_little_data_there_is_no_p_value() -> None:
    assert equal_means_p([[1.0, 2.0, 3.0]]) is None
    assert equal_means_p([[1.0], [2.0]]) is None
    assert equal_means_p([[1.0, 1.0], [2.0, 2.0]]) is None


@pytest.mark.parametrize("case", CASES)
def test_equal_effects_are_called_unequal_in_at_most_five_percent(case: str) -> None:
    studies = 1000
    for policies, seeds in ((4, 3), (8, 5), (12, 10)):
        false = rejected(equal_means_p, case, "none", policies, seeds, studies)
        assert false <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies), (policies, seeds)


def test_the_interaction_finds_more_than_an_analysis_of_variance_with_a_correction() -> None:
    found, before = (rejected(test, "normal", "half", 8, 5, 300) for test in (equal_means_p, greenhouse_geisser_p))
    assert found > 2 * before


def test_a_modifier_helps_and_hurts_where_its_effect_is_clear() -> None:
    without = np.random.default_rng(3).normal(size=(3, 6))
    effects = np.random.default_rng(4).normal(size=(3, 6)) * 0.1 + np.array([[1.0], [-1.0], [0.0]])
    gains = np.stack([without, without + effects], axis=1)
    assert judge_effects(ScoresAtLooks(gains, np.full((3, 2), 6), Looks.planned(6)), 0.05) == [
        "helps",
        "hurts",
        "undecided",
    ]


def test_effects_are_not_judged_before_a_look_of_the_study() -> None:
    gains = np.stack([np.zeros((1, 6)), np.ones((1, 6)) + np.arange(6) * 0.01], axis=1)
    assert judge_effects(ScoresAtLooks(gains, np.full((1, 2), 5), Looks.planned(6)), 0.05) == ["undecided"]


@pytest.mark.parametrize("policies", [1, 4, 12])
def test_at_most_five_percent_of_studies_claim_a_wrong_effect_somewhere(policies: int) -> None:
    studies, seeds, wrong = 1000, 5, 0
    spreads = np.geomspace(1, 10, policies)[:, None]
    for gains in np.random.default_rng(policies).normal(size=(studies, policies, 2, seeds)):
        gains[:, 1] = gains[:, 0] + spreads * gains[:, 1]
        verdicts = judge_effects(ScoresAtLooks(gains, np.full((policies, 2), seeds), Looks.once(seeds)), 0.05)
        wrong += set(verdicts) != {"undecided"}
    assert wrong / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


def test_a_gain_below_the_margin_is_no_gain_where_it_neither_helps_nor_hurts() -> None:
    noise = np.array([0.02, -0.02, 0.01, -0.01, 0.03, -0.03])
    effects = np.array([[0.0], [0.2], [-0.2], [0.2]]) + noise * np.array([[1], [1], [1], [20]])
    gains = np.stack([np.zeros_like(effects), effects], axis=1)
    found = judge_effects(ScoresAtLooks(gains, np.full((4, 2), 6), Looks.once(6)), 0.05, margin=0.5)
    assert found == ["no gain", "helps", "hurts", "undecided"]


@pytest.mark.parametrize("policies", [1, 4])
def test_a_gain_as_large_as_the_margin_is_called_none_in_at_most_five_percent(policies: int) -> None:
    studies, seeds, wrong = 1000, 5, 0
    for gains in np.random.default_rng(policies).normal(size=(studies, policies, 2, seeds)):
        gains[:, 1] += gains[:, 0] + 0.5
        seen = ScoresAtLooks(gains, np.full((policies, 2), seeds), Looks.once(seeds))
        wrong += "no gain" in judge_effects(seen, 0.05, margin=0.5)
    assert 0 < wrong / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


def test_targets_that_are_never_reached_count_against_a_modifier() -> None:
    gains = np.full((1, 2, 8), -100.0)
    gains[0, 1] = -math.inf
    for scores, verdict in ((gains, "hurts"), (gains[:, ::-1], "helps")):
        seen = ScoresAtLooks(scores, np.full((1, 2), 8), Looks.once(8), test=Signs)
        assert judge_effects(seen, 0.05) == [verdict]


def test_an_effect_that_depends_on_the_policy_is_found() -> None:
    rng = np.random.default_rng(2)
    helped = [([run(s, 0.5)], [run(s, 0.6 + rng.normal() * 0.01)]) for s in range(5)]
    harmed = [([run(s, 0.5)], [run(s, 0.4 + rng.normal() * 0.01)]) for s in range(5)]
    pairs = [tuple([one[0] for one in sides] for sides in zip(*side, strict=True)) for side in (helped, harmed)]
    found = interaction("PLP()", "test_top1", pairs)  # type: ignore[arg-type]
    assert found.p is not None
    assert found.p < 0.01
    assert found.spread == pytest.approx(0.2 / 2**0.5, abs=0.02)
    assert (found.policies, found.seeds) == (2, 5)
