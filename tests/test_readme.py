import re
import subprocess
import sys
from pathlib import Path

import pytest

import lrbench

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = {language: re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) for language in ("python", "toml", "sh")}
PROGRAMS = [block for block in BLOCKS["python"] if not block.startswith("#")]


def named_block(language: str, name: str) -> str:
    (block,) = (block for block in BLOCKS[language] if block.startswith(f"# {name}\n"))
    return block


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.strip().splitlines()[0])
def test_the_python_examples_run_as_written(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {})


def test_the_study_with_a_plugin_runs_as_written(tmp_path: Path) -> None:
    (tmp_path / "my_tasks.py").write_text(named_block("python", "my_tasks.py"))
    (tmp_path / "my_study.toml").write_text(named_block("toml", "my_study.toml"))
    (command,) = (block.strip() for block in BLOCKS["sh"] if "--plugin" in block)
    program, *arguments = command.split()
    assert program == "lrbench"
    said = subprocess.run(
        [sys.executable, "-m", "lrbench", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "21 trained" in said.stdout


def test_the_study_with_training_methods_runs_as_written(tmp_path: Path) -> None:
    (tmp_path / "modifiers.toml").write_text(named_block("toml", "modifiers.toml"))
    outcome = lrbench.run(tmp_path / "modifiers.toml", store=tmp_path / "runs.db")
    assert outcome.tally.failed == 0
    # two policies x three seeds, as they are, with two settings of PSWA, with PLP and EMA, and with their control
    assert outcome.tally.total == 2 * 3 * 5


def test_the_study_at_the_peak_of_a_range_test_runs_as_written(tmp_path: Path) -> None:
    (tmp_path / "fitted.toml").write_text(named_block("toml", "fitted.toml"))
    outcome = lrbench.run(tmp_path / "fitted.toml", store=tmp_path / "runs.db")
    assert (outcome.tally.trained, outcome.tally.failed) == (13 * 3, 0)
