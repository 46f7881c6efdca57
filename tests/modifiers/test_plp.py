from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrbench.engine import State, advance, begin, identical
from lrbench.modifiers import PLP, PLP_CONTROL_SCALE, PLPNoise, plp_control
from lrbench.modifiers.plp import noise_like, predicted
from lrbench.policy import COS, FIX
from lrbench.tasks.data import Data
from lrbench.tasks.metric import Metric
from lrbench.tasks.optimizers import SGD
from lrbench.tasks.task import Task

Weights = dict[str, Tensor]


def zero() -> nn.Module:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    return network


def single_weight_task(loss: Callable[[Tensor, Tensor], Tensor]) -> Task:
    """One weight theta, which begins at 0 and is the network's output; plain SGD; 1 iteration an evaluation."""
    ones = (torch.ones(8, 1), torch.zeros(8, 1))
    metric = Metric("weight", lambda outputs, _: float(outputs.mean()), chance=0.0)
    return Task(
        name="one weight",
        model=zero,
        data=Data.from_arrays(ones, ones, ones),
        optimizer=SGD(momentum=0.0),
        loss=loss,
        metric=metric,
        batch_size=4,
        steps=12,
        divergence_factor=1e9,
    )


def gradients_1_2_4_then_1(outputs: Tensor, targets: Tensor) -> Tensor:
    """Gradient 1 - theta above -4, so 1, 2, 4 at theta = 0, -1, -3; gradient 1 below."""
    return torch.where(outputs > -4, outputs - outputs.square() / 2, outputs).mean()


def test_the_formula_is_that_of_the_source() -> None:
    p1, p2, p3 = torch.tensor([-1.0, 2.0]), torch.tensor([-3.0, 2.5]), torch.tensor([-7.0, 4.0])
    step = 1
    expected = (p2 + p3) / 2 + ((p2 + p3) / 2 - (p1 + p2) / 2) * step
    torch.testing.assert_close(predicted(p1, p2, p3), expected)


def test_gradients_1_2_4_lead_to_minus_8_and_one_more_gradient_of_1_to_minus_9() -> None:
    assert predicted(torch.tensor(-1.0), torch.tensor(-3.0), torch.tensor(-7.0)) == -8.0
    task = single_weight_task(gradients_1_2_4_then_1)
    weights = []
    state = begin(task, 0)
    for _ in range(4):
        state, _ = advance(task, state, np.ones(1), [PLP()])
        weights.append(state.model["weight"].item())
    assert weights == [-1.0, -3.0, -8.0, -9.0]
    assert advance(task, begin(task, 0), np.ones(4), [PLP()])[0].model["weight"].item() == -9.0


def test_without_it_the_same_gradients_lead_to_minus_8_after_four() -> None:
    task = single_weight_task(gradients_1_2_4_then_1)
    assert advance(task, begin(task, 0), np.ones(4))[0].model["weight"].item() == -8.0


def test_under_a_constant_gradient_it_moves_as_far_as_a_learning_rate_times_seven_sixths() -> None:
    task = single_weight_task(lambda outputs, targets: outputs.mean())
    policy = FIX(k0=0.25)
    with_plp, _ = advance(task, begin(task, 0), policy.lrs(0, 12), [PLP()])
    control, _ = advance(task, begin(task, 0), plp_control(policy).lrs(0, 12))
    assert with_plp.model["weight"].item() == pytest.approx(-0.25 * 14)
    assert control.model["weight"].item() == pytest.approx(with_plp.model["weight"].item())


def test_the_control_is_the_policy_scaled_by_seven_sixths() -> None:
    policy = COS(k0=0.1, k1=0.2, l=50)
    assert pytest.approx(3.5 / 3) == PLP_CONTROL_SCALE
    np.testing.assert_allclose(plp_control(policy).lrs(0, 50), policy.lrs(0, 50) * 7 / 6)


def test_parameters_are_predicted_and_neither_running_statistics_nor_momentum(
    task: Task, by_hand: Callable[..., Iterator[State]], weights_of: Callable[[Task, State], Weights]
) -> None:
    plain = list(by_hand(task, lambda step, state: None, steps=3))
    p1, p2, p3 = (weights_of(task, state) for state in plain)
    state, _ = advance(task, begin(task, 0), np.full(3, 0.05), [PLP()])
    assert identical(weights_of(task, state), {name: predicted(p1[name], p2[name], p3[name]) for name in p1})
    buffers = state.model.keys() - p1.keys()
    assert buffers
    assert all(identical(state.model[name], plain[2].model[name]) for name in buffers)
    assert identical(state.optimizer, plain[2].optimizer)


def test_a_next_cycle_begins_at_the_predicted_weights(
    mlp_task: Task, by_hand: Callable[..., Iterator[State]], weights_of: Callable[[Task, State], Weights]
) -> None:
    seen: list[Weights] = []

    def predict(step: int, state: State) -> Weights | None:
        seen.append(weights_of(mlp_task, state))
        if step % 3:
            return None
        p1, p2, p3 = seen[-3:]
        return {name: predicted(p1[name], p2[name], p3[name]) for name in p1}

    *_, last = by_hand(mlp_task, predict)
    state, _ = advance(mlp_task, begin(mlp_task, 0), np.full(mlp_task.steps, 0.05), [PLP()])
    assert identical(state.model, last.model)


def test_it_remembers_one_copy_of_the_weights_at_most(mlp_task: Task) -> None:
    state = begin(mlp_task, 0)
    copies = []
    for _ in range(6):
        state, _ = advance(mlp_task, state, np.full(1, 0.05), [PLP()])
        copies.append(len(state.memories["PLP()"]["history"]) / 6)
    assert copies == [1, 1, 0, 1, 1, 0]


def test_its_cycle_moves_on_after_an_update_and_at_no_other_event(mlp_task: Task) -> None:
    rarely, often = mlp_task.with_(eval_every=mlp_task.steps), mlp_task.with_(eval_every=1)
    states = [advance(task, begin(task, 0), np.full(task.steps, 0.05), [PLP()])[0] for task in (rarely, often)]
    assert identical(states[0].model, states[1].model)
    assert states[1].memories["PLP()"]["position"] == mlp_task.steps % 3


def test_noise_is_as_large_as_a_move_and_has_a_direction_of_its_own() -> None:
    move = torch.randn(20, 30, generator=torch.Generator().manual_seed(5))
    noise = noise_like(move, 7)
    assert noise.norm().item() == pytest.approx(move.norm().item(), rel=1e-5)
    assert abs(torch.cosine_similarity(noise.flatten(), move.flatten(), dim=0).item()) < 5 / 600**0.5
    assert torch.equal(noise, noise_like(move, 7))
    assert abs(torch.cosine_similarity(noise.flatten(), noise_like(move, 8).flatten(), dim=0).item()) < 5 / 600**0.5


def test_the_noise_control_moves_each_weight_as_far_as_plp_at_the_same_times(
    mlp_task: Task, weights_of: Callable[[Task, State], Weights]
) -> None:
    start = begin(mlp_task, 0)
    lrs = np.full(3, 0.05)
    plain, predicting, noisy = (
        weights_of(mlp_task, advance(mlp_task, start, lrs, modifiers)[0]) for modifiers in ((), [PLP()], [PLPNoise()])
    )
    for name, weight in plain.items():
        far, as_far = ((other[name] - weight).norm().item() for other in (predicting, noisy))
        assert as_far == pytest.approx(far, rel=1e-3, abs=1e-6)
        assert far < 1e-6 or not torch.equal(noisy[name], predicting[name])
    after_two = (weights_of(mlp_task, advance(mlp_task, start, lrs[:2], each)[0]) for each in ((), [PLPNoise()]))
    assert identical(*after_two)
