"""What every function says about itself, and how a user adds one."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from lrbench.errors import PolicyError
from lrbench.policy import (
    FIX,
    POLY,
    REQUIRED,
    SINEXP,
    TABLE,
    Function,
    Length,
    Policy,
    functions,
    iterations,
    length,
    parse,
    rate,
    torch_code,
)
from lrbench.policy.budget import Budget
from lrbench.policy.explain import example_of
from lrbench.policy.function import FUNCTIONS, register_function
from lrbench.policy.policy import FloatArray, IntArray
from lrbench.policy.torch_code import code_parts


def test_functions_are_listed_in_the_papers_order_then_the_family_then_the_modern_ones() -> None:
    names = list(functions())
    paper = "FIX STEP NSTEP EXP INV POLY TRI TRI2 TRIEXP SIN SIN2 SINEXP COS"
    family = """SIG DTRI DTRI2 DTRIEXP DSIN DSIN2 DSINEXP COS2 COSEXP UPCOS UPCOS2 UPCOSEXP
        RSW RSW2 RSWEXP SINRSW SINRSW2 SINRSWEXP COSRSW COSRSW2 COSRSWEXP"""
    assert " ".join(names[:13]) == paper
    assert " ".join(names[13:34]) == " ".join(family.split())
    assert {"LINEAR", "COSINE", "SGDR", "ONECYCLE", "WSD", "WSDSQRT", "INVSQRT", "REX"} <= set(names[34:])


@pytest.mark.parametrize("name", functions())
def test_every_function_says_what_it_is_and_what_each_parameter_means(name: str) -> None:
    function = functions()[name]
    assert function.__doc__
    assert function.group
    assert function.formula
    assert function.source
    for parameter in function.parameters:
        assert parameter.name.isidentifier()
        assert parameter.role in ("range", "step", "value", "part")
        assert parameter.unit
        assert parameter.allowed
        assert parameter.doc


def test_a_parameter_declares_its_role_unit_allowed_values_and_default() -> None:
    declared = {p.name: (p.role, p.unit, p.allowed, p.default) for p in POLY.parameters}
    assert declared == {
        "k0": ("range", "learning rate", "a finite number of at least 0", REQUIRED),
        "k1": ("range", "learning rate", "a finite number of at least 0", 0.0),
        "p": ("value", "exponent", "a finite number greater than 0", REQUIRED),
        "l": ("step", "iterations", "iterations (a whole number of at least 1), '3ep' or '0.25dur'", REQUIRED),
    }


def test_the_roles_of_sinexp_are_those_of_the_papers_table() -> None:
    assert {p.name: p.role for p in SINEXP.parameters} == {
        "k0": "range",
        "k1": "range",
        "gamma": "value",
        "l": "step",
    }


def test_a_users_function_is_known_by_its_name() -> None:
    @register_function
    class SQUARE(Function):
        """Alternates between k1 and k0."""

        group = "cyclic"
        formula = "k1 and k0 in turn, l iterations each"
        source = "this test"
        k0: float = rate("the lower LR")
        k1: float = rate("the upper LR")
        l: Length = length("half a cycle")  # noqa: E741

        def lr(self, t: IntArray) -> FloatArray:
            return np.where(t // iterations(self.l) % 2, self.k0, self.k1)

    try:
        policy = parse("SQUARE(k0=0.1, k1=0.5, l=0.2dur).warmup(2)")
        assert policy.bind(10, 1).lrs(0, 6).tolist() == [0.0, 0.25, 0.1, 0.1, 0.5, 0.5]
        assert functions()["SQUARE"] is SQUARE
        with pytest.raises(PolicyError, match="SQUARE: k0 must be a finite number of at least 0, not -1"):
            SQUARE(k0=-1, k1=0.5, l=5)
    finally:
        del FUNCTIONS._entries["SQUARE"]


def test_a_name_that_lrbench_has_is_refused() -> None:
    class SINE(SINEXP):
        """Not the one that is meant."""

    SINE.__name__ = "SIN"
    with pytest.raises(PolicyError, match="the LR function 'SIN' is registered already: choose another name"):
        register_function(SINE)


def test_a_function_that_lacks_something_is_not_registered() -> None:
    class NOLR(Function):
        """No lr."""

        group, formula, source = "fixed", "none", "this test"

    class NOSOURCE(Function):
        """No source."""

        group, formula = "fixed", "0"

        def lr(self, t: IntArray) -> FloatArray:
            return np.zeros(t.shape)

    with pytest.raises(PolicyError, match=r"NOLR lacks lr: an LR function needs lr\(t\)"):
        register_function(NOLR)
    with pytest.raises(PolicyError, match="NOSOURCE must say what it is: it lacks a source"):
        register_function(NOSOURCE)
    with pytest.raises(PolicyError, match="register_function takes a subclass of Function, not 5"):
        register_function(5)  # type: ignore[type-var]


def test_a_parameter_without_a_declaration_or_with_a_policys_own_name_is_refused() -> None:
    with pytest.raises(PolicyError, match="PLAIN: declare k0 by a specifier"):
        type("PLAIN", (Function,), {"__annotations__": {"k0": float}})
    with pytest.raises(PolicyError, match="WARM: a parameter cannot be named warmup"):
        type("WARM", (Function,), {"__annotations__": {"warmup": float}, "warmup": rate("a name that is taken")})


def test_the_register_cannot_be_changed_from_outside() -> None:
    with pytest.raises(TypeError):
        functions()["MINE"] = FIX  # type: ignore[index]


def test_policies_need_no_torch() -> None:
    code = (
        "import sys, lrbench.policy as p; p.catalog('lrbench13')['SIN'].policy.bind(100, 10).lrs(0, 100); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'optuna', 'matplotlib', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class MINE(SINEXP):
    """A function of the user's own, whose LRs are not those of its base."""

    def lr(self, t: IntArray) -> FloatArray:
        return np.full(t.shape, 0.25)


def run_code(policy: Policy) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(torch_code(policy), "torch_code", "exec"), names)
    assert names["scheduler"].last_epoch == 20
    return names


@pytest.mark.parametrize(
    "text",
    [
        "FIX(k0=0.1).warmup(1ep)",
        "COSINE(k0=0.1, k1=0.01, l=1dur).warmup(0.13dur, start=0.02)",
        "TRI(k0=0, k1=0.1, l=3).then(STEP(k0=0.1, gamma=0.5, l=2).scaled(0.3), at=0.3dur).then(FIX(k0=1), at=0.9dur)",
        "SINEXP(k0=0.01, k1=0.1, gamma=0.1 per 1dur, l=0.3ep).repeated(0.6dur)",
        "NSTEP(k0=0.1, gamma=0.3, l=[0.5ep, 0.7dur])",
        "INV(k0=0.1, gamma=10 per 1dur, p=0.75)",
        "POLYLINE(values=[0, 1, 0.2], l=0.9dur)",
    ],
)
def test_the_torch_code_of_a_closed_form_needs_no_lrbench_and_gives_its_lrs(text: str) -> None:
    names = run_code(parse(text))
    bound = parse(text).bind(names["steps"], names["steps_per_epoch"])
    np.testing.assert_allclose([names["lr"](t) for t in range(21)], bound.lrs(0, 21), rtol=1e-12)
    assert names["optimizer"].param_groups[0]["lr"] == names["lr"](20)
    assert "lrbench" not in torch_code(parse(text))
    assert all(len(line) <= 120 for line in torch_code(parse(text)).splitlines())


@pytest.mark.parametrize("text", ["POLY(k0=0.1, p=1, l=50tok/param)", "REDUCEONPLATEAU(k0=0.1).warmup(320tok)"])
def test_the_torch_code_of_a_policy_in_tokens_says_how_many_an_iteration_has(text: str) -> None:
    names = run_code(parse(text))
    budget = [names[name] for name in ("steps", "steps_per_epoch", "tokens_per_step", "parameters")]
    if "lr" in names:
        np.testing.assert_allclose([names["lr"](t) for t in range(21)], parse(text).bind(*budget).lrs(0, 21))
    else:
        assert names["scheduler"].policy == parse(text).bind(*budget)


@pytest.mark.parametrize("name", [name for name, function in functions().items() if function.group != "reactive"])
def test_every_closed_form_function_has_code_that_gives_its_lrs(name: str) -> None:
    policy = example_of(functions()[name])
    assert policy is not None
    assert "lrbench" not in torch_code(policy)
    names: dict[str, Any] = {"math": math, "steps": 997, "steps_per_epoch": 31}
    exec(code_parts(policy)[1], names)
    bound = policy.bind_to(Budget(997, 31))
    np.testing.assert_allclose([names["lr"](t) for t in range(1200)], bound.lrs(0, 1200), rtol=1e-9, atol=1e-15)


def test_the_torch_code_of_what_reacts_or_is_the_users_own_names_lrbench() -> None:
    reacting = parse("REDUCEONPLATEAU(k0=0.1, patience=0)")
    assert run_code(reacting)["policy"] == reacting
    for policy in (reacting, MINE(k0=0.1, k1=1, gamma=0.5, l=2).warmup(2)):
        assert "PolicyLR(optimizer, policy" in torch_code(policy)
    with pytest.raises(PolicyError, match="has more LRs than can be written out as code"):
        torch_code(TABLE(values=np.linspace(0, 1, 20_000)))
