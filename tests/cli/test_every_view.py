"""Whatever a study asks for, every command that shows it has an answer, or says in a sentence why it has none."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

Command = Callable[..., Result]

LOSS_AND_MODIFIERS = """
seeds = 2
target = 2.0
horizons = ["50%", "100%"]
modifiers = ["PLP()", "ForecastDrop()"]
policies = ["FIX(k0=0.1)"]
task = { base = "mnist1d-mlp", steps = 40, eval_every = 20, metric = "loss" }
"""

GOALS_AND_SETTINGS = """
seeds = "2..3"
confirm = 2
margin = 0.02
target = 0.2
by = { steps_to_target = 20, val_loss = 0.01, monotonicity = 0.1 }
axes = { batch_size = [50, 100] }
policies = { flat = "FIX(k0=0.1)", "a, b" = "STEP(k0=0.1, gamma=0.1, l=0.5dur)" }
task = { base = "mnist1d-mlp", steps = 40, eval_every = 10 }
"""

TWO_OBJECTIVES = """
seeds = 2
margin = 0.02
policies = ["FIX(k0=0.1)", "COSINE(k0=0.2, l=1dur)"]
modifiers = { "an average" = "EMA(decay=0.9)" }
tasks = [
    { base = "mnist1d-mlp", steps = 40, eval_every = 20 },
    { base = "mnist1d-mlp", name = "by loss", steps = 20, eval_every = 10, metric = "loss" },
]
"""

ALL_DIVERGE = """
seeds = [7]
by = ["loss", "flops:5%"]
base_lr_scales = [0.5, 2]
policies = ["FIX(k0=100000)", "FIX(k0=10000)"]
task = { base = "mnist1d-mlp", steps = 40, eval_every = 20 }
"""

REACTIVE = """
seeds = 2
tolerated_divergence = 0.2
base_lr_scales = [0.5, 2]
policies = ["REDUCEONPLATEAU(k0=0.1)", "FIX(k0=10000)", "FIX(k0=0.1)"]
modifiers = ["Lookahead()"]
task = { base = "mnist1d-mlp", steps = 40, eval_every = 20 }
"""

STUDIES = {
    "loss and modifiers": LOSS_AND_MODIFIERS,
    "goals and settings": GOALS_AND_SETTINGS,
    "two objectives": TWO_OBJECTIVES,
    "all diverge": ALL_DIVERGE,
    "reactive": REACTIVE,
}


def views(first: str, last: str) -> Iterator[tuple[str, ...]]:
    """Yield the commands that show or export a study `any`, of whose rows two are named."""
    yield ("run", "any.toml", "--workers", "1")  # again: all is there
    yield ("run", "any.toml", "--dry-run", "--json")
    yield ("watch", "any")
    yield ("compare", "any", first, last)
    yield ("compare", "any", first, last, "--by", "ac", "--by", "seconds")
    yield ("compare", "any", first, last, "--json")
    for goal in ((), ("--by", "ac")):
        yield ("report", "any", "-o", "any.html", *goal)
    yield ("plot", "all", "any", "-o", "pictures")
    yield ("plot", "ranking", "any")
    yield ("export", "any", "-o", "runs.csv")
    yield ("export", "any", "--curves", "-o", "curves.csv")
    yield ("export", "any", "--to", "csv", "long.csv")
    for table in ("runs", "curves", "long"):
        yield ("judge", f"{table}.csv")
        yield ("judge", f"{table}.csv", "--target", "0.2", "--better", "higher")
        yield ("import", f"{table}.csv", "--as", table)
        yield ("report", table, "-o", f"{table}.html")
        yield ("compare", table, first, last)
        yield ("plot", "all", table, "-o", f"pictures of {table}")
    yield ("recommend", "--task", "mnist1d-mlp")
    yield ("status",)


def has_an_answer(command: tuple[str, ...]) -> bool:
    """Whether a command is about what was trained here, and asks for what each study has.

    Rows that all diverged are not compared, and two tasks are no one ranking.
    """
    return bool({"any", "any.toml"} & {*command}) and command[0] != "compare" and command[:2] != ("plot", "ranking")


@pytest.mark.parametrize("name", STUDIES)
def test_every_view_of_a_study_has_an_answer_or_a_sentence(name: str, lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "any.toml").write_text(STUDIES[name])
    first_run = lrbench("run", "any.toml", "--workers", "1")
    assert first_run.exit_code == 0, first_run.output
    exported = json.loads(lrbench("export", "any", "--json").stdout)["runs"]
    rows = [" + ".join(filter(None, (run["name"], run["modifier"], run.get("setting")))) for run in exported]
    shown = {command: lrbench(*command) for command in views(rows[0], rows[-1])}
    unforeseen = [
        (command, result.output)
        for command, result in shown.items()
        if not isinstance(result.exception, SystemExit | None) or "in a way it should not" in result.output
    ]
    assert not unforeseen
    assert not [command for command, result in shown.items() if result.exit_code and has_an_answer(command)]
