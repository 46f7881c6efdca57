"""Axes of a study: settings of its tasks that every policy is trained at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lrbench.errors import StudyError
from lrbench.store import open_store
from lrbench.study.export import export
from lrbench.study.file import load_study
from lrbench.study.results import results
from lrbench.study.study import Study
from lrbench.tasks import Adam, Task
from lrbench.tasks.optimizers import optimizer_named
from lrbench.training.plan import plan
from lrbench.training.runner import run

Make = Callable[..., Study]


def keys(study: Study) -> set[str]:
    return {run.key for run in plan(study).runs}


def test_each_combination_but_the_tasks_own_is_a_row_with_each_policy(study: Make, task: Task) -> None:
    made = study("FIX(k0=0.1)", "FIX(k0=0.05)", axes={"weight_decay": [0.0, 0.5], "batch_size": [8, 16]})

    assert [variant.name for variant in made.variants] == [
        "",
        "weight_decay=0.0, batch_size=8",
        "weight_decay=0.5, batch_size=8",
        "weight_decay=0.5, batch_size=16",
    ]
    assert len(plan(made).runs) == len(keys(made)) == 4 * 2 * 2
    changed = made.trained["thirds", "weight_decay=0.5, batch_size=8"]
    assert isinstance(changed, Task)
    assert (changed.name, changed.batch_size, changed.steps) == ("thirds", 8, task.steps)


def test_the_runs_of_a_setting_are_those_of_a_task_that_has_it(study: Make, task: Task) -> None:
    made = study("FIX(k0=0.1)", axes={"optimizer": ["Adam", {"kind": "NAdam", "eps": 0.1}], "weight_decay": [0.5]})

    assert [v.name for v in made.modifiers] == [
        "optimizer=Adam, weight_decay=0.5",
        "optimizer=NAdam(eps=0.1), weight_decay=0.5",
    ]
    for optimizer in (Adam(weight_decay=0.5), optimizer_named("NAdam", {"eps": 0.1, "weight_decay": 0.5})):
        assert keys(study("FIX(k0=0.1)", tasks=(task.with_(optimizer=optimizer),))) < keys(made)


def test_verdicts_are_about_pairs_of_policy_and_setting_and_the_store_answers_the_runs(
    study: Make, task: Task, tmp_path: Path
) -> None:
    made = study("FIX(k0=0.1)", "FIX(k0=0.05)", axes={"batch_size": [4]}, seeds=(0, 1), confirm=2)
    with open_store(tmp_path / "runs.db") as store:
        run(made, store, workers=1)
        answer = results("small", store)
        (found,) = answer.tasks
        rows = {found.rows[card.name]: card.verdict for card in found.scorecards}
        exported = export("small", store)
        alone = run(study("FIX(k0=0.1)", tasks=(task.with_(batch_size=4),), name="alone"), store, workers=1)

    pairs = {(policy, variant) for policy in ("FIX(k0=0.1)", "FIX(k0=0.05)") for variant in ("", "batch_size=4")}
    assert set(rows) == pairs
    assert all(verdict is not None for verdict in rows.values())
    assert {effect.modifier for effect in found.effects} == {"batch_size=4"}
    shown = str(answer)
    assert {line.split()[:2] == ["policy", "setting"] for line in shown.splitlines() if "verdict" in line} == {True}
    assert "setting, policy" in shown
    assert set(zip(exported["modifier"], exported["setting"], strict=True)) == {("", ""), ("", "batch_size=4")}
    assert (alone.trained, alone.cached) == (0, 2)


def test_a_policy_in_epochs_follows_the_batch_size(study: Make) -> None:
    made = study("STEP(k0=0.1, gamma=0.5, l=1ep)", axes={"batch_size": [60]}, seeds=(0,))
    halved = {run.variant.name: int((run.lrs == 0.1).sum()) for run in plan(made).runs}
    assert halved == {"": 7, "batch_size=60": 2}  # of 120 train samples, 16 or 60 a batch


def test_groups_are_an_axis_whose_rows_are_named_by_their_rules(study: Make, task: Task, tmp_path: Path) -> None:
    groups = {"4.*": 10.0, "ndim<2": {"weight_decay": 0}}
    made = study("FIX(k0=0.05)", axes={"groups": [{}, groups]}, seeds=(0,))

    assert [variant.name for variant in made.variants] == ["", "groups=(4.*=10.0, ndim<2=(weight_decay=0))"]
    assert keys(study("FIX(k0=0.05)", tasks=(task.with_(groups=groups),), seeds=(0,))) < keys(made)
    with open_store(tmp_path / "runs.db") as store:
        run(made, store, workers=1)
        (answer,) = results("small", store).tasks
    assert {variant for _, variant in answer.rows.values()} == {variant.name for variant in made.variants}


def test_a_study_file_has_axes(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('task = "mnist1d-mlp"\npolicies = ["FIX(k0=0.1)"]\naxes = { momentum = [0.0, 0.5] }\n')
    assert [variant.name for variant in load_study(file).modifiers] == ["momentum=0.0", "momentum=0.5"]


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ({"weight_decy": [1]}, r"axes: weight_decy=1: optimizer 'SGD' has no option 'weight_decy' \(did you mean"),
        ({"steps": [1]}, "axes: steps=1: steps must be the same for all policies; what may differ is model, optimizer"),
        ({"batch_size": []}, r"axes: batch_size = \[\] must be a list of at least one value"),
        ({"batch_size": [0]}, "axes: batch_size=0: task 'thirds': batch_size = 0 must be an integer >= 1"),
        ({"batch_size": 4}, r'axes = {"batch_size": 4} must be a table with a list of values for each setting'),
        ({"momentum": [0.5, 0.5]}, "modifier 'momentum=0.5' is given 2 times"),
        ({"momentum": list(range(1000)), "batch_size": list(range(1000))}, "asks for 1,000,000 runs, more than"),
    ],
)
def test_an_axis_that_cannot_be_is_refused_in_a_sentence(study: Make, axes: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError, match=says) as raised:
        study("FIX(k0=0.1)", axes=axes)
    assert "\n" not in str(raised.value)


def test_an_optimizer_function_has_no_options(study: Make, task: Task) -> None:
    own = task.with_(optimizer=lambda params: torch.optim.SGD(params, lr=1.0))
    with pytest.raises(StudyError, match="the optimizer function <lambda> has no options; name an optimizer instead"):
        study("FIX(k0=0.1)", tasks=(own,), axes={"momentum": [0.5]})
