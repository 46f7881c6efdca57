import json
import re
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Command = Callable[..., Result]

SERIAL = ("--engine", "serial")


def test_shipped_evidence_recommends_without_any_training(lrbench: Command) -> None:
    told = lrbench("recommend", "--task", "mnist1d-mlp")

    assert told.exit_code == 0, told.stderr
    assert "shipped with lrbench" in told.stdout
    number = r" 1\. [A-Z].*: validation score 0\.[67]\d+ \[.*\], n = \d+(?: fresh seeds)?; "
    assert re.search(
        number + r"(good|undecided) among \d+ (policies|finalists) of \w+, margin", " ".join(told.stdout.split())
    )
    assert told.stderr == ""


def test_a_study_that_is_left_out_is_no_evidence(lrbench: Command) -> None:
    arguments = ("recommend", "--task", "mnist1d-mlp", "--json")
    assert "quickstart" in json.loads(lrbench(*arguments).stdout)["source"]
    assert "quickstart" not in json.loads(lrbench(*arguments, "--without", "quickstart").stdout)["source"]


def test_what_was_recommended_is_verified_on_request(lrbench: Command) -> None:
    arguments = ("recommend", "--task", "mnist1d-mlp", "--steps", "60", "--seeds", "2", *SERIAL, "--verify")

    document = json.loads(lrbench(*arguments, "--target", "0.01", "--json").stdout)

    assert [one["answer"] for one in document["verified"]] == ["yes"]
    assert document["policy"] == document["verified"][0]["policy"]
    assert document["verified"][0]["budget"] == 60


def test_a_policy_is_verified_with_yes_and_with_no(lrbench: Command) -> None:
    arguments = ("verify", "FIX(k0=0.05)", "--task", "mnist1d-mlp", "--steps", "40", "--seeds", "3", *SERIAL)

    yes, no = lrbench(*arguments, "--target", "0.01"), lrbench(*arguments, "--target", "0.99", "--json")

    document = json.loads(no.stdout)
    first, _, last = document["seeds"]
    assert first > 0, "shipped studies have used the first seeds"
    assert f"on mnist1d-mlp in 40 iterations, seeds {first} to {last}: validation" in " ".join(yes.stdout.split())
    assert yes.stdout.startswith("yes: FIX(k0=0.05)")
    assert (document["answer"], document["steps_trained"]) == ("no", 0)


def test_what_does_not_go_together_is_one_sentence(lrbench: Command, tmp_path: Path) -> None:
    for arguments, sentence in (
        (("recommend", "--task", "mnist1d-mlp", "--verify"), "--verify and --target SCORE are given together"),
        (("recommend", "--task", "mnist1d-mlp", "--target", "0.5"), "--verify and --target SCORE are given together"),
        (
            ("recommend", "--task", "mnist1d-mlp", "--goal", "speed"),
            "there is no goal named 'speed'; there are accuracy",
        ),
        (("recommend", "--task", "mnist1d-mlp", "--without", "quikstart"), "did you mean 'quickstart'?"),
        (("verify", "FIX(k0=0.1)", "--task", "mnist1d-mlp", "--target", "7"), "target = 7.0 must be from 0 to 1"),
        (("verify", "FOX(k0=0.1)", "--task", "mnist1d-mlp", "--target", "0.5"), "did you mean 'FIX'?"),
    ):
        result = lrbench(*arguments)
        assert result.exit_code == 2
        assert sentence in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
