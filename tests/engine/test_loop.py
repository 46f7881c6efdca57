"""What an iteration does, beside plain loops of torch that do the same."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from lrbench.engine import (
    Evaluation,
    State,
    Training,
    advance,
    advance_stacked,
    begin,
    identical,
    state_from_bytes,
    state_to_bytes,
)
from lrbench.engine.batches import batch_indices, mixed
from lrbench.engine.flops import step_flops
from lrbench.errors import TaskError
from lrbench.modifiers import LearnAndDrop, Memory, Modifier
from lrbench.reproducible import deterministic
from lrbench.streams import stream_seed
from lrbench.tasks import Data
from lrbench.tasks.optimizers import AdamW
from lrbench.tasks.task import Task

Step = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], None]


def steady(task: Task, lr: float = 0.05) -> np.ndarray:
    return np.full(task.steps, lr)


def trained(task: Task, lrs: np.ndarray, modifiers: tuple[Modifier, ...] = ()) -> tuple[State, list[Evaluation]]:
    return advance(task, begin(task, 3), lrs, modifiers)


def by_hand(task: Task, lrs: np.ndarray, step: Step) -> dict[str, Tensor]:
    """Train with a plain loop, from the same weights over the same batches."""
    network = task.network().to(memory_format=torch.channels_last)
    network.load_state_dict(begin(task, 3).model)
    optimizer = task.optimizer.build(list(network.parameters()))
    train = task.data.train
    with deterministic():
        for lr, indices in zip(lrs, batch_indices(task, 3, 0, len(lrs)), strict=True):
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] = float(lr)
            step(network, optimizer, train.inputs[indices], train.targets[indices])
    return network.state_dict()


@pytest.fixture(scope="session")
def plain_task(mlp_task: Task) -> Task:
    return mlp_task.with_(model=lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), steps=20)


def mean_of_two(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return (inputs + inputs.roll(1, 0)) / 2, (targets + targets.roll(1, 0)) / 2


def drawn_mean(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    share = torch.rand(()) * random.random()
    return torch.lerp(inputs, inputs.roll(1, 0), share), torch.lerp(targets, targets.roll(1, 0), share)


def clipped_by_norm(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor) -> None:
    F.cross_entropy(network(inputs), targets).backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
    optimizer.step()


def clipped_by_value(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor) -> None:
    F.cross_entropy(network(inputs), targets).backward()
    torch.nn.utils.clip_grad_value_(network.parameters(), 0.02)
    optimizer.step()


def accumulated(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor) -> None:
    for part, wanted in zip(inputs.split(6), targets.split(6), strict=True):
        (F.cross_entropy(network(part), wanted) * (len(part) / len(inputs))).backward()
    optimizer.step()


def smoothed(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor) -> None:
    F.cross_entropy(network(inputs), targets, label_smoothing=0.2).backward()
    optimizer.step()


BY_HAND: dict[str, tuple[dict[str, Any], Step]] = {
    "norm": ({"clip_norm": 0.1}, clipped_by_norm),
    "value": ({"clip_value": 0.02}, clipped_by_value),
    "micro-batches": ({"micro_batch": 6}, accumulated),
    "smoothing": ({"label_smoothing": 0.2}, smoothed),
}


@pytest.mark.parametrize(("settings", "step"), BY_HAND.values(), ids=BY_HAND)
def test_a_setting_of_the_step_does_what_a_plain_loop_does(
    settings: dict[str, Any], step: Step, plain_task: Task
) -> None:
    state, _ = trained(plain_task.with_(**settings), steady(plain_task))
    assert identical(dict(state.model), by_hand(plain_task, steady(plain_task), step))
    assert not identical(dict(state.model), dict(trained(plain_task, steady(plain_task))[0].model))


class Steep(nn.Module):
    """A network whose gradients overflow in float16 where the loss is scaled by more than about 2,000."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.layer(300 * x) / 10
        return outputs


def test_float16_scales_the_loss_and_skips_steps_as_a_plain_loop_with_a_scaler(mlp_task: Task) -> None:
    scales = [2.0**16]

    def step(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor) -> None:
        with torch.autocast("cpu", torch.float16):
            outputs = network(inputs)
        (F.cross_entropy(outputs.float(), targets) * scales[-1]).backward()
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        for gradient in gradients:
            gradient /= scales[-1]
        if all(gradient.isfinite().all() for gradient in gradients):
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            scales.append(scales[-1])
        else:
            scales.append(scales[-1] / 2)

    task = mlp_task.with_(model=Steep, precision="float16", clip_norm=1.0)
    state, _ = trained(task, steady(task))
    assert identical(dict(state.model), by_hand(task, steady(task), step))
    assert state.scaler["scale"] == scales[-1] < scales[0]
    assert state.scaler["skipped"] == math.log2(scales[0] / scales[-1])
    assert state.diverged_at is None


def test_a_loss_that_is_not_finite_in_float16_is_divergence(mlp_task: Task) -> None:
    task = mlp_task.with_(precision="float16")
    assert trained(task, steady(task, 1e30))[0].diverged_at == 2


def test_mixing_a_batch_does_what_torchvisions_transform_does_in_a_plain_loop(cnn_task: Task) -> None:
    task = cnn_task.with_(mix=[{"kind": "MixUp", "alpha": 0.4}], label_smoothing=0.1, augment=())
    transform, done = v2.MixUp(alpha=0.4, num_classes=3), count()

    def step(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor) -> None:
        torch.manual_seed(stream_seed(3, "mixture", next(done)))
        torch.randint(1, ())
        both, soft = transform(task.data.decode(inputs), targets)
        assert not identical(soft, F.one_hot(targets, 3).float())
        both = both.contiguous(memory_format=torch.channels_last)
        F.cross_entropy(network.train()(both), soft, label_smoothing=0.1).backward()
        optimizer.step()

    state, (*_, last) = trained(task, steady(task))
    assert identical(dict(state.model), by_hand(task, steady(task), step))
    assert last.val.loss == pytest.approx(float(F.cross_entropy(last.val.outputs, last.val.targets)))


def test_torchvisions_own_transforms_are_mixtures_with_the_numbers_of_their_names(cnn_task: Task) -> None:
    named, own = (cnn_task.with_(mix=mix) for mix in (["MixUp", "CutMix"], [v2.MixUp(), v2.CutMix()]))
    assert identical(trained(named, steady(named))[0], trained(own, steady(own))[0])
    assert len(own.key) == len(named.key)


def test_each_batch_is_mixed_by_one_of_the_mixtures(mlp_task: Task) -> None:
    task = mlp_task.with_(mix=[lambda x, y: (x, y), lambda x, y: (0 * x, y)])
    inputs, targets = torch.ones(4, 8), torch.tensor([0, 1, 2, 0])
    sums = [float(mixed(task, 0, step, inputs, targets)[0].sum()) for step in range(40)]
    assert set(sums) == {0.0, 32.0}
    assert sums == [float(mixed(task, 0, step, inputs, targets)[0].sum()) for step in range(40)]


SETTINGS: dict[str, dict[str, Any]] = {
    "mixtures": {"mix": [mean_of_two, drawn_mean], "micro_batch": 6},
    "float16": {"precision": "float16", "clip_norm": 0.1, "micro_batch": 5},
    "overflow": {"precision": "float16", "model": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(8), Steep())},
    "norm": {"clip_norm": 0.1},
    "value and norm": {"clip_value": 0.02, "clip_norm": 0.1},
    "micro-batches": {"micro_batch": 6},
    "smoothing": {"label_smoothing": 0.2},
    "all": {"clip_norm": 0.1, "micro_batch": 5, "label_smoothing": 0.1, "optimizer": AdamW()},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_with_each_setting_a_run_in_pieces_and_a_fork_equal_the_whole_run(
    model: str, settings: dict[str, Any], task_with: Callable[..., Task]
) -> None:
    task = task_with(model).with_(**settings)
    lrs = np.linspace(0.1, 0.01, task.steps)
    state, evaluations = trained(task, lrs)
    fork, seen = advance(task, begin(task, 3), lrs[:11])
    fork = state_from_bytes(state_to_bytes(fork))
    for start, stop in ((11, 12), (12, task.steps)):
        fork, more = advance(task, fork, lrs[start:stop])
        seen += more
    assert identical(fork, state)
    assert [one.train_loss for one in seen] == [one.train_loss for one in evaluations]


def test_micro_batches_have_the_gradient_the_loss_and_the_cost_of_the_batch(plain_task: Task) -> None:
    once, whole = (trained(task, steady(task)[:1])[0] for task in (plain_task.with_(micro_batch=5), plain_task))
    torch.testing.assert_close(dict(once.model), dict(whole.model))
    assert once.since_evaluation.total == pytest.approx(whole.since_evaluation.total, rel=1e-6)
    assert step_flops(plain_task.with_(micro_batch=5)) == step_flops(plain_task)


def test_micro_batches_as_large_as_the_batch_change_no_bit(mlp_task: Task) -> None:
    for size in (16, 1000):
        state, _ = trained(mlp_task.with_(micro_batch=size), steady(mlp_task))
        assert identical(state, trained(mlp_task, steady(mlp_task))[0])


def test_label_smoothing_leaves_the_losses_of_evaluations_plain(plain_task: Task) -> None:
    _, (*_, last) = trained(plain_task.with_(label_smoothing=0.5), steady(plain_task))
    assert last.val.loss == pytest.approx(float(F.cross_entropy(last.val.outputs, last.val.targets)))


class Cliff(nn.Module):
    """A network whose loss is finite, and whose gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.layer(x)
        return outputs + (self.layer.bias - self.layer.bias.detach()).sqrt().sum()


def test_a_gradient_that_is_not_finite_is_divergence_where_its_norm_is_clipped(mlp_task: Task) -> None:
    task = mlp_task.with_(model=Cliff, clip_norm=1.0)
    state, evaluations = trained(task, steady(task))
    assert (state.diverged_at, evaluations) == (1, [])


@pytest.mark.parametrize("settings", [{"clip_norm": 0.1}, {"clip_value": 0.02}, {"label_smoothing": 0.2}], ids=str)
def test_stacked_lanes_with_a_setting_equal_their_serial_runs(settings: dict[str, Any], plain_task: Task) -> None:
    task = plain_task.with_(**settings)
    starts, lrs = [begin(task, seed) for seed in (0, 1, 2)], steady(task)
    for start, (state, evaluations) in zip(starts, advance_stacked(task, starts, [lrs] * 3), strict=True):
        expected, seen = advance(task, start, lrs)
        torch.testing.assert_close(dict(state.model), dict(expected.model), rtol=1e-4, atol=1e-5)
        assert state.flops == expected.flops
        assert [one.train_loss for one in evaluations] == pytest.approx([one.train_loss for one in seen], rel=1e-4)


def test_a_stacked_lane_whose_gradient_is_not_finite_diverges_alone(plain_task: Task) -> None:
    task = plain_task.with_(clip_norm=1.0)
    good, bad = begin(task, 0), begin(task, 1)
    (expected, _), *_ = advance_stacked(task, [good], [steady(task)])
    huge = {name: tensor.clone() for name, tensor in bad.model.items()}
    huge["2.weight"] *= 1e30
    wild = State(**{**vars(bad), "model": huge, "initial_loss": 1e37})
    (state, _), (ended, _) = advance_stacked(task, [good, wild], [steady(task)] * 2)
    assert identical(dict(state.model), dict(expected.model))
    assert ended.diverged_at == advance(task, wild, steady(task))[0].diverged_at == 1


@dataclass(frozen=True)
class Recording(Modifier):
    """Remembers the norm of the gradients at both events, and the weights after the step."""

    def begin(self, training: Training) -> Memory:
        return {"before": [], "after": [], "events": []}

    def after_backward(self, training: Training, memory: Memory) -> None:
        memory["before"].append(norm_of(training))
        memory["events"].append(("after_backward", training.step))

    def before_step(self, training: Training, memory: Memory) -> None:
        memory["after"].append(norm_of(training))
        memory["events"].append(("before_step", training.step))

    def after_step(self, training: Training, memory: Memory) -> None:
        memory["events"].append(("after_step", training.step))


def norm_of(training: Training) -> float:
    gradients = [weight.grad for weight in training.weights.values() if weight.grad is not None]
    return math.hypot(*(float(gradient.norm()) for gradient in gradients))


def test_modifiers_see_the_gradients_before_and_after_they_are_clipped(plain_task: Task) -> None:
    state, _ = trained(plain_task.with_(clip_norm=0.1), steady(plain_task)[:3], (Recording(),))
    memory = state.memories["Recording()"]
    names = ("after_backward", "before_step", "after_step")
    assert memory["events"] == [(name, step + (name == "after_step")) for step in range(3) for name in names]
    assert min(memory["before"]) > 0.1
    assert memory["after"] == pytest.approx([0.1] * 3, rel=1e-4)


@dataclass(frozen=True)
class Centralized(Modifier):
    """Gradient centralization (arXiv 2004.01461): each output's gradient has the mean 0."""

    def after_backward(self, training: Training, memory: Memory) -> None:
        for weight in training.weights.values():
            if weight.dim() > 1 and weight.grad is not None:
                weight.grad -= weight.grad.mean(tuple(range(1, weight.dim())), keepdim=True)


def test_what_a_modifier_makes_of_the_gradients_is_what_the_optimizer_takes(plain_task: Task) -> None:
    def step(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor) -> None:
        F.cross_entropy(network(inputs), targets).backward()
        for layer in (network.get_submodule("0"), network.get_submodule("2")):
            assert isinstance(layer, nn.Linear)
            assert layer.weight.grad is not None
            layer.weight.grad.sub_(layer.weight.grad.mean(1, keepdim=True))
        optimizer.step()

    state, _ = trained(plain_task, steady(plain_task), (Centralized(),))
    assert identical(dict(state.model), by_hand(plain_task, steady(plain_task), step))


def deep() -> nn.Module:
    return nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(4)), nn.Linear(8, 3))


def test_learn_and_drop_clips_what_is_still_trained(plain_task: Task) -> None:
    task = plain_task.with_(model=deep, clip_norm=0.3, micro_batch=5, steps=90)
    dropping = LearnAndDrop(tau=1, delta=100, window=2, patience=1, warmup=1)
    state, _ = trained(task, steady(task, 0.2), (dropping, Recording()))
    assert dropping.drops(state)
    last = dropping.drops(state)[-1].step
    memory = state.memories["Recording()"]
    assert max(memory["before"][last:]) > 0.3
    assert max(memory["after"][last:]) == pytest.approx(0.3, rel=1e-4)


def test_learn_and_drop_refuses_a_task_that_mixes_its_batches(plain_task: Task) -> None:
    with pytest.raises(TaskError, match="LearnAndDrop trains on outputs of layers, which the mix of task"):
        LearnAndDrop().check(plain_task.with_(model=deep, mix=[mean_of_two]))


def test_a_network_with_an_empty_buffer_and_one_without_numbers_are_trained() -> None:
    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)
            self.register_buffer("none", torch.empty(0))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.layer(inputs)

    samples = torch.randn(20, 3), torch.arange(20) % 2
    task = Task(name="held", model=Held, data=Data.from_arrays(samples, samples, samples), batch_size=5, steps=4)
    trained, _ = advance(task, begin(task, 0), np.full(4, 0.1))
    assert trained.diverged_at is None
