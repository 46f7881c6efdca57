"""A decorated function is a task with a name, a budget and an identity."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrbench
from lrbench.errors import LRBenchError, TaskError
from lrbench.policy import parse
from lrbench.study.file import load_study
from lrbench.tasks import SGD, Task, TrainingFunction, load_plugin, load_task, task_of
from tests.registries import forget_registrations


@pytest.fixture(autouse=True)
def _registries(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_registrations(monkeypatch)


def nothing(run: lrbench.TrainingRun) -> None:
    """Train nothing at all."""


def task(function: Callable[[lrbench.TrainingRun], object] = nothing, **settings: Any) -> TrainingFunction:
    return lrbench.trainable(**{"name": "mine", "steps": 300, **settings})(function)


def test_settings_that_are_not_given_are_sensible() -> None:
    asked = task()

    assert (asked.eval_every, asked.objective, asked.better, asked.chance) == (15, "loss", "lower", None)
    assert task(better="higher").objective == "score"
    assert (task(objective="top1").better, task(objective="top1").bounds) == ("higher", (0.0, 1.0))
    assert (
        str(asked) == "mine: a training function, judged by loss, lower is better\n300 iterations, evaluated every 15"
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": ""}, r"trainable: name = '' must be a text"),
        ({"objective": 3}, r"trainable: objective = 3 must be a text"),
        ({"steps": 0}, r"task 'mine': steps = 0 must be an integer >= 1"),
        ({"steps": 10, "eval_every": 20}, r"task 'mine': eval_every = 20 is more than steps = 10"),
        ({"steps_per_epoch": 0.5}, r"task 'mine': steps_per_epoch = 0.5 must be an integer >= 1"),
        ({"objective": "top1", "better": "lower"}, r"task 'mine': top1 is better where it is higher: name another obj"),
        ({"better": "more"}, r"""task 'mine': better = 'more' must be "higher" or "lower\""""),
        ({"chance": float("nan")}, r"task 'mine': chance = nan must be a finite number"),
        ({"chance": 2.0, "bounds": (0.0, 1.0)}, r"task 'mine': chance = 2.0 must lie within bounds = \(0.0, 1.0\)"),
        ({"divergence_factor": 1}, r"task 'mine': divergence_factor = 1 must be a finite number above 1"),
        ({"margin": -1}, r"task 'mine': margin = -1 must be a finite number from 0 on"),
        ({"bounds": 1}, r"task 'mine': bounds = 1 must be a pair of numbers, None for an open end"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        task(**settings)


def test_the_decorator_without_its_arguments_is_explained() -> None:
    with pytest.raises(TaskError, match="trainable decorates a function of a run, not 3"):
        lrbench.trainable(name="mine", steps=3)(3)  # type: ignore[arg-type]


def test_a_function_that_does_not_take_a_run_is_refused_before_it_is_called() -> None:
    with pytest.raises(TaskError, match="task 'mine': the function must take a run and nothing else: too many pos"):
        task(lambda: None)  # type: ignore[arg-type, misc]
    with pytest.raises(TaskError, match="the function must take a run and nothing else: missing a required argument"):
        task(lambda run, more: None)  # type: ignore[arg-type, misc]


def other_code(run: lrbench.TrainingRun) -> None:
    run.report(1, val=0.0)


def test_a_task_is_known_by_its_code_its_settings_and_its_version() -> None:
    known = task().key

    assert task(name="another name").key == known
    assert task(chance=3.0).key != known, "a loss of ten times that of chance is divergence"
    assert task(chance=3.0, divergence_factor=None).key != task(chance=3.0).key
    assert task(chance=0.1, better="higher").key == task(better="higher").key, "of a score it is only shown"
    assert task().with_budget(300).key == known
    others = [task(other_code), task(steps=100), task(eval_every=30), task(version="1"), task(better="higher")]
    assert len({known, *(other.key for other in others)}) == 6
    assert task(divergence_factor=10.0).key == known, "runs from before there was a factor stay known"
    assert len({known, task(divergence_factor=None).key, task(divergence_factor=5.0).key}) == 3
    assert task(other_code, version="1").key == task(version="1").key, "a version stands for the code"
    assert task(name="another name", version="1").key != task(version="1").key, "of the function of this name"


def test_data_that_the_code_reads_is_part_of_what_a_task_is_known_by() -> None:
    def over(data: np.ndarray[Any, Any]) -> TrainingFunction:
        return task(lambda run: run.report(300, val=float(data.sum())))

    assert over(np.zeros(3)).key == over(np.zeros(3)).key != over(np.ones(3)).key


def test_code_that_has_no_identity_needs_a_version() -> None:
    stream = open(__file__)  # noqa: SIM115
    with stream, pytest.raises(TaskError, match=r"task 'mine': a _io.TextIOWrapper cannot be fingerprinted"):
        assert task(lambda run: stream.read()).key


def test_another_budget_is_evaluated_as_often() -> None:
    assert task(eval_every=50).with_budget(60).eval_every == 10
    with pytest.raises(TaskError, match="task 'mine' is a training function and has no setting 'batch_size'"):
        task().with_(batch_size=3)


def test_lengths_in_epochs_need_the_length_of_an_epoch() -> None:
    policy = parse("STEP(k0=0.1, gamma=0.1, l=2ep)")

    with pytest.raises(LRBenchError, match=r"l=2ep cannot be an epoch's length: task 'mine' has none, give trainable"):
        lrbench.Study(task=task(), policies=[policy], seeds=1)
    assert task(steps_per_epoch=50).bind(policy).lrs(99, 101).tolist() == pytest.approx([0.1, 0.01])


PLUGIN = '''
import lrbench

@lrbench.trainable(name="from-a-plugin", steps=20, eval_every=10, better="higher", objective="score")
def train(run: lrbench.TrainingRun) -> None:
    """Count the iterations."""
    for step in (10, 20):
        run.report(step, val=step * run.lr(step))
'''


def test_a_plugin_names_a_task_for_study_files(tmp_path: Path) -> None:
    plugin, study = tmp_path / "mine.py", tmp_path / "mine.toml"
    plugin.write_text(PLUGIN)
    load_plugin(plugin)
    study.write_text(
        'policies = ["FIX(k0=0.1)"]\nseeds = 1\n[task]\nbase = "from-a-plugin"\nname = "short"\nsteps = 10\n'
    )

    (asked,) = load_study(study).tasks
    assert (asked.name, asked.steps, asked.eval_every) == ("short", 10, 5)
    assert task_of("from-a-plugin").steps == 20
    with pytest.raises(TaskError, match="has no setting 'optimizer'; it has name, steps, eval_every"):
        task_of({"base": "from-a-plugin", "optimizer": "SGD"})
    with pytest.raises(TaskError, match="task 'from-a-plugin' is made in Python, and has no settings of a network"):
        load_task("from-a-plugin")


def test_a_task_made_in_python_is_a_base_by_its_name(tmp_path: Path) -> None:
    plugin, study = tmp_path / "python_task.py", tmp_path / "study.toml"
    plugin.write_text(
        "import torch\nimport lrbench\nfrom lrbench.tasks import register_task\n\n"
        "x, y = torch.randn(60, 4), torch.arange(60) % 3\n\n\n"
        '@register_task("python-task")\ndef python_task():\n'
        "    data = lrbench.Data.from_arrays((x, y), (x, y))\n"
        '    return lrbench.Task(name="mine", model=lambda: torch.nn.Linear(4, 3), data=data, steps=20, batch_size=8)\n'
    )
    load_plugin(plugin)
    study.write_text(
        'policies = ["FIX(k0=0.1)"]\nseeds = 1\n[task]\nbase = "python-task"\nsteps = 10\n'
        "optimizer = { weight_decay = 0.1 }\n"
    )

    (asked,) = load_study(study).tasks
    assert isinstance(asked, Task)
    assert (asked.steps, asked.optimizer) == (10, SGD(momentum=0.9, weight_decay=0.1))


def test_a_name_that_another_module_has_taken_is_refused() -> None:
    with pytest.raises(TaskError, match="the task 'mnist1d-mlp' is registered already: choose another name"):
        task(name="mnist1d-mlp")
