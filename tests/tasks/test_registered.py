"""The registered tasks carry the settings of their sources, and are listed without any data."""

import math

import pytest

from lrbench.errors import TaskError
from lrbench.tasks import SGD, Adam, AdamW, Choice, load_task, settings_from_dict
from lrbench.tasks.registry import datasets, models, tasks

TASKS = [
    "mnist1d-mlp",
    "mnist1d-conv",
    "mnist-lenet",
    "fashion-lenet",
    "cifar10-cnn3",
    "cifar10-resnet20",
    "cifar100-resnet18",
    "cifar100-vgg16",
    "cifar100-googlenet",
    "grammar-gpt",
    "text-gpt",
]


def test_the_tasks_are_listed_with_a_description_and_without_data() -> None:
    assert set(TASKS) <= set(tasks)
    assert all(tasks[name].description for name in TASKS)
    assert settings_from_dict({"base": "mnist-lenet"}).dataset.kind == "mnist"


def test_every_dataset_and_model_has_a_description() -> None:
    for registry in (datasets, models):
        assert all(entry.description for name, entry in registry.items() if not name.startswith("test-"))


def test_a_registry_is_read_only() -> None:
    with pytest.raises(TypeError):
        tasks["x"] = tasks["mnist1d-mlp"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "batch_size", "steps", "optimizer"),
    [
        ("mnist-lenet", 100, 10_000, SGD(momentum=0.9, weight_decay=5e-4)),
        ("cifar10-cnn3", 100, 70_000, SGD(momentum=0.9, weight_decay=0.004)),
        ("cifar10-resnet20", 128, 64_000, SGD(momentum=0.9, weight_decay=1e-4)),
        ("cifar100-vgg16", 128, 31_200, SGD(momentum=0.9, weight_decay=1e-4)),
    ],
)
def test_a_task_has_the_settings_of_its_source(name: str, batch_size: int, steps: int, optimizer: SGD) -> None:
    settings = settings_from_dict({"base": name})
    assert (settings.batch_size, settings.steps, settings.optimizer) == (batch_size, steps, optimizer)


@pytest.mark.parametrize("name", ["mnist1d-mlp", "mnist1d-conv"])
def test_an_embedded_task_loads_offline(name: str) -> None:
    task = load_task(name)
    assert (len(task.data.train), len(task.data.val), len(task.data.test)) == (4000, 8000, 8000)
    assert task.steps == 20 * task.eval_every


def test_the_language_of_known_entropy_loads_offline_and_is_seen_once() -> None:
    task = load_task("grammar-gpt")

    assert task.data.language is not None
    assert task.data.language.entropy == pytest.approx((math.log(16) + 31 * math.log(4)) / 32)
    assert task.chance == pytest.approx(math.log(16), abs=0.1)
    assert 4 * task.steps < task.steps_per_epoch
    assert (task.tokens_per_step, task.parameters) == (32 * 32, 103_232)


def test_the_gpts_are_trained_as_nanogpt_is_with_weight_decay_on_matrices_only() -> None:
    task = load_task("grammar-gpt", dataset={"train": 100, "validation": 50, "test": 50})
    weights = dict(task.network().named_parameters())
    decays = {
        weight.ndim: group["weight_decay"]
        for group in task.new_optimizer(task.network(), weights).param_groups
        for weight in group["params"]
    }

    assert decays == {1: 0.0, 2: 0.1}
    assert (task.optimizer, task.clip_norm) == (AdamW(beta2=0.95, weight_decay=0.1), 1.0)


def test_loading_a_task_twice_gives_the_same_key() -> None:
    assert load_task("mnist1d-mlp").key == load_task("mnist1d-mlp").key


def test_settings_can_be_overridden_and_change_the_key() -> None:
    task = load_task("mnist1d-mlp", steps=100, batch_size=32)
    assert (task.steps, task.eval_every, task.batch_size) == (100, 5, 32)
    assert task.fingerprint != load_task("mnist1d-mlp").fingerprint


def test_overrides_can_be_written_as_in_a_study_file_or_as_values() -> None:
    written = load_task("mnist1d-mlp", optimizer="Adam", model={"hidden": [50]}, augment=[])
    values = load_task("mnist1d-mlp", optimizer=Adam(), model=Choice("mlp", {"hidden": (50,)}), augment=())
    assert written.key == values.key


def test_an_unknown_task_or_setting_is_refused() -> None:
    with pytest.raises(TaskError, match="there is no task named 'mnist1dmlp' \\(did you mean 'mnist1d-mlp'\\?\\)"):
        load_task("mnist1dmlp")
    with pytest.raises(TaskError, match="unknown key 'step' \\(did you mean 'steps'\\?\\)"):
        load_task("mnist1d-mlp", step=3)
