import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schedulefree
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prodigyopt import Prodigy
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from lrbench.engine import (
    Evaluation,
    State,
    advance,
    advance_stacked,
    begin,
    identical,
    state_from_bytes,
    state_to_bytes,
)
from lrbench.engine.batches import batch_indices
from lrbench.engine.modifier import Modifier, Watcher
from lrbench.modifiers import EMA, PSWA, LearnAndDrop
from lrbench.policy import parse
from lrbench.reproducible import deterministic
from lrbench.tasks.data import Data
from lrbench.tasks.metric import Metric
from lrbench.tasks.optimizers import SGD, Adam, AdamW, CaffeSGD, MuonWithAdamW, OptimizerSpec, RMSprop, optimizer_named
from lrbench.tasks.task import Task
from tests.present import present

OPTIMIZERS = [
    SGD(momentum=0.9, nesterov=True, weight_decay=1e-3),
    SGD(momentum=0.0),
    CaffeSGD(momentum=0.9, weight_decay=1e-3),
    Adam(),
    AdamW(),
    RMSprop(momentum=0.5),
    *(optimizer_named(name, {}) for name in ("NAdam", "Adafactor", "ASGD", "AdamWScheduleFree", "Prodigy", "Lion")),
]


def ramp(task: Task, peak: float = 0.05) -> np.ndarray:
    return np.linspace(peak, peak / 10, task.steps)


def whole(task: Task, seed: int, lrs: np.ndarray) -> tuple[State, list[Evaluation]]:
    return advance(task, begin(task, seed), lrs)


def in_pieces(task: Task, state: State, lrs: np.ndarray, cuts: list[int]) -> tuple[State, list[Evaluation]]:
    evaluations = []
    for start, stop in zip([0, *cuts], [*cuts, len(lrs)], strict=True):
        state, seen = advance(task, state, lrs[start:stop])
        evaluations += seen
    return state, evaluations


def same_evaluations(one: list[Evaluation], other: list[Evaluation]) -> bool:
    return identical([flat(seen) for seen in one], [flat(seen) for seen in other])


def flat(seen: Evaluation) -> list[object]:
    parts = seen.predictions.items()
    return [seen.step, seen.train_loss, *((name, part.outputs, part.targets, part.loss) for name, part in parts)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_resumed_at_every_step_equals_uninterrupted(
    model: str, optimizer: OptimizerSpec, task_with: Callable[[str, OptimizerSpec], Task]
) -> None:
    task = task_with(model, optimizer)
    lrs = ramp(task)
    state, evaluations = whole(task, 3, lrs)
    pieces, seen = in_pieces(task, begin(task, 3), lrs, list(range(1, task.steps)))
    assert identical(pieces, state)
    assert same_evaluations(seen, evaluations)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_how_a_run_is_cut_into_segments_changes_nothing(cnn_task: Task, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, cnn_task.steps - 1), max_size=5)))
    state, evaluations = whole(cnn_task, 0, ramp(cnn_task))
    pieces, seen = in_pieces(cnn_task, begin(cnn_task, 0), ramp(cnn_task), cuts)
    assert identical(pieces, state)
    assert same_evaluations(seen, evaluations)


def test_two_policies_forked_from_a_shared_trunk_equal_the_same_policies_trained_separately(cnn_task: Task) -> None:
    high = np.full(cnn_task.steps, 0.1)
    low = np.concatenate([high[:11], np.full(cnn_task.steps - 11, 0.01)])
    trunk, _ = advance(cnn_task, begin(cnn_task, 5), high[:11])
    for lrs in (high, low):
        forked, _ = advance(cnn_task, trunk, lrs[11:])
        assert identical(forked, whole(cnn_task, 5, lrs)[0])


def test_advance_leaves_the_given_state_as_it_is(mlp_task: Task) -> None:
    trunk, _ = advance(mlp_task, begin(mlp_task, 0), ramp(mlp_task)[:5])
    before = {name: tensor.clone() for name, tensor in trunk.model.items()}
    momentum = {index: slots["momentum_buffer"].clone() for index, slots in trunk.optimizer.items()}
    advance(mlp_task, trunk, ramp(mlp_task)[5:])
    assert identical(before, dict(trunk.model))
    assert identical(momentum, {index: slots["momentum_buffer"] for index, slots in trunk.optimizer.items()})


def test_the_callers_random_numbers_and_threads_are_untouched(mlp_task: Task) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    whole(mlp_task, 0, ramp(mlp_task))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_results_do_not_depend_on_the_callers_random_numbers_or_threads(mlp_task: Task) -> None:
    torch.manual_seed(1)
    one, _ = whole(mlp_task, 0, ramp(mlp_task))
    torch.manual_seed(2)
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        other, _ = whole(mlp_task, 0, ramp(mlp_task))
    finally:
        torch.set_num_threads(threads)
    assert identical(one, other)


def test_different_seeds_start_from_different_weights_and_see_other_batches(mlp_task: Task) -> None:
    assert not identical(dict(begin(mlp_task, 0).model), dict(begin(mlp_task, 1).model))
    one, other = (torch.cat(list(batch_indices(mlp_task, seed, 0, 7))) for seed in (0, 1))
    assert not torch.equal(one, other)


def test_the_same_seed_gives_the_same_bits_in_a_new_process(mlp_task: Task) -> None:
    state, _ = whole(mlp_task, 7, ramp(mlp_task))
    assert _digest_in_a_new_process() == digest(state)


def digest(state: State) -> str:
    return sha256(b"".join(tensor.numpy().tobytes() for tensor in state.model.values())).hexdigest()


def _digest_in_a_new_process() -> str:
    root = Path(__file__).parents[2]
    program = f"""
import runpy, sys
sys.path.insert(0, {str(root)!r})
tests = runpy.run_path({__file__!r})
parts = runpy.run_path({str(Path(__file__).with_name("conftest.py"))!r})
data = tests["Data"].from_arrays(parts["vectors"](150, 1), parts["vectors"](40, 2))
task = tests["Task"](
    name="again", model=parts["dropout_mlp"], data=data, batch_size=16, steps=40, eval_every=8
)
print(tests["digest"](tests["whole"](task, 7, tests["ramp"](task))[0]))
"""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def test_an_epoch_visits_each_sample_once_but_for_the_remainder(mlp_task: Task) -> None:
    per_epoch = mlp_task.steps_per_epoch
    seen = torch.cat(list(batch_indices(mlp_task, 0, 0, per_epoch)))
    assert len(seen) == per_epoch * mlp_task.batch_size <= len(mlp_task.data.train)
    assert len(seen.unique()) == len(seen)


def test_two_epochs_visit_the_samples_in_different_orders(mlp_task: Task) -> None:
    per_epoch = mlp_task.steps_per_epoch
    first, second = (torch.cat(list(batch_indices(mlp_task, 0, e * per_epoch, (e + 1) * per_epoch))) for e in (0, 1))
    assert not torch.equal(first, second)


def test_evaluations_are_made_every_so_often_and_at_the_end_of_the_budget(cnn_task: Task) -> None:
    _, evaluations = whole(cnn_task, 0, ramp(cnn_task))
    assert [seen.step for seen in evaluations] == [7, 14, 21, 28, 30]
    assert [seen.train is not None for seen in evaluations] == [False, False, False, False, True]


def test_learning_rates_past_the_budget_are_refused(mlp_task: Task) -> None:
    with pytest.raises(ValueError, match="41 iterations from iteration 0 on exceed the budget of 40"):
        advance(mlp_task, begin(mlp_task, 0), np.full(41, 0.1))


def test_training_equals_a_loop_written_by_hand_in_plain_torch(mlp_task: Task) -> None:
    task = mlp_task.with_(model=lambda: nn.Linear(8, 3), optimizer=SGD(momentum=0.9, weight_decay=0.01))
    start = begin(task, 4)
    lrs = ramp(task)
    module = nn.Linear(8, 3)
    module.load_state_dict(dict(start.model))
    optimizer = torch.optim.SGD(module.parameters(), lr=1, momentum=0.9, weight_decay=0.01, foreach=False)
    train = task.data.train
    for lr, indices in zip(lrs, batch_indices(task, 4, 0, task.steps), strict=True):
        optimizer.param_groups[0]["lr"] = float(lr)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(train.inputs[indices]), train.targets[indices]).backward()
        optimizer.step()
    state, evaluations = advance(task, start, lrs)
    torch.testing.assert_close(dict(state.model), dict(module.state_dict()), rtol=1e-5, atol=1e-7)
    expected = nn.functional.cross_entropy(module(task.data.test.inputs), task.data.test.targets)
    assert present(evaluations[-1].test).loss == pytest.approx(expected.item(), rel=1e-5)


def test_training_learns(mlp_task: Task) -> None:
    _, evaluations = whole(mlp_task, 0, np.full(40, 0.1))
    test = present(evaluations[-1].test)
    right = test.outputs.argmax(1) == test.targets
    assert right.float().mean() > 0.7


def test_a_parameter_groups_own_learning_rate_stays_in_proportion(mlp_task: Task) -> None:
    def slow_bias(params: list[nn.Parameter]) -> torch.optim.Optimizer:
        weight, bias = params
        return torch.optim.SGD([{"params": [weight], "lr": 1.0}, {"params": [bias], "lr": 0.0}])

    task = mlp_task.with_(model=lambda: nn.Linear(8, 3), optimizer=slow_bias)
    start = begin(task, 0)
    state, _ = advance(task, start, ramp(task))
    assert identical(state.model["bias"], start.model["bias"])
    assert not identical(state.model["weight"], start.model["weight"])


def tanh_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))


GROUPS = {
    "layer_decay": 0.75,
    "2.*": {"ratio": 10.0, "policy": "COSINE(k0=0.02, l=1dur)"},
    "ndim<2": {"weight_decay": 0},
    "0.bias": "frozen",
}


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_groups_equal_param_groups_written_by_hand_in_plain_torch_bit_for_bit(kind: str, mlp_task: Task) -> None:
    spec, options = optimizer_named(kind, {"weight_decay": 0.1}), {"SGD": {"momentum": 0.9}, "AdamW": {}}[kind]
    task = mlp_task.with_(model=tanh_mlp, optimizer=spec, groups=GROUPS)
    start, lrs, cosine = begin(task, 4), ramp(task), parse("COSINE(k0=0.02, l=40)")
    module = tanh_mlp()
    module.load_state_dict(dict(start.model))
    weight, frozen, head, head_bias = module.parameters()
    frozen.requires_grad_(False)
    groups = [{"params": [weight]}, {"params": [head]}, {"params": [head_bias], "weight_decay": 0.0}]
    optimizer = getattr(torch.optim, kind)(groups, lr=1, weight_decay=0.1, fused=True, **options)
    train = task.data.train
    with deterministic():
        for step, indices in enumerate(batch_indices(task, 4, 0, task.steps)):
            for group, lr in zip(optimizer.param_groups, (lrs[step] * 0.75, *2 * (cosine(step) * 10,)), strict=True):
                group["lr"] = float(lr)
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(train.inputs[indices]), train.targets[indices]).backward()
            optimizer.step()
    state, _ = advance(task, start, lrs)
    assert identical(dict(state.model), dict(module.state_dict()))
    assert identical(dict(state.optimizer), optimizer.state_dict()["state"])


@pytest.mark.parametrize(
    "optimizer", [SGD(), AdamW(), optimizer_named("AdamWScheduleFree", {}), MuonWithAdamW(weight_decay=0.01)], ids=str
)
def test_a_run_with_groups_is_resumed_from_bytes_and_forked_bit_for_bit(
    optimizer: OptimizerSpec, cnn_task: Task
) -> None:
    biases = {"weight_decay": 0.1, "policy": "TRI(k0=0.01, k1=0.1, l=0.2dur)"}
    groups = {"5.*": 3.0, "0.*": {"frozen_until": "0.6dur"}, "*.bias": biases, "1.*": "frozen"}
    task = cnn_task.with_(optimizer=optimizer, groups=groups)
    lrs = ramp(task, 0.01)
    run = whole(task, 3, lrs)
    state = begin(task, 3)
    for step in range(task.steps):
        state = state_from_bytes(state_to_bytes(advance(task, state, lrs[step : step + 1])[0]))
    assert identical(state, run[0])
    trunk, _ = advance(task, begin(task, 3), lrs[:11])
    assert identical(advance(task, trunk, lrs[11:])[0], run[0])


def test_a_frozen_part_keeps_its_weights_and_its_gradients_cost_no_operations(mlp_task: Task) -> None:
    task = mlp_task.with_(groups={"0.*": "frozen"})
    state, _ = whole(task, 0, ramp(task))
    before = begin(task, 0).model
    assert identical([state.model[name] for name in ("0.weight", "0.bias")], [before["0.weight"], before["0.bias"]])
    assert not identical(state.model["3.weight"], before["3.weight"])
    assert state.flops.backward == task.steps * 2 * 16 * 16 * 3


def test_a_part_that_is_frozen_until_an_iteration_is_trained_from_it_on_as_by_hand(mlp_task: Task) -> None:
    task = mlp_task.with_(model=tanh_mlp, optimizer=AdamW(), groups={"0.*": {"frozen_until": "0.25dur"}})
    start, lrs, module = begin(task, 4), ramp(task, 0.01), tanh_mlp()
    module.load_state_dict(dict(start.model))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1, fused=True)
    body, train = list(module.parameters())[:2], task.data.train
    with deterministic():
        for step, indices in enumerate(batch_indices(task, 4, 0, task.steps)):
            for weight in body:
                weight.requires_grad_(step >= 10)
            optimizer.param_groups[0]["lr"] = float(lrs[step])
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(train.inputs[indices]), train.targets[indices]).backward()
            optimizer.step()
    state, _ = advance(task, start, lrs)
    assert identical(dict(state.model), dict(module.state_dict()))
    of_head, of_both = 2 * 16 * 6 * 3, 2 * 16 * 6 * (8 + 2 * 3)  # with the gradient of what lies between
    assert state.flops.backward == 10 * of_head + 30 * of_both


def test_the_learning_rate_of_a_run_is_that_of_ratio_1_whichever_group_comes_first(mlp_task: Task) -> None:
    seen = []

    class Notes(Watcher):
        def after_step(self, training: Any, memory: dict[str, Any]) -> None:
            seen.append((training.lr, [group["lr"] for group in training.optimizer.param_groups]))

    task = mlp_task.with_(groups={"0.*": 0.5, "3.*": 2.0})
    advance(task, begin(task, 0), np.array([0.1]), watchers=[Notes()])
    assert seen == [(0.1, [0.05, 0.2])]


def test_a_group_of_an_optimizer_function_may_note_its_ratio_itself(mlp_task: Task) -> None:
    def head_first(params: list[nn.Parameter]) -> torch.optim.Optimizer:
        groups = [{"params": params[2:], "lr_ratio": 10.0}, {"params": params[:2], "lr_ratio": 1.0}]
        return torch.optim.SGD(groups, lr=1.0)

    by_function = mlp_task.with_(optimizer=head_first)
    by_name = mlp_task.with_(optimizer=SGD(momentum=0.0), groups={"3.*": 10.0})
    found = [whole(task, 0, ramp(task, 0.01))[0].model for task in (by_function, by_name)]
    torch.testing.assert_close(dict(found[0]), dict(found[1]), rtol=1e-5, atol=1e-7)


def test_flops_of_a_linear_layer_are_those_counted_by_hand(mlp_task: Task) -> None:
    task = mlp_task.with_(model=lambda: nn.Linear(8, 3))
    state, _ = advance(task, begin(task, 0), np.full(10, 0.1))
    product = 2 * 16 * 8 * 3  # a multiply and an add for each of batch x inputs x outputs
    assert state.flops.forward == 10 * product
    assert state.flops.backward == 10 * product  # the weight's gradient; the inputs need none


class Exploding(nn.Module):
    """A linear layer whose outputs are multiplied by a factor from its third forward pass in training mode on."""

    passes: torch.Tensor

    def __init__(self, factor: float = torch.nan) -> None:
        super().__init__()
        self.factor = factor
        self.layer = nn.Linear(8, 3)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs = self.layer(inputs)
        if not self.training:
            return outputs
        self.passes += 1
        return outputs * (self.factor if self.passes >= 3 else 1)


def test_a_loss_that_is_not_finite_ends_the_run_at_its_step_however_it_is_cut(mlp_task: Task) -> None:
    task = mlp_task.with_(model=Exploding)
    for cuts in ([], [1], [2, 3]):
        state, evaluations = in_pieces(task, begin(task, 0), ramp(task), cuts)
        assert state.diverged_at == state.step == 3
        assert evaluations == []
        assert identical(state, whole(task, 0, ramp(task))[0])


def test_a_diverged_state_stays_as_it_is(mlp_task: Task) -> None:
    state, _ = whole(mlp_task.with_(model=Exploding), 0, np.full(20, 0.1))
    further, evaluations = advance(mlp_task.with_(model=Exploding), state, np.full(10, 0.1))
    assert identical(further, state)
    assert evaluations == []


def test_a_huge_learning_rate_diverges_and_is_no_error(mlp_task: Task) -> None:
    state, _ = whole(mlp_task, 0, np.full(mlp_task.steps, 1e30))
    assert state.diverged_at is not None
    assert state.model == {}


def test_losses_far_above_the_initial_one_over_a_whole_interval_are_divergence(mlp_task: Task) -> None:
    wild = mlp_task.with_(
        model=lambda: Exploding(factor=1e3), loss=lambda outputs, targets: 1 + outputs.square().mean()
    )
    state, evaluations = whole(wild, 0, np.full(wild.steps, 1e-12))
    assert [seen.step for seen in evaluations] == [wild.eval_every]  # its first two losses are small
    assert state.diverged_at == 2 * wild.eval_every


def test_a_regression_with_its_own_metric_and_loss_is_trained(mlp_task: Task) -> None:
    inputs = mlp_task.data.train.inputs
    targets = inputs.sum(1, keepdim=True)
    data = Data.from_arrays((inputs, targets), (inputs[:20], targets[:20]))
    metric = Metric("minus_mse", lambda outputs, wanted: -float((outputs - wanted).square().mean()), chance=-8.0)
    task = Task(
        name="sum", model=lambda: nn.Linear(8, 1), data=data, loss=nn.functional.mse_loss, metric=metric, steps=50
    )
    _, evaluations = whole(task, 0, np.full(50, 0.02))
    test = present(evaluations[-1].test)
    assert metric.function(test.outputs, test.targets) > -0.5


def test_token_ids_reach_an_embedding_and_a_target_for_each_token_its_loss() -> None:
    ids = torch.randint(0, 2**25, (60, 5), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = 2**24 + 1  # float32 would make it 2**24
    targets = torch.where(ids % 5 == 0, -100, ids % 3)
    seen: list[tuple[torch.dtype, int]] = []

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(30, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            seen.append((tokens.dtype, int(tokens[0, 0])))
            return self.embedding(tokens % 30).transpose(1, 2)

    right = Metric("right", lambda outputs, wanted: float((outputs.argmax(1) == wanted).float().mean()), chance=1 / 3)
    data = Data.from_arrays((ids, targets), (ids, targets))
    task = Task(name="tags", model=Tagger, data=data, metric=right, batch_size=8, steps=60, version="1")
    _, evaluations = whole(task, 0, np.full(60, 1.0))
    assert set(seen) == {(torch.int64, 2**24 + 1)}
    assert present(evaluations[-1].test).outputs.shape == (60, 3, 5)
    assert evaluations[-1].val.loss < evaluations[0].val.loss


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_bfloat16_is_close_to_float32_and_resumes_exactly(model: str, task_with: Callable[[str], Task]) -> None:
    full = task_with(model)
    half = full.with_(precision="bfloat16")
    lrs = ramp(half)
    state, evaluations = whole(half, 0, lrs)
    pieces, _ = in_pieces(half, begin(half, 0), lrs, [5, 13])
    assert identical(pieces, state)
    assert evaluations[-1].val.loss == pytest.approx(whole(full, 0, lrs)[1][-1].val.loss, abs=0.05)


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_cuda_agrees_with_the_cpu(model: str, task_with: Callable[[str], Task]) -> None:
    without_dropout = {"mlp": {"model": lambda: nn.Linear(8, 3)}, "cnn": {}}[model]
    task = task_with(model).with_(**without_dropout)
    cpu, _ = whole(task, 0, ramp(task))
    cuda, _ = whole(task.to("cuda"), 0, ramp(task))
    moved = {name: tensor.cpu() for name, tensor in cuda.model.items()}
    torch.testing.assert_close(moved, dict(cpu.model), rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_resumed_equals_uninterrupted_on_cuda_within_rounding(model: str, task_with: Callable[[str], Task]) -> None:
    task = task_with(model).to("cuda")
    pieces, _ = in_pieces(task, begin(task, 0), ramp(task), [3, 10])
    torch.testing.assert_close(dict(pieces.model), dict(whole(task, 0, ramp(task))[0].model), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_on_cuda_with_clipping_is_close_to_float32(
    precision: str, task_with: Callable[[str], Task]
) -> None:
    full = task_with("cnn").with_(clip_norm=1.0, micro_batch=8).to("cuda")
    losses = [whole(task, 0, ramp(task))[1][-1].val.loss for task in (full, full.with_(precision=precision))]
    assert losses[1] == pytest.approx(losses[0], abs=0.05)


def test_lazy_layers_are_given_their_shapes_and_resume_exactly(mlp_task: Task) -> None:
    lazy = mlp_task.with_(model=lambda: nn.Sequential(nn.LazyLinear(16), nn.LazyBatchNorm1d(), nn.LazyLinear(3)))
    state, _ = whole(lazy, 0, ramp(lazy))
    pieces, _ = in_pieces(lazy, begin(lazy, 0), ramp(lazy), [3, 17])
    assert identical(pieces, state)
    assert state.model["0.weight"].shape == (16, 8)


def adamw_schedulefree(params: list[nn.Parameter]) -> torch.optim.Optimizer:
    return schedulefree.AdamWScheduleFree(params, lr=1.0, warmup_steps=7)


def sgd_schedulefree(params: list[nn.Parameter]) -> torch.optim.Optimizer:
    return schedulefree.SGDScheduleFree(params, lr=1.0, momentum=0.8)


def prodigy(params: list[nn.Parameter]) -> torch.optim.Optimizer:
    return Prodigy(params, lr=1.0, d0=1e-4)


class WithLongMoments(torch.optim.SGD):
    """Momentum in float64, which torch's load_state_dict casts to the weights' float32."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                moment = self.state[weight].setdefault("moment", torch.zeros_like(weight, dtype=torch.float64))
                moment.mul_(0.9).add_(weight.grad)
                weight.sub_(group["lr"] * moment.float())


WITH_GROUPS = {
    "AdamWScheduleFree": (adamw_schedulefree, 0.01),
    "SGDScheduleFree": (sgd_schedulefree, 0.5),
    "Prodigy": (prodigy, 1.0),
    "float64 momentum": (lambda params: WithLongMoments(params, lr=1.0), 0.05),
}


@pytest.mark.parametrize("optimizer", WITH_GROUPS)
def test_what_an_optimizer_keeps_outside_its_state_does_not_start_over_at_an_evaluation_or_a_resume(
    optimizer: str, cnn_task: Task
) -> None:
    build, lr = WITH_GROUPS[optimizer]
    task = cnn_task.with_(optimizer=build)
    lrs = ramp(task, lr)
    seldom, seen = whole(task.with_(eval_every=30), 3, lrs)
    often, last = whole(task.with_(eval_every=2), 3, lrs)
    assert identical((often.model, often.optimizer, often.groups), (seldom.model, seldom.optimizer, seldom.groups))
    assert identical(flat(last[-1])[2:], flat(seen[-1])[2:])
    state = begin(task, 3)
    for step in range(task.steps):
        state = state_from_bytes(state_to_bytes(advance(task, state, lrs[step : step + 1])[0]))
    assert identical(state, whole(task, 3, lrs)[0])


@pytest.mark.parametrize("optimizer", WITH_GROUPS)
def test_a_fork_goes_on_with_all_that_an_optimizer_keeps(optimizer: str, cnn_task: Task) -> None:
    build, lr = WITH_GROUPS[optimizer]
    task = cnn_task.with_(optimizer=build)
    low = np.concatenate([ramp(task, lr)[:11], np.full(task.steps - 11, lr / 20)])
    trunk, _ = advance(task, begin(task, 5), low[:11])
    for lrs in (ramp(task, lr), low):
        assert identical(advance(task, trunk, lrs[11:])[0], whole(task, 5, lrs)[0])


@pytest.mark.parametrize("optimizer", [adamw_schedulefree, sgd_schedulefree])
def test_schedule_free_is_trained_and_evaluated_as_its_authors_do(
    optimizer: Callable[[list[nn.Parameter]], Any], mlp_task: Task
) -> None:
    task = mlp_task.with_(model=lambda: nn.Linear(8, 3), optimizer=optimizer, eval_every=40)
    lrs = ramp(task, 0.05)
    start = begin(task, 4)
    module = nn.Linear(8, 3)
    module.load_state_dict(dict(start.model))
    by_hand = optimizer(list(module.parameters()))
    by_hand.train()
    train = task.data.train
    for lr, indices in zip(lrs, batch_indices(task, 4, 0, task.steps), strict=True):
        by_hand.param_groups[0]["lr"] = float(lr)
        by_hand.zero_grad()
        nn.functional.cross_entropy(module(train.inputs[indices]), train.targets[indices]).backward()
        by_hand.step()
    by_hand.eval()
    (evaluation,) = advance(task, start, lrs)[1]
    torch.testing.assert_close(
        present(evaluation.test).outputs, module(task.data.test.inputs).detach(), rtol=1e-4, atol=1e-5
    )


def test_watchers_and_modifiers_beside_schedule_free_depend_on_no_evaluation(cnn_task: Task) -> None:
    task = cnn_task.with_(optimizer=adamw_schedulefree)
    lrs = ramp(task, 0.01)
    modifiers, watchers = [PSWA(period=2, p=0.5, recompute_bn=True, reset_optimizer=True)], [EMA(decay=0.9)]
    seldom, last = advance(task.with_(eval_every=30), begin(task, 0), lrs, modifiers, watchers)
    often, seen = advance(task.with_(eval_every=3), begin(task, 0), lrs, modifiers, watchers)
    assert identical((often.model, often.groups, often.memories), (seldom.model, seldom.groups, seldom.memories))
    (ema,) = last[-1].watched
    assert identical(seen[-1].watched[ema].val.outputs, last[-1].watched[ema].val.outputs)
    pieces, _ = in_pieces_with(task, lrs, [5, 12, 13], modifiers, watchers)
    assert identical(pieces, advance(task, begin(task, 0), lrs, modifiers, watchers)[0])


def in_pieces_with(
    task: Task, lrs: np.ndarray, cuts: list[int], modifiers: Sequence[Modifier], watchers: Sequence[Watcher]
) -> tuple[State, list[Evaluation]]:
    state, evaluations = begin(task, 0), []
    for start, stop in zip([0, *cuts], [*cuts, len(lrs)], strict=True):
        state, seen = advance(task, state, lrs[start:stop], modifiers, watchers)
        evaluations += seen
    return state, evaluations


def test_a_group_that_is_dropped_leaves_the_others_what_they_keep(cnn_task: Task) -> None:
    def two_groups(params: list[nn.Parameter]) -> torch.optim.Optimizer:
        groups = [{"params": params[:4], "warmup_steps": 3}, {"params": params[4:]}]
        return schedulefree.AdamWScheduleFree(groups, lr=1.0, warmup_steps=20)

    task = cnn_task.with_(model=three_units, optimizer=two_groups, steps=24)
    drop = LearnAndDrop(tau=1.0, delta=1e9, window=2, patience=1, warmup=0)
    lrs = ramp(task, 0.01)
    state, _ = advance(task, begin(task, 0), lrs, [drop])
    assert (drop.drops(state)[-1].units, len(state.groups)) == (1, 1)
    assert state.groups[0]["k"] == task.steps
    assert identical(in_pieces_with(task, lrs, [9, 11, 17, 18], [drop], [])[0], state)


def three_units() -> nn.Module:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Sequential(nn.Linear(6, 5), nn.ReLU()),
        nn.Linear(5, 3),
    )


TRANSFORMS = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomCrop(8, padding=1)])


def with_torchvision(batch: Tensor, generator: torch.Generator) -> Tensor:
    return TRANSFORMS(batch)


def with_numpy(batch: Tensor, generator: torch.Generator) -> Tensor:
    return batch.roll(int(np.random.randint(3)), dims=3)  # noqa: NPY002


def with_python(batch: Tensor, generator: torch.Generator) -> Tensor:
    return batch.flip(2) if random.random() < 0.5 else batch


class ScalesAtRandom(nn.Module):
    """A network that draws from Python's and NumPy's generators as it is made and as it runs, in both modes."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = random.random()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        residual = self.first(inputs) * (2 if random.random() < 0.5 else 1)
        return self.second(inputs + residual + self.shift) * np.random.uniform(0.9, 1.1)  # noqa: NPY002


def shaken(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def drawn() -> list[float]:
    return [float(torch.rand(())), float(np.random.rand()), random.random()]  # noqa: NPY002


@pytest.mark.parametrize("name", ["torchvision", "numpy", "python", "in the model"])
def test_whatever_draws_from_a_global_generator_depends_on_the_seed_and_the_step_alone(
    name: str, cnn_task: Task, mlp_task: Task
) -> None:
    augments = {"torchvision": with_torchvision, "numpy": with_numpy, "python": with_python}
    shaken(0)
    in_model = name == "in the model"
    task = mlp_task.with_(model=ScalesAtRandom) if in_model else cnn_task.with_(augment=(augments[name],))
    state, seen = whole(task, 3, ramp(task))
    shaken(1)
    again, seen_again = whole(task, 3, ramp(task))
    assert identical(again, state)
    assert same_evaluations(seen_again, seen)
    other = begin(task, 3)
    for step in range(task.steps):
        shaken(step)
        other, more = advance(task, other, ramp(task)[step : step + 1])
        assert same_evaluations(more, [each for each in seen if each.step == step + 1])
    assert identical(other, state)


def test_the_callers_generators_go_on_as_if_nothing_had_been_trained(cnn_task: Task) -> None:
    shaken(1)
    expected = drawn()
    shaken(1)
    task = cnn_task.with_(augment=(with_torchvision, with_numpy, with_python))
    state = begin(task, 0)
    advance(task, state, ramp(task)[:9])
    advance_stacked(task, [state], [ramp(task)[:9]])
    assert drawn() == expected


def test_the_stacked_engine_augments_as_the_serial_one_does(cnn_task: Task) -> None:
    task = cnn_task.with_(augment=(with_torchvision, with_numpy, with_python))
    starts = [begin(task, seed) for seed in (0, 1)]
    lanes = advance_stacked(task, starts, [ramp(task)[:7]] * 2)
    for start, (state, _) in zip(starts, lanes, strict=True):
        torch.testing.assert_close(dict(state.model), dict(advance(task, start, ramp(task)[:7])[0].model))


def test_only_the_end_of_a_run_is_measured_in_full(mlp_task: Task) -> None:
    task = mlp_task.with_(curve_samples=7)
    _, evaluations = whole(task, 0, np.full(task.steps, 0.1))
    assert [list(seen.predictions) for seen in evaluations[:-1]] == [["val"]] * (len(evaluations) - 1)
    assert {len(seen.val.targets) for seen in evaluations[:-1]} == {7}
    assert list(evaluations[-1].predictions) == ["val", "test", "train"]
    assert len(evaluations[-1].val.targets) == len(task.data.val)


def test_how_much_of_a_split_the_curve_takes_changes_no_bit_of_training(mlp_task: Task) -> None:
    lrs = np.full(mlp_task.steps, 0.1)
    (whole_state, whole_curve), (state, curve) = (
        whole(task, 0, lrs) for task in (mlp_task, mlp_task.with_(curve_samples=7))
    )
    assert identical(dict(whole_state.model), dict(state.model))
    assert identical(flat(whole_curve[-1]), flat(curve[-1]))
    taken = torch.linspace(0, len(mlp_task.data.val) - 1, 7).round().long()
    assert torch.equal(curve[0].val.targets, whole_curve[0].val.targets[taken])
    first = whole_curve[0].val.outputs[taken]
    assert torch.allclose(curve[0].val.outputs, first, atol=1e-6)  # a batch of another size may be rounded otherwise


def negative(outputs: Tensor, targets: Tensor) -> Tensor:
    """A log-likelihood that begins below zero."""
    return F.cross_entropy(outputs, targets) / 10 - 1


def test_a_loss_that_begins_below_zero_is_no_divergence(mlp_task: Task) -> None:
    task = mlp_task.with_(loss=negative, metric="loss")
    plain, _ = advance(task, begin(task, 0), np.full(task.steps, 0.05))
    assert plain.initial_loss < 0
    assert (plain.diverged_at, plain.step) == (None, task.steps)


class Primed(torch.optim.Optimizer):
    """An optimizer whose state is there before its first step."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        super().__init__(params, {"lr": 0.1})
        for group in self.param_groups:
            for weight in group["params"]:
                self.state[weight]["scale"] = torch.full_like(weight, 0.5)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                self.state[weight]["scale"] *= 0.9
                weight -= group["lr"] * self.state[weight]["scale"] * weight.grad


def test_the_state_that_an_optimizer_is_built_with_is_its_first(mlp_task: Task) -> None:
    task = mlp_task.with_(optimizer=Primed, version="primed")
    lrs = np.full(task.steps, 0.05)
    whole, _ = advance(task, begin(task, 0), lrs)
    state = begin(task, 0)
    for start in range(0, task.steps, task.eval_every):
        state, _ = advance(task, state, lrs[start : start + task.eval_every])
    assert identical(state, whole)
    scale = next(iter(whole.optimizer.values()))["scale"].flatten()[0].item()
    assert scale == pytest.approx(0.5 * 0.9**task.steps, rel=1e-5)


def test_a_reset_optimizer_has_the_state_that_it_was_built_with(mlp_task: Task) -> None:
    task = mlp_task.with_(optimizer=Primed, version="primed")
    reset = PSWA(period=1.0, p=1.0, reset_optimizer=True)
    ended, _ = advance(task, begin(task, 0), np.full(task.steps, 0.05), (reset,))
    since = task.steps % task.steps_per_epoch
    scale = next(iter(ended.optimizer.values()))["scale"].flatten()[0].item()
    assert scale == pytest.approx(0.5 * 0.9**since, rel=1e-5)
