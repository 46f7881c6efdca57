from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lrbench.errors import StudyError
from lrbench.metrics import familywise as procedures
from lrbench.metrics.familywise import ScoresAtLooks, familywise
from lrbench.metrics.goal import Margin
from lrbench.metrics.looks import Looks
from lrbench.metrics.pairs import ALL, FloatArray, Pairs, Ranks, Signs, Some, Test, Unpaired
from lrbench.metrics.verdict import judge

NOISE = np.array([0.002, -0.001, 0.001, -0.002, 0.0])
CLEAR = np.array([0.95 + NOISE, 0.945 - NOISE, 0.70 + NOISE[::-1]])
"""Two good policies and a bad one, five seeds."""


def table_with_holes() -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(st.integers(0, 6), st.integers(0, 5))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1) | st.just(np.nan)))


def test_close_policies_are_good_and_a_far_one_is_to_be_avoided() -> None:
    assert [v.label for v in judge(CLEAR, margin=0.02)] == ["good", "good", "avoid"]


def test_the_gap_is_the_best_of_the_others_minus_this_one() -> None:
    leader, second, last = judge(CLEAR, margin=0.02)
    assert (leader.rival, second.rival, last.rival) == (1, 0, 0)
    assert leader.gap.mean == pytest.approx(-0.005)
    assert second.gap.mean == pytest.approx(0.005)
    assert last.gap.mean == pytest.approx(0.25)
    assert last.gap.low is not None
    assert last.gap.low < 0.25


def test_two_policies_are_judged_by_two_one_sided_t_tests() -> None:
    a, b = CLEAR[0], CLEAR[1]
    verdict = judge(np.array([a, b]), margin=0.002)[1]
    # Both policies have one rival. Good: Holm of one test. Avoid: Holm of the two ordered pairs.
    assert verdict.p_good == pytest.approx(stats.ttest_rel(a - 0.002, b, alternative="less").pvalue)
    assert verdict.p_avoid == pytest.approx(2 * stats.ttest_rel(a - 0.002, b, alternative="greater").pvalue)


def test_three_policies_pay_for_six_ordered_pairs_to_be_avoided() -> None:
    # The last policy's smallest p-value is the smallest of all: times 2 rivals, times 3 policies.
    p = min(stats.ttest_rel(CLEAR[j] - 0.02, CLEAR[2], alternative="greater").pvalue for j in (0, 1))
    assert judge(CLEAR, margin=0.02)[2].p_avoid == pytest.approx(6 * p)


def test_good_means_not_beaten_by_more_than_the_margin_by_any_rival() -> None:
    noisy_rival = 0.80 + np.array([0.2, -0.2, 0.15, -0.15, 0.0])
    # Nothing excludes that the noisy one is the best, so nobody is good; it does not save the bad one either.
    assert [v.label for v in judge(np.vstack([CLEAR, noisy_rival]), margin=0.02)] == [
        "undecided",
        "undecided",
        "avoid",
        "undecided",
    ]


def test_an_undecided_policy_is_told_how_many_seeds_would_decide() -> None:
    verdict = judge(np.array([[0.90, 0.91, 0.92], [0.90, 0.89, 0.905]]), margin=0.005)[1]
    assert verdict.label == "undecided"
    assert verdict.seeds_needed is not None
    assert 3 < verdict.seeds_needed < 100
    assert verdict.reason == f"about {verdict.seeds_needed} seeds would decide"


def test_a_gap_of_exactly_the_margin_can_not_be_decided() -> None:
    verdict = judge(np.array([[0.875, 1.0, 0.75], [0.75, 0.875, 0.625]]), margin=0.125)[1]
    assert verdict.label == "undecided"
    assert verdict.seeds_needed is None


def test_seed_to_seed_swings_that_all_policies_share_do_not_matter() -> None:
    swings = np.array([0.0, -0.2, 0.1, -0.3, 0.05])
    plain, swung = judge(CLEAR, margin=0.02), judge(CLEAR + swings, margin=0.02)
    assert [v.label for v in swung] == ["good", "good", "avoid"]
    assert [v.p_good for v in swung] == pytest.approx([v.p_good for v in plain])


def test_a_policy_that_diverged_once_is_to_be_avoided_however_good_its_mean() -> None:
    diverged = np.zeros(CLEAR.shape, dtype=bool)
    diverged[0, 3] = True
    verdict = judge(CLEAR, margin=0.02, diverged=diverged)[0]
    assert verdict.label == "avoid"
    assert verdict.reason == "diverged on 1 of 5 seeds"
    assert verdict.p_avoid is None


def test_a_policy_that_diverged_does_not_blur_the_comparison_of_the_others() -> None:
    scores = np.vstack([CLEAR, [0.96, 0.96, 0.1, 0.96, 0.1]])
    diverged = scores == 0.1
    assert judge(scores, margin=0.02, diverged=diverged)[:3] == judge(CLEAR, margin=0.02, resolution=0.001)[:3]


def test_missing_seeds_are_left_out_pair_by_pair() -> None:
    holed = CLEAR.copy()
    holed[1, 0] = holed[2, 4] = np.nan
    verdicts = judge(holed, margin=0.02)
    assert verdicts[2].label == "avoid"
    assert verdicts[2].gap.n == 4


@pytest.mark.parametrize(("runs", "words"), [(0, "0 finished runs"), (1, "1 finished run")])
def test_a_policy_with_fewer_than_two_runs_is_undecided_and_holds_up_nobody(runs: int, words: str) -> None:
    lonely = np.full(5, np.nan)
    lonely[:runs] = 0.99
    verdicts = judge(np.vstack([CLEAR, lonely]), margin=0.02)
    assert [v.label for v in verdicts] == ["good", "good", "avoid", "undecided"]
    assert verdicts[3].reason == f"{words} with a value, at least 2 are needed"


def test_one_policy_alone_is_undecided() -> None:
    (verdict,) = judge(CLEAR[:1], margin=0.02)
    assert verdict.label == "undecided"
    assert verdict.reason == "there is no other policy to compare it with"
    assert verdict.gap.mean is None


def test_one_seed_decides_nothing() -> None:
    assert [v.label for v in judge(CLEAR[:, :1], margin=0.02)] == ["undecided"] * 3


def test_an_empty_study_has_no_verdicts() -> None:
    assert judge(np.zeros((0, 5)), margin=0.02) == []


def test_policies_that_all_diverged_are_all_to_be_avoided() -> None:
    verdicts = judge(np.full((3, 5), 0.1), margin=0.02, diverged=np.full((3, 5), True))
    assert [v.label for v in verdicts] == ["avoid"] * 3


def test_equal_scores_of_unknown_resolution_prove_nothing() -> None:
    assert [v.label for v in judge(np.full((2, 5), 0.9), margin=0.02)] == ["undecided"] * 2


def test_equal_scores_are_as_good_as_each_other_once_the_margin_is_many_steps_of_the_scale() -> None:
    equal = np.full((2, 5), 0.9)
    assert [v.label for v in judge(equal, margin=0.02, resolution=0.001)] == ["good"] * 2
    assert [v.label for v in judge(equal, margin=0.0005, resolution=0.001)] == ["undecided"] * 2


def test_three_equal_gaps_of_one_step_prove_nothing() -> None:
    one_step = np.array([[0.901, 0.902, 0.903], [0.900, 0.901, 0.902]])
    assert [v.label for v in judge(one_step, margin=0.0, resolution=0.001)] == ["undecided"] * 2


def test_a_duplicate_of_the_best_policy_is_good_with_it() -> None:
    twins = np.array([CLEAR[0], CLEAR[0], CLEAR[2]])
    assert [v.label for v in judge(twins, margin=0.02)] == ["good", "good", "avoid"]


def test_with_a_margin_of_zero_only_a_clear_winner_is_good() -> None:
    winner = CLEAR + np.array([[0.03], [0.0], [0.0]])
    assert [v.label for v in judge(winner, margin=0.0)] == ["good", "avoid", "avoid"]
    near = CLEAR - np.array([[0.004], [0.0], [0.0]])
    assert [v.label for v in judge(near, margin=0.0)] == ["undecided", "undecided", "avoid"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scores": np.zeros(5)}, r"shape \[policies, seeds\], but have \(5,\)"),
        ({"diverged": np.zeros((2, 5))}, r"shape of the scores, \(3, 5\), but has \(2, 5\)"),
        ({"margin": -0.1}, "at least 0, but is -0.1"),
        ({"margin": np.nan}, "at least 0, but is nan"),
        ({"alpha": 0.0}, "between 0 and 1, but is 0.0"),
        ({"resolution": -1.0}, "at least 0, but is -1.0"),
        ({"done": [5, 5]}, "3 numbers of seeds from 0 to 5, but is \\[5, 5\\]"),
        ({"done": [5, 5, 6]}, "3 numbers of seeds from 0 to 5, but is \\[5, 5, 6\\]"),
    ],
)
def test_questions_that_make_no_sense_are_refused(changes: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {"scores": CLEAR, "margin": 0.02, **changes}
    with pytest.raises(StudyError, match=says):
        judge(**arguments)


@given(table_with_holes(), st.floats(0, 0.5), st.data())
def test_every_table_gets_a_verdict_for_each_policy(scores: np.ndarray, margin: float, data: st.DataObject) -> None:
    diverged = data.draw(arrays(np.bool_, scores.shape, elements=st.booleans()))
    verdicts = judge(scores, margin, diverged=diverged)
    assert len(verdicts) == len(scores)
    for verdict, fell in zip(verdicts, diverged, strict=True):
        assert verdict.label in ("good", "avoid", "undecided")
        assert verdict.reason
        assert not fell.any() or verdict.label == "avoid"


@given(arrays(np.float64, (5, 4), elements=st.floats(0, 1)), st.permutations(range(5)), st.floats(0, 0.5))
@settings(max_examples=50)
def test_the_order_of_policies_does_not_matter(scores: np.ndarray, order: list[int], margin: float) -> None:
    straight = judge(scores, margin, resolution=0.001)
    shuffled = judge(scores[order], margin, resolution=0.001)
    assert [v.p_good for v in shuffled] == pytest.approx([straight[i].p_good for i in order], abs=1e-9)
    assert [v.p_avoid for v in shuffled] == pytest.approx([straight[i].p_avoid for i in order], abs=1e-9)


def test_before_the_first_look_nothing_is_claimed() -> None:
    looks = Looks.planned(5)
    assert [v.label for v in judge(CLEAR[:, :4], margin=0.02, looks=looks)] == ["undecided"] * 3
    assert [v.look for v in judge(CLEAR, margin=0.02, looks=looks)] == [5, 5, 5]


def test_seeds_after_those_that_are_done_count_for_nothing() -> None:
    looks = Looks.between(3, 5)
    contrary = CLEAR.copy()
    contrary[:, 3:] = CLEAR[::-1, 3:]
    alike = [judge(table, margin=0.02, looks=looks, done=[3, 3, 3]) for table in (CLEAR, contrary)]
    assert [v.p_avoid for v in alike[0]] == [v.p_avoid for v in alike[1]]
    assert [v.p_avoid for v in alike[0]] != [v.p_avoid for v in judge(CLEAR, margin=0.02, looks=looks)]


def test_no_policy_is_good_before_all_that_may_be_better_have_been_seen() -> None:
    assert [v.label for v in judge(CLEAR, 0.02, looks=Looks.planned(4), done=[5, 5, 3])] == ["undecided"] * 3


def test_a_claim_stays_whatever_later_seeds_show() -> None:
    contrary = np.array([[0.1] * 9, [0.5] * 9, [0.95] * 9]) + np.linspace(-0.2, 0.2, 9)
    later = np.hstack([CLEAR, contrary])
    looks = Looks.planned(5)
    assert [v.label for v in judge(later, margin=0.02)] != ["good", "good", "avoid"]
    assert [(v.label, v.look) for v in judge(later, margin=0.02, looks=looks)] == [
        ("good", 5),
        ("good", 5),
        ("avoid", 5),
    ]


def test_of_two_contrary_claims_the_earlier_one_stands() -> None:
    noise = np.linspace(-0.01, 0.01, 30) * np.array([[1.0], [-1.0]])
    level, turned = [[0.9], [0.9]], [[0.5], [0.9]]
    first = np.array(level) + noise[:, ::6]
    both = np.hstack([first, np.array(turned) + noise[:, 5:], np.array(turned) + noise])
    looks = Looks.planned(5)
    verdicts = judge(both, margin=0.05, looks=looks)
    assert verdicts[0].p_avoid is not None
    assert verdicts[0].p_avoid < 0.05
    assert [(v.label, v.look) for v in verdicts] == [("good", 5), ("good", 5)]
    assert [(v.within, v.beyond) for v in verdicts] == [(Margin(0.05), None)] * 2


def test_only_seeds_that_were_trained_are_counted_in_what_diverged() -> None:
    scores = np.full((2, 40), np.nan)
    scores[:, :5] = CLEAR[:2]
    diverged = np.zeros(scores.shape, dtype=bool)
    diverged[1, 2] = True
    (_, fell) = judge(scores, 0.02, diverged=diverged, looks=Looks.between(5, 40), done=[5, 5])
    assert fell.reason == "diverged on 1 of 5 seeds"


def test_seeds_between_two_looks_are_no_look() -> None:
    looks = Looks.planned(5)
    scores = np.hstack([CLEAR[:2], CLEAR[:2, 4:] + [[0.001], [0.0]], CLEAR[:2, 4:] + [[-0.001], [0.001]]])
    at_five = judge(scores[:, :5], margin=0.02, looks=looks)
    at_six = judge(scores[:, :6], margin=0.02, looks=looks)
    assert [v.p_good for v in at_six] == [v.p_good for v in at_five]
    assert [v.p_good for v in judge(scores, margin=0.02, looks=looks)] != [v.p_good for v in at_five]


def test_seeds_that_would_decide_are_those_of_a_later_look() -> None:
    noisy = np.array([[0.90, 0.91, 0.92, 0.90, 0.93], [0.90, 0.89, 0.905, 0.915, 0.89]])
    verdict = judge(noisy, margin=0.005, looks=Looks.between(5, 40))[1]
    assert verdict.label == "undecided"
    assert verdict.seeds_needed in Looks.between(5, 40).seeds[1:]
    assert verdict.reason == f"about {verdict.seeds_needed} seeds would decide"


@pytest.mark.parametrize("test", [Pairs, Signs, Ranks])
@pytest.mark.parametrize("looks", [Looks.once(20), Looks.between(5, 20)], ids=["one look", "5 to 20"])
def test_a_policy_is_decided_at_the_margins_that_its_verdict_names(test: Test, looks: Looks) -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(np.arange(6)[:, None] * -0.6, np.linspace(0.2, 1.0, 6)[:, None], (6, 20))
    verdicts = judge(scores, 1.0, looks=looks, test=test)
    assert {verdict.label for verdict in verdicts} == {"good", "avoid", "undecided"}
    for i, verdict in enumerate(verdicts):
        if verdict.within is not None:
            assert verdict.within.size >= 1.0
            assert (verdict.within.size == 1.0) == (verdict.label == "good")
            assert judge(scores, verdict.within.size + 1e-6, looks=looks, test=test)[i].label == "good"
        if verdict.beyond is not None:
            assert verdict.beyond.size <= 1.0
            assert (verdict.beyond.size == 1.0) == (verdict.label == "avoid")
            assert judge(scores, max(verdict.beyond.size - 1e-6, 0.0), looks=looks, test=test)[i].label == "avoid"
    assert any(verdict.label == "undecided" and verdict.within and verdict.beyond for verdict in verdicts)


def test_the_only_other_policy_is_good_at_exactly_the_upper_end_of_its_gap() -> None:
    scores = np.array([[0.9, 0.92, 0.91, 0.93], [0.9, 0.87, 0.89, 0.9]])
    _, verdict = judge(scores, margin=0.01, resolution=0.0)
    gap = stats.ttest_rel(scores[0], scores[1]).confidence_interval(0.9)
    assert verdict.within is not None
    assert verdict.within.size == pytest.approx(gap.high)
    assert verdict.explanation == f"{verdict.reason}, within {verdict.within.rounded(up=True)} of the best"


def test_the_margins_of_an_explanation_are_rounded_so_that_they_hold() -> None:
    scores = np.array([NOISE, NOISE * 2 - 0.03121, NOISE[::-1] - 0.5])
    _, middle, last = judge(scores, margin=0.03)
    assert middle.label == "undecided"
    for verdict in (middle, last):
        assert verdict.within is not None
        assert verdict.within.size <= float(str(verdict.within.rounded(up=True))) <= verdict.within.size * 1.1
    assert middle.beyond is not None
    assert middle.beyond.size * 0.9 <= float(str(middle.beyond.rounded(up=False))) <= middle.beyond.size
    assert ", worse by more than " in middle.explanation.partition(" of the best")[2]
    assert ", by at most " in last.explanation


def test_before_the_first_look_no_margin_is_named() -> None:
    verdicts = judge(CLEAR[:, :4], margin=0.02, looks=Looks.planned(5))
    assert [(v.within, v.beyond) for v in verdicts] == [(None, None)] * 3


@pytest.mark.parametrize("test", [Pairs, Unpaired])
@pytest.mark.parametrize("spread", [0.02, 1.0])
def test_p_values_that_are_not_computed_change_no_number(
    test: Test, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(6)
    scores = rng.normal(np.arange(150)[:, None] * -0.02, spread, (150, 20))
    scores[140, 5:], scores[90, 10] = np.nan, np.nan
    monkeypatch.setattr(procedures, "MOST_RIVALS", 8)
    seen = ScoresAtLooks(scores, np.repeat([20, 10], 75), Looks.between(5, 20), 0.0, test).with_rivals()
    few = familywise(seen, 0.1, 0.05)
    monkeypatch.setattr(procedures, "MORE_THAN_ROUNDING", np.inf)
    every = familywise(seen, 0.1, 0.05)
    for computed, of_every in zip(few, every, strict=True):
        np.testing.assert_array_equal(computed, of_every)
    assert (every.p_avoid[-1] <= 0.05).any()
    assert ((every.p_good[-1] == 1).all(), (every.p_good[-1] <= 0.05).any()) == (spread == 1.0, spread < 1.0)


@pytest.mark.parametrize("test", [Pairs, Signs, Ranks])
def test_rivals_claim_nothing_that_all_pairs_do_not_claim(test: Test, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(np.arange(30)[:, None] * -0.2, np.linspace(0.2, 1.0, 30)[:, None], (30, 20))
    every = ScoresAtLooks(scores, np.repeat([20, 10], 15), Looks.between(5, 20), 0.0, test)
    monkeypatch.setattr(procedures, "MOST_RIVALS", 3)
    of_all, of_some = (familywise(seen, 1.0, 0.05) for seen in (every, every.with_rivals()))
    assert (of_some.p_good >= of_all.p_good - 1e-12).all()
    assert (of_some.p_avoid >= of_all.p_avoid - 1e-12).all()
    assert (of_some.within >= of_all.within - 1e-12).all()
    assert (of_some.beyond <= of_all.beyond + 1e-12).all()
    assert 0 < (of_some.p_avoid[-1] <= 0.05).sum() <= (of_all.p_avoid[-1] <= 0.05).sum()
    assert np.isinf(of_some.within).sum() >= 27


def test_a_policy_that_was_good_stays_good_when_later_looks_have_other_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procedures, "MOST_RIVALS", 2)
    rng = np.random.default_rng(0)
    early, late = np.array([0.3, 0.2, 0.1, 0.0]), np.array([0.0, 0.1, 0.4, 0.5])
    scores = np.hstack([rng.normal(means[:, None], 0.01, (4, 5)) for means in (early, late)])
    at_five, at_ten = (judge(scores[:, :seeds], margin=1.0, looks=Looks.between(5, 10)) for seeds in (5, 10))
    assert [verdict.label for verdict in at_five] == ["good", "good", "undecided", "undecided"]
    assert [verdict.label for verdict in at_ten[:2]] == ["good"] * 2
    assert max(range(4), key=lambda i: scores[i].mean()) == 3


def test_the_pairs_that_are_compared_grow_with_the_policies_and_not_with_their_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = 0

    class Counted(Pairs):
        @classmethod
        def of(cls, scores: FloatArray, resolution: float = 0.0, rows: Some = ALL, columns: Some = ALL) -> Pairs:
            nonlocal compared
            pairs = Pairs.of(scores, resolution, rows, columns)
            compared += pairs.n.size
            return pairs

    monkeypatch.setattr(procedures, "MOST_RIVALS", 20)
    counts = []
    for policies in (500, 1000):
        compared = 0
        judge(np.random.default_rng(0).normal(size=(policies, 3)), 0.1, test=Counted)
        counts.append(compared)
    assert counts[1] <= 2 * counts[0]
