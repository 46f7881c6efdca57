"""Policies at another peak."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrbench.errors import PolicyError
from lrbench.policy import (
    COSINE,
    FIX,
    POLY,
    REDUCEONPLATEAU,
    SIG,
    STEP,
    TRI,
    TRI2,
    Policy,
    Scaled,
    catalog,
    catalogs,
    with_peak,
)

BUDGET = {"steps": 200, "steps_per_epoch": 20}
CATALOGED = [entry.policy for name in catalogs() for entry in catalog(name).values() if not entry.policy.reacts]


def lrs(policy: Policy) -> np.ndarray:
    return policy.bind(**BUDGET).lrs(0, BUDGET["steps"])


@given(policy=st.sampled_from(CATALOGED), peak=st.floats(1e-6, 1e3))
def test_the_shape_stays_and_the_highest_rate_is_the_peak(policy: Policy, peak: float) -> None:
    before, after = lrs(policy), lrs(with_peak(policy, peak, **BUDGET))

    assert after.max() == pytest.approx(peak, rel=1e-4)
    np.testing.assert_allclose(after, before * (peak / before.max()), rtol=2e-4, atol=0)


def test_range_parameters_are_multiplied_where_that_does_the_same() -> None:
    wave = TRI(k0=0.01, k1=0.1, l="0.25dur")
    assert with_peak(wave, 0.3, **BUDGET) == TRI(k0=0.03, k1=0.3, l="0.25dur")
    assert with_peak(STEP(k0=0.2, gamma=0.5, l=50), 0.1, **BUDGET) == STEP(k0=0.1, gamma=0.5, l=50)


def test_the_peak_is_the_highest_rate_within_the_budget() -> None:
    rising = TRI(k0=0.0, k1=1.0, l="2dur")  # it comes to 199 of the 400 iterations of its rise
    raised = with_peak(rising, 0.1, **BUDGET)
    assert isinstance(raised, TRI)
    assert raised.k1 == pytest.approx(0.1 * 400 / 199, rel=1e-5)


def test_policies_made_of_policies_are_scaled_as_a_whole() -> None:
    held = FIX(k0=0.1).then(POLY(k0=0.05, p=1, l="0.5dur"), at="0.5dur").warmup(10)
    assert with_peak(held, 0.2, **BUDGET) == held.scaled(2.0)


def test_a_policy_that_reacts_is_scaled_by_its_bounds() -> None:
    plateau = REDUCEONPLATEAU(k0=0.1)
    assert with_peak(plateau, 0.4, **BUDGET) == plateau.scaled(4.0)
    assert isinstance(with_peak(plateau, 0.4, **BUDGET), Scaled)


@pytest.mark.parametrize(
    ("policy", "peak", "sentence"),
    [
        (FIX(k0=0.0), 0.1, "FIX(k0=0.0) has no positive LR within 200 iterations"),
        (COSINE(k0=0.1, l="1dur"), 0.0, "a peak must be a positive LR, not 0.0"),
        (SIG(k0=0.1, gamma=0.1, l=50), float("inf"), "a peak must be a positive LR, not inf"),
        (TRI2(k0=0.1, k1=0.2, l="0.001dur"), 0.1, "does not fit a budget"),
    ],
)
def test_what_has_no_peak_is_said_in_one_sentence(policy: Policy, peak: float, sentence: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(sentence)):
        with_peak(policy, peak, **BUDGET)
