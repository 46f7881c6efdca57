"""Portable lengths and rates: what they come to under a budget, and when they cannot."""

import pytest

from lrbench.errors import PolicyError
from lrbench.policy import EXP, FIX, INV, NSTEP, REDUCEONPLATEAU, SIG, STEP, TRI, TRIEXP, Length, parse


@pytest.mark.parametrize(
    ("length", "iterations"),
    [
        (250, 250),
        (250.0, 250),
        ("3ep", 300),
        ("0.5ep", 50),
        ("0.25dur", 250),
        ("1dur", 1000),
        ("2dur", 2000),
        (" 0.25 dur ", 250),
        ("2.5e-1dur", 250),
        ("0.0125dur", 13),  # 12.5: halves go up
        ("0.0005dur", 1),  # 0.5
    ],
)
def test_a_length_comes_to_iterations_of_a_budget_of_1000_with_100_an_epoch(length: Length, iterations: int) -> None:
    assert TRI(k0=0.1, k1=0.2, l=length).bind(steps=1000, steps_per_epoch=100).l == iterations


@pytest.mark.parametrize(
    ("length", "iterations"), [("2e6tok", 1000), ("1tok/param", 25), (" 0.5 tok/param ", 13), ("3ep", 300)]
)
def test_a_length_in_tokens_comes_to_iterations_of_2000_tokens_each(length: Length, iterations: int) -> None:
    policy = TRI(k0=0.1, k1=0.2, l=length)

    assert policy.bind(1000, 100, tokens_per_step=2000, parameters=50_000).l == iterations
    assert parse(policy.text) == policy


@pytest.mark.parametrize(("length", "missing"), [("500tok", "tokens_per_step"), ("20tok/param", "tokens_per_step")])
def test_a_length_in_tokens_needs_a_text(length: Length, missing: str) -> None:
    with pytest.raises(
        PolicyError, match=f"{length} is in tokens, which a task on a text has, or a budget with {missing}"
    ):
        TRI(k0=0.1, k1=0.2, l=length).bind(1000, 100)


def test_equal_lengths_written_differently_make_equal_policies() -> None:
    assert STEP(k0=0.1, gamma=0.1, l="0.250 dur") == STEP(k0=0.1, gamma=0.1, l="0.25dur")
    assert STEP(k0=0.1, gamma=0.1, l="3.0ep") == parse("STEP(l=3ep, gamma=1e-1, k0=.1)")


def test_a_factor_per_length_becomes_a_factor_per_iteration() -> None:
    bound = EXP(k0=0.1, gamma="0.1 per 1dur").bind(1000, 100)
    assert bound.gamma == pytest.approx(0.1 ** (1 / 1000), rel=1e-15)
    assert bound(1000) == pytest.approx(0.01)
    assert EXP(k0=0.1, gamma="0.5 per 10ep").bind(5000, 100)(1000) == pytest.approx(0.05)
    assert TRIEXP(k0=0.0, k1=0.1, gamma="0.25 per 2dur", l=10).bind(500, 1)(990) == pytest.approx(
        0.1 * 0.25 ** (990 / 1000)
    )


def test_a_factor_per_iterations_needs_no_budget() -> None:
    policy = EXP(k0=0.1, gamma="0.5 per 100")
    assert policy.is_bound
    assert policy(200) == pytest.approx(0.025)


def test_a_slope_per_length_becomes_a_slope_per_iteration() -> None:
    assert INV(k0=0.1, gamma="1 per 1dur", p=0.75).bind(10_000, 600).gamma == pytest.approx(1e-4)
    assert SIG(k0=0.1, gamma="-20 per 1dur", l="0.5dur").bind(1000, 10)(500) == pytest.approx(0.05)


def test_a_bound_policy_of_any_budget_has_the_same_shape() -> None:
    policy = parse("TRIEXP(k0=0.01, k1=0.1, gamma=0.1 per 1dur, l=0.1dur)")
    short, long = policy.bind(1000, 50), policy.bind(100_000, 50)
    for percent in range(101):
        assert short(10 * percent) == pytest.approx(long(1000 * percent), rel=1e-12)


def test_a_policy_without_relative_lengths_needs_no_binding() -> None:
    policy = STEP(k0=0.1, gamma=0.1, l=100)
    assert policy.is_bound
    assert policy(150) == pytest.approx(0.01)
    assert policy.bind(1000, 10) is policy


@pytest.mark.parametrize(
    ("text", "waiting"),
    [
        ("STEP(k0=0.1, gamma=0.1, l=0.25dur)", "0.25dur"),
        ("EXP(k0=0.1, gamma=0.1 per 1dur)", "0.1 per 1dur"),
        ("FIX(k0=0.1).warmup(2ep)", "2ep"),
        ("FIX(k0=0.1).then(STEP(k0=0.1, gamma=0.1, l=3ep), at=500).scaled(2)", "3ep"),
        ("NSTEP(k0=0.1, gamma=0.1, l=[100, 0.5dur])", "0.5dur"),
    ],
)
def test_asking_an_unbound_policy_for_an_lr_says_what_waits_and_to_bind(text: str, waiting: str) -> None:
    policy = parse(text)
    assert not policy.is_bound
    for ask in (lambda: policy(0), lambda: policy.lrs(0, 10)):
        with pytest.raises(PolicyError, match=rf"{waiting}.*bind\(steps, steps_per_epoch\)"):
            ask()


def test_the_lengths_of_every_part_are_bound_to_the_whole_budget() -> None:
    policy = parse("FIX(k0=0.1).then(POLY(k0=0.1, p=1, l=0.2dur), at=0.8dur).warmup(1ep)")
    assert str(policy.bind(1000, 50)) == "FIX(k0=0.1).then(POLY(k0=0.1, p=1.0, l=200), at=800).warmup(50)"


def test_a_length_of_no_iterations_is_named() -> None:
    with pytest.raises(PolicyError, match=r"STEP: l does not fit a budget of 10 iterations, 2 an epoch: 0.01dur comes"):
        STEP(k0=0.1, gamma=0.1, l="0.01dur").bind(10, 2)
    with pytest.raises(PolicyError, match=r"warmup: length .* 0.2ep comes to 0.4 iterations and must .* at least 1"):
        FIX(k0=0.1).warmup("0.2ep").bind(10, 2)
    with pytest.raises(PolicyError, match=r"1e\+300dur comes to 1e\+301 iterations and must come to at most 9,007"):
        FIX(k0=0.1).warmup("1e300dur").bind(10, 2)


def test_a_length_of_no_iterations_inside_a_composite_is_named_once() -> None:
    policy = parse("FIX(k0=0.1).then(STEP(k0=0.1, gamma=0.1, l=0.01dur), at=5).scaled(2.0)")
    with pytest.raises(PolicyError, match=r"^STEP: l does not fit a budget of 10 iterations, 2 an epoch: 0.01dur"):
        policy.bind(10, 2)


def test_steps_that_fall_together_under_a_budget_are_refused() -> None:
    policy = NSTEP(k0=0.1, gamma=0.1, l=["0.5dur", "0.51dur"])
    assert policy.bind(1000, 10).l == (500, 510)
    with pytest.raises(PolicyError, match=r"NSTEP: l must be .* increasing .* not \(5, 5\), which l=0.5dur, l=0.51dur"):
        policy.bind(10, 1)


def test_steps_in_different_units_are_compared_once_they_are_bound() -> None:
    policy = NSTEP(k0=0.1, gamma=0.1, l=[600, "0.5dur"])
    assert policy.bind(2000, 10).l == (600, 1000)
    with pytest.raises(PolicyError, match="increasing"):
        policy.bind(1000, 10)


@pytest.mark.parametrize(("steps", "steps_per_epoch"), [(0, 1), (10, 0), (-5, 1), (2.5, 1), (True, 1), ("10", 1)])
def test_a_budget_is_whole_numbers_of_at_least_1(steps: int, steps_per_epoch: int) -> None:
    with pytest.raises(PolicyError, match="a budget needs steps"):
        STEP(k0=0.1, gamma=0.1, l="0.25dur").bind(steps, steps_per_epoch)


def test_what_a_rate_comes_to_must_still_be_allowed() -> None:
    with pytest.raises(PolicyError, match=r"EXP: gamma must be .* not 0\.0"):
        EXP(k0=0.1, gamma="0.1 per 0.0001dur").bind(10, 1)


def test_a_reactive_policy_needs_a_budget_only_where_it_says_so() -> None:
    assert REDUCEONPLATEAU(k0=0.1).is_bound
    policy = parse("CHANGEONPLATEAU(policies=[FIX(k0=0.2), FIX(k0=0.1)], first=1)")
    assert policy.relative == ("until=0.8dur",)
    assert str(policy.bind(1000, 1)).endswith("until=800)")


def test_wsd_without_stable_cools_down_at_the_end_of_the_part_that_it_is() -> None:
    cooled = "WSD(k0=0.1, up=10, stable={}, down=100)"
    part = "WSD(k0=0.1, up=10, down=100)"
    for text, bound in (
        (f"FIX(k0=0.1).then({part}, at=0.5dur)", f"FIX(k0=0.1).then({cooled.format(390)}, at=500)"),
        (f"{part}.then(FIX(k0=0.1), at=500)", f"{cooled.format(390)}.then(FIX(k0=0.1), at=500)"),
        (f"{part}.repeated(every=0.2dur)", f"{cooled.format(90)}.repeated(every=200)"),
        (f"{part}.warmup(0.02dur)", f"{cooled.format(890)}.warmup(20)"),
        (
            f"FIX(k0=1).then({part}.repeated(every=125), at=9)",
            f"FIX(k0=1).then({cooled.format(15)}.repeated(every=125), at=9)",
        ),
    ):
        assert parse(text).bind(1000, 100) == parse(bound)
    with pytest.raises(PolicyError, match="up=10 and down=100 leave nothing of a budget of 50 iterations"):
        parse(f"FIX(k0=0.1).then({part}, at=950)").bind(1000, 100)
    assert parse("FIX(k0=1).then(COSINE(k0=0.1, l=0.5dur), at=0.5dur)").bind(1000, 1).relative == ()


def test_wsd_without_stable_cools_down_at_the_end_of_any_budget() -> None:
    short = parse("WSDSQRT(k0=0.1, up=4, down=0.25dur)")
    assert parse(short.text) == short
    for steps in (20, 40):
        whole = parse(f"WSDSQRT(k0=0.1, up=4, stable={steps - 4 - steps // 4}, down={steps // 4})")
        assert short.bind(steps, 5) == whole
    with pytest.raises(PolicyError, match=r"up=4 and down=0\.25dur leave nothing of a budget of 5 iterations"):
        short.bind(5, 5)
