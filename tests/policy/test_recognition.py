"""Policies from their learning rates: whole, with six digits, every fiftieth one, and of other programs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from torch import nn
from torch.optim import SGD
from transformers import get_cosine_schedule_with_warmup

from lrbench.errors import PolicyError
from lrbench.policy import COSINE, FIX, LINEAR, TABLE, Policy, catalog, parse, recognize
from lrbench.policy.policy import FloatArray
from lrbench.policy.toml_catalog import CatalogEntry

STEPS = 5000
KNOWN = [
    *("FIX", "STEP", "NSTEP", "EXP", "POLY", "TRI", "TRI2", "TRIEXP", "SIN", "SIN2", "SINEXP", "COS"),
    *("linear", "linear-warmup", "cosine", "cosine-warmup", "wsd", "wsd-sqrt", "rex", "exp-warmup", "onecycle", "sgdr"),
    *("SIG", "DTRI2", "COSEXP", "UPCOS", "RSW", "SINRSW2", "COSRSW"),
]


def of_catalog(name: str) -> Policy:
    found = {entry.name: entry for one in ("lrbench13", "lrbench_family", "modern") for entry in catalog(one).entries}
    return found[name].policy.bind(STEPS, 100)


def six_digits(lrs: FloatArray) -> FloatArray:
    return np.array([float(f"{lr:.6g}") for lr in lrs])


def off(found: Policy, policy: Policy, steps: int = STEPS) -> float:
    """The largest difference of two policies, over the highest LR."""
    lrs = policy.lrs(0, steps)
    return float(np.abs(found.lrs(0, steps) - lrs).max() / lrs.max())


@pytest.mark.parametrize("name", KNOWN)
def test_a_policy_of_the_catalog_is_known_by_its_learning_rates_and_by_a_part_of_them(name: str) -> None:
    policy = of_catalog(name)
    for every in (1, 50):
        t = np.arange(0, STEPS, every)
        found = recognize(t, policy(t))
        assert found.label == policy.label
        assert off(found, policy) < 1e-8


@pytest.mark.parametrize("name", ["EXP", "POLY", "TRI", "TRIEXP", "cosine", "cosine-warmup", "linear", "wsd"])
def test_six_digits_or_a_little_noise_are_enough(name: str) -> None:
    policy, t = of_catalog(name), np.arange(0, STEPS, 50)
    lrs = np.asarray(policy(t), dtype=np.float64)
    noise = 1 + 1e-6 * np.random.default_rng(0).uniform(-1, 1, len(t))
    for logged in (six_digits(lrs), lrs * noise):
        found = recognize(t, logged)
        assert found.label == policy.label
        assert off(found, policy) < 5e-6


def rounded(lrs: ArrayLike, digits: int) -> tuple[FloatArray, FloatArray]:
    """LRs as a program prints them, and the unit of the last digit of each."""
    written = np.array([float(f"{lr:.{digits}g}") for lr in np.asarray(lrs)])
    return written, 10.0 ** (np.floor(np.log10(np.where(written > 0, written, 1.0))) - digits + 1)


@pytest.mark.parametrize("every", [1, 10, 50])
@pytest.mark.parametrize("name", ["STEP", "EXP", "POLY", "TRI", "SIG", "cosine-warmup", "onecycle", "sgdr", "wsd"])
def test_a_policy_is_known_by_learning_rates_of_four_digits(name: str, every: int) -> None:
    policy, t = of_catalog(name), np.arange(0, STEPS, every)
    logged, unit = rounded(policy(t), 4)
    found = recognize(t, logged)
    assert found.label == policy.label
    assert (np.abs(found(t) - logged) <= unit + 1e-5 * logged.max()).all()
    assert off(found, policy) < 1e-4


CATALOGED = [
    entry
    for one in ("lrbench13", "lrbench_family", "modern")
    for entry in catalog(one).entries
    if "plateau" not in entry.name
]


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(CATALOGED),
    st.integers(1500, 9000),
    st.floats(1e-3, 10.0),
    st.sampled_from([1, 10, 50]),
    st.sampled_from([3, 4, 16]),
)
def test_what_is_found_is_what_was_logged_and_no_other_function_that_shows(
    entry: CatalogEntry, steps: int, times: float, every: int, digits: int
) -> None:
    policy, t = entry.policy.bind(steps, 100).scaled(times), np.arange(0, steps, every)
    logged, unit = rounded(policy(t), digits)
    found, peak = recognize(t, logged), float(logged.max())
    assert (np.abs(found(t) - logged) <= unit + 1.1e-5 * (logged + 0.1 * peak)).all()
    if not isinstance(found, TABLE):
        wanted = policy.lrs(0, steps)
        jumps = np.flatnonzero(np.abs(np.diff(wanted)) > 0.002 * peak) // every  # where between two logs, nobody knows
        seen = ~np.isin(np.arange(steps) // every, [*jumps, *(jumps + 1)])
        assert np.abs(found.lrs(0, steps) - wanted)[seen].max(initial=0.0) < 2e-3 * peak


def test_a_slow_fall_that_was_rounded_is_no_staircase_and_no_constant() -> None:
    t = np.arange(0, 3000, 30)
    logged, _ = rounded(0.1 * (1 - 1e-5 * t) + 1e-5 * np.sin(t / 300), 4)
    assert recognize(t, logged).label not in ("FIX", "STEP", "NSTEP")


LENGTH = st.integers(40, 400)
RATE = st.floats(1e-4, 1.0)
SHAPES = st.one_of(
    st.builds(lambda k, n: parse(f"STEP(k0={k}, gamma=0.3, l={n})"), RATE, LENGTH),
    st.builds(lambda k, n: parse(f"COSINE(k0={k}, k1={k / 10}, l={300 + n})"), RATE, LENGTH),
    st.builds(lambda k, n: parse(f"POLY(k0={k}, p=2, l={500 + n})"), RATE, LENGTH),
    st.builds(lambda k, share: parse(f"EXP(k0={k}, gamma={share ** (1 / 500)!r})"), RATE, st.floats(0.001, 0.9)),
    st.builds(lambda k, n: parse(f"WSD(k0={k}, up=30, stable={n}, down={470 - n})"), RATE, LENGTH),
    st.builds(lambda k, n: parse(f"TRI(k0={k / 10}, k1={k}, l={n})"), RATE, st.integers(20, 200)),
)


@settings(max_examples=6, deadline=None)
@given(SHAPES, st.integers(5, 25), st.sampled_from(["", "beneath", "behind"]))
def test_the_policy_that_is_found_has_the_same_curve(policy: Policy, ramp: int, warmup: str) -> None:
    if warmup == "beneath":
        policy = policy.warmup(ramp)
    elif warmup == "behind":
        policy = LINEAR(k0=0, k1=max(policy(0), 1e-3), l=ramp).then(policy, at=ramp)
    assert off(recognize(np.arange(500), policy.lrs(0, 500)), policy, 500) < 1e-5


def test_schedules_of_hugging_face_are_a_ramp_and_what_comes_behind_it() -> None:
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=3e-4)
    scheduler = get_cosine_schedule_with_warmup(optimizer, 40, 400)
    lrs = []
    for _ in range(400):
        lrs.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    found = recognize(range(400), lrs)
    assert found == LINEAR(k0=0, k1=3e-4, l=40).then(COSINE(k0=3e-4, l=360), at=40)


def test_a_log_that_begins_late_and_has_every_128th_step_is_known() -> None:
    """The schedules are those of the loss curves of the multi-power law (Luo et al. 2025, MIT)."""
    t = np.arange(2160, 24000, 128)
    cosine = 3e-5 + (3e-4 - 3e-5) * (1 + np.cos(np.pi * (t - 2160) / (24000 - 2160))) / 2
    assert recognize(t, cosine) == FIX(k0=3e-4).then(COSINE(k0=3e-4, k1=3e-5, l=21840), at=2160)
    t = np.arange(2176, 23937, 128)
    falling = np.where(t < 20000, 3e-4, 3e-4 * 0.1 ** ((t - 20000) / 4000))
    found = recognize(t, falling)
    assert str(found).startswith("FIX(k0=0.0003).then(EXP(k0=0.0003, gamma=0.999424519379")
    assert found(t) == pytest.approx(falling, rel=1e-7)
    t = np.arange(2176, 15937, 128)
    assert str(recognize(t, np.where(t < 8000, 3e-4, 9e-5))) == "STEP(k0=0.0003, gamma=0.3, l=8000)"


def test_what_is_no_function_is_a_table_with_lines_between_its_learning_rates() -> None:
    lrs = np.random.default_rng(1).uniform(0.1, 1.0, 12)
    found = recognize(np.arange(0, 120, 10), lrs)
    assert isinstance(found, TABLE)
    assert found(np.arange(0, 120, 10)) == pytest.approx(lrs)
    assert found(5) == pytest.approx((lrs[0] + lrs[1]) / 2)


def test_few_learning_rates_have_simple_policies() -> None:
    assert recognize([7], [0.1]) == FIX(k0=0.1)
    assert recognize([0, 5], [0.0, 0.0]) == FIX(k0=0)
    assert str(recognize([0, 1, 2, 3], [1.0, 1.0, 0.5, 0.5])) == "STEP(k0=1.0, gamma=0.5, l=2)"


@pytest.mark.parametrize(
    ("steps", "lrs", "says"),
    [
        ([], [], "as many LRs as steps"),
        ([0, 1], [0.1], "as many LRs as steps"),
        ([0, 0], [0.1, 0.1], "increase from at least 0"),
        ([0.5], [0.1], "whole numbers"),
        ([-1, 0], [0.1, 0.1], "at least 0"),
        ([0, 1], [0.1, float("nan")], "numbers from 0 to 1e\\+100"),
        ([0, 1], [0.1, -0.1], "numbers from 0 to 1e\\+100"),
        ([0, 1], [0.1, 1e200], "numbers from 0 to 1e\\+100"),
        ([0, 1_000_000, 2_000_000, 3_000_000], [0.3, 0.1, 0.2, 0.1], "a table has at most 1,000,000"),
    ],
)
def test_what_is_no_log_of_learning_rates_is_refused(steps: list[int], lrs: list[float], says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        recognize(steps, lrs)
