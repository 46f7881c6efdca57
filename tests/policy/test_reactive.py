"""Reactive policies: pure functions of the evaluations so far."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lrbench.errors import PolicyError
from lrbench.policy import CHANGEONPLATEAU, EXP, FIX, REDUCEONPLATEAU, History
from lrbench.policy.reactive import Reactive

METRICS = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.1, 0.5, float("nan")])), max_size=60)


@given(
    METRICS,
    st.sampled_from([0.1, 0.5, 0.9]),
    st.integers(0, 4),
    st.sampled_from([0.0, 1e-4, 0.05]),
    st.integers(0, 3),
    st.sampled_from([0.0, 1e-3]),
)
@settings(max_examples=200, deadline=None)
def test_reduce_on_plateau_gives_torchs_lrs_after_every_evaluation(
    metrics: list[float], gamma: float, patience: int, threshold: float, cooldown: int, floor: float
) -> None:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = ReduceLROnPlateau(
        optimizer,
        mode="max",
        factor=gamma,
        patience=patience,
        threshold=threshold,
        cooldown=cooldown,
        min_lr=floor,
    )
    expected = [0.1]
    for metric in metrics:
        scheduler.step(metric)
        expected.append(optimizer.param_groups[0]["lr"])

    policy = REDUCEONPLATEAU(k0=0.1, k1=floor, gamma=gamma, patience=patience, threshold=threshold, cooldown=cooldown)
    history = [(10 * (i + 1), metric) for i, metric in enumerate(metrics)]
    lrs = policy.lrs(0, 10 * (len(metrics) + 1), history)
    assert lrs.reshape(-1, 10)[:, 0].tolist() == expected
    assert (lrs.reshape(-1, 10) == lrs.reshape(-1, 10)[:, :1]).all()


def test_a_segment_needs_only_the_evaluations_up_to_its_start() -> None:
    policy = REDUCEONPLATEAU(k0=0.1, gamma=0.5, patience=1)
    history = [(100 * i, 0.5) for i in range(1, 8)]
    whole = policy.lrs(0, 800, history)
    for i in range(8):
        segment = policy.lrs(100 * i, 100 * (i + 1), history[:i])
        assert segment.tobytes() == whole[100 * i : 100 * (i + 1)].tobytes()


def simulate_lrbench(metrics: list[float], first: int, count: int, window: int, cooldown: int) -> list[int]:
    """LRBench's ChangeLROnPlateau with an accuracy, an evaluation every 10 of 300 iterations: the index after each."""
    index, cooling, seen, found = first, 0, [], []
    for number, metric in enumerate(metrics, start=1):
        seen.append(metric)
        recent = seen[-window:]
        flat = len(seen) > window and max(b - a for a, b in pairwise(recent)) < 0.05
        if flat and cooling == 0:
            cooling = cooldown
            if number * 10 / 300 < 0.8:
                index -= index > 0
            else:
                index += index < count - 1
        elif cooling > 0:
            cooling -= 1
        found.append(index)
    return found


@given(st.lists(st.floats(0, 1), max_size=30), st.integers(0, 2), st.integers(2, 6), st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_change_on_plateau_moves_as_lrbenchs_rules_say(
    metrics: list[float], first: int, window: int, cooldown: int
) -> None:
    levels = [0.3, 0.2, 0.1]
    policy = CHANGEONPLATEAU(
        policies=[FIX(k0=level) for level in levels], first=first, window=window, cooldown=cooldown
    ).bind(300, 10)
    history = [(10 * (i + 1), metric) for i, metric in enumerate(metrics)]
    lrs = policy.lrs(0, 10 * (len(metrics) + 1), history)[::10]
    indices = [first, *simulate_lrbench(metrics, first, len(levels), window, cooldown)]
    assert lrs.tolist() == [levels[index] for index in indices]


def test_change_on_plateau_raises_the_lr_early_and_lowers_it_late() -> None:
    policy = CHANGEONPLATEAU(policies=[FIX(k0=0.3), FIX(k0=0.2), FIX(k0=0.1)], first=1, window=2, cooldown=0, until=80)
    flat: History = [(step, 0.5) for step in (10, 20, 30, 80, 90)]
    assert policy.lrs(0, 100, flat)[[0, 29, 30, 79, 80, 90]].tolist() == [0.2, 0.2, 0.3, 0.3, 0.2, 0.1]


def test_the_policies_of_change_on_plateau_count_from_the_start_of_the_run() -> None:
    fall = EXP(k0=0.3, gamma=0.9)
    policy = CHANGEONPLATEAU(policies=[fall, FIX(k0=0.01)], first=1, window=2, until=80)
    lrs = policy.lrs(0, 50, [(10, 0.5), (20, 0.5), (30, 0.5)])
    assert lrs[30:].tobytes() == fall.lrs(30, 50).tobytes()


def test_no_evaluations_leave_the_first_lr() -> None:
    assert REDUCEONPLATEAU(k0=0.1).lrs(0, 5).tolist() == [0.1] * 5


def test_a_history_out_of_order_is_refused() -> None:
    for history in ([(10, 0.5), (10, 0.6)], [(10, 0.5), (5, 0.6)]):
        with pytest.raises(PolicyError, match="a history needs evaluations at increasing steps"):
            REDUCEONPLATEAU(k0=0.1).lrs(0, 20, history)


def test_a_closed_form_ignores_the_history() -> None:
    policy = EXP(k0=0.1, gamma=0.9)
    assert np.array_equal(policy.lrs(0, 20, [(5, 0.1)]), policy.lrs(0, 20))


@given(st.lists(st.one_of(st.floats(0, 3), st.just(float("nan"))), max_size=40), st.sampled_from([0.0, 1e-4, 0.05]))
@settings(max_examples=100, deadline=None)
def test_minus_a_loss_gives_torchs_lrs_of_mode_min(losses: list[float], threshold: float) -> None:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=1, threshold=threshold)
    expected = [0.1]
    for loss in losses:
        scheduler.step(loss)
        expected.append(optimizer.param_groups[0]["lr"])
    policy = REDUCEONPLATEAU(k0=0.1, gamma=0.5, patience=1, threshold=threshold)
    history = [(i + 1, -loss) for i, loss in enumerate(losses)]
    assert policy.lrs(0, len(losses) + 1, history).tolist() == expected


@pytest.mark.parametrize(
    "policy",
    [
        REDUCEONPLATEAU(k0=0.1, patience=0),
        CHANGEONPLATEAU(policies=[FIX(k0=0.2), FIX(k0=0.1)], first=1, window=2, cooldown=0, until=80),
    ],
)
@pytest.mark.parametrize("unknown", [float("nan"), float("-inf")])
def test_an_evaluation_that_is_not_finite_is_no_improvement(policy: Reactive, unknown: float) -> None:
    history = [(1, 0.1), (2, unknown), (3, unknown), (4, unknown)]
    flat = [(step, 0.1) for step, _ in history]
    assert policy.lrs(0, 5, history).tolist() == policy.lrs(0, 5, flat).tolist()


def test_the_first_iteration_asks_for_the_lr_of_iteration_0_where_lrbenchs_callback_asks_for_that_of_1() -> None:
    fall = EXP(k0=0.1, gamma=0.5)
    policy = CHANGEONPLATEAU(policies=[fall, FIX(k0=0.01)], first=0, until=80)
    assert policy.lrs(0, 3).tolist() == [fall(0), fall(1), fall(2)]
