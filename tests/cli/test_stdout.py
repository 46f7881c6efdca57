"""What reaches stdout while a user's code runs, in processes of their own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Command = Callable[..., Result]

LOUD = """
import os, sys
from torch import nn
from lrbench.tasks import register_model

def shout(what):
    print("printed", what)
    sys.__stdout__.write("printed " + what + chr(10))
    os.write(1, f"written {what}\\n".encode())
    os.system(f"echo from a child {what}")
    os.chdir("/")

shout("by the plugin")


@register_model("loud")
class Loud(nn.Module):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.layer = nn.Linear(input_shape[-1], num_classes)

    def forward(self, inputs):
        shout("by the model")
        return self.layer(inputs.flatten(1))
"""

STUDY = """
seeds = 2
[task]
base = "mnist1d-mlp"
model = "loud"
steps = 2
[[policies]]
policy = "FIX(k0=0.1)"
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_users_code_prints_on_stderr_and_leaves_no_relative_path_behind(tmp_path: Path, workers: str) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    (tmp_path / "loud.toml").write_text(STUDY)
    command = [sys.executable, "-m", "lrbench", "run", "loud.toml", "--plugin", "loud.py", "--store", "a.db", "--json"]

    done = subprocess.run([*command, "--workers", workers], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"]["trained"] == 2
    for who in ("plugin", "model"):
        for how in ("printed", "written", "from a child"):
            assert f"{how} by the {who}" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} >= {"a.db", "loud.py", "loud.toml"}


LEAVING = """
import sys
from lrbench.tasks import register_task

print("hello")


@register_task("leaving")
def leaving():
    \"\"\"A task that leaves.\"\"\"
    sys.exit(0)
"""


def test_code_that_exits_while_a_command_looks_is_an_error_of_one_sentence(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text(LEAVING)

    result = lrbench("list", "tasks", "--plugin", "leaving.py", "--json")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == ["hello", "Error: code that lrbench was given called sys.exit(0)"]
