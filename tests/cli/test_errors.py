"""How commands end, in processes of their own where the process is what matters."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from lrbench import __version__

Command = Callable[..., Result]

HEAVY = {"torch", "torchvision", "optuna", "matplotlib", "pandas", "scipy.stats", "sqlalchemy"}


def loaded(arguments: list[str], folder: Path) -> set[str]:
    """The modules that a process has loaded after this command line."""
    code = (
        "import sys\n"
        "from lrbench.cli import main\n"
        f"sys.argv = ['lrbench', *{arguments!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print('loaded', *sys.modules, file=sys.stderr)\n"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return set(process.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["list", "functions"],
        ["list", "policies"],
        ["show", "lrbench13", "--steps", "100"],
        ["guide", "verdicts"],
    ],
    ids=" ".join,
)
def test_looking_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    modules = loaded(arguments, tmp_path)

    assert "lrbench.cli" in modules
    assert not modules & HEAVY


CALLS = """
import sys
from lrbench.cli import main

assert False, "assertions are off"
for line in sys.stdin.read().splitlines():
    sys.argv = ["lrbench", *line.split()]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


def test_everything_works_without_docstrings_and_assertions(tiny_study: Path) -> None:
    lines = ("list functions", "list modifiers", "run tiny.toml --workers 1", "report tiny -o tiny.html")
    command = [sys.executable, "-OO", "-c", CALLS]
    process = subprocess.run(
        command, input="\n".join(lines), cwd=tiny_study.parent, capture_output=True, text=True, check=False
    )

    assert process.returncode == 0, process.stderr
    assert all(word in process.stdout for word in ("TRIEXP", "PSWA", "4 trained"))
    assert "FIX: None" not in (tiny_study.parent / "tiny.html").read_text()


WITHOUT_RAY = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "ray":
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Blocker())
"""


def test_ray_that_is_not_installed_is_noticed_before_a_store_is_made(tiny_study: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(WITHOUT_RAY)
    command = [sys.executable, "-m", "lrbench", "run", str(tiny_study), "--workers", "ray", "--store", "new.db"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    sentence = "Error: workers on Ray need it installed: pip install 'lrbench[ray]'\n"
    assert (process.returncode, process.stderr) == (2, sentence)
    assert not (tmp_path / "new.db").exists()


def test_help_loads_no_numpy(tmp_path: Path) -> None:
    assert "numpy" not in loaded(["--help"], tmp_path)


@pytest.mark.parametrize(("arguments", "first"), [("list functions", "function"), ("show --help", " ")])
def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path, arguments: str, first: str) -> None:
    command = f"{sys.executable} -m lrbench {arguments} | head -n 1; echo ${{PIPESTATUS[0]}}"

    process = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert process.stdout.splitlines()[0].startswith(first)
    assert process.stdout.splitlines()[1] in ("0", "141")
    assert process.stderr == ""


def test_a_terminal_without_unicode_gets_question_marks(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "lrbench", "show", "FIX(k0=0.1)"],
        cwd=tmp_path,
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
    )

    assert (process.returncode, process.stderr) == (0, b"")
    assert b"?" in process.stdout


def test_the_version_is_that_of_the_package(lrbench: Command) -> None:
    assert lrbench("--version").stdout == f"lrbench {__version__}\n"


def test_without_a_command_there_is_help(lrbench: Command) -> None:
    result = lrbench()

    assert result.exit_code == 0
    assert all(command in result.stdout for command in ("run", "score", "show", "list", "compare", "export"))


@pytest.mark.parametrize("command", ["run", "score", "show", "list", "guide", "compare", "export"])
def test_every_command_explains_itself_with_examples(lrbench: Command, command: str) -> None:
    result = lrbench(command, "--help")

    assert result.exit_code == 0
    assert f"lrbench {command} " in result.stdout.split("Examples:")[1]
    assert "--debug" in result.stdout


@pytest.mark.parametrize("command", ["run", "score"])
def test_training_commands_have_every_option_of_training(lrbench: Command, command: str) -> None:
    text = lrbench(command, "--help").stdout

    options = (
        "store",
        "data-root",
        "download",
        "device",
        "workers",
        "engine",
        "plugin",
        "json",
        "debug",
        "steps",
        "seeds",
    )
    assert all(f"--{option}" in text for option in options)


FAULTY_PLUGIN = """
from lrbench.tasks import register_task


@register_task("faulty")
def faulty():
    \"\"\"A task whose settings fail when they are looked at.\"\"\"
    raise KeyError("not my day")
"""


def test_a_bug_is_one_sentence_with_code_70(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY_PLUGIN)

    result = lrbench("list", "tasks", "--plugin", "faulty.py")

    assert result.exit_code == 70
    assert result.stderr.splitlines() == [
        "Error: lrbench has failed in a way it should not (KeyError: 'not my day'); "
        "run again with --debug for the traceback"
    ]


def test_a_file_that_the_system_does_not_let_be_used_is_one_sentence(lrbench: Command, tmp_path: Path) -> None:
    refusal = "PermissionError(13, 'Permission denied', '/some/file')"
    (tmp_path / "faulty.py").write_text(FAULTY_PLUGIN.replace('KeyError("not my day")', refusal))

    result = lrbench("list", "tasks", "--plugin", "faulty.py")

    assert (result.exit_code, result.stderr) == (2, "Error: /some/file cannot be used: Permission denied\n")
