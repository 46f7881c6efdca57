"""A study file's [task] table becomes TaskSettings, or one sentence that names the key."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrbench.errors import LRBenchError, TaskError
from lrbench.tasks import (
    SGD,
    Adam,
    AdamW,
    CaffeSGD,
    CutMix,
    HorizontalFlip,
    MixUp,
    RandomCrop,
    make_task,
    register_augmentation,
    register_optimizer,
    settings_from_dict,
)
from lrbench.tasks.registry import register_task, tasks
from lrbench.tasks.table import task_from_dict
from tests.registries import forget_registrations


def test_a_base_alone_is_the_registered_task() -> None:
    assert settings_from_dict({"base": "mnist1d-mlp"}) == tasks.find("mnist1d-mlp").build()


def test_every_key_of_a_whole_table_arrives() -> None:
    settings = settings_from_dict(
        tomllib.loads("""
        name = "photos"
        dataset = {kind = "image_folder", path = "pets", size = 64, grayscale = true}
        model = {kind = "mlp", hidden = [30, 20]}
        optimizer = {kind = "AdamW", weight_decay = 0.05}
        augment = [{kind = "RandomCrop", padding = 8}, "HorizontalFlip"]
        batch_size = 16
        steps = 300
        eval_every = 30
        precision = "bfloat16"
        clip_norm = 1
        clip_value = 0.5
        micro_batch = 4
        compile = true
        mix = ["CutMix", { kind = "MixUp", alpha = 0.2 }]
        label_smoothing = 0.1
        divergence_factor = 5.0
        validation = 100
        split_seed = 3
        stratified = true
        train_samples = 200
        """)
    )
    assert settings.name == "photos"
    assert settings.dataset.kind == "image_folder"
    assert settings.dataset.options == {"path": "pets", "size": 64, "grayscale": True}
    assert settings.model.options == {"hidden": (30, 20)}
    assert settings.optimizer == AdamW(weight_decay=0.05)
    assert settings.augment == (RandomCrop(8), HorizontalFlip())
    assert (settings.batch_size, settings.steps, settings.eval_every) == (16, 300, 30)
    assert (settings.precision, settings.divergence_factor) == ("bfloat16", 5.0)
    assert (settings.validation, settings.split_seed, settings.stratified) == (100, 3, True)
    assert settings.train_samples == 200
    assert (settings.clip_norm, settings.clip_value, settings.micro_batch) == (1, 0.5, 4)
    assert settings.compile
    assert settings.label_smoothing == 0.1
    assert settings.mix == (CutMix(), MixUp(0.2))


def test_names_alone_are_enough() -> None:
    settings = settings_from_dict({"dataset": "mnist1d", "model": "conv1d", "optimizer": "Adam", "steps": 10})
    assert settings.name == "mnist1d-conv1d"
    assert settings.optimizer == Adam()


def test_what_is_said_overrides_the_base_and_nothing_else_changes() -> None:
    settings = settings_from_dict({"base": "cifar10-resnet20", "steps": 100, "augment": []})
    assert (settings.steps, settings.augment) == (100, ())
    assert settings.optimizer == SGD(momentum=0.9, weight_decay=1e-4)


def test_a_table_without_a_kind_changes_options_of_the_bases_choice() -> None:
    table: dict[str, Any] = {"model": {"hidden": [7]}, "optimizer": {"momentum": 0.5}}
    settings = settings_from_dict({"base": "mnist1d-mlp", **table})
    assert (settings.model.kind, settings.model.options) == ("mlp", {"hidden": (7,)})
    assert settings.optimizer == SGD(momentum=0.5)


def test_a_table_with_a_kind_starts_from_that_kinds_defaults() -> None:
    settings = settings_from_dict({"base": "mnist-lenet", "optimizer": {"kind": "CaffeSGD", "weight_decay": 5e-4}})
    assert settings.optimizer == CaffeSGD(momentum=0.9, weight_decay=5e-4)


def test_any_torchvision_model_can_be_written_by_name() -> None:
    settings = settings_from_dict({"base": "cifar10-resnet20", "model": "torchvision:mobilenet_v2"})
    assert (settings.model.kind, settings.model.options) == ("torchvision", {"name": "mobilenet_v2"})


def test_the_settings_make_the_task_they_describe() -> None:
    task = make_task(
        settings_from_dict({"base": "mnist1d-mlp", "model": {"hidden": [5]}, "steps": 40, "batch_size": 9})
    )
    assert [p.shape[0] for p in task.model().parameters()] == [5, 5, 10, 10]
    assert (task.steps, task.eval_every, task.batch_size) == (40, 2, 9)


@pytest.mark.parametrize("steps", [1, 30, 37, 333, 1000, 4321])
@pytest.mark.parametrize("eval_every", [None, 7, 300])
def test_steps_alone_mean_another_budget_of_the_base(
    steps: int, eval_every: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_entries", dict(tasks._entries))
    base = replace(settings_from_dict({"base": "mnist1d-mlp"}), name="mine", eval_every=eval_every)
    register_task("mine")(lambda: base)

    described = make_task(settings_from_dict({"base": "mine", "steps": steps}))

    assert described.key == make_task(base).with_budget(steps).key
    assert described.key == make_task(base.with_budget(steps)).key


def test_an_interval_beside_the_steps_is_taken_as_it_is() -> None:
    settings = settings_from_dict({"base": "mnist1d-mlp", "steps": 40, "eval_every": 40})
    assert (settings.steps, settings.eval_every) == (40, 40)


@pytest.mark.parametrize(
    ("steps", "eval_every", "iterations"),
    [("3ep", "1ep", 100), (400, "0.1dur", 40), (400, "50000000ep", 400), ("3ep", 7, 7)],
)
def test_an_interval_between_evaluations_may_be_a_length(
    steps: int | str, eval_every: int | str, iterations: int
) -> None:
    changes = {"base": "mnist1d-mlp", "batch_size": 40}
    task = make_task(settings_from_dict({**changes, "steps": steps, "eval_every": eval_every}))
    assert task.eval_every == iterations
    assert task.key == task.with_(eval_every=iterations).key


def test_a_task_of_python_takes_lengths_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_entries", dict(tasks._entries))
    built = make_task(settings_from_dict({"base": "mnist1d-mlp", "batch_size": 40}))
    register_task("built")(lambda: built)

    def described(**changes: Any) -> tuple[int, int]:
        task = task_from_dict({"base": "built", **changes})
        return task.steps, task.eval_every  # type: ignore[return-value]

    epoch = built.steps_per_epoch
    assert described(eval_every="1ep") == (built.steps, epoch)
    assert described(steps="2ep", eval_every=5) == (2 * epoch, 5)
    assert described(steps="2ep", eval_every="0.5dur") == (2 * epoch, epoch)
    assert described(steps=30, eval_every="1ep") == (30, 30)
    assert described(steps="2ep") == (built.with_budget("2ep").steps, built.with_budget("2ep").eval_every)


def test_a_length_between_evaluations_stays_under_another_budget() -> None:
    settings = settings_from_dict({"base": "mnist1d-mlp", "batch_size": 40, "eval_every": "1ep"})
    assert make_task(settings.with_budget(500)).eval_every == 100
    assert make_task(settings.with_budget("0.05dur")).eval_every == 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bacth_size": 3}, "unknown key 'bacth_size' \\(did you mean 'batch_size'\\?\\); its keys are base, name"),
        ({"base": "mnist1d-mpl"}, "there is no task named 'mnist1d-mpl' \\(did you mean 'mnist1d-mlp'\\?\\)"),
        ({"base": 3}, "base = 3 must be a text"),
        ({"name": ""}, "name = '' must be a text"),
        ({"dataset": "mnist2d"}, "there is no dataset named 'mnist2d' \\(did you mean 'mnist1d'\\?\\)"),
        ({"dataset": 3}, "dataset = 3 must be a name or a table with a kind"),
        ({"dataset": {"kind": "npz"}}, "dataset 'npz' needs the option 'path'"),
        ({"dataset": {"kind": "mnist", "path": "x"}}, "dataset 'mnist' has no option 'path'; it has no options"),
        ({"model": "resnet"}, "there is no model named 'resnet'"),
        ({"model": {"kind": "mlp", "hiden": [3]}}, "model 'mlp' has no option 'hiden' \\(did you mean 'hidden'\\?\\)"),
        ({"model": {"hiden": [3]}}, "model 'mlp' has no option 'hiden'"),
        ({"model": {"kind": 3}}, "model.kind = 3 must be a text"),
        ({"optimizer": "SDG"}, "there is no optimizer named 'SDG' \\(did you mean 'SGD'\\?\\)"),
        ({"optimizer": {"kind": "SGD", "lr": 0.1}}, "optimizer 'SGD' has no option 'lr'"),
        ({"optimizer": {"momentum": 2}}, "optimizer SGD: momentum = 2 must be in \\[0, 1\\)"),
        ({"optimizer": []}, "optimizer = \\[\\] must be a name or a table"),
        ({"augment": "HorizontalFlip"}, "augment = 'HorizontalFlip' must be a list"),
        ({"augment": ["flip"]}, "there is no augmentation named 'flip'"),
        ({"augment": [{"padding": 4}]}, "augment has a table without a kind"),
        ({"augment": [{"kind": "RandomCrop", "padding": -1}]}, "padding = -1 must be an integer >= 1"),
        ({"batch_size": 0}, "batch_size = 0 must be an integer >= 1"),
        ({"batch_size": "64"}, "batch_size = '64'"),
        ({"steps": 2.5}, "steps = 2.5 must be an integer >= 1"),
        ({"steps": 1000.0}, "steps = 1000.0 must be an integer >= 1"),
        ({"eval_every": 0}, "eval_every = 0 must be an integer >= 1"),
        ({"eval_every": "1 epoch"}, "eval_every = '1 epoch' must be a number of iterations from 1 on, or a length"),
        ({"eval_every": 1001}, "eval_every = 1001 is more than steps = 1000"),
        ({"precision": "bfloat"}, "precision = 'bfloat' .* \\(did you mean 'bfloat16'\\?\\)"),
        ({"divergence_factor": float("inf")}, "divergence_factor = inf must be a finite number above 1"),
        ({"validation": 1.5}, "validation = 1.5 must be a fraction"),
        ({"validation": 0}, "validation = 0 must hold out at least one sample"),
        ({"validation": [1]}, "validation = \\[1\\]"),
        ({"split_seed": "a"}, "split_seed = 'a' must be an integer"),
        ({"stratified": 1}, "stratified = 1 must be true or false"),
        ({"train_samples": 0}, "train_samples = 0 must be a number of samples, at least 1"),
        ({"train_samples": 2.0}, "train_samples = 2.0 must be a number of samples"),
    ],
)
def test_a_wrong_key_or_value_is_named_before_any_data_is_loaded(change: dict[str, Any], message: str) -> None:
    with pytest.raises(LRBenchError, match=message) as refusal:
        settings_from_dict({"base": "mnist1d-mlp", **change})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "'dataset' is missing; give it, or a base"),
        ({"dataset": "mnist1d", "steps": 3}, "'model' is missing"),
        ({"dataset": "mnist1d", "model": "mlp"}, "'steps' is missing"),
        ({"dataset": {"path": "x"}, "model": "mlp", "steps": 3}, "dataset has no kind"),
        ({"dataset": "mnist1d", "model": {"hidden": [3]}, "steps": 3}, "model has no kind"),
        ({"dataset": "mnist1d", "model": "mlp", "optimizer": {"momentum": 0}, "steps": 3}, "optimizer has no kind"),
    ],
)
def test_without_a_base_what_is_missing_is_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(LRBenchError, match=message):
        settings_from_dict(table)


def test_a_registered_optimizer_and_augmentation_of_the_users_own_are_named_as_ours_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forget_registrations(monkeypatch)

    @register_optimizer
    @dataclass(frozen=True)
    class Adagrad:
        """Adagrad as PyTorch defines it."""

        eps: float = 1e-10

        def build(self, params: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
            return torch.optim.Adagrad(params, lr=1.0, eps=self.eps)

    @register_augmentation
    @dataclass(frozen=True)
    class Negative:
        """Each image is inverted."""

        def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
            return -batch

    table = {"base": "mnist1d-mlp", "optimizer": {"kind": "Adagrad", "eps": 1e-8}, "augment": ["Negative"]}
    settings = settings_from_dict(table)

    assert settings.optimizer == Adagrad(1e-8)
    assert settings.augment == (Negative(),)
    with pytest.raises(TaskError, match=r"optimizer 'Adagrad' has no option 'esp' \(did you mean 'eps'\?\)"):
        settings_from_dict({"base": "mnist1d-mlp", "optimizer": {"kind": "Adagrad", "esp": 1e-8}})
    with pytest.raises(TaskError, match="augmentation 'Negative' has no option 'p'; it has no options"):
        settings_from_dict({"base": "mnist1d-mlp", "augment": [{"kind": "Negative", "p": 0.5}]})
