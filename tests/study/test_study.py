"""A study from Python: the words of study files, each as a text, a value or a table, and one sentence for the rest."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrbench.engine.modifier import Watcher
from lrbench.errors import LRBenchError, StudyError, TaskError
from lrbench.metrics import BASE_LR_SCALES
from lrbench.modifiers import EMA, PLP
from lrbench.policy import FIX, TABLE, TRI, catalog
from lrbench.study.file import load_study
from lrbench.study.study import Study, StudyPolicy
from lrbench.study.variant import Variant
from lrbench.tasks import Task
from lrbench.training.plan import plan

FLAT = FIX(k0=0.1)
NO_POLICY: Any = 3


def names(study: Study) -> list[tuple[str, object]]:
    return [(policy.name, policy.policy) for policy in study.policies]


def test_policies_are_texts_or_values_by_their_names(task: Task) -> None:
    wave = TRI(k0=0.01, k1=0.1, l=5)

    study = Study(policies={"flat": "FIX(k0=0.1)", "wave": wave}, task=task, seeds=3)

    assert names(study) == [("flat", FLAT), ("wave", wave)]
    assert study.seeds == (0, 1, 2)
    assert study == Study(policies=[StudyPolicy("flat", FLAT), StudyPolicy("wave", wave)], tasks=(task,), seeds=3)


def test_policies_of_a_list_are_called_by_their_texts(task: Task) -> None:
    study = Study(policies=["FIX( k0 = 1e-1 )", FIX(k0=0.2), {"policy": "FIX(k0=0.3)", "name": "high"}], task=task)

    assert [name for name, _ in names(study)] == ["FIX(k0=0.1)", "FIX(k0=0.2)", "high"]


def test_functions_of_the_iteration_and_lists_of_lrs_are_policies(task: Task) -> None:
    def halved(t: int) -> float:
        return 0.1 * 0.5 ** (t // 10)

    listed = [halved(t) for t in range(80)]
    factor = {"policy": halved, "peak": "auto"}
    policies: Any = [halved, {"policy": halved, "name": "the same"}, {"policy": listed, "name": "listed"}, factor]

    study = Study(policies=policies[:3], tasks=[task, task.with_(name="long", steps=80)], seeds=2)

    assert [name for name, _ in names(study)] == ["halved", "the same", "listed"]
    assert {policy for _, policy in names(study)} == {TABLE(values=listed)}
    assert len({run.key for run in plan(study).runs}) == 2 * 2
    stepped = Study(policies=["STEP(k0=0.1, gamma=0.5, l=10)"], task=task, seeds=2)
    assert {run.key for run in plan(stepped).runs} < {run.key for run in plan(study).runs}
    assert Study(policies=policies[3:], task=task).auto_peaks == ("halved",)
    flat = Study(policies={"mine": lambda t: 0.1, "array": np.full(40, 0.1)}, task=task)
    assert names(flat) == [("mine", TABLE(values=[0.1] * 40)), ("array", TABLE(values=[0.1] * 40))]
    with pytest.raises(StudyError, match="study: policy 'mine': the function of the iteration fails for iteration 7"):
        Study(policies={"mine": lambda t: 1 / (7 - t)}, task=task)
    with pytest.raises(StudyError, match=r"policy 'short' on task 'thirds': .* has LRs for 2 iterations, and"):
        Study(policies={"short": [0.1, 0.2]}, task=task)


def test_a_catalog_is_its_policies_by_their_names(task: Task) -> None:
    modern = catalog("modern")

    study = Study(policies=modern, task=task, steps=1000)

    assert names(study) == [(name, entry.policy) for name, entry in modern.items()]
    assert study.policies == Study(policies=[{"catalog": "modern"}], task=task, steps=1000).policies


def test_a_peak_can_be_left_to_a_range_test(task: Task) -> None:
    assert Study(policies={"flat": {"policy": "FIX(k0=0.1)", "peak": "auto"}}, task=task).auto_peaks == ("flat",)


def test_modifiers_are_texts_values_combinations_and_grids(task: Task) -> None:
    both: list[Watcher | str] = ["PLP()", EMA(decay=0.9)]
    grid = {"modifier": "EMA", "decay": [0.5, 0.9]}

    study = Study(policies=[FLAT], task=task, modifiers=["PLP", EMA(decay=0.99), both, grid])

    parts = [(PLP(),), (EMA(decay=0.99),), (PLP(), EMA(decay=0.9)), (EMA(decay=0.5),), (EMA(decay=0.9),)]
    assert study.modifiers == tuple(map(Variant.of, parts))
    assert Study(policies=[FLAT], task=task, modifiers={"average": "EMA()"}).modifiers[0].name == "average"


def test_a_file_and_python_say_the_same_in_the_same_words(tmp_path: Path, task: Task) -> None:
    text = """
    task = "mnist1d-mlp"
    policies = {flat = "FIX(k0=0.1)", high = "FIX(k0=0.2)"}
    modifiers = ["PLP()", ["PLP()", "EMA(decay=0.9)"]]
    seeds = [0, 5, 9]
    margin = 0.02
    target = 0.5
    confirm = 2
    steps = 100
    base_lr_scales = true
    """
    path = tmp_path / "same.toml"
    path.write_text(text)
    seeds: Any = np.array([0, 5, 9])

    read = load_study(path)

    assert read.tasks[0].steps == 100
    assert replace(read, tasks=(task,)) == Study(
        name="same",
        task=task,
        policies={"flat": "FIX(k0=0.1)", "high": "FIX(k0=0.2)"},
        modifiers=["PLP()", ["PLP()", "EMA(decay=0.9)"]],
        seeds=seeds,
        margin=np.float64(0.02),
        target=0.5,
        confirm=2,
        base_lr_scales=BASE_LR_SCALES,
    )


def test_tasks_are_named_described_or_given(task: Task) -> None:
    described = {"base": "mnist1d-mlp", "name": "small", "model": {"hidden": [10]}}

    study = Study(policies=[FLAT], tasks=[task, "mnist1d-mlp", described], steps=50)

    assert [(one.name, one.steps) for one in study.tasks] == [("thirds", 50), ("mnist1d-mlp", 50), ("small", 50)]


def test_a_study_without_a_name_is_called_by_what_it_compares(task: Task) -> None:
    many = [f"FIX(k0=0.{digit})" for digit in range(1, 8)]

    assert Study(policies={"flat": FLAT}, task=task).name == "flat on thirds"
    assert Study(policies=many, task=task).name == f"{', '.join(many[:4])}, 3 more on thirds"


def test_a_study_is_a_frozen_value(task: Task) -> None:
    two: Any = 2
    named: Any = ["mnist1d-mlp"]
    study = Study(policies={"flat": FLAT}, task=task, modifiers=["EMA()"])

    assert replace(study) == study
    assert replace(study, seeds=two).seeds == (0, 1)
    assert pickle.loads(pickle.dumps(replace(study, tasks=named))).policies == study.policies
    with pytest.raises(AttributeError):
        del study.name


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"policies": "FIX(k0=0.1)"}, 'policies = "FIX(k0=0.1)" must be a list, or a table with a name for each'),
        ({"policies": [3]}, 'policy 1: 3 must be a policy, its text such as "FIX(k0=0.1)"'),
        ({"policies": {"a": None}}, "policy 'a': None must be a policy"),
        ({"policies": ["FOX(k0=1)"]}, "policy 1: there is no LR function named 'FOX' (did you mean 'FIX'?)"),
        ({"policies": [StudyPolicy("a", NO_POLICY)]}, "policy 1: 3 must be a policy"),
        ({"policies": {"a": {"function": "FIX", "k0": [0.1, 0.2]}}}, "policy 'a' is given 2 times"),
        ({"policies": [{"polcy": "FIX(k0=0.1)"}]}, "one of the keys catalog, policy, lrbench, function"),
        ({"policies": ["STEP(k0=0.1, gamma=0.1, l=0.001dur)"]}, "on task 'thirds': STEP: l does not fit"),
        ({"modifiers": "PLP()"}, 'modifiers = "PLP()" must be a list'),
        ({"modifiers": [3]}, 'modifier 1: 3 must be a modifier, or its text such as "PLP()"'),
        ({"modifiers": [["EMA()", 3]]}, "modifier 1: 3 must be a modifier"),
        ({"modifiers": ["PLQ()"]}, "modifier 1: there is no modifier named 'PLQ'"),
        ({"seeds": "3"}, 'seeds = "3" must be a number of seeds, a list of them, or a range such as'),
        ({"seeds": [0, 0.5]}, "seeds = [0, 0.5] must be a number of seeds from 1 on"),
        ({"seeds": None}, "seeds = None must be a number of seeds"),
        ({"margin": "1%"}, 'margin = "1%" must be a finite number from 0 on'),
        ({"margin": 1.5}, "margin = 1.5 must be from 0 to 1: accuracy is a fraction"),
        ({"target": np.zeros((9, 9))}, "target = array([[0., 0., 0."),
        ({"confirm": True}, "confirm = true must be a number of fresh seeds"),
        ({"steps": 0}, "steps = 0 must be a number of iterations from 1 on"),
        ({"base_lr_scales": [1, 1]}, "base_lr_scales = [1, 1] must be true, false or a list of positive factors"),
        ({"name": 3}, "name = 3 must be a text"),
        ({"tasks": "mnist1d-mlp", "task": None}, 'tasks = "mnist1d-mlp" must be a list of tasks'),
        ({"tasks": [], "task": None}, "names no task"),
        ({"tasks": ["mnist1d-mlp"]}, "give either task or tasks, not both"),
        ({"task": None}, "task is missing"),
        ({"task": 3}, "task = 3 must be a Task, the name of a registered one or a table"),
        ({"task": "mnist1d-mpl"}, "'mnist1d-mpl' (did you mean 'mnist1d-mlp'?)"),
    ],
)
def test_what_is_not_allowed_is_refused_at_once_in_one_sentence(
    task: Task, words: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((StudyError, TaskError)) as caught:
        Study(**{"policies": [FLAT], "task": task, **words})

    assert isinstance(caught.value, LRBenchError)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_study_prints_its_policies_and_what_is_asked_of_them(study: Callable[..., Study]) -> None:
    made = study("FIX(k0=0.1)", "TRI(k0=0, k1=1, l=10)", modifiers=(Variant.of([EMA()], "averaged"),), target=0.5)

    assert str(made).splitlines() == [
        "small: 2 policies on thirds, 2 seeds",
        "name                   policy",
        "FIX(k0=0.1)            FIX(k0=0.1)",
        "TRI(k0=0, k1=1, l=10)  TRI(k0=0.0, k1=1.0, l=10)",
        "each also with averaged",
        "margin 0.01, target 0.5",
    ]
    assert repr(made) == "<Study: small: 2 policies on thirds, 2 seeds>"


def test_of_a_study_of_many_policies_the_first_are_listed(study: Callable[..., Study]) -> None:
    made = study(*(f"FIX(k0={place / 100})" for place in range(100)))

    lines = str(made).splitlines()
    assert (lines[31].split()[0], lines[32]) == ("FIX(k0=0.29)", "and 70 more")
