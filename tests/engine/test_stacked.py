import random
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lrbench.engine import (
    Evaluation,
    State,
    Watcher,
    advance,
    advance_stacked,
    begin,
    fastest_lanes,
    identical,
    load_checkpoint,
    save_checkpoint,
    why_not_stacked,
)
from lrbench.modifiers import PLP
from lrbench.reproducible import threads
from lrbench.tasks.augment import HorizontalFlip, RandomCrop
from lrbench.tasks.data import Data
from lrbench.tasks.metric import Metric
from lrbench.tasks.models.cifar_resnet import resnet20
from lrbench.tasks.models.cnn3 import cnn3
from lrbench.tasks.models.conv1d import conv1d
from lrbench.tasks.models.lenet import lenet
from lrbench.tasks.models.mlp import mlp
from lrbench.tasks.optimizers import SGD, Adam, AdamW, CaffeSGD, OptimizerSpec, RMSprop
from lrbench.tasks.task import Task

Advanced = tuple[State, list[Evaluation]]

OPTIMIZERS = [
    SGD(momentum=0.9),
    SGD(momentum=0.9, nesterov=True, weight_decay=1e-2),
    SGD(momentum=0.0, weight_decay=1e-2),
    CaffeSGD(momentum=0.9, weight_decay=1e-2),
    Adam(eps=1e-4, weight_decay=1e-2),
    AdamW(eps=1e-4, weight_decay=1e-1),
    RMSprop(eps=1e-3),
    RMSprop(eps=1e-3, momentum=0.5, weight_decay=1e-2),
]

# No bias stands before a normalisation: its gradient is 0 but for rounding, which Adam and RMSprop blow up.
MODELS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "linear": ((5,), lambda: nn.Linear(5, 3)),
    "mlp": ((12,), lambda: mlp((12,), 3, hidden=(10, 7))),
    "conv1d": ((2, 15), lambda: conv1d((2, 15), 3, channels=5)),
    "lenet": ((1, 14, 14), lambda: lenet((1, 14, 14), 3)),
    "cnn3": ((3, 9, 8), lambda: cnn3((3, 9, 8), 3)),
    "batchnorm": (
        (6,),
        lambda: nn.Sequential(
            nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 4, bias=False),
            nn.BatchNorm1d(4, affine=False), nn.LeakyReLU(0.1, inplace=True), nn.Linear(4, 3),
        ),
    ),
    "batchnorm2d": (
        (2, 7, 6),
        lambda: nn.Sequential(
            nn.Sequential(nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=(0, 1), bias=False), nn.BatchNorm2d(4)),
            nn.GELU(), nn.AvgPool2d(2), nn.BatchNorm2d(4, momentum=0.3), nn.LocalResponseNorm(3),
            nn.Conv2d(4, 6, 3, padding="same", dilation=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
        ),
    ),
    "signals": (
        (12,),
        lambda: nn.Sequential(
            nn.Unflatten(1, (2, 6)), nn.Conv1d(2, 4, 3, padding=1, bias=False), nn.BatchNorm1d(4), nn.ELU(),
            nn.MaxPool1d(2), nn.Identity(), nn.Flatten(start_dim=-2), nn.Linear(12, 3),
        ),
    ),
    "dropout": (
        (6,), lambda: nn.Sequential(nn.Dropout(0.2), nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    ),
    "dropout2d": (
        (2, 6, 6),
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.Dropout(0.3), nn.Flatten(), nn.Dropout(0.0), nn.Linear(64, 3), nn.Dropout(0.1)
        ),
    ),
}  # fmt: skip


def task_of(kind: str, /, **settings: Any) -> Task:
    """A task of 40 train samples in batches of 8, so 5 iterations an epoch, evaluated every 3."""
    shape, build = MODELS[kind]
    data = Data.from_arrays(samples(shape, 40, 1), samples(shape, 20, 2), samples(shape, 10, 3))
    usual = {"name": kind, "model": build, "data": data, "batch_size": 8, "steps": 12, "eval_every": 3}
    return Task(**{**usual, **settings})


def samples(shape: tuple[int, ...], count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    if len(shape) == 3:
        return torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8), labels
    inputs = torch.randn(count, *shape, generator=generator)
    inputs.view(count, -1)[torch.arange(count), labels] += 2
    return inputs, labels


def states_of(task: Task, seeds: list[int], steps: list[int] | None = None) -> list[State]:
    """The lanes' states, each trained serially for so many steps."""
    return [
        advance(task, begin(task, seed), np.full(step, 0.001))[0]
        for seed, step in zip(seeds, steps or [0] * len(seeds), strict=True)
    ]


def assert_close(found: Advanced, expected: Advanced, tolerance: float = 1e-4) -> None:
    """Two runs are of the same structure, and their numbers differ by at most so much of the largest of a tensor."""
    (one, seen), (other, wanted) = found, expected
    assert_tensors_close(one.model, other.model, tolerance)
    assert list(one.optimizer) == list(other.optimizer)
    for index, slots in other.optimizer.items():
        assert_tensors_close(one.optimizer[index], slots, tolerance)
    plain: dict[str, Any] = {"model": {}, "optimizer": {}, "since_evaluation": None}
    assert identical(replace(one, **plain).facts(), replace(other, **plain).facts())
    assert one.since_evaluation.count == other.since_evaluation.count
    assert one.since_evaluation.total == pytest.approx(other.since_evaluation.total, rel=tolerance, abs=tolerance)
    assert len(seen) == len(wanted)
    for mine, theirs in zip(seen, wanted, strict=True):
        assert mine.step == theirs.step
        assert mine.train_loss == pytest.approx(theirs.train_loss, rel=tolerance, abs=tolerance)
        assert list(mine.predictions) == list(theirs.predictions)
        for a, b in zip(mine.predictions.values(), theirs.predictions.values(), strict=True):
            assert_tensors_close({"outputs": a.outputs}, {"outputs": b.outputs}, tolerance)
            assert torch.equal(a.targets, b.targets)
            assert a.loss == pytest.approx(b.loss, rel=tolerance, abs=tolerance)


def assert_tensors_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].device == tensor.device
        largest = float(tensor.abs().max())
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=tolerance * largest, msg=name)


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        *((model, OPTIMIZERS[1]) for model in MODELS),
        *((model, optimizer) for optimizer in OPTIMIZERS[:1] + OPTIMIZERS[2:] for model in ("mlp", "batchnorm2d")),
    ],
    ids=str,
)
def test_each_lane_equals_its_serial_run(model: str, optimizer: OptimizerSpec) -> None:
    task = task_of(model, optimizer=optimizer)
    states = states_of(task, [0, 1, 0], [0, 2, 1])
    lrs = [np.linspace(2, 1, 4), np.full(2, 1.0), np.full(3, 1.5)]
    lrs = [rates * (0.01 if isinstance(optimizer, SGD | CaffeSGD) else 0.001) for rates in lrs]
    for found, state, rates in zip(advance_stacked(task, states, lrs), states, lrs, strict=True):
        assert_close(found, advance(task, state, rates))


def same(one: list[Advanced], other: list[Advanced]) -> bool:
    """Whether lanes agree bit for bit."""
    return identical([flat(lane) for lane in one], [flat(lane) for lane in other])


def flat(lane: Advanced) -> list[object]:
    state, evaluations = lane
    parts = [(seen.step, seen.train_loss, *seen.predictions.values()) for seen in evaluations]
    return [state, *(vars(item) if hasattr(item, "outputs") else item for part in parts for item in part)]


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_lanes_equal_their_serial_runs(data: st.DataObject) -> None:
    task = task_of(
        data.draw(st.sampled_from(sorted(MODELS)), "model"),
        optimizer=data.draw(st.sampled_from(OPTIMIZERS[:4]), "optimizer"),
        batch_size=data.draw(st.integers(5, 13), "batch size"),
        eval_every=data.draw(st.integers(1, 5), "eval_every"),
    )
    lanes = data.draw(st.lists(st.tuples(*(st.integers(0, 3) for _ in range(3))), min_size=1, max_size=5), "lanes")
    states = states_of(task, [seed for seed, _, _ in lanes], [step for _, step, _ in lanes])
    lrs = [np.linspace(0.01, 0.003, length) for _, _, length in lanes]
    for found, state, rates in zip(advance_stacked(task, states, lrs), states, lrs, strict=True):
        assert_close(found, advance(task, state, rates), 1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_which_lanes_are_trained_together_and_how_they_are_cut_changes_no_bit(model: str) -> None:
    task = task_of(model, optimizer=SGD(momentum=0.9, weight_decay=1e-2), batch_size=16)
    states = states_of(task, [0, 1, 2, 3, 0], [0, 0, 2, 5, 1])
    lrs = [np.linspace(0.02, 0.01, length) for length in (12, 7, 10, 1, 4)]
    whole = advance_stacked(task, states, lrs)
    alone = [advance_stacked(task, [state], [rates])[0] for state, rates in zip(states, lrs, strict=True)]
    assert same(whole, alone)
    first = advance_stacked(task, states, [rates[: len(rates) // 2] for rates in lrs])
    then = advance_stacked(task, [state for state, _ in first], [rates[len(rates) // 2 :] for rates in lrs])
    assert same(whole, [(state, [*seen, *more]) for (_, seen), (state, more) in zip(first, then, strict=True)])


@pytest.mark.parametrize(
    ("shape", "build"),
    [
        ((40,), lambda: mlp((40,), 3, hidden=(100, 100))),
        ((1, 40), lambda: conv1d((1, 40), 3, channels=25)),
        (
            (40,),
            lambda: nn.Sequential(
                nn.Dropout(0.2), nn.Linear(40, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Dropout(0.5), nn.Linear(32, 3)
            ),
        ),
    ],
    ids=["mlp", "conv1d", "dropout"],
)
def test_how_many_threads_torch_has_changes_no_bit(shape: tuple[int, ...], build: Callable[[], nn.Module]) -> None:
    data = Data.from_arrays(samples(shape, 128, 1), samples(shape, 64, 2))
    task = Task(name="large", model=build, data=data, batch_size=64, steps=3, eval_every=3, optimizer=Adam())
    lanes = 17
    states = states_of(task, list(range(lanes)))
    found = []
    for number in (1, 2, 8):
        with threads(number):
            found.append(advance_stacked(task, states, [np.full(3, 0.01)] * lanes))
    assert same(found[0], found[1])
    assert same(found[0], found[2])


@pytest.mark.parametrize(
    ("shape", "build"),
    [((1, 20, 20), lambda: lenet((1, 20, 20), 3)), ((3, 12, 12), lambda: cnn3((3, 12, 12), 3))],
    ids=["lenet", "cnn3"],
)
def test_threads_change_no_more_of_convolutions_than_their_rounding(
    shape: tuple[int, ...], build: Callable[[], nn.Module]
) -> None:
    """On an Intel Xeon with AMX convolutions of fewer groups are summed in another order."""
    data = Data.from_arrays(samples(shape, 128, 1), samples(shape, 64, 2))
    task = Task(name="large", model=build, data=data, batch_size=64, steps=3, eval_every=3, optimizer=SGD())
    states = states_of(task, list(range(17)))
    with threads(1):
        expected = advance_stacked(task, states, [np.full(3, 0.001)] * 17)
    for number in (2, 8):
        with threads(number):
            found = advance_stacked(task, states, [np.full(3, 0.001)] * 17)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)


@pytest.mark.parametrize("optimizer", [Adam(), RMSprop(momentum=0.5)], ids=str)
def test_a_long_segment_equals_many_short_ones(optimizer: OptimizerSpec) -> None:
    task = task_of("linear", optimizer=optimizer, batch_size=16, steps=600, eval_every=600)
    states, lrs = states_of(task, [0, 1]), np.linspace(0.01, 0.001, 600)
    lanes = advance_stacked(task, states, [lrs] * 2)
    for first in range(0, 600, 120):
        pieces = advance_stacked(task, states, [lrs[first : first + 120]] * 2)
        states = [state for state, _ in pieces]
    assert same(lanes, pieces)


def test_lanes_that_are_evaluated_together_share_the_time_of_it() -> None:
    task = task_of("mlp")
    states = states_of(task, [0, 1, 2])
    began = time.perf_counter()
    seen = [evaluations for _, evaluations in advance_stacked(task, states, [np.full(12, 0.01)] * 3)]
    elapsed = time.perf_counter() - began
    spent = [[evaluation.evaluating for evaluation in of_lane] for of_lane in seen]
    assert spent[0] == spent[1] == spent[2]
    assert min(spent[0]) > 0
    assert 3 * sum(spent[0]) < elapsed


def test_the_given_states_are_left_as_they_are_and_share_nothing_with_what_is_returned() -> None:
    task = task_of("batchnorm")
    states = states_of(task, [0, 1], [0, 3])
    before = [replace(state, model={name: kept.clone() for name, kept in state.model.items()}) for state in states]
    (first, _), _ = advance_stacked(task, states, [np.full(2, 0.01)] * 2)
    kept = {name: tensor.clone() for name, tensor in first.model.items()}
    advance_stacked(task, [first], [np.full(2, 0.01)])
    assert identical(states, before)
    assert identical(dict(first.model), kept)


@pytest.mark.parametrize(
    ("model", "optimizer"), [("batchnorm2d", SGD()), ("mlp", Adam(eps=1e-4)), ("linear", RMSprop(eps=1e-3))]
)
def test_a_run_goes_from_one_engine_to_the_other_and_through_a_checkpoint(
    model: str, optimizer: OptimizerSpec, tmp_path: Path
) -> None:
    task = task_of(model, optimizer=optimizer)
    lrs = np.full(12, 0.001)
    state, seen = advance(task, begin(task, 0), lrs[:4])
    for first, engine in ((4, "stacked"), (7, "serial"), (9, "stacked")):
        save_checkpoint(tmp_path / "state", state)
        state, rates = load_checkpoint(tmp_path / "state"), lrs[first : {4: 7, 7: 9, 9: 12}[first]]
        more: Advanced = (
            advance(task, state, rates) if engine == "serial" else advance_stacked(task, [state], [rates])[0]
        )
        state, seen = more[0], [*seen, *more[1]]
    assert_close((state, seen), advance(task, begin(task, 0), lrs), 1e-3)


@pytest.mark.parametrize("wild", [1e30, 1e4, 50.0])
def test_a_lane_that_diverges_ends_like_its_serial_run_and_touches_no_other(wild: float) -> None:
    task = task_of("mlp", batch_size=16, divergence_factor=2.0)
    states, calm = states_of(task, [0, 1, 2]), np.full(12, 0.01)
    lanes = advance_stacked(task, states, [calm, np.full(12, wild), calm])
    expected = advance(task, states[1], np.full(12, wild))
    assert expected[0].diverged_at is not None
    assert identical(lanes[1][0], expected[0])
    assert len(lanes[1][1]) == len(expected[1])
    assert same([lanes[0], lanes[2]], advance_stacked(task, [states[0], states[2]], [calm, calm]))


def test_weights_that_are_not_finite_end_a_lane_at_its_evaluation_though_its_losses_are() -> None:
    task = task_of("linear", eval_every=1)
    with torch.no_grad():
        states = states_of(task, [0, 1])
    lrs = [np.array([1e39, 0.1]), np.array([0.1, 0.1])]
    (wild, seen), (calm, _) = advance_stacked(task, states, lrs)
    assert identical(wild, advance(task, states[0], lrs[0])[0])
    assert (wild.diverged_at, seen, calm.diverged_at) == (1, [], None)


def test_lanes_that_are_through_or_have_diverged_come_back_as_they_are() -> None:
    task = task_of("linear")
    trained, _ = advance(task, begin(task, 0), np.full(5, 0.1))
    diverged, _ = advance(task, begin(task, 1), np.full(12, 1e30))
    lanes = advance_stacked(task, [trained, diverged, trained], [np.empty(0), np.full(3, 0.1), np.full(7, 0.1)])
    assert identical([lanes[0][0], lanes[1][0]], [trained, diverged])
    assert lanes[0][1] == lanes[1][1] == []
    assert_close(lanes[2], advance(task, trained, np.full(7, 0.1)))
    assert advance_stacked(task, [], []) == []


def test_augmented_lanes_see_what_their_serial_runs_see() -> None:
    task = task_of("batchnorm2d", augment=(RandomCrop(padding=1), HorizontalFlip()))
    states = states_of(task, [0, 1, 0], [0, 1, 2])
    for found, state in zip(advance_stacked(task, states, [np.full(4, 0.01)] * 3), states, strict=True):
        assert_close(found, advance(task, state, np.full(4, 0.01)))


def noise(images: Tensor, generator: torch.Generator) -> Tensor:
    time.sleep(0.001)  # in which another thread would draw
    return (images + torch.randint(0, 9, images.shape)).to(images.dtype)


def test_many_lanes_that_are_augmented_from_the_global_generator_see_what_their_serial_runs_see() -> None:
    task = task_of("batchnorm2d", augment=(noise,))
    states, rates = states_of(task, list(range(16))), np.full(4, 0.01)
    with threads(2):
        found = advance_stacked(task, states, [rates] * 16)
    for lane, state in zip(found, states, strict=True):
        assert_close(lane, advance(task, state, rates))


def test_a_regression_with_a_loss_of_its_own_is_stacked() -> None:
    inputs = samples((6,), 40, 1)[0]
    targets = inputs.sum(1, keepdim=True)
    task = Task(
        name="sum",
        model=lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1)),
        data=Data.from_arrays((inputs, targets), (inputs[:10], targets[:10])),
        loss=lambda outputs, wanted: nn.functional.huber_loss(outputs.view(-1), wanted.view(-1)),
        metric=Metric("minus_mse", lambda outputs, wanted: -float((outputs - wanted).square().mean()), chance=-8.0),
        batch_size=8,
        steps=8,
    )
    states = states_of(task, [0, 1])
    for found, state in zip(advance_stacked(task, states, [np.full(8, 0.02)] * 2), states, strict=True):
        assert_close(found, advance(task, state, np.full(8, 0.02)))


class Scarce:
    """The mean cross-entropy, on a device that holds two lanes between a forward and its backward pass."""

    def __init__(self) -> None:
        self.held = 0

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.requires_grad:
            self.held += 1
            outputs.register_hook(lambda _: self.release())
            if self.held > 2:
                self.held = 0
                raise torch.OutOfMemoryError("out of memory")
        return nn.functional.cross_entropy(outputs, targets)

    def release(self) -> None:
        self.held = 0


def test_lanes_that_do_not_fit_into_memory_are_trained_by_halves() -> None:
    roomy = task_of("mlp", batch_size=16)
    states, lrs = states_of(roomy, list(range(5))), [np.full(4, 0.01)] * 5
    scarce = roomy.with_(loss=Scarce(), version="1")
    for found, expected in zip(advance_stacked(scarce, states, lrs), advance_stacked(roomy, states, lrs), strict=True):
        assert_close(found, expected)


def shared() -> nn.Module:
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(5, 3))


def untrained_bias() -> nn.Module:
    layer = nn.Linear(5, 3)
    assert layer.bias is not None
    layer.bias.requires_grad_(False)
    return layer


def hooked() -> nn.Module:
    layer = nn.Linear(5, 3)
    layer.register_forward_hook(lambda _module, _inputs, outputs: outputs * 2)
    return layer


def noisy_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs + torch.randn(()), targets)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"model": lambda: nn.Sequential(nn.Linear(5, 3), nn.PReLU())}, "the layer PReLU is not known"),
        ({"model": shared}, "two of its layers share a parameter"),
        ({"model": untrained_bias}, "the parameter bias is not trained"),
        ({"model": hooked}, "its layer Linear has hooks"),
        (
            {"model": lambda: nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3, momentum=None))},
            "its batch normalisation 1 keeps no running average",
        ),
        (
            {
                "model": lambda: nn.Sequential(
                    nn.Unflatten(1, (5, 1)), nn.Conv1d(5, 5, 1, groups=5), nn.Flatten(), nn.Linear(5, 3)
                )
            },
            "its convolution 1 has groups",
        ),
        (
            {"model": lambda: nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Linear(5, 3), nn.Flatten())},
            "its layers cannot be stacked",
        ),
        ({"optimizer": lambda params: torch.optim.Adagrad(params)}, "the optimizer CustomOptimizer is not known"),
        ({"groups": {"bias": 2.0}}, "parameter groups are not known to the stacked engine"),
        ({"precision": "bfloat16"}, "trains in float32, not in bfloat16"),
        ({"loss": noisy_loss}, "its loss draws random numbers"),
        (
            {"loss": lambda *given: random.random() * nn.functional.cross_entropy(*given)},
            "its loss draws random numbers",
        ),
    ],
)
def test_what_cannot_be_stacked_is_refused_with_the_reason(settings: dict[str, Any], reason: str) -> None:
    task = task_of("linear", **settings)
    why = why_not_stacked(task)
    assert why is not None
    assert reason in why
    assert fastest_lanes(task, 8) == 1
    with pytest.raises(ValueError, match="task 'linear' cannot be stacked: "):
        advance_stacked(task, [begin(task, 0)], [np.full(1, 0.1)])


def test_a_residual_network_is_refused() -> None:
    task = task_of("batchnorm2d", model=lambda: resnet20((2, 7, 6), 3))
    assert why_not_stacked(task) == "the layer ResidualBlock is not known to the stacked engine"


def test_training_methods_are_refused() -> None:
    assert "not known" in (why_not_stacked(task_of("linear"), watchers=[Watcher()]) or "")


def test_learning_rates_past_the_budget_and_lanes_with_modifiers_are_refused() -> None:
    task = task_of("mlp")
    state = begin(task, 0)
    with pytest.raises(ValueError, match="13 iterations from iteration 0 on exceed the budget of 12"):
        advance_stacked(task, [state, state], [np.full(12, 0.1), np.full(13, 0.1)])
    with pytest.raises(ValueError, match=r"a lane was trained with PLP\(\), unknown to the stacked engine"):
        advance_stacked(task, [advance(task, state, np.full(1, 0.1), [PLP()])[0]], [np.full(1, 0.1)])


def test_the_callers_random_numbers_and_threads_are_untouched() -> None:
    task = task_of("dropout")
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    assert fastest_lanes(task, 4) in range(1, 5)
    advance_stacked(task, states_of(task, [0, 1]), [np.full(2, 0.1)] * 2)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_one_run_alone_is_not_stacked() -> None:
    assert fastest_lanes(task_of("linear"), 1) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("model", sorted(set(MODELS) - {"dropout", "dropout2d"}))
def test_lanes_on_cuda_agree_with_the_serial_engine_on_the_cpu(model: str) -> None:
    task = task_of(model)
    states, lrs = states_of(task, [0, 1]), np.full(4, 0.01)
    moved = [begin(task.to("cuda"), state.seed) for state in states]
    moved = [
        replace(to, model={name: kept.cuda() for name, kept in of.model.items()})
        for to, of in zip(moved, states, strict=True)
    ]
    for (found, _), state in zip(advance_stacked(task.to("cuda"), moved, [lrs] * 2), states, strict=True):
        expected, _ = advance(task, state, lrs)
        assert_tensors_close({name: kept.cpu() for name, kept in found.model.items()}, dict(expected.model), 1e-3)


@pytest.mark.gpu
def test_dropout_on_cuda_is_refused() -> None:
    assert "dropout draws other numbers" in (why_not_stacked(task_of("dropout").to("cuda")) or "")


@pytest.mark.gpu
@pytest.mark.parametrize("stacked", [False, True], ids=["serial", "stacked"])
def test_a_segment_on_cuda_waits_for_the_device_as_often_however_long_it_is(stacked: bool) -> None:
    task = task_of("mlp", steps=200, eval_every=200).to("cuda")
    state = begin(task, 0)

    def waits(length: int) -> int:
        lrs = np.full(length, 0.01)
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                if stacked:
                    advance_stacked(task, [state] * 4, [lrs] * 4)
                else:
                    advance(task, state, lrs)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("synchronizing" in str(each.message) for each in noted)

    waits(2)
    assert waits(10) == waits(100) <= 10


def likelihood(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets) / 10 - 1


def test_a_lane_whose_loss_begins_below_zero_has_not_diverged() -> None:
    task = task_of("mlp", batch_size=16, loss=likelihood, metric="loss")
    (lane, _), *_ = advance_stacked(task, [begin(task, 0)], [np.full(task.steps, 0.05)])
    assert lane.initial_loss < 0
    assert (lane.diverged_at, lane.step) == (None, task.steps)
