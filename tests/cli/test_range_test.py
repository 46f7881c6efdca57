import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Command = Callable[..., Result]

TEST = ("range-test", "--task", "mnist1d-mlp", "--steps", "40", "--seeds", "2", "--engine", "serial")


def test_the_range_is_printed_drawn_and_a_document(lrbench: Command, tmp_path: Path) -> None:
    told = lrbench(*TEST, "-o", "range.svg")
    assert told.exit_code == 0, told.stderr
    assert [line.split()[0] for line in told.stdout.splitlines()[2:5]] == ["low", "high", "cliff"]
    assert (tmp_path / "range.svg").read_text().startswith("<?xml")

    again = lrbench(*TEST, "--json")
    document = json.loads(again.stdout)
    assert 1e-4 < document["low"]["value"] < document["high"]["value"] < document["cliff"]["value"] < 10
    assert "0 to train" in again.stderr.splitlines()[-1]


def test_the_task_of_a_study_file_is_tested_at_the_budget_of_the_file(lrbench: Command, tmp_path: Path) -> None:
    study = """
    policies = ["FIX(k0=0.1)"]
    steps = 200
    [task]
    base = "mnist1d-mlp"
    groups = { "features.*" = { frozen_until = "0.5dur" }, "head.*" = 10.0 }
    """
    (tmp_path / "tuned.toml").write_text(study)
    arguments = ("--task", "tuned.toml", "--steps", "40", "--seeds", "1", "--json")
    found = json.loads(lrbench("range-test", *arguments).stdout)["high"]["value"]
    plain = json.loads(lrbench("range-test", "--task", "mnist1d-mlp", *arguments[2:]).stdout)["high"]["value"]
    assert found < plain

    shown = json.loads(lrbench("show", "FIX(k0=0.1)", "--task", "tuned.toml", "--json").stdout)
    assert shown["steps"] == 200


def test_what_cannot_be_tested_is_one_sentence_and_trains_nothing(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text('tasks = ["mnist1d-mlp", "grammar-gpt"]')
    (tmp_path / "three.toml").write_text("task = 3")
    for arguments, sentence in (
        (("--task", "mnist1d-mlp", "--steps", "3"), "steps = 3 must be at least 20"),
        (("--task", "mnist1d-mpl"), "did you mean 'mnist1d-mlp'?"),
        (("--task", "none.toml"), "there is no study file none.toml"),
        (("--task", "two.toml"), "two.toml has 2 tasks: give a file with one, or the name of a task"),
        (("--task", "three.toml"), "three.toml: task = 3 must be the name of a task or a [task] table"),
        (("--task", "mnist1d-mlp", "-o", "range.gif"), "the name must end in .png or .svg"),
        (("--task", "mnist1d-mlp", "--seeds", "0"), "whole number from 1"),
    ):
        result = lrbench("range-test", *arguments)
        assert result.exit_code == 2
        assert sentence in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
