"""Task: one frozen value that is checked when built and known by what determines its numbers."""

import functools
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from lrbench.errors import TaskError
from lrbench.tasks import (
    SGD,
    Adam,
    Data,
    HorizontalFlip,
    Metric,
    RandomCrop,
    Task,
    load_data,
    load_task,
    register_model,
)

RNG = np.random.default_rng(0)
SIGNALS, LABELS = RNG.normal(size=(100, 6)), np.arange(100) % 3
PHOTOS = RNG.integers(0, 256, (100, 1, 4, 4), dtype=np.uint8)
DATA = Data.from_arrays((SIGNALS, LABELS), (SIGNALS, LABELS))
PHOTO_DATA = Data.from_arrays((PHOTOS, LABELS), (PHOTOS, LABELS))


def linear() -> nn.Module:
    return nn.Linear(6, 3)


def photo_linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def mean_logit(outputs: Tensor, targets: Tensor) -> float:
    return float(outputs.mean())


def outer_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


def make(**changes: Any) -> Task:
    return Task(**{"name": "mine", "model": linear, "data": DATA, "batch_size": 32, "steps": 100, **changes})


def test_a_users_network_and_arrays_make_a_task_with_sensible_defaults() -> None:
    task = Task(name="mine", model=lambda: nn.Linear(6, 3), data=DATA, steps=500)
    assert task.optimizer == SGD(momentum=0.9)
    assert task.eval_every == 25
    assert task.loss is F.cross_entropy
    assert task.objective == "top1"
    assert task.chance == pytest.approx(1 / 3)


def test_an_evaluation_of_a_curve_costs_a_twentieth_of_the_training_before_it() -> None:
    many = Data.from_arrays((SIGNALS, LABELS), (SIGNALS, LABELS), val=(np.tile(SIGNALS, (90, 1)), np.tile(LABELS, 90)))
    task = make(data=many, steps=10_000, eval_every=1000)
    assert task.samples_of_curve == 1000 * 32 * 3 / 20
    assert task.with_(eval_every=10).samples_of_curve == 500
    assert task.with_(eval_every=10_000).samples_of_curve == 9000
    assert task.with_(curve_samples=7).samples_of_curve == 7
    assert task.with_(curve_samples="all").samples_of_curve == 9000


def test_the_size_of_a_curve_that_a_task_chooses_is_in_its_key_where_it_is_less_than_the_split() -> None:
    many = Data.from_arrays((SIGNALS, LABELS), (SIGNALS, LABELS), val=(np.tile(SIGNALS, (90, 1)), np.tile(LABELS, 90)))
    chosen, whole = make(data=many), make(data=many, curve_samples="all")
    assert chosen.fingerprint == whole.fingerprint
    assert chosen.key != whole.key
    assert make().key == make(curve_samples="all").key


def test_a_task_and_its_data_print_in_a_few_lines() -> None:
    task = make(augment=(RandomCrop(1),), data=PHOTO_DATA, model=photo_linear)

    assert str(task).splitlines() == [
        "mine: photo_linear, judged by top1",
        "SGD(momentum=0.9, nesterov=False, weight_decay=0.0)",
        "100 iterations of 32 samples, 2 an epoch, evaluated every 5",
        "80 train, 20 val, 100 test samples; inputs uint8 [1, 4, 4], 3 classes",
        f"augmented by {RandomCrop(1)}",
    ]
    assert repr(task) == "<Task: mine: photo_linear, judged by top1>"
    assert (
        repr(DATA) == f"<Data: {DATA}>" == "<Data: 80 train, 20 val, 100 test samples; inputs float32 [6], 3 classes>"
    )


def test_a_task_of_ones_own_parts_names_them_without_their_addresses() -> None:
    task = make(model=functools.partial(linear), optimizer=lambda params: torch.optim.SGD(params, 0.1))

    assert "partial, judged by" in str(task)
    assert "<lambda>" in str(task)
    assert " at 0x" not in str(task)


def test_an_epoch_drops_the_remainder() -> None:
    assert len(DATA.train) == 80
    assert make(batch_size=32).steps_per_epoch == 2


def test_evaluation_is_at_least_every_step() -> None:
    assert make(steps=7).eval_every == 1


@pytest.mark.parametrize(("eval_every", "steps", "expected"), [(25, 40, 10), (10, 15, 1), (40, 3, 1), (30, 1000, 300)])
def test_another_budget_is_evaluated_as_often_as_the_tasks_own(eval_every: int, steps: int, expected: int) -> None:
    task = make(eval_every=eval_every).with_budget(steps)
    assert (task.steps, task.eval_every) == (steps, expected)


def test_a_number_of_evaluations_can_be_asked_for_at_the_same_budget() -> None:
    task = make().with_budget(None, evaluations=4)
    assert (task.steps, task.eval_every) == (100, 25)


def test_the_tasks_own_budget_is_the_task_itself() -> None:
    task = make(eval_every=30)
    assert task.with_budget(100) is task
    assert task.with_budget(None) is task


@pytest.mark.parametrize("steps", [0, -3, 2.0, True])
def test_a_budget_that_is_no_number_of_iterations_is_refused(steps: Any) -> None:
    with pytest.raises(TaskError, match=f"task 'mine': steps = {steps!r} must be an integer >= 1"):
        make().with_budget(steps)


def test_a_registered_model_can_be_named() -> None:
    task = make(model="mlp")
    assert [p.shape[0] for p in task.model().parameters()] == [100, 100, 100, 100, 3, 3]


def test_an_optimizer_can_be_a_function_of_the_parameters() -> None:
    task = make(
        optimizer=lambda params: torch.optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 2}], lr=1)
    )
    groups = task.optimizer.build(task.model().parameters()).param_groups
    assert [group["lr"] for group in groups] == [1, 2]


def test_building_a_task_draws_nothing_from_torchs_generator() -> None:
    state = torch.get_rng_state()
    make()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_regression_is_judged_by_its_metric() -> None:
    data = Data.from_arrays((SIGNALS, SIGNALS[:, :1]), (SIGNALS, SIGNALS[:, :1]))
    metric = Metric("r2", mean_logit, chance=0.0)
    task = make(data=data, model=lambda: nn.Linear(6, 1), loss=F.mse_loss, metric=metric)
    assert (task.objective, task.chance) == ("r2", 0.0)


def mean_of_two(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return (inputs + inputs.roll(1, 0)) / 2, (targets + targets.roll(1, 0)) / 2


CHANGES: dict[str, dict[str, Any]] = {
    "model": {"model": lambda: nn.Linear(6, 3, bias=False)},
    "data": {"data": Data.from_arrays((SIGNALS, LABELS), (SIGNALS, LABELS), split_seed=1)},
    "optimizer": {"optimizer": SGD(momentum=0.8)},
    "optimizer kind": {"optimizer": Adam()},
    "optimizer function": {"optimizer": lambda params: torch.optim.SGD(params, lr=1.0)},
    "batch size": {"batch_size": 16},
    "loss": {"loss": functools.partial(F.cross_entropy, label_smoothing=0.1)},
    "metric": {"metric": Metric("mean", mean_logit, 0.0)},
    "chance": {"metric": Metric("mean", mean_logit, 0.5)},
    "precision": {"precision": "bfloat16"},
    "divergence factor": {"divergence_factor": 20.0},
    "samples of curves": {"curve_samples": 5},
    "clipping by norm": {"clip_norm": 1.0},
    "clipping by norm, another": {"clip_norm": 2.0},
    "clipping by value": {"clip_value": 1.0},
    "micro-batches": {"micro_batch": 8},
    "label smoothing": {"label_smoothing": 0.1},
    "mixtures": {"mix": (mean_of_two,)},
    "compiling": {"compile": True},
    "compiling for CUDA graphs": {"compile": "reduce-overhead"},
    "version": {"version": "2"},
}


@pytest.mark.parametrize(
    ("targets", "loss", "message"),
    [
        (SIGNALS[:, 0], F.mse_loss, "the loss fails on outputs \\[2, 1\\] and targets \\[2\\]: .*broadcasting"),
        (SIGNALS[:, :1], F.cross_entropy, "targets \\[2, 1\\] are no class probabilities.*mse_loss for a regression"),
    ],
)
def test_a_regression_whose_loss_would_compare_the_wrong_numbers_is_refused(
    targets: Any, loss: Any, message: str
) -> None:
    data = Data.from_arrays((SIGNALS, targets), (SIGNALS, targets))
    with pytest.raises(TaskError, match=message):
        make(model=lambda: nn.Linear(6, 1), data=data, loss=loss, metric="loss")


def test_a_network_that_fails_on_other_samples_than_the_first_is_refused_when_its_untrained_loss_is_computed() -> None:
    ids = np.arange(100).reshape(50, 2)
    data = Data.from_arrays((ids, ids), (ids, ids))
    task = make(model=lambda: nn.Embedding(60, 100), data=data, loss=outer_loss, metric="loss")
    with pytest.raises(TaskError, match="task 'mine': the untrained network cannot be evaluated: IndexError"):
        _ = task.chance


def test_each_setting_that_determines_the_numbers_changes_the_fingerprint() -> None:
    fingerprints = [make().fingerprint, *(make(**change).fingerprint for change in CHANGES.values())]
    assert len(set(fingerprints)) == len(CHANGES) + 1


def test_augmentation_and_its_settings_change_the_fingerprint() -> None:
    augments: list[tuple[Any, ...]] = [(), (HorizontalFlip(),), (HorizontalFlip(0.4),), (RandomCrop(1),)]
    augments += [(RandomCrop(1), HorizontalFlip()), (HorizontalFlip(), RandomCrop(1))]
    tasks = [make(data=PHOTO_DATA, model=photo_linear, augment=augment) for augment in augments]
    assert len({task.fingerprint for task in tasks}) == len(augments)


def test_steps_and_evaluations_change_the_key_and_not_the_fingerprint() -> None:
    tasks = [make(), make(steps=200, eval_every=5), make(eval_every=10)]
    assert len({task.key for task in tasks}) == 3
    assert len({task.fingerprint for task in tasks}) == 1


def test_settings_of_a_step_that_are_not_used_are_no_part_of_a_tasks_identity() -> None:
    unused = make(clip_norm=None, clip_value=None, micro_batch=None, label_smoothing=0, mix=[], compile=False)
    assert unused.key == make().key
    assert make(clip_norm=1).key == make(clip_norm=1.0).key


def test_settings_of_a_step_can_be_an_axis_of_a_study() -> None:
    task = make().at_settings({"clip_norm": 0.5, "label_smoothing": 0.1, "compile": True})
    assert task.key == make(clip_norm=0.5, label_smoothing=0.1, compile=True).key


def test_a_task_prints_how_its_steps_are_made_where_that_is_not_the_usual() -> None:
    last = str(make(clip_norm=1.0, micro_batch=8, label_smoothing=0.1, compile=True)).splitlines()[-1]
    assert last == "trained with clip_norm = 1.0, micro_batch = 8, label_smoothing = 0.1, compile = True"


def test_the_name_and_the_device_of_a_task_do_not_matter() -> None:
    assert make(name="other").key == make().key
    assert make().to("cpu").key == make().key


def test_a_lambda_with_another_constant_is_another_task() -> None:
    tasks = [make(model=lambda: nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)))]
    tasks += [make(model=lambda: nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 3)))]
    assert tasks[0].key != tasks[1].key


def test_a_closure_without_an_identity_needs_a_version() -> None:
    generator = torch.Generator()

    def model() -> nn.Module:
        generator.manual_seed(0)
        return nn.Linear(6, 3)

    with pytest.raises(TaskError, match=r"task 'mine', model: .* give the task version="):
        _ = make(model=model).key
    assert make(model=model, version="1").key != make(model=model, version="2").key


def test_networks_of_one_version_are_tasks_of_their_own_where_layers_or_shapes_differ() -> None:
    networks = [
        lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)),
        lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)),
        lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)),
    ]
    assert len({make(model=network, version="1").key for network in networks}) == 3
    rewritten = make(model=lambda: nn.Sequential(*networks[0]()), version="1")
    assert rewritten.key == make(model=networks[0], version="1").key, "a version stands for the code"


def test_inputs_of_a_dataset_that_are_not_finite_are_refused_before_training() -> None:
    broken = TensorDataset(torch.full((40, 6), math.nan), torch.arange(40) % 3)
    with pytest.raises(TaskError, match="task 'mine': the inputs of the first samples are not all finite"):
        make(data=Data.from_datasets(broken, broken, num_classes=3))


def test_a_models_options_and_the_datas_shape_are_part_of_its_identity() -> None:
    wide = Data.from_arrays((SIGNALS[:, :5], LABELS), (SIGNALS[:, :5], LABELS))
    assert make(model="mlp").fingerprint != make(model="mlp", data=wide).fingerprint


def test_a_registered_model_without_a_version_is_known_by_its_code() -> None:
    keys = set()
    for bias in (True, False):

        @register_model("test-linear")
        def build(input_shape: tuple[int, ...], num_classes: int, *, bias: bool = bias) -> nn.Module:
            return nn.Linear(input_shape[0], num_classes, bias=bias)

        keys.add(make(model="test-linear").key)
    assert len(keys) == 2


def test_with_makes_another_task_and_checks_it() -> None:
    task = make()
    assert task.with_(steps=50).steps == 50
    assert task.steps == 100
    with pytest.raises(TaskError, match="steps = 0 must be an integer >= 1"):
        task.with_(steps=0)
    with pytest.raises(TaskError, match="no setting 'step' \\(did you mean 'steps'\\?\\)"):
        task.with_(step=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", mean_logit, 0.0), "name = '' must be a text"),
        (("m", "mean", 0.0), "metric 'm': function = 'mean' must be a function"),
        (("m", mean_logit, float("nan")), "metric 'm': chance = nan must be a finite number"),
        (("m", mean_logit, "0"), "chance = '0'"),
        (("m", mean_logit, 0.0, "more"), 'better = \'more\' must be "higher" or "lower"'),
        (("m", mean_logit, 0.0, "lower", (0.1, 1.0)), r"chance = 0.0 must lie within bounds = \(0.1, 1.0\)"),
        (("m", mean_logit, 0.0, "lower", 1.0), "bounds = 1.0 must be a pair of numbers"),
        (("m", mean_logit, 0.0, "lower", (None, float("nan"))), "bounds = .* must be a pair of numbers"),
        (("m", mean_logit, 0.0, "lower", (None, None), -0.1), "margin = -0.1 must be a finite number from 0 on"),
    ],
)
def test_a_bad_metric_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Metric(*arguments)


class Tuple(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), x


def broken() -> nn.Module:
    raise RuntimeError("no such\nlayer.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 81}, "batch_size = 81 is larger than the train split of 80 samples"),
        ({"batch_size": 0}, "batch_size = 0 must be an integer >= 1"),
        ({"batch_size": 32.0}, "batch_size = 32.0 must be an integer >= 1"),
        ({"batch_size": True}, "batch_size = True"),
        ({"steps": 0}, "steps = 0 must be an integer >= 1"),
        ({"steps": -5}, "steps = -5"),
        ({"steps": "100"}, "steps = '100'"),
        ({"eval_every": 101}, "eval_every = 101 is more than steps = 100"),
        ({"eval_every": -1}, "eval_every = -1"),
        ({"precision": "float64"}, "precision = 'float64' must be 'float32', 'bfloat16' or 'float16'"),
        ({"curve_samples": 0}, "curve_samples = 0 must be an integer >= 1"),
        ({"clip_norm": 0}, "clip_norm = 0 must be a finite number above 0"),
        ({"clip_norm": math.inf}, "clip_norm = inf must be a finite number above 0"),
        ({"clip_norm": "1"}, "clip_norm = '1' must be a finite number above 0"),
        ({"clip_value": -1.0}, "clip_value = -1.0 must be a finite number above 0"),
        ({"clip_value": True}, "clip_value = True must be a finite number above 0"),
        ({"micro_batch": 0}, r"micro_batch = 0 must be an integer >= 1 \(samples\)"),
        ({"micro_batch": 8.0}, "micro_batch = 8.0 must be an integer >= 1"),
        ({"compile": 1}, 'compile = 1 must be True, False or "reduce-overhead"'),
        ({"compile": "reduce-overhead", "micro_batch": 8}, "micro_batch = 8 cannot be used with compile = "),
        ({"label_smoothing": 1.0}, r"label_smoothing = 1.0 must be a number in \[0, 1\)"),
        ({"label_smoothing": None}, "label_smoothing = None must be a number"),
        (
            {"label_smoothing": 0.1, "loss": nn.CrossEntropyLoss()},
            "label_smoothing = 0.1 needs torch's cross_entropy as the loss; others have their own",
        ),
        ({"curve_samples": 2.5}, 'curve_samples = 2.5 must be an integer >= 1 or "all"'),
        ({"curve_samples": "half"}, 'curve_samples = .half. must be an integer >= 1 or "all"'),
        ({"divergence_factor": 1.0}, "divergence_factor = 1.0 must be a finite number above 1"),
        ({"divergence_factor": float("nan")}, "divergence_factor = nan"),
        ({"divergence_factor": "10"}, "divergence_factor = '10'"),
        ({"divergence_factor": 10**400}, "divergence_factor = 1000.* must be a finite number above 1"),
        ({"steps": 50_000_001}, "steps = 50000001 is more than the 50,000,000 that a task may have"),
        pytest.param({"steps": 10**5000}, "steps = a int too long to print is more than", id="huge steps"),
        pytest.param({"batch_size": 10**5000}, "batch_size = a int too long to print is larger", id="huge batches"),
        ({"model": "mpl"}, "there is no model named 'mpl' \\(did you mean 'mlp'\\?\\)"),
        ({"model": nn.Linear(6, 3)}, "model must be a function that builds the network, not a network"),
        ({"model": 3}, "model = 3 must be a function"),
        ({"model": broken}, "the model function fails: RuntimeError: no such layer$"),
        ({"model": lambda: sys.exit(0)}, "the model function fails: SystemExit: 0$"),
        ({"model": lambda: nn.Linear(5, 3)}, "the model fails on a batch of shape \\[2, 6\\]: RuntimeError"),
        ({"model": lambda: nn.Linear(6, 4)}, "output has shape \\[2, 4\\]; \\[2, 3\\] is needed"),
        ({"model": lambda: 3}, "the model function returns a int where an nn.Module is needed"),
        ({"model": Tuple}, "the model returns a tuple where a tensor is needed"),
        (
            {"model": nn.Identity, "data": Data.from_arrays((SIGNALS[:, :3], LABELS), (SIGNALS[:, :3], LABELS))},
            "no param",
        ),
        ({"model": "lenet"}, "model 'lenet' needs images"),
        ({"loss": None}, "loss = None must be a function"),
        (
            {"loss": functools.partial(F.cross_entropy, reduction="none")},
            "the loss returns a tensor \\[2\\]; it must be",
        ),
        ({"loss": F.binary_cross_entropy}, "the loss fails on outputs \\[2, 3\\] and targets \\[2\\]"),
        ({"loss": nn.CrossEntropyLoss}, "loss = CrossEntropyLoss is a class .*: give CrossEntropyLoss\\(\\)"),
        ({"optimizer": 3}, "optimizer = 3 must be a name, a specification such as SGD"),
        ({"optimizer": torch.optim.SGD(linear().parameters())}, "optimizer = SGD \\( Parameter.* must be a name"),
        ({"metric": "top1"}, "must be a Metric.*, or None for the top-1 accuracy"),
        ({"model": lambda: nn.Linear(6, 1)}, "\\[2, 3\\] is needed of a classification \\(targets of a regression"),
        ({"optimizer": lambda params: 3}, "the optimizer function returns a int"),
        (
            {"augment": (HorizontalFlip(),)},
            "augmentation needs images \\[C, H, W\\], and the inputs have shape \\[6\\]",
        ),
        ({"augment": ("flip",), "data": PHOTO_DATA}, "there is no augmentation named 'flip'"),
        ({"data": Data.from_arrays((SIGNALS, SIGNALS), (SIGNALS, SIGNALS))}, "need a metric=Metric"),
        ({"metric": "accuracy"}, "metric = 'accuracy' must be a Metric"),
        ({"name": ""}, "name = '' must be a text"),
    ],
)
def test_what_could_not_be_trained_is_refused_when_the_task_is_built(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message) as refusal:
        make(**changes)
    assert "\n" not in str(refusal.value)


def widened(batch: Tensor, generator: torch.Generator) -> Tensor:
    return F.pad(batch, (1, 1, 0, 0))


def as_floats(batch: Tensor, generator: torch.Generator) -> Tensor:
    return batch / 255


def test_a_model_of_lrbench_is_given_integers_as_numbers_and_a_users_as_they_are() -> None:
    counts = RNG.integers(0, 9, (100, 6))
    data = Data.from_arrays((counts, LABELS), (counts, LABELS))
    task = make(data=data, model="mlp")
    assert task.data.decode(task.data.train.inputs[:2]).dtype == torch.float32
    floats = counts.astype(np.float32)
    assert task.key == make(data=Data.from_arrays((floats, LABELS), (floats, LABELS)), model="mlp").key
    with pytest.raises(TaskError, match=r"batch of shape \[2, 6\] of integers, which must be floating-point inputs"):
        make(data=data)


def fails(batch: Tensor, generator: torch.Generator) -> Tensor:
    raise ValueError("no.")


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (
            widened,
            r"the augmentation widened returns a batch uint8 \[2, 1, 4, 6\] where it was given one uint8 \[2, 1,",
        ),
        (as_floats, r"the augmentation as_floats returns a batch float32 \[2, 1, 4, 4\] .*: type and shape must stay"),
        (lambda batch, generator: batch.numpy(), r"returns a ndarray where a batch uint8 \[2, 1, 4, 4\] is needed"),
        (lambda batch: batch, "the augmentation <lambda> fails on a batch uint8 .* TypeError"),
        (fails, r"the augmentation fails fails on a batch uint8 \[2, 1, 4, 4\]: ValueError: no$"),
    ],
)
def test_an_augmentation_is_tried_when_the_task_is_built(augment: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message) as refusal:
        make(data=PHOTO_DATA, model=photo_linear, augment=(HorizontalFlip(), augment))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (
            "MixUp",
            r"the mixture MixUp fails on inputs float32 \[2, 6\] and targets float32 \[2, 3\]: ValueError: Expect",
        ),
        ("Mixup", r"no mixture named 'Mixup' \(did you mean 'MixUp'\?\)"),
        ({"kind": "CutMix", "alpha": 0}, "mixture CutMix: alpha = 0 must be a finite number above 0"),
        ({"kind": "CutMix", "beta": 1}, "mixture 'CutMix' has no option 'beta'"),
        ({"alpha": 1}, "mix has a table without a kind"),
        (lambda inputs, targets: inputs, r"the mixture <lambda> must return the like of inputs .*, not \[2, 6\]"),
        (lambda inputs, targets: (inputs, targets[:1]), r"not .*\[2, 6\].*\[1, 3\]"),
        (lambda inputs: inputs, "the mixture <lambda> fails on inputs"),
    ],
)
def test_a_mixture_is_tried_when_the_task_is_built(mixture: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message) as refusal:
        make(mix=[mixture])
    assert "\n" not in str(refusal.value)


def test_a_loss_that_takes_no_probabilities_is_refused_with_a_mixture() -> None:
    with pytest.raises(TaskError, match=r"the mixture mean_of_two: the loss fails on its targets: .*Error"):
        make(mix=[mean_of_two], loss=F.multi_margin_loss)
    with pytest.raises(TaskError, match="mix = 'MixUp' must be a list of names"):
        make(mix="MixUp")


def test_a_task_that_is_on_its_device_already_is_itself() -> None:
    task = make()
    assert task.to("cpu") is task
    assert task.to("meta").device.type == "meta"


def test_names_and_tables_are_the_task_that_a_study_file_describes() -> None:
    table = {"dataset": "mnist1d", "model": {"kind": "mlp", "hidden": [20]}, "optimizer": "AdamW", "steps": 60}
    described = load_task({"name": "mine", **table})

    named = Task(name="mine", data="mnist1d", model={"kind": "mlp", "hidden": [20]}, optimizer="AdamW", steps=60)

    assert named.key == described.key
    assert load_task("mnist1d-mlp").key == Task(name="any", data="mnist1d", model="mlp", steps=1000).key


def test_data_of_a_name_is_split_by_the_words_of_a_table(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"x_train": SIGNALS, "y_train": LABELS, "x_test": SIGNALS, "y_test": LABELS}
    np.savez(tmp_path / "mine.npz", **arrays)
    dataset = {"kind": "npz", "path": str(tmp_path / "mine.npz")}
    data = load_data(dataset, 50, split_seed=3, stratified=True, train_samples=30)

    table = {"name": "mine", "dataset": dataset, "model": "mlp", "steps": 10, "batch_size": 10}
    split = {"validation": 50, "split_seed": 3, "stratified": True, "train_samples": 30}
    assert (data.checksum, len(data.val), len(data.train)) == (load_task({**table, **split}).data.checksum, 50, 30)
    assert data.checksum != load_task({**table, **split, "train_samples": 31}).data.checksum


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"data": 3}, "data = 3 must be Data, or the name or table of a registered data set"),
        ({"data": "mnist2d"}, "'mnist2d' (did you mean 'mnist1d'?)"),
        ({"model": {"hidden": [20]}}, "model has no kind"),
        ({"optimizer": "Adamm"}, "'Adamm' (did you mean 'Adam'?)"),
        ({"optimizer": {"kind": "Adam", "momentum": 0.9}}, "optimizer 'Adam' has no option 'momentum'"),
        ({"augment": ["HorizontalFlop"]}, "'HorizontalFlop' (did you mean 'HorizontalFlip'?)"),
        ({"augment": "HorizontalFlip"}, "augment = 'HorizontalFlip' must be a list"),
    ],
)
def test_a_name_that_is_not_known_is_refused_in_one_sentence(words: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TaskError) as caught:
        Task(**{"name": "mine", "data": "mnist1d", "model": "mlp", "steps": 10, **words})
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("good", "the metric 'share' returned 'good' where a number is needed"),
        (None, "the metric 'share' returned None where a number is needed"),
        (torch.ones(2), "the metric 'share' returned tensor.* where a number is needed"),
        (10**400, "the metric 'share' returned .* where a number is needed"),
        (7.0, r"the metric 'share' returned 7, outside of its bounds = \(0, 1\)"),
    ],
)
def test_what_a_metric_returns_is_a_number_within_its_bounds(returned: Any, message: str) -> None:
    metric = Metric("share", lambda outputs, targets: returned, chance=0.5, bounds=(0, 1))
    with pytest.raises(TaskError, match=message):
        metric.read(returned)


@pytest.mark.parametrize("returned", [True, 0, torch.tensor(0.5), 1 + 1e-7, np.float32(0.25), math.inf, math.nan])
def test_a_metric_may_return_what_is_a_number_up_to_rounding_or_not_finite(returned: Any) -> None:
    metric = Metric("share", lambda outputs, targets: returned, chance=0.5, bounds=(0, 1))
    assert repr(metric.read(returned)) == repr(float(returned))


@pytest.mark.parametrize(("returned", "read"), [(1e308, math.inf), (-1e200, -math.inf), (1e150, 1e150)])
def test_a_score_whose_square_is_no_float_is_infinite(returned: float, read: float) -> None:
    assert Metric("huge", lambda outputs, targets: returned, chance=0.0).read(returned) == read
