"""Policies made of policies."""

import numpy as np
import pytest

from lrbench.errors import PolicyError
from lrbench.policy import EXP, FIX, NSTEP, POLY, REDUCEONPLATEAU, STEP, TRI, Piecewise, Policy, parse

WAVE = TRI(k0=0.1, k1=0.5, l=30)
FALL = EXP(k0=0.4, gamma=0.9)


def test_each_part_counts_from_its_own_start() -> None:
    policy = WAVE.then(FALL, at=100).then(WAVE, at=150)
    expected = np.concatenate([WAVE.lrs(0, 100), FALL.lrs(0, 50), WAVE.lrs(0, 70)])
    assert policy.lrs(0, 220).tobytes() == expected.tobytes()


def test_parts_are_read_from_any_segment_as_from_the_whole() -> None:
    policy = WAVE.then(FALL, at=100).then(WAVE, at=150)
    assert policy.lrs(90, 160).tobytes() == policy.lrs(0, 200)[90:160].tobytes()


def test_several_parts_lie_in_one_row_however_they_were_put_together() -> None:
    a, b, c = FIX(k0=0.1), FIX(k0=0.2), FIX(k0=0.3)
    row = a.then(b, at=5).then(c, at=12)
    assert row.policies == (a, b, c)
    assert row.at == (5, 12)
    assert a.then(b.then(c, at=7), at=5) == row
    assert row.depth == 2


def test_portable_parts_stay_nested_until_they_are_bound() -> None:
    a, b, c = FIX(k0=0.1), FIX(k0=0.2), FIX(k0=0.3)
    policy = a.then(b.then(c, at="0.25dur"), at="0.5dur")
    assert policy.policies == (a, b.then(c, at="0.25dur"))
    assert parse(str(policy)) == policy
    assert policy.bind(100, 1) == a.then(b, at=50).then(c, at=75)


def test_a_part_that_would_never_run_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"then: at must be .* increasing .* \(10, 5\)"):
        WAVE.then(FALL, at=10).then(WAVE, at=5)


def test_as_many_starts_are_needed_as_there_are_further_parts() -> None:
    with pytest.raises(PolicyError, match="then: 2 policies need 1 starts, not 2"):
        Piecewise(policies=(WAVE, FALL), at=(5, 9))


def test_a_warmup_is_a_straight_line_into_the_policy_and_leaves_the_rest_where_it_was() -> None:
    policy = STEP(k0=0.4, gamma=0.5, l=100).warmup(50, start=0.2)
    assert [policy(t) for t in (0, 25, 50, 99, 100, 200)] == pytest.approx([0.2, 0.3, 0.4, 0.4, 0.2, 0.1])


def test_a_warmup_of_a_policy_that_moves_blends_into_it() -> None:
    policy = POLY(k0=1.0, p=1, l=100).warmup(10)
    assert [policy(t) for t in (0, 5, 10, 20)] == pytest.approx([0.0, 0.5 * 0.95, 0.9, 0.8])


def test_scaling_is_written_as_a_product() -> None:
    assert 0.1 * WAVE == WAVE * 0.1 == WAVE.scaled(0.1)
    assert (0.1 * WAVE).lrs(0, 50).tobytes() == (WAVE.lrs(0, 50) * 0.1).tobytes()


def test_repeating_starts_again() -> None:
    policy = FALL.repeated(every=20)
    assert policy.lrs(0, 60).tobytes() == np.tile(FALL.lrs(0, 20), 3).tobytes()


def test_two_policies_with_a_shared_trunk_have_the_same_bits_up_to_the_fork() -> None:
    one = NSTEP(k0=0.1, gamma=0.1, l=[300, 500]).warmup(50)
    other = NSTEP(k0=0.1, gamma=0.1, l=[300, 700]).warmup(50)
    lrs, others = one.lrs(0, 1000), other.lrs(0, 1000)
    assert lrs[:500].tobytes() == others[:500].tobytes()
    assert lrs[500] != others[500]


@pytest.mark.parametrize(
    ("policy", "bounds"),
    [
        (WAVE, (0.1, 0.5)),
        (FIX(k0=0.3), (0.3, 0.3)),
        (FALL, (0.0, 0.4)),
        (FALL.warmup(10, start=0.7), (0.0, 0.7)),
        (WAVE.scaled(2), (0.2, 1.0)),
        (WAVE.then(FIX(k0=0.05), at=10), (0.05, 0.5)),
        (WAVE.repeated(every=3), (0.1, 0.5)),
        (REDUCEONPLATEAU(k0=0.1, k1=0.01), (0.01, 0.1)),
    ],
)
def test_bounds_are_the_lowest_and_highest_lr(policy: Policy, bounds: tuple[float, float]) -> None:
    assert policy.bounds == bounds


def test_what_only_a_closed_form_can_do_is_refused_to_a_reactive_policy() -> None:
    reactive = REDUCEONPLATEAU(k0=0.1)
    assert reactive.reacts
    assert reactive.warmup(10).scaled(2).then(WAVE, at=100).reacts
    with pytest.raises(PolicyError, match="repeated: policy must be a closed form, not REDUCEONPLATEAU"):
        reactive.repeated(every=10)
    with pytest.raises(PolicyError, match=r"reacts to evaluations: ask for lrs"):
        reactive(0)


def test_a_part_sees_only_the_evaluations_since_its_own_start() -> None:
    reactive = REDUCEONPLATEAU(k0=0.1, gamma=0.1, patience=0)
    policy = FIX(k0=1.0).then(reactive, at=100)
    history = [(50, 0.9), (100, 0.9), (150, 0.1), (160, 0.05)]
    lrs = policy.lrs(0, 170, history)
    # The evaluation at 150 is the part's first, and sets its best; the one at 160 is worse.
    assert lrs[[99, 100, 150, 159, 160]] == pytest.approx([1.0, 0.1, 0.1, 0.1, 0.01])


def test_a_pure_wrapper_of_a_reactive_policy_follows_it() -> None:
    reactive = REDUCEONPLATEAU(k0=0.1, gamma=0.1, patience=0)
    lrs = reactive.warmup(10).scaled(2).lrs(0, 30, [(5, 0.5), (20, 0.5)])
    assert lrs[[0, 5, 10, 19, 20]] == pytest.approx([0.0, 0.1, 0.2, 0.2, 0.02])


@pytest.mark.parametrize(
    "make",
    [
        lambda: WAVE.then("FIX(k0=0.1)", at=5),  # type: ignore[arg-type]
        lambda: WAVE.then(FALL, at=0),
        lambda: WAVE.warmup(0),
        lambda: WAVE.warmup(10, start=-0.1),
        lambda: WAVE.scaled(0),
        lambda: WAVE.scaled(float("nan")),
        lambda: -1 * WAVE,
        lambda: FIX(k0=1e300).scaled(1e300),
        lambda: WAVE.repeated(every="never"),
    ],
)
def test_a_composite_that_makes_no_sense_is_refused_when_it_is_built(make: object) -> None:
    with pytest.raises(PolicyError, match=r"^(then|warmup|scaled|repeated): \w+ must "):
        make()  # type: ignore[operator]
