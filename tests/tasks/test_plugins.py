"""A plugin is a user's Python file, executed once, whose decorators add names."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrbench.errors import DataError, TaskError
from lrbench.tasks import load_plugin, load_task, make_task, register_dataset, register_model, settings_from_dict

PLUGIN = """
import torch
from torch import nn
from lrbench.tasks import Choice, RawData, Split, TaskSettings, register_dataset, register_model, register_task

width = {width}

@register_model("{prefix}-net")
def net(input_shape, num_classes, *, depth=1):
    "A network of the user's own."
    return nn.Sequential(nn.Linear(input_shape[0], width), nn.ReLU(), nn.Linear(width, num_classes))

@register_dataset("{prefix}-data")
def data(root, download, *, samples=60):
    "Data of the user's own."
    split = Split(torch.arange(3.0 * samples).reshape(samples, 3), torch.arange(samples) % 2)
    return RawData(split, split, 2)

@register_task("{prefix}-task")
def task():
    "A task of the user's own."
    return TaskSettings(name="{prefix}-task", dataset=Choice("{prefix}-data"), model=Choice("{prefix}-net"), steps=9,
                        batch_size=8)
"""


def write_plugin(folder: Path, prefix: str, width: int = 4) -> Path:
    path = folder / "my_tasks.py"
    path.write_text(PLUGIN.format(prefix=prefix, width=width))
    return path


def test_a_plugins_names_are_used_like_the_registered_ones(tmp_path: Path) -> None:
    load_plugin(write_plugin(tmp_path, "own"))
    task = load_task("own-task")
    assert task.data.num_classes == 2
    table = {"dataset": {"kind": "own-data", "samples": 20}, "model": "own-net", "steps": 5, "batch_size": 4}
    assert len(make_task(settings_from_dict(table)).data.train) == 16


def test_a_plugin_is_executed_once(tmp_path: Path) -> None:
    path = tmp_path / "counting.py"
    path.write_text("import pathlib\nwith pathlib.Path(__file__).with_name('log').open('a') as f: f.write('x')")
    load_plugin(path)
    load_plugin(str(path))
    assert (tmp_path / "log").read_text() == "x"


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "taken.py"
    path.write_text("from lrbench.tasks import register_model\n@register_model('mlp')\ndef f(s, n): ...")
    with pytest.raises(TaskError, match=r"the plugin .*taken.py: the model 'mlp' is registered already"):
        load_plugin(path)


def test_the_module_that_registered_a_name_may_register_it_again() -> None:
    for _ in range(2):

        @register_model("test-again")
        def build(input_shape: tuple[int, ...], num_classes: int) -> None: ...


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\nimport no_such_module_at_all", "fails at line 2: ModuleNotFoundError: No module named"),
        ("def f():\n    raise ValueError('bad\\nthing')\n\nf()", "fails at line 2: ValueError: bad thing"),
        ("def f(:", "fails: SyntaxError"),
        ("raise SystemExit(3)", "fails at line 1: SystemExit: 3"),
    ],
)
def test_a_plugin_that_fails_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "failing.py"
    path.write_text(content)
    with pytest.raises(TaskError, match=message) as refusal:
        load_plugin(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_plugin_that_failed_can_be_mended_and_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "mended.py"
    path.write_text("raise ValueError")
    with pytest.raises(TaskError):
        load_plugin(path)
    path.write_text("loaded = True")
    load_plugin(path)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda root, download: 1 / 0, "dataset 'test-broken' fails: ZeroDivisionError: division by zero"),
        (lambda root, download: [1], "dataset 'test-broken' returns a list where RawData is needed"),
    ],
)
def test_a_users_dataset_that_fails_is_named(function: Callable[..., Any], message: str) -> None:
    register_dataset("test-broken")(function)
    with pytest.raises(DataError, match=message):
        make_task(settings_from_dict({"dataset": "test-broken", "model": "mlp", "steps": 1}))


@pytest.mark.parametrize("kind", ["npz", "image_folder"])
def test_a_path_that_is_no_text_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match=f"dataset '{kind}' fails: TypeError"):
        make_task(settings_from_dict({"dataset": {"kind": kind, "path": 3}, "model": "mlp", "steps": 1}))


@pytest.mark.parametrize("name", ["none.py", ".", "notes.txt"])
def test_what_is_no_python_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(TaskError, match=r"there is no plugin file|must be a Python file"):
        load_plugin(tmp_path / name)


def test_a_plugins_task_has_one_key_in_every_process_and_another_after_an_edit(tmp_path: Path) -> None:
    def key_in_a_new_process() -> str:
        program = f"from lrbench.tasks import *; load_plugin({str(path)!r}); print(load_task('keyed-task').key)"
        command = [sys.executable, "-c", program]
        run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        return run.stdout.strip()

    path = write_plugin(tmp_path, "keyed", width=4)
    load_plugin(path)
    assert load_task("keyed-task").key == key_in_a_new_process()
    write_plugin(tmp_path, "keyed", width=5)
    assert load_task("keyed-task").key != key_in_a_new_process()
