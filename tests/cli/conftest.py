from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lrbench.cli import app
from tests.registries import forget_registrations

Command = Callable[..., Result]

TINY_STUDY = """
description = "two policies, two seeds, forty iterations"
seeds = 2
target = 0.2

[task]
base = "mnist1d-mlp"
steps = 40
eval_every = 20

[[policies]]
policy = "FIX(k0=0.1)"
name = "flat"

[[policies]]
policy = "STEP(k0=0.1, gamma=0.1, l=0.5dur)"
name = "stepped"
"""


@pytest.fixture(autouse=True)
def _own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test's plugin registers is forgotten after the test."""
    forget_registrations(monkeypatch)


@pytest.fixture
def lrbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line in this process, called in a folder of its own: `lrbench("run", "tiny.toml")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)

    def call(*arguments: str | Path, color: bool = False) -> Result:
        env = {"FORCE_COLOR": "1" if color else None, "COLUMNS": "100"}
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)

    return call


@pytest.fixture
def tiny_study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_STUDY)
    return path


OWN_MODIFIER = '''
from dataclasses import dataclass

from lrbench.modifiers import Bounds, Modifier, number, register_modifier


@register_modifier
@dataclass(frozen=True)
class SHRINK(Modifier):
    """Every iteration, shrink all weights."""

    share: float = number("what is taken off", unit="of a weight", bounds=Bounds(0, 1), default=0.5)

    def after_step(self, training, memory):
        for weight in training.weights.values():
            weight.mul_(1 - self.share)
'''


@pytest.fixture
def own_modifier(tmp_path: Path) -> Path:
    """A plugin with a modifier that nothing can learn with at its defaults."""
    path = tmp_path / "shrink.py"
    path.write_text(OWN_MODIFIER)
    return path
