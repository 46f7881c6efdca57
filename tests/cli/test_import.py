"""`lrbench import`, `lrbench export --to` and `lrbench run --to` as they are typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lrbench.cli import app

RUNS = "policy,seed,step,val_loss\n" + "".join(
    f"{policy},{seed},{step},{base + 0.01 * seed - step / 1000}\n"
    for policy, base in (("a", 1.0), ("b", 2.0))
    for seed in range(3)
    for step in (0, 50, 100)
)


@pytest.fixture(autouse=True)
def _in_a_folder_with_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.csv").write_text(RUNS)


def lrbench(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.stderr
    return result.stdout if code == 0 else result.stderr


def test_an_import_is_named_after_its_file_and_known_to_the_other_commands() -> None:
    assert "6 runs imported as study 'runs'." in lrbench("import", "runs.csv", "--margin", "0.1")
    assert "nothing is new" in lrbench("import", "runs.csv", "--margin", "0.1")
    assert "paired by seed" in lrbench("compare", "runs", "a", "b")
    assert "val_loss" in lrbench("export", "runs")
    assert "1. a:" in lrbench("recommend", "--task", "runs")
    assert "imported" in lrbench("list", "studies")
    document = json.loads(lrbench("import", "runs.csv", "--as", "mine", "--unpaired", "--json"))
    assert document["imported"] == {
        "runs": 6,
        "is_new": True,
        "remarks": ["read policies from 'policy', seeds from 'seed', steps from 'step'"],
    }
    assert "unpaired" in lrbench("compare", "mine", "a", "b")


def test_what_cannot_be_imported_is_one_sentence_and_code_2() -> None:
    lrbench("import", "runs.csv")
    refused = lrbench("import", "runs.csv", "--margin", "0.1", code=2)
    assert refused.strip().endswith("has a study 'runs' already, of other runs: give this one another name")
    assert "there is no such file" in lrbench("import", "sqlite:///none.db", code=2)
    assert "'x' is not ROLE=COLUMN" in lrbench("import", "runs.csv", "--column", "x", code=2)


def test_a_dry_run_says_what_would_be_imported_and_writes_nothing(tmp_path: Path) -> None:
    text = lrbench("import", "runs.csv", "--dry-run", "--as", "mine")
    assert "An import would store 6 runs of 2 policies as study 'mine'." in text
    assert json.loads(lrbench("import", "runs.csv", "--dry-run", "--json")) == {
        "study": "runs",
        "runs": 6,
        "tasks": [{"task": "runs", "objective": "loss", "better": "lower", "paired": True}],
        "policies": [{"name": name, "policy": name, "runs": 3} for name in ("a", "b")],
        "remarks": ["read policies from 'policy', seeds from 'seed', steps from 'step'"],
    }
    assert [file.name for file in tmp_path.iterdir()] == ["runs.csv"]


def test_an_export_with_curves_is_imported_again() -> None:
    lrbench("import", "runs.csv", "--margin", "0.1")
    assert "6 runs of study 'runs' written to out.parquet" in lrbench(
        "export", "runs", "--to", "parquet", "out.parquet"
    )
    assert json.loads(lrbench("export", "runs", "--to", "csv", "out.csv", "--json"))["runs"] == 6
    for source in ("out.parquet", "out.csv"):
        ranking = lrbench("import", source, "--as", source, "--json")
        assert (
            json.loads(ranking)["policies"]
            == json.loads(lrbench("import", "out.csv", "--as", "x", "--json"))["policies"]
        )
    assert "are given together" in lrbench("export", "runs", "--to", "csv", code=2)
    assert "are given together" in lrbench("export", "runs", "out.csv", code=2)
    assert "no tracker named 'wandb:x'" in lrbench("run", "quickstart", "--to", "wandb:x", code=2)
