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


def test_what_other_base_lrs_leave_of_the_score_is_measured_on_request(lrbench: Command) -> None:
    arguments = ("score", POLICY, "--task", "mnist1d-mlp", "--steps", "20", "--seeds", "1", "--json")

    without = json.loads(lrbench(*arguments).stdout)["metrics"]
    result = lrbench(*arguments, "--base-lr-scales")

    assert "base_lr_retention" not in without
    assert "5 runs, 1 cached, 4 to train" in result.stderr
    assert json.loads(result.stdout)["metrics"]["base_lr_retention"]["mean"] > 0


def test_a_terminal_says_where_the_runs_are_and_a_pipe_does_not(lrbench: Command) -> None:
    arguments = ("score", POLICY, "--task", "mnist1d-mlp", "--steps", "20", "--seeds", "1")

    last = lrbench(*arguments, color=True).stdout.splitlines()[-1]

    assert last.startswith("\x1b[2mStored in lrbench.db")
    assert f"lrbench export 'score {POLICY} on mnist1d-mlp'" in last
    assert "Stored in" not in lrbench(*arguments).stdout


def test_a_policy_of_a_shipped_study_is_scored_by_its_name(lrbench: Command) -> None:
    arguments = ("--task", "mnist1d-mlp", "--steps", "5", "--seeds", "1", "--json")

    assert json.loads(lrbench("score", "quickstart/FIX", *arguments).stdout)["policy"] == "FIX(k0=0.3)"


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
