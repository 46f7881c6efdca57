import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.stats import binomtest

from lrbench.metrics import familywise, judge
from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import Pairs, Ranks, Signs, Test, Unpaired, resolution_of
from lrbench.metrics.statistics import fewest_to_agree, rank_p, rank_power, rank_threshold


def test_a_pair_by_hand() -> None:
    # differences 1, 2, 3: mean 2, sd 1
    pairs = Pairs.of(np.array([[3.0, 5.0, 7.0], [2.0, 3.0, 4.0]]))
    assert pairs.gap[0, 1] == pytest.approx(2.0)
    assert pairs.gap[1, 0] == pytest.approx(-2.0)
    assert pairs.sd[0, 1] == pytest.approx(1.0)
    assert pairs.n[0, 1] == 3
    assert pairs.effect(0.5)[0, 1] == pytest.approx(1.5)


def test_p_values_are_those_of_scipys_paired_t_test() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 6))
    pairs = Pairs.of(scores)
    for j in range(4):
        for i in set(range(4)) - {j}:
            beyond = stats.ttest_rel(scores[j] - 0.3, scores[i], alternative="greater").pvalue
            within = stats.ttest_rel(scores[j] - 0.3, scores[i], alternative="less").pvalue
            assert pairs.p_beyond(0.3)[j, i] == pytest.approx(beyond)
            assert pairs.p_within(0.3)[j, i] == pytest.approx(within)


@pytest.mark.parametrize("test", [Pairs, Signs, Unpaired, Ranks])
@pytest.mark.parametrize("level", [0.3, 0.05, 0.01])
def test_a_margin_is_where_the_p_value_falls_to_the_level(test: Test, level: float) -> None:
    scores = np.round(np.random.default_rng(2).normal(size=(2, 4, 12)), 1)
    scores[0, 1, :3], scores[1, 2, 5] = np.nan, -np.inf
    pairs = test.of(scores)
    levels = np.full((2, 4, 1), level)
    within, beyond = pairs.within(levels), pairs.beyond(levels)
    others = ~np.eye(4, dtype=bool)
    for s, j, i in np.argwhere(np.broadcast_to(others, (2, 4, 4))):
        if np.isfinite(margin := within[s, j, i]):
            assert pairs.p_within(margin + 1e-4)[s, j, i] <= level < pairs.p_within(margin - 1e-4)[s, j, i]
        if np.isfinite(margin := beyond[s, j, i]):
            assert pairs.p_beyond(margin - 1e-4)[s, j, i] <= level < pairs.p_beyond(margin + 1e-4)[s, j, i]
    assert np.isfinite(within[:, others]).any()
    assert np.isfinite(beyond[:, others]).any()


def test_leading_axes_are_independent_studies() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 2, 4, 5))
    together = Pairs.of(scores)
    alone = Pairs.of(scores[2, 1])
    assert np.allclose(together.gap[2, 1], alone.gap)
    assert np.allclose(together.sd[2, 1], alone.sd)


@given(arrays(np.float64, (4, 6), elements=st.floats(-10, 10) | st.just(np.nan)))
def test_every_pair_is_compared_on_the_seeds_it_shares(scores: np.ndarray) -> None:
    pairs = Pairs.of(scores)
    for j in range(4):
        for i in range(4):
            differences = scores[j] - scores[i]
            differences = differences[np.isfinite(differences)]
            assert pairs.n[j, i] == len(differences)
            if len(differences) > 0:
                assert pairs.gap[j, i] == pytest.approx(differences.mean(), abs=1e-9)
            if len(differences) > 1:
                assert pairs.sd[j, i] == pytest.approx(differences.std(ddof=1), abs=1e-6)


def test_a_pair_that_shares_no_two_seeds_says_nothing() -> None:
    pairs = Pairs.of(np.array([[0.9, 0.8, np.nan], [0.1, np.nan, 0.2]]))
    assert pairs.p_beyond(0.0)[0, 1] == 1.0
    assert pairs.p_within(0.0)[1, 0] == 1.0


def test_no_spread_is_less_than_the_resolution() -> None:
    pairs = Pairs.of(np.array([[0.92, 0.92, 0.92], [0.90, 0.90, 0.90]]), resolution=0.01)
    assert pairs.sd[0, 1] == 0.01


def test_a_spread_of_zero_without_a_resolution_says_nothing() -> None:
    pairs = Pairs.of(np.array([[0.5, 0.5, 0.5], [0.25, 0.25, 0.25]]))
    assert pairs.p_beyond(0.0)[0, 1] == 1.0


def test_resolution_is_the_smallest_step_between_scores() -> None:
    assert resolution_of(np.array([[0.90, 0.92], [0.925, np.nan]])) == pytest.approx(0.005)


def test_rounding_noise_is_no_step() -> None:
    assert resolution_of(np.array([0.3, 0.1 + 0.2, 0.8])) == pytest.approx(0.5)


def test_equal_scores_show_no_resolution() -> None:
    assert resolution_of(np.array([[0.9, 0.9], [0.9, np.nan]])) == 0.0
    assert resolution_of(np.array([[np.nan]])) == 0.0


@pytest.mark.parametrize("test", [Pairs, Unpaired, Signs, Ranks])
def test_some_rows_and_columns_are_those_of_the_whole(test: Test) -> None:
    scores = np.random.default_rng(0).integers(0, 9, (9, 4)).astype(float)
    scores[3, 1] = np.nan
    whole = test.of(scores, 0.1)
    for rows, columns in ((slice(3, 7), slice(None)), ([8, 0], slice(1, 5)), (slice(0, 2), [3, 7, 2])):
        some = test.of(scores, 0.1, rows, columns)
        for found, all_found in (
            (some.n, whole.n),
            (some.effect(1.0), whole.effect(1.0)),
            (some.p_beyond(1.0), whole.p_beyond(1.0)),
            (some.p_within(1.0), whole.p_within(1.0)),
            (some.beyond(0.3), whole.beyond(0.3)),
            (some.within(0.3), whole.within(0.3)),
        ):
            np.testing.assert_allclose(found, all_found[rows][:, columns], rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 4, 5, 100])
def test_a_study_is_judged_the_same_however_many_rows_are_in_memory(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    scores = 0.9 - 0.01 * np.arange(20)[:, None] + draw.normal(0, 0.01, (20, 6))
    scores[4, 2], scores[7, :5], diverged = np.nan, np.nan, np.zeros((20, 6), dtype=bool)
    diverged[15, 3] = True
    whole = judge(scores, 0.01, diverged=diverged, resolution=0.001)
    monkeypatch.setattr(familywise, "ROWS_AT_ONCE", rows)
    parts = judge(scores, 0.01, diverged=diverged, resolution=0.001)
    assert {one.label for one in whole} == {"good", "avoid", "undecided"}
    for one, other in zip(whole, parts, strict=True):
        assert one.explanation == other.explanation
        one, other = (replace(each, p_good=None, p_avoid=None, within=None, beyond=None) for each in (one, other))
        assert one == other
        assert (one.p_good is None) == (other.p_good is None)
        if one.p_good is not None:
            assert (one.p_good, one.p_avoid) == pytest.approx((other.p_good, other.p_avoid), rel=1e-9)


def test_signs_count_the_seeds_beyond_the_margin_and_within_it() -> None:
    never = -math.inf
    gains = np.array([[-10.0, -10.0, -10.0, never, -10.0], [-12.0, -13.0, never, never, np.nan]])
    signs = Signs.of(gains)
    # Seeds 1 and 2 are beyond a margin of 2, seed 0 is within; of seed 3 neither is known.
    assert signs.n[0, 1] == 4
    assert signs.effect(2.0)[0, 1] == pytest.approx((2 - 1) / 4)
    assert signs.p_beyond(2.0)[0, 1] == pytest.approx(binomtest(2, 4, alternative="greater").pvalue)
    assert signs.p_within(2.0)[0, 1] == pytest.approx(binomtest(1, 4, alternative="greater").pvalue)
    assert signs.p_within(2.0)[1, 0] == pytest.approx(binomtest(3, 4, alternative="greater").pvalue)


def test_the_center_of_arrivals_is_their_median_and_of_scores_their_mean() -> None:
    gains = np.array([[-1.0, -2.0, -math.inf], [-math.inf, -1.0, -math.inf], [np.nan, np.nan, np.nan]])
    assert Signs.centers(gains).tolist()[:2] == [-2.0, -math.inf]
    assert np.isnan(Signs.centers(gains)[2])
    assert Pairs.centers(gains)[:2].tolist() == [-1.5, -1.0]


def test_unpaired_p_values_have_welchs_error_and_the_degrees_of_the_fewer_runs() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 8))
    scores[1, 3:] = np.nan
    pairs = Unpaired.of(scores)
    one, other = scores[0], scores[1, :3]
    error = math.sqrt(one.var(ddof=1) / 8 + other.var(ddof=1) / 3)
    assert pairs.p_beyond(0.2)[0, 1] == pytest.approx(stats.t.sf((one.mean() - other.mean() - 0.2) / error, 2))
    equal = stats.ttest_ind(scores[0], scores[2], equal_var=False).statistic
    assert pairs.p_beyond(0.0)[0, 2] == pytest.approx(stats.t.sf(equal, 7))


def test_the_order_of_unpaired_runs_does_not_count() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(4, 6))
    shuffled = np.array([rng.permutation(row) for row in scores])
    assert Unpaired.of(shuffled).p_within(0.1) == pytest.approx(Unpaired.of(scores).p_within(0.1))


@pytest.mark.parametrize(("runs", "spreads"), [((2, 10), (1.0, 1.0)), ((3, 10), (1.0, 0.4)), ((5, 5), (1.0, 5.0))])
def test_unpaired_studies_err_no_more_than_they_say_whatever_the_spreads_and_runs(
    runs: tuple[int, int], spreads: tuple[float, float]
) -> None:
    rng, studies = np.random.default_rng(2), 4000
    scores = rng.standard_normal((studies, 4, 10)) * np.array([spreads[0], spreads[1]] * 2)[:, None]
    for place in range(4):
        scores[:, place, runs[place % 2] :] = np.nan
    done = np.full((studies, 4), 10)
    _, p_avoid = familywise.familywise_p(familywise.ScoresAtLooks(scores, done, Looks.once(10), 0.0, Unpaired), 0.0)
    assert (p_avoid[-1].min(axis=-1) <= 0.05).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)


def test_ranks_count_the_pairs_of_runs_beyond_the_margin_and_within_it() -> None:
    never = -math.inf
    gains = np.array([[-10.0, -11.0, never, np.nan], [-12.0, -13.0, never, -12.0]])
    ranks = Ranks.of(gains)
    # Of 3 times 4 pairs of runs, 6 are beyond a margin of 1 and 5 within; where both miss it neither is known.
    assert ranks.n[0, 1] == 3
    assert ranks.effect(1.0)[0, 1] == pytest.approx((6 - 5) / 12)
    assert ranks.p_beyond(1.0)[0, 1] == pytest.approx(rank_p(3 * 6 / 12, 3))
    assert ranks.p_within(1.0)[0, 1] == pytest.approx(rank_p(3 * 5 / 12, 3))
    statistic = stats.mannwhitneyu(np.maximum(gains[0, :3], -99), np.maximum(gains[1], -99)).statistic
    assert ranks.effect(0.0)[0, 1] == pytest.approx((2 * (statistic - 0.5) - 11) / 12)  # that of the tie is no win


def test_rank_p_values_bound_the_chance_of_what_is_seen_for_runs_of_any_shape() -> None:
    # All results of small groups, of which a run of one wins over one of the other with a probability of a half.
    for one, other, chances in (
        ([0.0], [-1.0, 1.0], [0.5, 0.5]),
        ([-1.0, 1.0], [-2.0, 0.0, 2.0], [0.25, 0.5, 0.25]),
        ([0.0, 3.0], [-1.0, 1.0, 4.0], [0.25, 0.5, 0.25]),
    ):
        for n, m in ((1, 3), (2, 2), (3, 2), (4, 4)):
            found: dict[float, float] = {}
            for mine in product(range(len(one)), repeat=n):
                for theirs in product(range(len(other)), repeat=m):
                    chance = len(one) ** -n * math.prod(chances[i] for i in theirs)
                    wins = sum(other[i] > one[j] for i in theirs for j in mine) / max(n, m)
                    found[wins] = found.get(wins, 0.0) + chance
            for wins in found:
                as_many = sum(chance for others, chance in found.items() if others >= wins)
                assert as_many <= rank_p(wins, min(n, m)) + 1e-12


def test_where_all_pairs_are_won_no_test_could_give_a_smaller_p_value() -> None:
    # A policy that is ahead in half of its runs and behind in the others shows its good runs alone in 1 of 2^n.
    for n in range(1, 12):
        assert float(rank_p(n, n)) == pytest.approx(2.0**-n)
        assert float(rank_p(n - 1e-3, n)) > 2.0**-n
        assert (rank_threshold(n, 0.05) <= n) == (n >= fewest_to_agree(0.05))
        assert (rank_power(1.0, n, 0.05) == 1.0) == (n >= 5)


def test_the_power_of_ranks_rises_with_the_runs_and_is_no_more_than_what_is_found() -> None:
    rng = np.random.default_rng(0)
    shift = math.sqrt(2) * stats.norm.ppf(0.9)
    scores = rng.standard_normal((2000, 2, 12)) + np.array([shift, 0.0])[:, None]
    for runs, least in ((8, 0.0), (12, 0.5)):
        found = (Ranks.of(scores[..., :runs]).p_beyond(0.0)[:, 0, 1] <= 0.025).mean()
        assert least <= rank_power(0.8, runs, 0.025) <= found + 0.03
