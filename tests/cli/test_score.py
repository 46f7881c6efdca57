import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Command = Callable[..., Result]

POLICY = "STEP(k0=0.1, gamma=0.1, l=0.5dur)"


def test_a_policy_is_scored_as_a_table_of_every_metric(lrbench: Command) -> None:
    result = lrbench("score", POLICY, "--task", "mnist1d-mlp", "--steps", "20", "--seeds", "2")

    assert result.exit_code == 0, result.stderr
    assert POLICY in result.stdout
    assert all(metric in result.stdout for metric in ("val_top1", "test_top1", "ece", "loss_difference", "seconds"))


def test_json_is_one_policy_entry(lrbench: Command) -> None:
    result = lrbench("score", "lrbench13/STEP", "--task", "mnist1d-mlp", "--steps", "20", "--seeds", "2", "--json")

    entry = json.loads(result.stdout)
    assert entry["policy"] == "STEP(k0=0.1, gamma=0.1, l=0.4dur)"
    assert (entry["n"], entry["verdict"]) == (2, None)
    assert entry["metrics"]["val_top1"]["low"] <= entry["metrics"]["val_top1"]["mean"]


def test_a_target_is_counted_to(lrbench: Command) -> None:
    arguments = ("score", POLICY, "--task", "mnist1d-mlp", "--steps", "20", "--seeds", "2", "--json")

    entry = json.loads(lrbench(*arguments, "--target", "0.01").stdout)

    assert entry["metrics"]["steps_to_target"]["reached"] == 2


def test_a_score_is_not_trained_twice(lrbench: Command) -> None:
    arguments = ("score", POLICY, "--task", "mnist1d-mlp", "--steps", "20", "--seeds", "2", "--json")

    first, second = lrbench(*arguments), lrbench(*arguments)

    assert first.stdout == second.stdout
    assert "2 cached, 0 to train" in second.stderr


def test_a_users_own_model_and_data_are_scored_through_a_plugin(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        """
import torch
from lrbench.tasks import Choice, RawData, Split, TaskSettings, register_dataset, register_model, register_task


@register_dataset("own-data")
def own_data(root, download):
    inputs = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    targets = (inputs.sum(1) > 0).long()
    return RawData(Split(inputs[:200], targets[:200]), Split(inputs[200:], targets[200:]), 2)


@register_model("own-model")
def own_model(input_shape, num_classes):
    return torch.nn.Linear(input_shape[0], num_classes)


@register_task("own-task")
def own_task():
    return TaskSettings(name="own-task", dataset=Choice("own-data"), model=Choice("own-model"), steps=30)
"""
    )

    result = lrbench("score", "FIX(k0=0.5)", "--task", "own-task", "--seeds", "2", "--plugin", "own.py", "--json")

    assert json.loads(result.stdout)["metrics"]["test_top1"]["mean"] > 0.8
