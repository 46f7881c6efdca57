"""A policy with a bad parameter is never built; the sentence names the parameter, the value and what is allowed."""

import math
from decimal import Decimal
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np
import pytest

from lrbench.errors import PolicyError
from lrbench.policy import FIX, STEP, functions, parse

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("FIX", {"k0": NAN}, "FIX: k0 must be a finite number of at least 0, not nan"),
        ("FIX", {"k0": INF}, "FIX: k0 must be a finite number of at least 0, not inf"),
        ("FIX", {"k0": -0.1}, "FIX: k0 must be a finite number of at least 0, not -0.1"),
        ("FIX", {"k0": True}, "FIX: k0 must be a finite number of at least 0, not True"),
        ("FIX", {"k0": "0.1"}, "FIX: k0 must be a finite number of at least 0, not '0.1'"),
        ("FIX", {"k0": None}, "FIX: k0 must be a finite number of at least 0, not None"),
        ("FIX", {"k0": 1j}, "FIX: k0 must be a finite number of at least 0, not 1j"),
        ("FIX", {"k0": [0.1]}, r"FIX: k0 must be a finite number of at least 0, not \[0.1\]"),
        ("FIX", {"k0": 10**400}, "FIX: k0 must be a finite number of at least 0, not 1000"),
        ("STEP", {"k0": 0.1, "gamma": 0, "l": 5}, r"STEP: gamma must be a finite number in \(0, 1\], not 0"),
        ("STEP", {"k0": 0.1, "gamma": 1.5, "l": 5}, r"STEP: gamma must be a finite number in \(0, 1\], not 1.5"),
        ("STEP", {"k0": 0.1, "gamma": NAN, "l": 5}, r"STEP: gamma must be a finite number in \(0, 1\], not nan"),
        ("STEP", {"k0": 0.1, "gamma": "0.1 per 1dur", "l": 5}, r"STEP: gamma must be a finite number in \(0, 1\]"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": 0}, "STEP: l must be iterations .* not 0"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": -5}, "STEP: l must be iterations .* not -5"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": 2.5}, "STEP: l must be iterations .* not 2.5"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": True}, "STEP: l must be iterations .* not True"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": NAN}, "STEP: l must be iterations .* not nan"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": "3 epochs"}, "STEP: l must be iterations .* not '3 epochs'"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": "0dur"}, "STEP: l must be iterations .* not '0dur'"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": "-1ep"}, "STEP: l must be iterations .* not '-1ep'"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": "100"}, "STEP: l must be iterations .* not '100'"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": 2**60}, "STEP: l must be iterations .* not 1152921504606846976"),
        ("STEP", {"k0": 0.1, "k1": 0.2, "gamma": 0.1, "l": 5}, "STEP: k1, the floor, must be at most k0=0.1, not 0.2"),
        ("NSTEP", {"k0": 0.1, "gamma": 0.1, "l": [7, 5]}, r"NSTEP: l must be a list .* increasing .* not \[7, 5\]"),
        ("NSTEP", {"k0": 0.1, "gamma": 0.1, "l": [5, 5]}, r"NSTEP: l must be a list .* increasing .* not \[5, 5\]"),
        ("NSTEP", {"k0": 0.1, "gamma": 0.1, "l": ["2ep", "1ep"]}, "NSTEP: l must be a list .* increasing"),
        ("NSTEP", {"k0": 0.1, "gamma": 0.1, "l": []}, r"NSTEP: l must be a list of 1 to 1000 .* not \[\]"),
        ("NSTEP", {"k0": 0.1, "gamma": 0.1, "l": 5}, "NSTEP: l must be a list .* not 5"),
        ("NSTEP", {"k0": 0.1, "gamma": 0.1, "l": "5"}, "NSTEP: l must be a list .* not '5'"),
        ("NSTEP", {"k0": 0.1, "gamma": 0.1, "l": [5, NAN]}, "NSTEP: l must be a list"),
        ("NSTEP", {"k0": 0.1, "gamma": 0.1, "l": {"a": 1}}, "NSTEP: l must be a list"),
        ("EXP", {"k0": 0.1, "gamma": 1.1}, r"EXP: gamma must be .* in \(0, 1\], or one per length .* not 1.1"),
        ("EXP", {"k0": 0.1, "gamma": "2 per 1dur"}, r"EXP: gamma must be .* not '2 per 1dur'"),
        ("EXP", {"k0": 0.1, "gamma": "0.1 per 0dur"}, "EXP: gamma must be .* not '0.1 per 0dur'"),
        ("EXP", {"k0": 0.1, "gamma": "0.1per1dur"}, "EXP: gamma must be .* not '0.1per1dur'"),
        ("EXP", {"k0": 0.1, "gamma": "0.1 per 99999999999999999999999"}, "EXP: gamma must be"),
        ("INV", {"k0": 0.1, "gamma": 0.0, "p": 1}, "INV: gamma must be a finite number greater than 0, or .* not 0.0"),
        ("INV", {"k0": 0.1, "gamma": -1, "p": 1}, "INV: gamma must be a finite number greater than 0, or .* not -1"),
        ("INV", {"k0": 0.1, "gamma": 1, "p": 0}, "INV: p must be a finite number greater than 0, not 0"),
        ("POLY", {"k0": 0.1, "p": -2, "l": 5}, "POLY: p must be a finite number greater than 0, not -2"),
        ("POLY", {"k0": 0.1, "p": 2, "l": 0}, "POLY: l must be iterations .* not 0"),
        ("TRI", {"k0": 0.2, "k1": 0.1, "l": 5}, "TRI: k1 must be greater than k0=0.2, not 0.1"),
        ("TRI", {"k0": 0.2, "k1": 0.2, "l": 5}, "TRI: k1 must be greater than k0=0.2, not 0.2"),
        ("SIN2", {"k0": 0.2, "k1": 0.1, "l": 5}, "SIN2: k1 must be greater than k0=0.2, not 0.1"),
        ("COS", {"k0": 0.2, "k1": -1, "l": 5}, "COS: k1 must be a finite number of at least 0, not -1"),
        ("SIG", {"k0": 0.2, "gamma": NAN, "l": 5}, "SIG: gamma must be a finite number, or one per length"),
        ("GEOMETRIC", {"k0": 0, "k1": 1, "l": 5}, "GEOMETRIC: k0 must be a finite number greater than 0, not 0"),
        ("SGDR", {"k0": 0.1, "l": 5, "mult": 0}, r"SGDR: mult must be a whole number in \[1, 1000\], not 0"),
        ("SGDR", {"k0": 0.1, "l": 5, "mult": 1.5}, r"SGDR: mult must be a whole number in \[1, 1000\], not 1.5"),
        ("ONECYCLE", {"k0": 0.2, "k1": 0.1, "up": 1, "down": 1}, "ONECYCLE: k1, the peak, must be greater than k0=0.2"),
        (
            "ONECYCLE",
            {"k0": 0.1, "k1": 0.2, "k2": 0.3, "up": 1, "down": 1},
            "ONECYCLE: k2, the end, must be less than k1=0.2",
        ),
        ("WSD", {"k0": 0.1, "up": 1, "stable": 0, "down": 1}, "WSD: stable must be iterations .* not 0"),
        ("REDUCEONPLATEAU", {"k0": 0.1, "gamma": 1.0}, r"REDUCEONPLATEAU: gamma must be .* in \(0, 1\), not 1.0"),
        ("REDUCEONPLATEAU", {"k0": 0.1, "patience": -1}, "patience must be a whole number of at least 0, not -1"),
        ("REDUCEONPLATEAU", {"k0": 0.1, "k1": 0.2}, "REDUCEONPLATEAU: k1, the floor, must be at most k0=0.1, not 0.2"),
        ("REDUCEONPLATEAU", {"k0": 0.1, "patience": 10**400}, "patience must be a whole number .* not 1000"),
        ("NSTEP", {"k0": 0.1, "gamma": 0.1, "l": count(1)}, "l must be a list of 1 to 1000 increasing lengths"),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": "1" * 1_000_000}, "STEP: l must be iterations .* not '111"),
        (
            "STEP",
            {"k0": 0.1, "gamma": 0.1, "l": "0.1dr"},
            r"not '0.1dr': there is no unit 'dr' \(did you mean 'dur'\?\)",
        ),
        ("STEP", {"k0": 0.1, "gamma": 0.1, "l": "0.1dur 5"}, "not '0.1dur 5'$"),
        ("EXP", {"k0": 0.1, "gamma": f"1 per 1{' ' * 500_000}x"}, "EXP: gamma must be"),
        ("CHANGEONPLATEAU", {"policies": [], "first": 0}, "policies must be a list of at least 2 policies"),
        (
            "CHANGEONPLATEAU",
            {"policies": [FIX(k0=1), FIX(k0=0.1)], "first": 2},
            "first must be one of the policies, 0 to 1, not 2",
        ),
        (
            "CHANGEONPLATEAU",
            {"policies": [FIX(k0=1), parse("REDUCEONPLATEAU(k0=0.1)")], "first": 0},
            "policies must be closed forms, not REDUCEONPLATEAU",
        ),
    ],
)
def test_a_bad_parameter_is_refused_when_the_policy_is_built(name: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(PolicyError, match=says) as caught:
        functions()[name](**arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [np.float64(0.1), np.float32(0.5), np.int64(1), Fraction(1, 2), 0.1])
def test_numbers_of_any_type_become_plain_floats(value: Any) -> None:
    policy = FIX(k0=value)
    assert type(policy.k0) is float
    assert parse(str(policy)) == policy


def test_a_decimal_is_no_number_here() -> None:
    with pytest.raises(PolicyError, match="FIX: k0 must be"):
        FIX(k0=Decimal("0.1"))  # type: ignore[arg-type]


def test_whole_numbers_of_any_type_become_plain_ints() -> None:
    fives: list[Any] = [np.int64(5), 5.0, np.int32(5)]
    wide, floating, narrow = (STEP(k0=0.1, gamma=0.1, l=five) for five in fives)
    assert wide == floating
    assert type(narrow.l) is int


def test_a_policy_cannot_be_changed() -> None:
    policy = FIX(k0=0.1)
    with pytest.raises(AttributeError):
        policy.k0 = 0.2  # type: ignore[misc]


@pytest.mark.parametrize(
    "t",
    [-1, 0.5, True, "0", None, [-1, 2], np.array([0.0, 1.0]), np.array([True]), 2**60, np.array([1, 2**60]), 10**30],
)
def test_an_iteration_that_is_none_is_refused(t: Any) -> None:
    with pytest.raises(PolicyError, match="iterations are whole numbers of at least 0"):
        FIX(k0=0.1)(t)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 4), (0, 2**60)])
def test_a_segment_that_is_none_is_refused(start: int, stop: int) -> None:
    with pytest.raises(PolicyError, match="0 <= start <= stop"):
        FIX(k0=0.1).lrs(start, stop)


def test_lrs_have_the_shape_of_the_iterations() -> None:
    policy = STEP(k0=0.1, gamma=0.1, l=5)
    assert isinstance(policy(3), float)
    assert isinstance(policy(np.int32(3)), float)
    assert policy(np.arange(12).reshape(3, 4)).shape == (3, 4)  # type: ignore[union-attr]
    assert policy(np.arange(12)).dtype == np.float64  # type: ignore[union-attr]
    assert policy.lrs(5, 5).shape == (0,)
