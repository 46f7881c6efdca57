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


def test_what_cannot_be_tested_is_one_sentence_and_trains_nothing(lrbench: Command, tmp_path: Path) -> None:
    for arguments, sentence in (
        (("--task", "mnist1d-mlp", "--steps", "3"), "steps = 3 must be at least 20"),
        (("--task", "mnist1d-mpl"), "did you mean 'mnist1d-mlp'?"),
        (("--task", "mnist1d-mlp", "-o", "range.gif"), "the name must end in .png or .svg"),
        (("--task", "mnist1d-mlp", "--seeds", "0"), "whole number from 1"),
    ):
        result = lrbench("range-test", *arguments)
        assert result.exit_code == 2
        assert sentence in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
