"""What holds for every policy, whatever its parameters."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lrbench.errors import PolicyError
from lrbench.policy import Length, Policy, from_lrbench, functions, parse
from lrbench.policy.composition import PoliciesKind
from lrbench.policy.kind import DecayRate, Kind, LengthKind, LengthsKind, NumberKind, SlopeRate, WholeKind
from lrbench.policy.table import TABLE, RatesKind

STEPS, PER_EPOCH = 5000, 100

LRS = st.floats(0.0, 10.0)
LENGTHS = st.one_of(
    st.integers(1, 6000),
    st.floats(0.02, 50).map(lambda x: f"{x!r}ep"),
    st.floats(0.001, 2).map(lambda x: f"{x!r}dur"),
)
FACTORS = st.floats(0.01, 1.0)
PER_LENGTH = st.tuples(FACTORS, st.sampled_from(["1dur", "0.1dur", "3ep", "200"])).map(lambda x: f"{x[0]!r} per {x[1]}")


def values_of(kind: Kind) -> st.SearchStrategy[Any]:
    """Allowed values of a kind."""
    if isinstance(kind, LengthKind):
        return LENGTHS
    if isinstance(kind, LengthsKind):
        return st.lists(st.integers(1, 6000), min_size=1, max_size=6, unique=True).map(sorted)
    if isinstance(kind, DecayRate):
        return st.one_of(FACTORS, PER_LENGTH)
    if isinstance(kind, SlopeRate):
        return st.one_of(st.floats(1e-6, 5.0), st.floats(0.1, 100).map(lambda x: f"{x!r} per 1dur"))
    if isinstance(kind, WholeKind):
        return st.integers(int(kind.bounds.low), int(min(kind.bounds.high, kind.bounds.low + 5)))
    if isinstance(kind, PoliciesKind):
        return st.lists(CLOSED_FORMS, min_size=2, max_size=4)
    if isinstance(kind, RatesKind):
        return st.lists(LRS, min_size=1, max_size=20)
    assert isinstance(kind, NumberKind)
    low, high = max(kind.bounds.low, 0.0), min(kind.bounds.high, 5.0)
    return st.floats(low, high, exclude_min=kind.bounds.low_open, exclude_max=kind.bounds.high_open)


@st.composite
def policies_named(draw: st.DrawFn, name: str) -> Policy:
    function = functions()[name]
    arguments = {p.name: draw(values_of(p.kind)) for p in function.parameters}
    ranges = [p.name for p in function.parameters if p.role == "range"]
    # The lowest first for waves, the highest first for what falls; ONECYCLE starts between its end and its peak.
    lrs = sorted(draw(st.lists(LRS, min_size=len(ranges), max_size=len(ranges), unique=True)))
    if name == "GEOMETRIC":
        lrs = [lr + 1e-6 for lr in lrs]
    if name == "ONECYCLE":
        lrs = [lrs[1], lrs[2], lrs[0]]
    elif function.group in ("decaying", "reactive", "warmup-stable-decay") or name == "SGDR":
        lrs = lrs[::-1]
    if name == "TABLE":
        arguments["values"] *= STEPS
    if "first" in arguments:
        arguments["first"] %= len(arguments["policies"])
    return function(**arguments | dict(zip(ranges, lrs, strict=True)))


CLOSED_NAMES = [name for name, function in functions().items() if function.group != "reactive"]
CLOSED_FORMS = st.sampled_from(CLOSED_NAMES).flatmap(policies_named)


def chained(first: Policy, second: Policy, at: Length) -> Policy:
    """One after the other, or the first alone where it has a later part already."""
    try:
        return first.then(second, at=at)
    except PolicyError:
        return first


def composed(inner: st.SearchStrategy[Policy]) -> st.SearchStrategy[Policy]:
    return st.one_of(
        st.builds(chained, inner, inner, st.sampled_from([70, 300, "0.3dur", "7ep"])),
        st.builds(lambda p, length, start: p.warmup(length, start), inner, LENGTHS, LRS),
        st.builds(lambda p, factor: p.scaled(factor), inner, st.floats(1e-3, 100)),
        st.builds(lambda p, every: p.repeated(every), inner, LENGTHS),
    )


POLICIES = st.one_of(CLOSED_FORMS, st.recursive(CLOSED_FORMS, composed, max_leaves=3))


@pytest.mark.parametrize("name", functions())
@given(st.data())
@settings(max_examples=15, deadline=None)
def test_text_of_every_function_reads_back(name: str, data: st.DataObject) -> None:
    policy = data.draw(policies_named(name))
    assert parse(str(policy)) == policy
    assert str(parse(str(policy))) == str(policy)


@pytest.mark.parametrize("name", CLOSED_NAMES)
@given(st.data())
@settings(max_examples=15, deadline=None)
def test_lrs_of_every_function_are_finite_and_within_its_range(name: str, data: st.DataObject) -> None:
    policy = data.draw(policies_named(name)).bind(STEPS, PER_EPOCH)
    lrs = policy.lrs(0, 2 * STEPS)
    low, high = policy.bounds
    assert np.isfinite(lrs).all()
    assert low >= 0
    assert lrs.min() >= low
    assert lrs.max() <= high


def bound_or_none(policy: Policy) -> Policy | None:
    """The policy bound, or None where two portable starts fall together or cross under this budget."""
    try:
        return policy.bind(STEPS, PER_EPOCH)
    except PolicyError:
        return None


@given(POLICIES)
@settings(max_examples=150, deadline=None)
def test_text_of_any_composite_reads_back(policy: Policy) -> None:
    again = parse(str(policy))
    assert again == policy
    assert hash(again) == hash(policy)
    assert again.key == policy.key


@given(POLICIES, st.integers(0, 10_000), st.integers(1, 200))
@settings(max_examples=150, deadline=None)
def test_a_scalar_an_array_and_a_segment_give_the_same_bits(policy: Policy, start: int, count: int) -> None:
    bound = bound_or_none(policy)
    if bound is None:
        return
    whole = bound.lrs(0, start + count)[start:]
    assert bound.lrs(start, start + count).tobytes() == whole.tobytes()
    assert np.array([bound(t) for t in range(start, start + count)]).tobytes() == whole.tobytes()
    assert np.asarray(bound(np.arange(start, start + count)[::-1])).tobytes() == whole[::-1].tobytes()


@given(POLICIES)
@settings(max_examples=100, deadline=None)
def test_lrs_of_any_composite_are_finite_and_within_its_bounds(policy: Policy) -> None:
    bound = bound_or_none(policy)
    if bound is None:
        return
    lrs = bound.lrs(0, STEPS + 500)
    low, high = bound.bounds
    assert np.isfinite(lrs).all()
    assert 0 <= low <= lrs.min()
    assert lrs.max() <= high


@given(POLICIES, st.integers(1, 10**6), st.integers(1, 10**4))
@settings(max_examples=100, deadline=None)
def test_binding_a_bound_policy_changes_nothing(policy: Policy, steps: int, steps_per_epoch: int) -> None:
    bound = bound_or_none(policy)
    if bound is not None:
        assume(not isinstance(bound, TABLE) or steps <= len(bound.values))
        assert bound.is_bound
        assert bound.bind(steps, steps_per_epoch) == bound
        assert parse(str(bound)) == bound


@given(POLICIES)
@settings(max_examples=50, deadline=None)
def test_a_policy_survives_pickling(policy: Policy) -> None:
    again = pickle.loads(pickle.dumps(policy))
    assert again == policy
    assert again.key == policy.key


WORDS = """FIX STEP NSTEP CHANGEONPLATEAU then warmup scaled repeated k0 k1 gamma l at policies per nan inf True
    3ep 0.25dur 5 0.1 1e-3 -1 lrPolicy_FIX k0_0.1 -AT-"""
PIECES = [*WORDS.split(), *"()()(),,==.[]'\"+_é\0\n"]


def complaint(read: Callable[[str], Policy], text: str) -> str:
    """What the PolicyError says; nothing where the text is a policy."""
    try:
        assert isinstance(read(text), Policy)
    except PolicyError as error:
        return str(error)
    return ""


@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=30).map("".join)))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    assert "\n" not in complaint(parse, text)
    assert "\n" not in complaint(from_lrbench, text)


@given(POLICIES, st.data())
@settings(max_examples=300, deadline=None)
def test_a_policys_text_with_a_piece_cut_out_is_a_policy_or_a_policy_error(policy: Policy, data: st.DataObject) -> None:
    text = str(policy)
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    try:
        cut = parse(text[:start] + text[stop:])
    except PolicyError:
        return
    assert parse(str(cut)) == cut


@given(CLOSED_FORMS, CLOSED_FORMS)
@settings(max_examples=100, deadline=None)
def test_policies_are_equal_only_where_their_texts_are(policy: Policy, other: Policy) -> None:
    assert (policy == other) == (str(policy) == str(other)) == (policy.key == other.key)
