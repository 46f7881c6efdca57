import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from lrbench.engine import (
    Evaluation,
    Flops,
    Memory,
    Modifier,
    State,
    Training,
    advance,
    begin,
    identical,
    load_checkpoint,
    predict,
    save_checkpoint,
)
from lrbench.engine.batches import batch_indices
from lrbench.modifiers.learn_and_drop.rest import Frozen, Rest, Storage, features_bytes, frozen_features
from lrbench.streams import stream_seed
from lrbench.tasks.optimizers import SGD, Adam, AdamW, CaffeSGD, OptimizerSpec, RMSprop
from lrbench.tasks.task import Task
from tests.freezing import FreezeAt, frozen_in, losses
from tests.present import present

OPTIMIZERS = [SGD(momentum=0.9, weight_decay=1e-3), CaffeSGD(), Adam(), AdamW(), RMSprop(momentum=0.5)]
STORAGES = ["float32", "bfloat16", "none"]
DROP = 9


def freezing(units: int, storage: Storage, views: int = 1, at: int = DROP) -> FreezeAt:
    return FreezeAt(((at, Frozen(units, storage, views)),))


def deep_cnn() -> nn.Module:
    """Four units, with batch normalisation in two and dropout in the third."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        nn.Flatten(),
        nn.Linear(8, 12),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(12, 3),
    )


def deep_mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 3)
    )


def signal_net() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8)), nn.Conv1d(1, 5, 3), nn.ReLU(), nn.Conv1d(5, 4, 3), nn.Flatten(), nn.Linear(16, 3)
    )


@pytest.fixture(scope="module")
def cnn(cnn_task: Task) -> Task:
    return cnn_task.with_(model=deep_cnn)


@pytest.fixture(scope="module")
def mlp(mlp_task: Task) -> Task:
    return mlp_task.with_(model=deep_mlp, steps=30, eval_every=7)


@pytest.fixture(scope="module")
def task_of(cnn: Task, mlp: Task) -> Callable[[str], Task]:
    plain = cnn.with_(augment=())
    half = plain.with_(precision="bfloat16")
    tasks = {"cnn": plain, "cnn in bfloat16": half, "mlp": mlp, "signal": mlp.with_(model=signal_net)}
    return tasks.__getitem__


def ramp(task: Task) -> np.ndarray:
    return np.linspace(0.05, 0.005, task.steps)


def whole(task: Task, *modifiers: Modifier, seed: int = 3) -> tuple[State, list[Evaluation]]:
    return advance(task, begin(task, seed), ramp(task), modifiers)


def trained(state: State) -> list[object]:
    """What training made, without what it cost and how the features were kept."""
    return [dict(state.model), dict(state.optimizer), state.since_evaluation]


@pytest.mark.parametrize(
    ("model", "units"),
    [
        *[("cnn", units) for units in (1, 2, 3)],
        *[("cnn in bfloat16", units) for units in (1, 2, 3)],
        *[(model, units) for model in ("mlp", "signal") for units in (1, 2)],
    ],
)
def test_the_rest_on_stored_outputs_equals_the_whole_network_with_frozen_units_bit_for_bit(
    model: str, units: int, task_of: Callable[[str], Task]
) -> None:
    task = task_of(model)
    stored, seen = whole(task, freezing(units, "float32"))
    computed, expected = whole(task, freezing(units, "none"))
    assert identical(trained(stored), trained(computed))
    assert losses(seen) == losses(expected)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("augmented", [False, True])
def test_freezing_equals_a_loop_written_by_hand_in_plain_torch_bit_for_bit(cnn: Task, augmented: bool) -> None:
    task = cnn if augmented else cnn.with_(augment=())
    start = advance(task, begin(task, 3), ramp(task)[:DROP])[0]
    module = deep_cnn().to(memory_format=torch.channels_last)
    assert isinstance(module, nn.Sequential)
    module.load_state_dict(dict(start.model))
    module[0].eval().requires_grad_(False)
    rest = list(module[1:].parameters())
    optimizer = torch.optim.SGD(rest, lr=1.0, momentum=0.9, fused=True)
    velocities = [slots["momentum_buffer"] for slots in start.optimizer.values()][-len(rest) :]
    for parameter, velocity in zip(rest, velocities, strict=True):
        optimizer.state[parameter]["momentum_buffer"] = velocity.clone()
    for step, indices in enumerate(batch_indices(task, 3, DROP, task.steps), start=DROP):
        inputs = task.data.train.inputs[indices]
        generator = torch.Generator().manual_seed(stream_seed(3, "augmentation", step))
        for augment in task.augment:
            inputs = augment(inputs, generator)
        inputs = task.data.decode(inputs).contiguous(memory_format=torch.channels_last)
        torch.manual_seed(stream_seed(3, "forward", step))
        optimizer.param_groups[0]["lr"] = float(ramp(task)[step])
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(inputs), task.data.train.targets[indices]).backward()
        optimizer.step()
    frozen, _ = whole(task, freezing(1, "none"))
    assert identical(dict(frozen.model), dict(module.state_dict()))


@pytest.mark.parametrize("storage", STORAGES)
def test_frozen_weights_and_running_statistics_are_never_written_again(cnn: Task, storage: Storage) -> None:
    at_the_drop, _ = advance(cnn, begin(cnn, 3), ramp(cnn)[:DROP])
    after, _ = whole(cnn, freezing(1, storage))
    for name, tensor in after.model.items():
        assert torch.equal(tensor, at_the_drop.model[name]) == name.startswith("0."), name


@dataclass(frozen=True)
class Shrink(Modifier):
    """Writes to every weight that it is offered, after every iteration."""

    def after_step(self, training: Training, memory: Memory) -> None:
        for weight in training.weights.values():
            weight.mul_(0.99)


def test_another_modifier_does_not_write_to_frozen_weights_either(cnn: Task) -> None:
    at_the_drop, _ = advance(cnn, begin(cnn, 3), ramp(cnn)[:DROP], [Shrink(), freezing(1, "float32")])
    after, _ = whole(cnn, Shrink(), freezing(1, "float32"))
    frozen = {name for name, tensor in after.model.items() if torch.equal(tensor, at_the_drop.model[name])}
    assert frozen == {name for name in after.model if name.startswith("0.")}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_the_optimizer_keeps_its_state_of_the_rest_and_has_none_of_what_is_frozen(
    cnn: Task, optimizer: OptimizerSpec
) -> None:
    task = cnn.with_(optimizer=optimizer)
    before, _ = advance(task, begin(task, 3), ramp(task)[:DROP])
    after, _ = advance(task, begin(task, 3), ramp(task)[:DROP], [freezing(2, "float32")])
    names = [name for name, _ in deep_cnn().named_parameters()]
    kept = [index for index, name in enumerate(names) if not name.startswith(("0.", "1."))]
    assert list(after.optimizer) == list(range(len(kept)))
    assert identical(list(after.optimizer.values()), [before.optimizer[index] for index in kept])


def by_halves(params: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Three groups of a weight and a bias each, with the learning rates lr, lr/2 and lr/4."""
    assert len(params) == 6
    groups = [{"params": params[2 * i : 2 * i + 2], "lr": 0.5**i} for i in range(3)]
    return torch.optim.SGD(groups, lr=1.0)


def test_a_parameter_group_keeps_its_share_of_the_learning_rate_when_those_before_it_are_frozen(mlp: Task) -> None:
    def quartered(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, targets) / 4

    plan = freezing(2, "float32", at=1)
    grouped = mlp.with_(optimizer=by_halves)
    start, _ = advance(grouped, begin(grouped, 3), ramp(mlp)[:1], [plan])
    alike = mlp.with_(optimizer=SGD(momentum=0.0), loss=quartered)  # a power of two, so that no bit is lost
    state, _ = advance(grouped, start, ramp(mlp)[1:], [plan])
    expected, _ = advance(alike, start, ramp(mlp)[1:], [plan])
    assert identical(dict(state.model), dict(expected.model))


GROWING = FreezeAt(((DROP, Frozen(1, "float32", 2)), (17, Frozen(2, "float32", 2)), (24, Frozen(3, "bfloat16", 2))))
PLANS = [freezing(1, "float32"), freezing(2, "bfloat16", views=3), freezing(1, "none"), GROWING]


@pytest.mark.parametrize("plan", PLANS, ids=["float32", "bfloat16, 3 views", "none", "growing"])
@pytest.mark.parametrize("cuts", [[DROP - 1], [DROP], [DROP + 1], list(range(1, 30))], ids=str)
def test_resumed_equals_uninterrupted_before_at_and_after_a_drop(
    cnn: Task, plan: Modifier, cuts: list[int], tmp_path: Path
) -> None:
    expected, evaluations = whole(cnn, plan)
    for through_a_file in (False, True):
        state, seen = begin(cnn, 3), []
        for start, stop in zip([0, *cuts], [*cuts, cnn.steps], strict=True):
            state, more = advance(cnn, state, ramp(cnn)[start:stop], [plan])
            seen += more
            if through_a_file:
                save_checkpoint(tmp_path / "state.pt", state)
                state = load_checkpoint(tmp_path / "state.pt")
        assert identical(state, expected)
        assert losses(seen) == losses(evaluations)


@pytest.mark.parametrize("plan", PLANS, ids=["float32", "bfloat16, 3 views", "none", "growing"])
@pytest.mark.parametrize("fork", [DROP - 1, DROP, DROP + 3])
def test_forked_equals_trained_separately_before_at_and_after_a_drop(cnn: Task, plan: Modifier, fork: int) -> None:
    trunk, _ = advance(cnn, begin(cnn, 3), ramp(cnn)[:fork], [plan])
    for factor in (1.0, 0.1):
        lrs = np.concatenate([ramp(cnn)[:fork], factor * ramp(cnn)[fork:]])
        separate, _ = advance(cnn, begin(cnn, 3), lrs, [plan])
        assert identical(advance(cnn, trunk, lrs[fork:], [plan])[0], separate)


def test_an_evaluation_is_made_with_the_whole_network(cnn: Task) -> None:
    state, evaluations = whole(cnn, freezing(2, "float32"))
    module = deep_cnn()
    module.load_state_dict(dict(state.model))
    outputs = predict(cnn, module, cnn.data.test).outputs
    torch.testing.assert_close(present(evaluations[-1].test).outputs, outputs, rtol=1e-5, atol=1e-6)


def test_storing_half_as_many_bits_changes_little(cnn: Task) -> None:
    full, half = (whole(cnn, freezing(1, storage, views=2))[1][-1] for storage in ("float32", "bfloat16"))
    assert half.val.loss == pytest.approx(full.val.loss, abs=0.02)
    assert half.val.loss != full.val.loss


def test_dropout_after_the_frozen_units_goes_on(mlp: Task) -> None:
    def without_dropout() -> nn.Module:
        network = deep_mlp()
        assert isinstance(network, nn.Sequential)
        dropout = network[4]
        assert isinstance(dropout, nn.Dropout)
        dropout.p = 0.0
        return network

    with_it, without = (
        whole(task, freezing(1, "float32", at=1))[0] for task in (mlp, mlp.with_(model=without_dropout))
    )
    assert not identical(with_it.model["6.weight"], without.model["6.weight"])


class TestFlops:
    """8 -> 16 -> 16 -> 3 linear units, batches of 16, 120 samples; a product costs two operations."""

    forward = (2 * 16 * 8 * 16, 2 * 16 * 16 * 16, 2 * 16 * 16 * 3)

    def spent(self, task: Task, plan: Modifier, steps: int) -> Flops:
        return advance(task, begin(task, 0), ramp(task)[:steps], [plan])[0].flops

    def test_before_the_drop_they_are_those_of_the_whole_network(self, mlp: Task) -> None:
        first, second, third = self.forward
        backward = first + 2 * second + 2 * third  # weights, and inputs but for the first unit
        assert self.spent(mlp, freezing(1, "none"), DROP) == Flops(DROP * sum(self.forward), DROP * backward)

    def test_after_it_they_are_those_of_the_rest_and_of_storing_the_outputs_once_a_view(self, mlp: Task) -> None:
        _, second, third = self.forward
        plan = freezing(1, "float32", views=3)
        before, after = (self.spent(mlp, plan, steps) for steps in (DROP - 1, DROP + 4))
        building = 3 * math.ceil(120 / 16) * self.forward[0]
        assert after.forward - before.forward == sum(self.forward) + 4 * (second + third) + building
        assert after.backward - before.backward == self.forward[0] + 2 * (second + third) + 4 * (second + 2 * third)

    def test_without_storage_only_the_backward_pass_becomes_cheaper(self, mlp: Task) -> None:
        _, second, third = self.forward
        before, after = (self.spent(mlp, freezing(1, "none"), steps) for steps in (DROP, DROP + 4))
        assert after.forward - before.forward == 4 * sum(self.forward)
        assert after.backward - before.backward == 4 * (second + 2 * third)

    @pytest.mark.parametrize(("storage", "rebuilt"), [("float32", 0), ("bfloat16", 1)])
    def test_more_units_cost_only_themselves_where_the_outputs_before_are_stored_exactly(
        self, mlp: Task, storage: Storage, rebuilt: int
    ) -> None:
        first, second, _ = self.forward
        grows = FreezeAt(((DROP, Frozen(1, storage)), (DROP + 1, Frozen(2, storage))))
        once = freezing(1, storage)
        difference = self.spent(mlp, grows, DROP + 1).forward - self.spent(mlp, once, DROP + 1).forward
        assert difference == 8 * (second + rebuilt * first)

    def test_storing_again_after_resuming_from_a_file_is_not_counted(self, mlp: Task, tmp_path: Path) -> None:
        plan = freezing(1, "float32")
        save_checkpoint(tmp_path / "state.pt", advance(mlp, begin(mlp, 0), ramp(mlp)[: DROP + 1], [plan])[0])
        resumed = load_checkpoint(tmp_path / "state.pt")
        assert advance(mlp, resumed, ramp(mlp)[DROP + 1 :], [plan])[0].flops == self.spent(mlp, plan, mlp.steps)


@pytest.mark.parametrize("storage", ["float32", "bfloat16"])
def test_stored_outputs_take_the_memory_that_was_foretold(cnn: Task, storage: Storage) -> None:
    state, _ = whole(cnn, freezing(1, storage, views=2))
    assert state.features is not None
    assert state.features.nbytes == features_bytes(cnn, frozen_in(state))
    assert features_bytes(cnn, Frozen(1, storage, 2)) == 2 * 80 * 6 * 8 * 8 * (4 if storage == "float32" else 2)
    assert features_bytes(cnn, Frozen(1, "none")) == features_bytes(cnn, Frozen()) == 0


def test_states_share_the_stored_outputs_and_files_do_not_have_them(cnn: Task, tmp_path: Path) -> None:
    plan = freezing(1, "float32", views=4)
    trunk, _ = advance(cnn, begin(cnn, 3), ramp(cnn)[:DROP], [plan])
    leaf, _ = advance(cnn, trunk, ramp(cnn)[DROP:], [plan])
    assert trunk.features is leaf.features is not None
    save_checkpoint(tmp_path / "state.pt", leaf)
    assert (tmp_path / "state.pt").stat().st_size < present(trunk.features).nbytes / 4


def test_stored_outputs_of_more_units_have_the_bits_that_they_would_have_anew(cnn: Task) -> None:
    state, _ = advance(cnn, begin(cnn, 3), ramp(cnn)[:25], [FreezeAt(GROWING.plan[:2])])
    module = deep_cnn().to(memory_format=torch.channels_last)
    assert isinstance(module, nn.Sequential)
    module.load_state_dict(dict(state.model))
    anew = frozen_features(cnn, Rest(cnn, module, 3, frozen_in(state)).ahead, frozen_in(state), seed=3)
    assert identical(state.features, anew)


def test_stored_views_are_different_augmentations_drawn_from_the_seed(cnn: Task) -> None:
    one, again, other = (
        present(whole(cnn, freezing(1, "float32", views=2), seed=seed)[0].features) for seed in (3, 3, 4)
    )
    assert identical(one, again)
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one, other)


def test_stored_views_drawn_from_global_generators_are_the_same_after_a_resume(cnn: Task) -> None:
    flip = v2.RandomHorizontalFlip()

    def augment(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return flip(batch).roll(int(np.random.randint(3)), dims=2)  # noqa: NPY002

    task, plan = cnn.with_(augment=(augment,)), freezing(1, "float32", views=3)
    whole_run, _ = advance(task, begin(task, 3), ramp(task), [plan])
    trunk, _ = advance(task, begin(task, 3), ramp(task)[: DROP + 3], [plan])
    torch.manual_seed(9)
    np.random.seed(9)  # noqa: NPY002
    resumed, _ = advance(task, replace(trunk, features=None), ramp(task)[DROP + 3 :], [plan])
    assert frozen_in(whole_run).stored
    assert identical(resumed, whole_run)


def test_more_views_are_trained_on_and_not_only_stored(cnn: Task) -> None:
    one, two = (whole(cnn, freezing(1, "float32", views=views))[0] for views in (1, 2))
    assert identical(present(one.features)[0], present(two.features)[0])
    assert not identical(one.model["6.weight"], two.model["6.weight"])


@pytest.mark.parametrize("units", [1, 4, 5])
def test_units_cannot_be_given_back_and_some_must_be_left(cnn: Task, units: int) -> None:
    plan = FreezeAt(((2, Frozen(2, "none")), (3, Frozen(units, "none"))))
    with pytest.raises(ValueError, match=r"2 units are frozen, and 1 of them|units cannot be frozen in a network of 4"):
        whole(cnn, plan)


@pytest.mark.gpu
def test_stored_outputs_on_cuda_agree_with_the_cpu(mlp: Task) -> None:
    task = mlp.with_(model=signal_net)
    cpu, _ = whole(task, freezing(1, "float32"))
    cuda, _ = whole(task.to("cuda"), freezing(1, "float32"))
    moved = {name: tensor.cpu() for name, tensor in cuda.model.items()}
    torch.testing.assert_close(moved, dict(cpu.model), rtol=1e-3, atol=1e-4)
