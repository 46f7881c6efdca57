import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lrbench.engine import Evaluation, State, advance, begin, identical
from lrbench.engine.batches import batch_indices
from lrbench.tasks.data import Data
from lrbench.tasks.metric import Metric
from lrbench.tasks.optimizers import SGD, Adam, AdamW, CaffeSGD, OptimizerSpec, RMSprop
from lrbench.tasks.task import Task

OPTIMIZERS = [
    SGD(momentum=0.9, nesterov=True, weight_decay=1e-3),
    SGD(momentum=0.0),
    CaffeSGD(momentum=0.9, weight_decay=1e-3),
    Adam(),
    AdamW(),
    RMSprop(momentum=0.5),
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
    parts = [seen.val, seen.test, *([seen.train] if seen.train else [])]
    return [seen.step, seen.train_loss, *((part.outputs, part.targets, part.loss) for part in parts)]


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
    assert evaluations[-1].test.loss == pytest.approx(expected.item(), rel=1e-5)


def test_training_learns(mlp_task: Task) -> None:
    _, evaluations = whole(mlp_task, 0, np.full(40, 0.1))
    right = evaluations[-1].test.outputs.argmax(1) == evaluations[-1].test.targets
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


def test_flops_of_a_linear_layer_are_those_counted_by_hand(mlp_task: Task) -> None:
    task = mlp_task.with_(model=lambda: nn.Linear(8, 3))
    state, _ = advance(task, begin(task, 0), np.full(10, 0.1))
    product = 2 * 16 * 8 * 3  # a multiply and an add for each of batch x inputs x outputs
    assert state.flops.forward == 10 * product
    assert state.flops.backward == 10 * product  # the weight's gradient; the inputs need none


class Exploding(nn.Module):
    """A linear layer whose outputs are multiplied by a factor from its third forward pass in training mode on."""

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
    assert metric.function(evaluations[-1].test.outputs, evaluations[-1].test.targets) > -0.5


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


def test_lazy_layers_are_given_their_shapes_and_resume_exactly(mlp_task: Task) -> None:
    lazy = mlp_task.with_(model=lambda: nn.Sequential(nn.LazyLinear(16), nn.LazyBatchNorm1d(), nn.LazyLinear(3)))
    state, _ = whole(lazy, 0, ramp(lazy))
    pieces, _ = in_pieces(lazy, begin(lazy, 0), ramp(lazy), [3, 17])
    assert identical(pieces, state)
    assert state.model["0.weight"].shape == (16, 8)
