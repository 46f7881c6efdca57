from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lrbench.engine import State, advance, begin, identical
from lrbench.modifiers import PSWA, PSWM, PWALKS, SWM
from lrbench.modifiers.means import momentum_of_means, running_mean, window_mean
from lrbench.modifiers.sampling import WeightSampling, in_tail, is_sampled
from lrbench.tasks.optimizers import Adam
from lrbench.tasks.task import Task

Weights = dict[str, Tensor]
ByHand = Callable[..., Iterator[State]]
WeightsOf = Callable[[Task, State], Weights]

PERIOD = 6
"""One epoch of the task, in iterations."""


def trained(task: Task, *modifiers: WeightSampling, steps: int | None = None) -> State:
    return advance(task, begin(task, 0), np.full(steps or task.steps, 0.05), modifiers)[0]


def mean(samples: list[Weights]) -> Weights:
    """In double precision, over explicit weights."""
    names = samples[0] if samples else {}
    return {name: torch.from_numpy(np.mean([s[name].double().numpy() for s in samples], axis=0)) for name in names}


def close(one: State, other: State) -> None:
    torch.testing.assert_close(dict(one.model), dict(other.model), rtol=1e-4, atol=1e-6, check_dtype=False)


def test_the_running_mean_is_the_mean_of_what_it_was_given() -> None:
    samples = [{"w": torch.tensor([x, 2 * x])} for x in (1.0, 2.0, 6.0)]
    average: Weights = {}
    for n, sample in enumerate(samples, 1):
        average = running_mean(average, sample, n)
    torch.testing.assert_close(average["w"], torch.tensor([3.0, 6.0]))


def test_the_window_mean_is_the_mean_of_all_in_the_window() -> None:
    window = [{"w": torch.tensor([x])} for x in (1.0, 2.0, 6.0)]
    assert window_mean(window)["w"].item() == 3.0
    assert window_mean(window[-1:])["w"].item() == 6.0


def test_the_momentum_of_means_is_beta_of_the_previous_and_the_rest_of_this() -> None:
    previous, now = {"w": torch.tensor(8.0)}, {"w": torch.tensor(4.0)}
    assert momentum_of_means(previous, now, 0.75)["w"].item() == 7.0
    assert momentum_of_means({}, now, 0.75)["w"].item() == 4.0


def test_means_leave_what_they_are_given_as_it_is() -> None:
    one, other = {"w": torch.tensor([1.0])}, {"w": torch.tensor([3.0])}
    running_mean(one, other, 2)["w"].add_(1)
    running_mean({}, one, 1)["w"].add_(1)
    window_mean([one, other])["w"].add_(1)
    window_mean([one])["w"].add_(1)
    momentum_of_means(one, other, 0.5)["w"].add_(1)
    assert one["w"].item() == 1
    assert other["w"].item() == 3


def test_the_tail_is_the_last_fraction_of_a_period() -> None:
    assert [j for j in range(1, 11) if in_tail(j, 10, 0.3)] == [8, 9, 10]
    assert [j for j in range(1, 11) if in_tail(j, 10, 0.9)] == list(range(2, 11))
    assert [j for j in range(1, 11) if in_tail(j, 10, 0.001)] == [10]
    assert all(in_tail(j, 10, 1.0) for j in range(1, 11))


@given(st.integers(0, 1000), st.integers(1, 10**6))
def test_with_probability_0_nothing_is_sampled_and_with_1_everything(seed: int, step: int) -> None:
    assert not is_sampled(seed, step, 0.0)
    assert is_sampled(seed, step, 1.0)


def test_as_many_steps_are_sampled_as_the_probability_says() -> None:
    drawn = np.array([is_sampled(7, step, 0.3) for step in range(1, 10_001)])
    assert drawn.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 10_000))
    assert np.corrcoef(drawn[1:], drawn[:-1])[0, 1] == pytest.approx(0, abs=0.04)
    assert not np.array_equal(drawn, [is_sampled(8, step, 0.3) for step in range(1, 10_001)])


@pytest.mark.parametrize("p", [1.0, 0.5])
def test_pswa_goes_on_from_the_mean_of_a_periods_samples(
    p: float, mlp_task: Task, by_hand: ByHand, weights_of: WeightsOf
) -> None:
    samples: list[Weights] = []

    def average(step: int, state: State) -> Weights | None:
        if is_sampled(0, step, p):
            samples.append(weights_of(mlp_task, state))
        if step % PERIOD:
            return None
        result = mean(samples)
        samples.clear()
        return {name: weight.float() for name, weight in result.items()}

    *_, last = by_hand(mlp_task, average)
    close(trained(mlp_task, PSWA(p=p)), last)


def test_pwalks_goes_on_from_the_mean_of_the_last_k_samples(
    mlp_task: Task, by_hand: ByHand, weights_of: WeightsOf
) -> None:
    window: list[Weights] = []

    def average(step: int, state: State) -> Weights | None:
        if (step - 1) % PERIOD >= 2 and is_sampled(0, step, 0.8):
            window.append(weights_of(mlp_task, state))
        if step % PERIOD:
            return None
        result = mean(window[-2:])
        window.clear()
        return {name: weight.float() for name, weight in result.items()}

    *_, last = by_hand(mlp_task, average)
    close(trained(mlp_task, PWALKS(p=0.8, K=2, tail=2 / 3)), last)


def test_pswm_goes_on_from_a_mean_mixed_with_the_period_befores(
    mlp_task: Task, by_hand: ByHand, weights_of: WeightsOf
) -> None:
    samples: list[Weights] = []
    means: list[Weights] = []

    def average(step: int, state: State) -> Weights | None:
        samples.append(weights_of(mlp_task, state))
        if step % PERIOD:
            return None
        means.append(mean(samples))
        samples.clear()
        previous, now = means[max(0, len(means) - 2)], means[-1]
        return {name: (0.3 * previous[name] + 0.7 * now[name]).float() for name in now}

    *_, last = by_hand(mlp_task, average)
    close(trained(mlp_task, PSWM(p=1, beta=0.3)), last)


def test_pswa_that_samples_nothing_equals_no_modifier(task: Task) -> None:
    plain, seen = advance(task, begin(task, 0), np.full(task.steps, 0.05))
    state, watched = advance(task, begin(task, 0), np.full(task.steps, 0.05), [PSWA(p=0)])
    assert identical(state.model, plain.model)
    assert identical(state.optimizer, plain.optimizer)
    assert identical([e.val.outputs for e in watched], [e.val.outputs for e in seen])


@pytest.mark.parametrize("tail", [1.0, 1 / PERIOD])
def test_pwalks_of_the_last_sample_alone_equals_no_modifier(task: Task, tail: float) -> None:
    state, plain = trained(task, PWALKS(p=1, K=1, tail=tail)), trained(task)
    assert identical(state.model, plain.model)
    assert identical(state.optimizer, plain.optimizer)


def test_pwalks_over_all_samples_is_pswa(mlp_task: Task) -> None:
    close(trained(mlp_task, PWALKS(p=0.5, K=PERIOD)), trained(mlp_task, PSWA(p=0.5)))


def test_pswm_without_momentum_is_pswa_bit_for_bit(mlp_task: Task) -> None:
    assert identical(trained(mlp_task, PSWM(p=0.5, beta=0)).model, trained(mlp_task, PSWA(p=0.5)).model)


def test_a_period_of_one_iteration_changes_nothing(mlp_task: Task) -> None:
    assert identical(trained(mlp_task, PSWA(period=0.01, p=1)).model, trained(mlp_task).model)


def test_a_period_may_be_a_fraction_of_an_epoch(mlp_task: Task, by_hand: ByHand, weights_of: WeightsOf) -> None:
    samples: list[Weights] = []

    def average(step: int, state: State) -> Weights | None:
        samples.append(weights_of(mlp_task, state))
        return {name: weight.float() for name, weight in mean(samples[-3:]).items()} if step % 3 == 0 else None

    *_, last = by_hand(mlp_task, average)
    close(trained(mlp_task, PSWA(period=0.5, p=1)), last)


def test_a_period_that_the_budget_cuts_short_replaces_nothing(mlp_task: Task) -> None:
    one_period = trained(mlp_task, PSWA(p=1), steps=PERIOD)
    rest = np.full(4, 0.05)
    with_it, _ = advance(mlp_task, one_period, rest, [PSWA(p=1)])
    without, _ = advance(mlp_task, one_period, rest)
    assert identical(with_it.model, without.model)


def test_optimizer_state_is_kept_unless_it_is_to_be_forgotten(mlp_task: Task) -> None:
    assert identical(trained(mlp_task, PSWA(p=1), steps=PERIOD).optimizer, trained(mlp_task, steps=PERIOD).optimizer)
    assert trained(mlp_task, PSWA(p=1, reset_optimizer=True), steps=PERIOD).optimizer == {}


def test_optimizer_state_is_kept_where_no_weights_were_replaced(mlp_task: Task) -> None:
    state = trained(mlp_task, PSWA(p=0, reset_optimizer=True))
    assert identical(state.optimizer, trained(mlp_task).optimizer)


def test_a_reset_optimizer_begins_anew(mlp_task: Task) -> None:
    task = mlp_task.with_(optimizer=Adam())
    state = trained(task, PSWA(p=1, reset_optimizer=True), steps=PERIOD + 2)
    assert {float(slots["step"]) for slots in state.optimizer.values()} == {2.0}


def test_running_statistics_stay_as_they_are(mlp_task: Task) -> None:
    state, plain = trained(mlp_task, PSWA(p=1), steps=PERIOD), trained(mlp_task, steps=PERIOD)
    assert identical(state.model["1.running_mean"], plain.model["1.running_mean"])
    assert not identical(state.model["0.weight"], plain.model["0.weight"])


def test_recomputing_statistics_changes_what_is_evaluated_and_no_bit_of_training(mlp_task: Task) -> None:
    lrs = np.full(mlp_task.steps, 0.05)
    kept, seen = advance(mlp_task, begin(mlp_task, 0), lrs, [PSWA()])
    recomputed, watched = advance(mlp_task, begin(mlp_task, 0), lrs, [PSWA(recompute_bn=True)])
    assert identical(recomputed.model, kept.model)
    assert identical(recomputed.optimizer, kept.optimizer)
    assert not identical(watched[-1].val.outputs, seen[-1].val.outputs)


def test_swm_goes_on_from_a_moving_mean_of_its_samples_after_each(
    mlp_task: Task, by_hand: ByHand, weights_of: WeightsOf
) -> None:
    momentum: Weights = {}
    sampled = 0

    def blend(step: int, state: State) -> Weights | None:
        nonlocal momentum, sampled
        if not is_sampled(0, step, 0.3):
            return None
        sampled += 1
        now = weights_of(mlp_task, state)
        momentum = {name: 0.4 * momentum.get(name, weight) + 0.6 * weight for name, weight in now.items()}
        return momentum

    *_, last = by_hand(mlp_task, blend)
    assert sampled > 3
    close(trained(mlp_task, SWM(p=0.3, beta=0.4)), last)


@pytest.mark.parametrize(
    ("period", "tail", "first"), [(5, 0.5, 3), (10, 0.25, 8), (10, 0.33, 7), (7, 0.2, 6), (10, 0.3, 8)]
)
def test_the_tail_begins_after_its_complement(period: int, tail: float, first: int) -> None:
    sampled = [position for position in range(1, period + 1) if in_tail(position, period, tail)]
    assert sampled == list(range(first, period + 1))
