"""Looks: the numbers of seeds at which verdicts are made, and the shares of the error rate that they have."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrbench.errors import StudyError
from lrbench.metrics.looks import MOST_SEEDS, SHARE_OF_ONE_NUMBER, SHARE_OF_RANGE, Looks
from lrbench.metrics.statistics import paired_power


def test_a_race_looks_twice_for_each_doubling_of_the_seeds_with_shares_in_proportion() -> None:
    looks = Looks.between(5, 40)
    assert looks.seeds[:7] == (5, 7, 10, 14, 20, 28, 40)
    assert looks.shares[:7] == pytest.approx([SHARE_OF_RANGE * n / 124 for n in looks.seeds[:7]])


@given(st.integers(2, 200), st.integers(0, 300))
def test_looks_rise_from_the_first_number_through_the_last_and_share_less_than_all(first: int, more: int) -> None:
    looks = Looks.between(first, first + more)
    assert looks.seeds[0] == first
    assert first + more in looks.seeds
    assert all(a < b for a, b in zip(looks.seeds, looks.seeds[1:], strict=False))
    assert math.fsum(looks.shares) <= 1


@given(st.integers(1, MOST_SEEDS))
def test_one_planned_number_has_most_of_the_error_rate_and_later_looks_the_rest(seeds: int) -> None:
    looks = Looks.planned(seeds)
    assert looks.seeds[0] == max(seeds, 2)
    assert looks.shares[0] == pytest.approx(SHARE_OF_ONE_NUMBER)
    assert math.fsum(looks.shares) <= 1
    assert looks.next_after(looks.seeds[0]) == (looks.seeds[1] if len(looks.seeds) > 1 else None)


def test_looks_are_counted_up_to_a_number_of_seeds() -> None:
    looks = Looks.between(5, 40)
    assert [looks.done(seeds) for seeds in (0, 4, 5, 6, 7, 40)] == [0, 0, 1, 1, 2, 7]
    assert (looks.next_after(4), looks.next_after(5), looks.next_after(MOST_SEEDS)) == (5, 7, None)


@pytest.mark.parametrize(
    ("seeds", "shares", "says"),
    [
        ((), (), "looks must be rising numbers of at least 2 seeds, but are ()"),
        ((1, 5), (0.5, 0.5), "looks must be rising numbers of at least 2 seeds, but are (1, 5)"),
        ((5, 5), (0.5, 0.5), "looks must be rising numbers of at least 2 seeds, but are (5, 5)"),
        ((5, 7), (0.5,), "each look of (5, 7) needs a positive share, but the shares are (0.5,)"),
        ((5, 7), (0.5, 0.0), "each look of (5, 7) needs a positive share, but the shares are (0.5, 0.0)"),
        ((5, 7), (0.5, math.nan), "each look of (5, 7) needs a positive share, but the shares are (0.5, nan)"),
        ((5, 7), (0.8, 0.3), "the shares of looks must sum to at most 1, but sum to 1.1"),
    ],
)
def test_looks_that_would_not_hold_are_refused(seeds: tuple[int, ...], shares: tuple[float, ...], says: str) -> None:
    with pytest.raises(StudyError, match=f"^{re.escape(says)}$"):
        Looks(seeds, shares)


@pytest.mark.parametrize(("first", "last"), [(1, 5), (0, 0), (5, 4)])
def test_a_race_from_or_to_too_few_seeds_is_refused(first: int, last: int) -> None:
    with pytest.raises(StudyError, match=f"from at least 2 seeds to at least as many, but not from {first} to {last}"):
        Looks.between(first, last)


def test_the_look_that_finds_an_effect_is_the_first_later_one_with_power_enough() -> None:
    looks, level = Looks.planned(5), 0.05
    effects, after = [2.0, 2.0, 0.5, -1.0, math.nan], [0, 5, 5, 5, 5]
    found = looks.finding(effects, level, after)
    for effect, seeds, look in zip(effects[:3], after[:3], found[:3], strict=True):
        later = [(n, paired_power(effect, n, level * share)) for n, share in looks.shares_by_seeds.items() if n > seeds]
        assert look == next(n for n, power in later if power >= 0.8)
    assert found[3:] == [None, None]
