from collections.abc import Iterator
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from lrbench.errors import PolicyError, StudyError
from lrbench.policy import CHANGEONPLATEAU, POLY, Bounds, Function, Piecewise, functions, length, number, parse, rate
from lrbench.policy.function import FUNCTIONS, register_function
from lrbench.policy_search.domain import Between, OneOf
from lrbench.policy_search.sampler import quiet
from lrbench.policy_search.space import Space, function_names
from lrbench.policy_search.staging import Continued

LR = Between(0.01, 0.5, log=True)
ALL = tuple(name for name, each in functions().items() if each.group != "table" and each is not CHANGEONPLATEAU)


def drawn(space: Space | Continued, count: int, seed: int = 0) -> Iterator[tuple[optuna.Trial, Any]]:
    with quiet():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
        for _ in range(count):
            trial = study.ask()
            try:
                yield trial, space.pair(trial)[0]
            except PolicyError:
                yield trial, None


@pytest.mark.parametrize("name", ALL)
def test_every_function_is_searched_within_the_range_and_at_any_budget(name: str) -> None:
    policies = [policy for _, policy in drawn(Space((name,), LR), 30) if policy is not None]

    assert len(policies) == 30
    for policy in policies:
        assert 0.01 <= policy.bounds[1] <= 0.5
        for steps in (100, 1000):
            bound = policy.bind(steps, steps_per_epoch=10)
            assert bound.reacts or np.isfinite(bound.lrs(0, steps)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_what_a_trial_chose_makes_the_same_policy_again(seed: int) -> None:
    space = Space(ALL, LR, stages=(1, 2, 3), warmup=Between(0.01, 0.2, log=True))
    for trial, policy in drawn(space, 3, seed):
        if policy is not None:
            assert space.policy(FixedTrial(trial.params)) == policy
            assert parse(str(policy)) == policy


def test_a_policy_is_the_same_shape_at_every_budget() -> None:
    space = Space(("TRIEXP", "NSTEP", "WSD", "COSINE"), LR, stages=(1, 2))
    for _, policy in drawn(space, 20):
        long, short = policy.bind(9000, 100).lrs(0, 9000), policy.bind(1000, 100).lrs(0, 1000)
        assert np.mean(np.abs(long[4::9] - short)) < 0.02 * long.max()


def test_several_lengths_share_the_budget() -> None:
    for _, policy in drawn(Space(("WSD",), LR), 10):
        parts = [float(text.removesuffix("dur")) for text in (policy.up, policy.stable, policy.down)]
        assert sum(parts) == pytest.approx(1.0, abs=0.01)


def test_functions_share_the_dimensions_that_they_inherit() -> None:
    chosen: dict[str, set[str]] = {}
    for trial, policy in drawn(Space(("TRI", "SIN", "STEP", "POLY"), LR), 60):
        chosen.setdefault(policy.label, set(trial.params))
    assert chosen["TRI"] == chosen["SIN"] == {"function", "lr", "Wave.k0", "HalfCycleWave.l"}
    assert chosen["STEP"] & chosen["POLY"] == {"function", "lr"}


def test_a_second_stage_sees_the_rest_of_the_budget() -> None:
    for _, policy in drawn(
        Space(("POLY",), LR, {"POLY": {"l": OneOf(("1dur",)), "p": OneOf((1.0,))}}, stages=(2,)), 20
    ):
        assert isinstance(policy, Piecewise)
        lrs = policy.bind(10_000, 100).lrs(0, 10_000)
        at = int(policy.bind(10_000, 100).at[0])
        assert lrs[at - 1] < 0.05 * lrs[0]
        second = policy.policies[1]
        assert isinstance(second, POLY)
        assert lrs[at] == second.k0
        assert lrs[-1] < 0.05 * lrs[at]


def test_levels_make_a_space_finite() -> None:
    values = {trial.params["lr"] for trial, _ in drawn(Space(("FIX",), LR, levels=3), 40)}
    rates = {policy.k0 for _, policy in drawn(Space(("FIX",), LR, levels=3), 40)}
    assert values == {0, 1, 2}
    assert rates == {0.01, 0.0707, 0.5}


def test_a_narrowed_number_is_chosen_as_it_says() -> None:
    narrowed: dict[str, dict[str, Between | OneOf]] = {
        "STEP": {"k0": OneOf((0.3,)), "gamma": OneOf((0.1, 0.5)), "l": Between(0.2, 0.3), "k1": OneOf((0.001,))}
    }
    policies = [policy for _, policy in drawn(Space(("STEP",), LR, narrowed), 30)]
    assert {(policy.k0, policy.k1) for policy in policies} == {(0.3, 0.001)}
    assert {policy.gamma for policy in policies} == {0.1, 0.5}
    assert all(0.2 <= float(policy.l.removesuffix("dur")) <= 0.3 for policy in policies)


def test_a_function_of_the_users_own_is_searched_by_its_declarations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FUNCTIONS, "_entries", dict(FUNCTIONS._entries))

    @register_function
    class SAG(Function):
        """From high down to low and back."""

        group = "mine"
        formula = "high - (high-low)*sin(pi*t/width)^q"
        source = "this test"
        low: float = rate("the lowest")
        high: float = rate("the highest")
        q: float = number("the power", bounds=Bounds(1.0, 3.0))

        width: str = length("a sag")

        def conflict(self) -> str | None:
            return "low must be below high" if self.low >= self.high else None

        def lr(self, t: np.ndarray) -> np.ndarray:
            return np.full(t.shape, self.high)

    for _, policy in drawn(Space(("SAG",), LR), 20):
        assert policy.low <= 0.5 * policy.high * 1.01
        assert 1 <= policy.q <= 3


def test_settings_are_chosen_beside_the_policy_and_by_themselves() -> None:
    axes = {"weight_decay": Between(1e-5, 1e-1, log=True), "batch_size": Between(16, 256, log=True, whole=True)}
    space = Space(("FIX",), LR, axes={**axes, "optimizer": OneOf(("SGD", {"kind": "Adam", "eps": 0.1}))})
    plain = [policy for _, policy in drawn(Space(("FIX",), LR), 1)]
    pairs = []
    with quiet():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
        for _ in range(60):
            trial = study.ask()
            pairs.append(space.pair(trial))
            assert space.pair(FixedTrial(trial.params)) == pairs[-1]

    chosen = [one for _, one in pairs]
    assert pairs[0][0] == plain[0]
    assert all(1e-5 <= one["weight_decay"] <= 1e-1 for one in chosen)
    assert sum(one["weight_decay"] < 1e-3 for one in chosen) > 15, "even in the logarithm"
    assert {type(one["batch_size"]) for one in chosen} == {int}
    assert sum(one["batch_size"] < 64 for one in chosen) > 15
    assert {str(one["optimizer"]) for one in chosen} == {"SGD", "{'kind': 'Adam', 'eps': 0.1}"}


def test_second_stages_go_on_from_the_policies_they_are_given() -> None:
    heads = ("FIX(k0=0.1)", "POLY(k0=0.3, p=1, l=1dur)")
    space = Continued(Space(("EXP", "FIX"), LR), {head: (head, {}) for head in heads})
    seen = set()
    for _, policy in drawn(space, 40):
        head = policy.policies[0]
        seen.add((str(head), policy.at[0]))
        bound = policy.bind(1000, 100)
        at = bound.at[0]
        assert np.array_equal(bound.lrs(0, at), parse(str(head)).bind(1000, 100).lrs(0, at))
    assert {text for text, _ in seen} == {str(parse(head)) for head in heads}
    assert {at for _, at in seen} == {"0.5dur", "0.7dur", "0.85dur"}


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({"functions": ()}, "no functions"),
        ({"lr": Between(0.5, 0.1)}, "from a positive number to a higher one, not from 0.5 to 0.1"),
        ({"lr": Between(0.0, 0.1)}, "from a positive number"),
        ({"stages": (4,)}, r"stages must be numbers from 1 to 3, not \[4\]"),
        ({"warmup": Between(0.1, 1.5)}, "between 0 and 1"),
        ({"levels": 1}, "levels must be at least 2, not 1"),
        ({"narrowed": {"SIN": {}}}, "narrows SIN, which is not among its functions"),
        ({"narrowed": {"FIX": {"k1": OneOf((1,))}}}, "FIX has no parameter 'k1'"),
        ({"functions": ("CHANGEONPLATEAU",)}, "CHANGEONPLATEAU cannot be searched as it is"),
    ],
)
def test_a_bad_space_is_one_sentence(space: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StudyError, match=sentence):
        Space(**{"functions": ("FIX",), "lr": LR, **space})


def test_catalogs_stand_for_their_functions() -> None:
    assert len(function_names(["lrbench13"])) == 13
    assert function_names(["FIX", "lrbench13"])[0] == "FIX"
    with pytest.raises(StudyError, match=r"'lrbench31' \(did you mean 'lrbench13'\?\)"):
        function_names(["lrbench31"])
