import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

import lrbench as api
from lrbench.policy_search import load_search
from lrbench.store import open_store
from lrbench.tasks import settings_from_dict
from lrbench.tasks.registry import register_task

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
    assert f"lrbench export 'score {POLICY} on mnist1d-mlp, 20 iterations'" in last
    assert "Stored in" not in lrbench(*arguments).stdout


def test_a_policy_of_a_shipped_study_is_scored_by_its_name(lrbench: Command) -> None:
    arguments = ("--task", "mnist1d-mlp", "--steps", "5", "--seeds", "1", "--json")

    assert json.loads(lrbench("score", "quickstart/FIX", *arguments).stdout)["policy"] == "FIX(k0=0.1)"


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


@pytest.mark.parametrize("eval_every", [None, 300])
def test_every_way_to_ask_for_a_budget_asks_for_the_same_run(
    lrbench: Command, tmp_path: Path, eval_every: int | None
) -> None:
    register_task("own")(
        lambda: replace(settings_from_dict({"base": "mnist1d-mlp"}), name="own", eval_every=eval_every)
    )
    policy, store = "FIX(k0=0.1)", tmp_path / "lrbench.db"
    entry = f'seeds = 2\n[[policies]]\npolicy = "{policy}"\n'
    (tmp_path / "whole.toml").write_text(f'task = "own"\n{entry}')
    (tmp_path / "short.toml").write_text(f'task = {{ base = "own", steps = 37 }}\n{entry}')
    (tmp_path / "hunt.toml").write_text('task = "own"\n[search]\nrungs = 2\nreduction = 27\n')

    commands = (
        ("score", policy, "--task", "own", "--steps", "37", "--seeds", "2"),
        ("run", "whole.toml", "--steps", "37"),
        ("run", "short.toml"),
        ("verify", policy, "--task", "own", "--target", "0.5", "--steps", "37", "--seeds", "2"),
    )
    for command in commands:
        result = lrbench(*command)
        assert result.exit_code == 0, result.stderr
    for task in ("own", api.load_task("own"), api.load_task("own", steps=37)):
        api.score(policy, task, steps=37, seeds=2, store=store)
        api.verify(policy, task, target=0.5, steps=37, seeds=2, store=store)

    with open_store(store) as opened:
        asked = {slot.run for entry in opened.studies() for slot in opened.study(entry.id)[1]}
        (key,) = {run.task_key for run in opened.runs(asked).values()}
    assert len(asked) == 4, "two seeds, and two fresh ones to verify by"
    assert key == load_search(tmp_path / "hunt.toml").ladder[0].task.key
