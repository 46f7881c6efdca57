import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Command = Callable[..., Result]

ASKED = ("horizons", "modern/wsd", "modern/cosine", "--task", "mnist1d-mlp", "--steps", "200", "--seeds", "2")


def test_policies_are_trained_for_several_budgets_and_drawn(lrbench: Command, tmp_path: Path) -> None:
    planned = json.loads(lrbench(*ASKED, "--dry-run", "--json").stdout)
    result = lrbench(*ASKED, "--name", "mine", "--json")

    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["steps"] == {"nominal": 1400, "trained": planned["steps"]["to_train"]}
    (horizons,) = document["horizons"]
    assert [policy["name"] for policy in horizons["policies"]] == ["wsd", "cosine"]
    assert [score["steps"] for score in horizons["policies"][0]["scores"]] == [50, 100, 200]
    assert [score["behind"]["n"] for score in horizons["policies"][0]["scores"]] == [2, 2, 2]
    again = lrbench(*ASKED, "--name", "mine")
    assert "12 runs: 0 trained, 12 from the store" in again.stdout
    assert "wsd forks at 41, 81: its trunk saves" in again.stdout
    assert lrbench("plot", "horizons", "mine", "-o", str(tmp_path / "horizons.svg")).exit_code == 0
    assert (tmp_path / "horizons.svg").read_text().count("one trunk") == 1


def test_a_study_goes_on_to_a_longer_budget(lrbench: Command, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'task = "mnist1d-mlp"\nsteps = 100\nseeds = 2\npolicies = ["FIX(k0=0.1)", "COSINE(k0=0.1, l=1dur)"]\n'
    )
    assert lrbench("run", str(file), "--at", "100%", "--engine", "serial").exit_code == 0
    planned = lrbench("run", str(file), "--at", "200%", "--engine", "serial", "--dry-run").stdout
    assert "4 to train (602 of 800 iterations)" in planned
    assert "2 runs go on from states kept by a shorter horizon, which saves 198 iterations" in planned
    # another budget is another question: all parts of it are taken anew
    assert "4 to train (800 of 800 iterations)" in lrbench("run", str(file), "--steps", "200", "--dry-run").stdout


def test_a_budget_that_cannot_be_is_refused_in_a_sentence(lrbench: Command) -> None:
    result = lrbench("horizons", "modern/wsd", "--task", "mnist1d-mlp", "--at", "25%,half")

    assert result.exit_code == 2
    assert 'horizons = ["25%", "half"] must be a list of budgets' in result.stderr
    assert lrbench("plot", "horizons", "nothing").exit_code == 2
