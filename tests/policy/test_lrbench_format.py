"""What LRBench's users have: its dicts, its strings and its piecewise lists, with its conventions translated."""

from math import cos, pi
from typing import Any

import numpy as np
import pytest

from lrbench.errors import PolicyError
from lrbench.policy import COS, FIX, NSTEP, POLY, SIN, STEP, UPCOS, from_lrbench


def test_a_dict_of_lrbench_is_a_policy() -> None:
    assert from_lrbench({"lrPolicy": "SIN", "k0": 0.01, "k1": 0.06, "l": 2000}) == SIN(k0=0.01, k1=0.06, l=2000)


def test_a_string_of_lrbench_is_a_policy() -> None:
    assert from_lrbench("k1_0.006+k0_0.001+lrPolicy_UPCOS+l_2000") == UPCOS(k0=0.001, k1=0.006, l=2000)


def test_exponents_in_a_string_are_numbers() -> None:
    assert from_lrbench("lrPolicy_FIX+k0_1e-05") == FIX(k0=1e-5)
    assert from_lrbench("lrPolicy_FIX+k0_1e+0") == FIX(k0=1.0)


def test_lists_in_a_string_are_steps() -> None:
    assert from_lrbench("lrPolicy_NSTEP+k0_0.001+gamma_0.1+l_8571+9286") == NSTEP(k0=0.001, gamma=0.1, l=[8571, 9286])
    assert from_lrbench("l_150+lrPolicy_NSTEP+k0_0.1+gamma_0.1") == NSTEP(k0=0.1, gamma=0.1, l=[150])


def test_cos_of_lrbench_has_twice_the_period() -> None:
    policy = from_lrbench({"lrPolicy": "COS", "k0": 0.1, "k1": 0.5, "l": 50})
    assert policy == COS(k0=0.1, k1=0.5, l=100)
    theirs = [(0.5 - 0.1) * 0.5 * (1 + cos(pi * t / 50)) + 0.1 for t in range(200)]
    np.testing.assert_allclose(policy.lrs(0, 200), theirs, rtol=1e-12)


def test_poly_of_lrbench_starts_at_k1_and_ends_at_k0() -> None:
    policy = from_lrbench({"lrPolicy": "POLY", "k0": 0.1, "k1": 0.5, "p": 2, "l": 4})
    assert policy == POLY(k0=0.5, k1=0.1, p=2, l=4)
    # (k1 - k0) * (1 - t/l)^p + k0 by hand
    assert policy.lrs(0, 4).tolist() == pytest.approx([0.5, 0.325, 0.2, 0.125])


def test_poly_of_lrbench_without_k1_is_caffes() -> None:
    assert from_lrbench("lrPolicy_POLY+k0_0.1+p_2+l_100") == POLY(k0=0.1, p=2, l=100)


def test_poly_of_lrbench_that_would_rise_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"LRBench's POLY goes from k1=0.0 to k0=0.1, and must not rise"):
        from_lrbench({"lrPolicy": "POLY", "k0": 0.1, "k1": 0.0, "p": 2, "l": 100})


def test_parameters_that_lrbench_ignores_are_ignored() -> None:
    description = {"lrPolicy": "STEP", "k0": 0.1, "k1": 0.01, "gamma": 0.5, "l": 10, "p": None}
    assert from_lrbench(description) == STEP(k0=0.1, gamma=0.5, l=10)


def test_a_piecewise_list_with_boundaries_is_a_composite() -> None:
    parts = [{"lrPolicy": "FIX", "k0": 0.1}, {"lrPolicy": "FIX", "k0": 0.05}, {"lrPolicy": "FIX", "k0": 0.01}]
    expected = FIX(k0=0.1).then(FIX(k0=0.05), at=5000).then(FIX(k0=0.01), at=8000)
    assert from_lrbench(parts, [5000, 8000]) == expected
    assert from_lrbench("lrPolicy_FIX+k0_0.1-lrPolicy_FIX+k0_0.05-lrPolicy_FIX+k0_0.01-AT-5000+8000") == expected


def test_parts_of_a_piecewise_string_count_from_their_own_start() -> None:
    policy = from_lrbench("lrPolicy_FIX+k0_1e-1-k0_0.1+lrPolicy_EXP+gamma_0.5-AT-10")
    assert policy.lrs(8, 13).tolist() == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.025])


FAMILY = (
    "TRI TRI2 TRIEXP DTRI DTRI2 DTRIEXP SIN SIN2 SINEXP DSIN DSIN2 DSINEXP COS COS2 COSEXP UPCOS UPCOS2 UPCOSEXP "
    "RSW RSW2 RSWEXP SINRSW SINRSW2 SINRSWEXP COSRSW COSRSW2 COSRSWEXP"
)


@pytest.mark.parametrize("name", FAMILY.split())
def test_every_wave_of_lrbench_is_known_by_its_name(name: str) -> None:
    text = str(from_lrbench({"lrPolicy": name, "k0": 0.1, "k1": 0.5, "l": 10, "gamma": 0.99}))
    assert text.startswith(f"{name}(k0=0.1, k1=0.5, ")


@pytest.mark.parametrize("name", ["FIX", "STEP", "NSTEP", "EXP", "INV", "POLY", "SIG"])
def test_every_decaying_function_of_lrbench_is_known_by_its_name(name: str) -> None:
    steps: Any = [5, 9] if name == "NSTEP" else 10
    text = str(from_lrbench({"lrPolicy": name, "k0": 0.1, "l": steps, "gamma": 0.99, "p": 2}))
    assert text.startswith(f"{name}(k0=0.1")


@pytest.mark.parametrize(
    ("source", "boundaries", "says"),
    [
        ("", [], "LRBench's text is made of name_value"),
        ("hello", [], "LRBench's text is made of name_value, joined by '\\+', not 'hello'"),
        ("k0_0.1", [], "LRBench has no lrPolicy None"),
        ("lrPolicy_SINE+k0_0.1", [], r"LRBench has no lrPolicy 'SINE' \(did you mean 'SIN'\?\)"),
        ("lrPolicy_COSINE+k0_0.1+l_5", [], "LRBench has no lrPolicy 'COSINE'"),
        ("lrPolicy_FIX+k0_0.1+k0_0.2", [], "gives k0 twice"),
        ("lrPolicy_FIX+k0_lots", [], "FIX: k0 must be a finite number of at least 0, not 'lots'"),
        ("lrPolicy_FIX+k0_nan", [], "FIX: k0 must be a finite number of at least 0, not nan"),
        ("lrPolicy_FIX", [], "FIX needs k0"),
        ("lrPolicy_STEP+k0_0.1+gamma_0.5+l_0", [], "STEP: l must be iterations"),
        ("lrPolicy_FIX+k0_0.1-lrPolicy_FIX+k0_0.1", [], "of 2 parts needs 1 boundaries, not 0"),
        ("lrPolicy_FIX+k0_0.1-lrPolicy_FIX+k0_0.1-AT-", [], "then: at must be .* not "),
        ("lrPolicy_FIX+k0_0.1-lrPolicy_FIX+k0_0.1-AT-9+5", [], "of 2 parts needs 1 boundaries, not 2"),
        ("lrPolicy_FIX+k0_0.1-AT-100-k0F-0.5-k1F-0.5-lF-2", [], "fixedPiecewiseLR strings are not supported"),
        ({"lrPolicy": "SIN", "k0": 0.1, "k1": 0.05, "l": 5}, [], "SIN: k1 must be greater than k0=0.1, not 0.05"),
        (
            {"lrPolicy": "SIN", "k0": 0.1, "k2": 0.5, "l": 5},
            [],
            "LRBench has no parameter 'k2': it has lrPolicy, k0",
        ),
        ({"lrPolicy": ["SIN"]}, [], r"LRBench has no lrPolicy \['SIN'\]"),
        ({"lrPolicy": "FIX", "k0": 0.1}, [5], "of 1 parts needs 0 boundaries, not 1"),
        ([], [], "a dict, a string or a list of dicts, not \\[\\]"),
        ([1, 2], [5], "a dict, a string or a list of dicts, not \\[1, 2\\]"),
        (None, [], "a dict, a string or a list of dicts, not None"),
        ([{"lrPolicy": "FIX", "k0": 0.1}] * 3, [9, 5], r"then: at must be .* not \(9, 5\)"),
    ],
)
def test_what_is_none_of_lrbenchs_is_refused(source: Any, boundaries: list[int], says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        from_lrbench(source, boundaries)
