"""The page for automated loops: its documents are those that the commands print, and it is written as a skill."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from typer.testing import Result

import lrbench
from lrbench.cli.commands.guide import pages
from lrbench.schedule_check.check import check
from lrbench.schedule_check.trace import Trace
from tests.cli.conftest import lrbench as command  # noqa: F401

Command = Callable[..., Result]
PAGE = pages()["agents"].read_text(encoding="utf-8")
SCHEMAS = {
    document["title"]: document for document in map(json.loads, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
}


def strict(schema: Any) -> Any:
    """The schema without room for fields that it does not name."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    return {"unevaluatedProperties": False, **closed} if schema.get("type") == "object" else closed


def validate(document: dict[str, Any], title: str) -> None:
    plain = json.loads(json.dumps(document, allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[title])
    jsonschema.validate(plain, strict(SCHEMAS[title]), jsonschema.Draft202012Validator)


SCORES = {"a": [1.0, 1.1, 1.05, 1.02], "b": [0.8, 0.9, 0.83, 0.81], "c": [0.8]}
ROWS = [
    {"policy": name, "seed": seed, "step": 10 * t, "lr": 0.1 - t / 100, "loss": value + 1 / (t + 1)}
    for name, values in (("a", [1.0, 1.1, 1.05]), ("b", [0.8, 0.9, 0.83]))
    for seed, value in enumerate(values)
    for t in range(10)
]


@pytest.mark.parametrize(
    ("scores", "options"),
    [
        (SCORES, {}),
        (SCORES, {"against": "a", "margin": "1%"}),
        ({**SCORES, "d": [0.7, float("nan"), 0.8]}, {"against": "a"}),
        ({name: [1.0] * 3 for name in "ab"}, {"against": "a", "margin": 0.1}),
    ],
)
def test_what_judge_gives_is_in_its_schema(scores: dict[str, list[float]], options: dict[str, Any]) -> None:
    validate(lrbench.judge(scores, better="lower", **options).to_json(), "lrbench judge --json")


@pytest.mark.parametrize("options", [{}, {"target": 1.0, "against": "a"}, {"target": -1.0}])
def test_runs_with_steps_and_learning_rates_are_in_the_schema(options: dict[str, Any]) -> None:
    import pandas

    validate(lrbench.judge(pandas.DataFrame(ROWS), **options).to_json(), "lrbench judge --json")


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_what_check_gives_is_in_its_schema(factor: float) -> None:
    lrs = lrbench.parse("COSINE(k0=0.1, l=50)").lrs(0, 50)
    checked = check(Trace(np.arange(50), factor * lrs[:, None]), "COSINE(k0=0.1, l=50)", steps=50)
    assert checked.ok == (factor == 1.0)
    validate(checked.to_json(), "lrbench check --json")


TRAINED = """
seeds = 2
confirm = 2
target = 0.1
task = { base = "mnist1d-mlp", steps = 20, eval_every = 10 }
policies = ["FIX(k0=0.1)", "FIX(k0=0.01)", "FIX(k0=1e30)"]
modifiers = ["PLP()"]
"""


@pytest.mark.parametrize("tasks", [1, 2])
def test_what_an_import_and_its_readers_print_is_in_their_schemas(
    command: Command,  # noqa: F811
    tmp_path: Path,
    tasks: int,
) -> None:
    import pandas

    frame = pandas.concat([pandas.DataFrame(ROWS).assign(task=f"t{place}") for place in range(tasks)])
    frame.to_csv(tmp_path / "runs.csv", index=False)
    store = ("--store", tmp_path / "s.db", "--json")
    for new in (True, False):
        document = json.loads(command("import", tmp_path / "runs.csv", *store).stdout)
        validate(document, "lrbench run --json, lrbench import --json")
        assert document["imported"]["is_new"] == new
    validate(json.loads(command("compare", "runs", "a", "b", *store).stdout), "lrbench compare --json")
    validate(json.loads(command("recommend", "--task", "t0", *store).stdout), "lrbench recommend --json")


def test_what_a_study_that_is_trained_prints_is_in_the_schema(command: Command, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "tiny.toml").write_text(TRAINED)
    store = ("--store", tmp_path / "s.db", "--json")
    document = json.loads(command("run", tmp_path / "tiny.toml", "--workers", "1", *store).stdout)
    assert {"confirmed", "effects"} <= document.keys()
    validate(document, "lrbench run --json, lrbench import --json")
    for by in ((), ("--by", "loss", "--by", "steps_to_target")):
        compared = command("compare", "tiny", "FIX(k0=0.1)", "FIX(k0=0.01)", *by, *store)
        validate(json.loads(compared.stdout), "lrbench compare --json")


@pytest.mark.parametrize(("claim", "code"), [("better:new", 0), ("better:other", 1), ("better:gone", 2)])
def test_the_exit_code_keeps_or_drops_a_change(command: Command, tmp_path: Path, claim: str, code: int) -> None:  # noqa: F811
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.01, 5)
    lines = ["policy,seed,val_loss"]
    for name, mean in (("base", 3.41), ("new", 3.39), ("other", 3.41)):
        lines += [f"{name},{seed},{mean + shared[seed] + rng.normal(0, 0.001)}" for seed in range(5)]
    (tmp_path / "trials.csv").write_text("\n".join(lines))
    arguments = ("--against", "base", "--margin", "0.005", "--require", claim, "--json")
    result = command("judge", str(tmp_path / "trials.csv"), *arguments)
    assert result.exit_code == code
    if code == 2:
        assert result.stdout == ""
    else:
        validate(json.loads(result.stdout), "lrbench judge --json")


def test_the_page_is_written_as_a_skill_and_again_and_never_over_another(command: Command, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "skills" / "lrbench"
    for _ in range(2):
        assert command("guide", "agents", "--write", str(folder)).exit_code == 0
    head, text = (folder / "SKILL.md").read_text().split("---\n\n", 1)
    fields = yaml.safe_load(head.removeprefix("---\n"))
    assert fields["name"] == "lrbench-agents"
    assert fields["description"].startswith("How a program keeps or drops a change on evidence: ")
    assert text == PAGE
    (folder / "SKILL.md").write_text("mine\n")
    result = command("guide", "agents", "--write", str(folder))
    assert (result.exit_code, (folder / "SKILL.md").read_text()) == (2, "mine\n")
    assert "is there already and is no page of lrbench's guide" in result.stderr
    assert command("guide", "--write", str(folder)).exit_code == 2


def test_the_skill_points_to_no_other_file() -> None:
    assert re.findall(r"]\(([^)\s]+)\)", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)) == []
