import math
import pickle
import pydoc
import re
import subprocess
import sys
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import lrbench
import lrbench.advice
import lrbench.engine
import lrbench.policy_search
import lrbench.report
import lrbench.store
from lrbench.api import LabArguments
from lrbench.errors import LRBenchError, StudyError, TaskError
from lrbench.imports.reading import Reading
from lrbench.modifiers import EMA

LAZY = (
    *(lrbench, lrbench.report, lrbench.tasks, lrbench.engine),
    *(lrbench.advice, lrbench.policy_search, lrbench.store),
)
HEAVY = ("torch", "optuna", "matplotlib", "pandas", "scipy", "sqlalchemy", "numpy")


@pytest.fixture
def task() -> lrbench.Task:
    inputs, labels = torch.randn(120, 5, generator=torch.Generator().manual_seed(0)), torch.arange(120) % 3
    inputs[torch.arange(120), labels] += 3
    data = lrbench.Data.from_arrays((inputs[:90], labels[:90]), (inputs[90:], labels[90:]))
    return lrbench.Task(name="own", model=lambda: nn.Linear(5, 3), data=data, steps=30, batch_size=8)


def test_a_policy_is_scored_on_the_users_own_task(task: lrbench.Task, tmp_path: Path) -> None:
    card = lrbench.score("FIX(k0=0.1)", task, seeds=3, store=tmp_path / "runs.db")
    assert card.n == 3
    assert card.test.mean is not None
    assert card.test.mean > 0.8
    assert card.verdict is None
    assert "test_top1" in str(card)


@pytest.mark.gpu
@pytest.mark.parametrize("workers", [1, 2])
def test_a_study_on_cuda_says_so_and_is_looked_up_again(task: lrbench.Task, tmp_path: Path, workers: int) -> None:
    policies = ["FIX(k0=0.1)", "STEP(k0=0.1, gamma=0.1, l=20)"]
    with lrbench.Lab(store=tmp_path / "runs.db", device="cuda", workers=workers, engine="serial") as lab:
        trained, again = (lab.compare(policies, task, seeds=2) for _ in range(2))
        runs = lab.store.study_runs(trained.results.study)

    assert (trained.tally.trained, again.tally.trained) == (4, 0)
    assert {run.provenance["device"].split(":")[0] for run in runs.values()} == {"cuda"}


def test_policies_are_compared_in_one_line(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    policies: dict[str, lrbench.Policy | str] = {
        "flat": "FIX(k0=0.1)",
        "falling": lrbench.policy.LINEAR(k0=0.2, l="1dur"),
    }

    outcome = lrbench.compare(policies, "mnist1d-mlp", seeds=2, steps=40, modifiers=["EMA(decay=0.9)"], store=store)

    assert {card.name for card in outcome.results.tasks[0].scorecards} >= {"flat", "falling"}
    assert all(card.verdict for card in outcome.results.tasks[0].scorecards)
    assert outcome.results.study == "flat, falling on mnist1d-mlp"
    frame = outcome.to_frame()
    assert list(frame["place"]) == [1, 2, 3, 4]
    assert set(zip(frame["name"], frame["modifier"], strict=True)) == {
        (name, variant) for name in policies for variant in ("", str(EMA(decay=0.9)))
    }
    assert (frame["val_low"] <= frame["val"]).all()
    again = lrbench.compare(policies, {"base": "mnist1d-mlp", "steps": 40}, seeds=[0, 1, 2], store=store)
    assert (again.tally.cached, again.tally.trained) == (4, 2)


def test_an_outcome_names_the_earlier_study_of_its_name_that_the_store_keeps(
    task: lrbench.Task, tmp_path: Path
) -> None:
    def kept(*policies: str) -> str | None:
        outcome = lrbench.compare(policies, task, name="mine", seeds=2, store=tmp_path / "runs.db")
        assert ("Another study 'mine' was in the store" in str(outcome)) == (outcome.kept is not None)
        return outcome.kept

    first, second = ("FIX(k0=0.1)",), ("FIX(k0=0.2)",)
    asked = (first, first, second, second, first)
    assert [kept(*policies) for policies in asked] == [None, None, "mine@1", None, "mine@2"]


def test_an_outcome_and_a_lab_draw_a_study(task: lrbench.Task, tmp_path: Path) -> None:
    study = lrbench.Study(name="drawn", task=task, policies=["FIX(k0=0.1)", "FIX(k0=0.2)"], seeds=2)
    with lrbench.Lab(store=tmp_path / "runs.db", workers=1) as lab:
        outcome = lab.run(study)
        figures = [outcome.plot(), outcome.plot("training"), lab.plot("lr", "drawn", task=task.name)]
        with pytest.raises(
            lrbench.LRBenchError, match=r"the plot 'progress' is drawn of a search, and 'drawn' is a study"
        ):
            outcome.plot("progress")
        with pytest.raises(lrbench.LRBenchError, match=r"'rankign'.*did you mean 'ranking'"):
            outcome.plot("rankign")

    assert all(figure.axes for figure in figures)


def test_packages_are_there_after_the_import_and_verbs_are_functions() -> None:
    program = "import lrbench; print(lrbench.tasks.AdamW(), lrbench.policy.TRI, lrbench.search)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert re.match(r"AdamW\(.*\) <class 'lrbench.policy.cyclic.TRI'> <function search", printed)


def test_a_function_of_the_iteration_is_scored_and_its_runs_are_those_of_its_lrs(
    task: lrbench.Task, tmp_path: Path
) -> None:
    with lrbench.Lab(store=tmp_path / "runs.db", workers=1) as lab:
        known = lab.score("STEP(k0=0.1, gamma=0.5, l=10)", task, seeds=2)
        scored = lab.score(lambda t: 0.1 * 0.5 ** (t // 10), task, seeds=2)
        assert scored.metrics["val_top1"] == known.metrics["val_top1"]
        assert scored.name.startswith(f'TABLE(values="{task.steps} LRs of ')
        outcome = lab.compare({"flat": [0.1] * 20, "falling": lambda t: 0.1 - t / 300}, task, seeds=2, steps=20)
        assert {card.name for card in outcome.results.tasks[0].scorecards} == {"flat", "falling"}
        assert lab.verify(lambda t: 0.1, task, target=0.0, seeds=2).answer == "yes"


def test_a_second_score_asks_the_store(task: lrbench.Task, tmp_path: Path) -> None:
    first = lrbench.score("FIX(k0=0.1)", task, seeds=2, store=tmp_path / "runs.db")
    second = lrbench.score("FIX(k0=0.1)", task, seeds=2, store=tmp_path / "runs.db")
    assert first == second


def test_scoring_by_name_and_by_study_is_the_same_run(tmp_path: Path) -> None:
    lrbench.score("FIX(k0=0.1)", "mnist1d-mlp", seeds=1, steps=30, store=tmp_path / "runs.db")
    study = tmp_path / "study.toml"
    study.write_text('task = { base = "mnist1d-mlp", steps = 30 }\nseeds = 1\n[[policies]]\npolicy = "FIX(k0=0.1)"\n')
    assert lrbench.run(study, store=tmp_path / "runs.db").tally.cached == 1


def test_base_lr_robustness_is_there_on_request(task: lrbench.Task, tmp_path: Path) -> None:
    card = lrbench.score("FIX(k0=0.1)", task, seeds=2, base_lr_scales=(0.1, 1.0, 10.0), store=tmp_path / "runs.db")
    assert card.metrics["base_lr_retention"].n == 2


def test_a_shipped_study_runs_by_its_name_with_everything_cached_the_second_time(tmp_path: Path) -> None:
    from dataclasses import replace

    from lrbench.study.file import load_study

    study = replace(load_study("quickstart", steps=20), seeds=(0,))
    assert lrbench.run(study, store=tmp_path / "runs.db").tally.trained == 17
    outcome = lrbench.run(study, store=tmp_path / "runs.db")
    assert outcome.tally.cached == 17
    assert {"study", "task", "policies", "runs", "steps"} <= outcome.to_json().keys()


def test_a_lab_closes_the_store_that_it_opened_and_leaves_open_what_it_was_given(
    task: lrbench.Task, tmp_path: Path
) -> None:
    path, log = tmp_path / "runs.db", tmp_path / "runs.db-wal"  # SQLite deletes its log as the last one leaves
    with lrbench.Lab(store=path, workers=1) as lab:
        first = lab.score("FIX(k0=0.1)", task, seeds=2)
        assert log.exists()
    assert not log.exists()

    with lrbench.open_store(path) as given:
        with lrbench.Lab(store=given, workers=1) as lab:
            assert lab.score("FIX(k0=0.1)", task, seeds=2) == first
        assert log.exists()


def test_a_lab_asks_its_store_first_whatever_the_question(task: lrbench.Task, tmp_path: Path) -> None:
    policy = "POLY(k0=0.1, p=1, l=1dur)"
    with lrbench.Lab(store=tmp_path / "runs.db", workers=1) as lab:
        lab.score(policy, task, seeds=2, steps=20)
        assert lab.verify(policy, task, target=0.5, seeds=[0, 1], steps=20).steps_trained == 0
        study = lrbench.Study(name="one", tasks=(task,), policies=(policy_named(policy),), seeds=(0,))
        assert lab.run(study, steps=20, seeds=2).tally.cached == 2


def policy_named(text: str) -> lrbench.StudyPolicy:
    return lrbench.StudyPolicy(text, lrbench.parse(text))


def test_a_lab_that_is_asked_for_nothing_makes_no_store(tmp_path: Path) -> None:
    with lrbench.Lab(store=tmp_path / "runs.db") as lab, pytest.raises(LRBenchError, match="quickstrat"):
        lab.run("quickstrat")
    assert list(tmp_path.iterdir()) == []


def test_what_a_source_of_runs_takes_is_spelled_out_and_a_misspelled_name_is_refused() -> None:
    fields = signature(Reading).parameters.keys()
    for function in (lrbench.judge, lrbench.import_runs, lrbench.Lab.import_runs):
        assert fields <= signature(function).parameters.keys()
    misspelled: dict[str, Any] = {"patern": "{loss}"}
    for function in (lrbench.judge, lrbench.import_runs):
        with pytest.raises(TypeError, match="patern"):
            function({"a": [1.0]}, **misspelled)


def test_a_comparison_takes_what_a_study_takes() -> None:
    own = signature(lrbench.Study).parameters.keys() - {"tasks", "horizons"}
    for function in (lrbench.compare, lrbench.horizons):
        assert own <= signature(function).parameters.keys()


@pytest.mark.parametrize("name", ["run", "compare", "horizons", "score", "range_test", "search", "verify", "recommend"])
def test_a_function_takes_what_its_method_and_a_lab_take(name: str) -> None:
    function, method = getattr(lrbench, name), getattr(lrbench.Lab, name)
    (_, *of_method, lab), of_lab = signature(method).parameters.values(), signature(lrbench.Lab).parameters

    assert list(signature(function).parameters.values()) == [*of_method, *of_lab.values()]
    assert (lab.name, lab.kind) == ("lab", Parameter.VAR_KEYWORD)
    assert LabArguments.__annotations__.keys() == of_lab.keys()
    assert pickle.loads(pickle.dumps(function)) is function
    assert "LRBenchError: " in pydoc.render_doc(function)


def test_a_method_of_a_lab_takes_arguments_of_a_lab_for_its_call(task: lrbench.Task, tmp_path: Path) -> None:
    policy, other = "POLY(k0=0.1, p=1, l=1dur)", tmp_path / "other.db"
    with lrbench.Lab(store=tmp_path / "runs.db", workers=1) as lab:
        here = lab.score(policy, task, seeds=2, steps=20)
        assert lab.score(policy, task, seeds=2, steps=20, store=other).val == here.val
        with pytest.raises(StudyError, match="engine = 'steam'"):
            lab.verify(policy, task, target=0.5, engine="steam")  # type: ignore[arg-type]
        assert lab.verify(policy, task, target=0.5, seeds=[0, 1], steps=20, workers=2).steps_trained == 0
        with pytest.raises(TypeError, match="sedes"):
            lab.score(policy, task, sedes=2)  # type: ignore[call-arg]
        assert {entry.kind for entry in lab.store.studies()} == {"score", "verify"}
    with lrbench.open_store(other) as store:
        assert len(store.studies()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"policy": "FOX(k0=0.1)"}, r"'FOX' \(did you mean 'FIX'\?\)"),
        ({"policy": "FIX(k0=-1)"}, "k0"),
        ({"task": "mnist1d-mpl"}, r"'mnist1d-mpl' \(did you mean 'mnist1d-mlp'\?\)"),
        ({"seeds": 0}, "seeds = 0 must be a number of seeds from 1 on"),
        ({"seeds": [1, 1]}, "seed 1 is given 2 times"),
        ({"seeds": [-1]}, r"seeds = \[-1\] must be .* whole numbers from 0 on, at most 2\^63 - 1"),
        ({"steps": 0}, "steps = 0"),
        ({"target": math.nan}, "target = nan must be a finite number"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not available"),
        ({"device": "tpu9"}, "device 'tpu9' is unknown"),
        ({"workers": 0}, "workers = 0 must be a number of processes from 1 to 1000"),
        ({"engine": "steam"}, "engine = 'steam' must be one of auto, serial, stacked"),
        ({"gpus_per_worker": -1}, "gpus_per_worker = -1 must be a finite number"),
    ],
)
def test_a_bad_argument_is_one_sentence_and_makes_no_store(
    arguments: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"policy": "FIX(k0=0.1)", "task": "mnist1d-mlp", "store": tmp_path / "runs.db", **arguments}
    with pytest.raises(LRBenchError, match=sentence):
        lrbench.score(**given)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_train_is_said_with_its_error(task: lrbench.Task, tmp_path: Path) -> None:
    class Untrainable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)
            self.calls = 0

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if len(inputs) == 8:
                raise RuntimeError("no batches of eight")
            return self.layer(inputs)

    untrainable, store = task.with_(model=Untrainable), tmp_path / "runs.db"
    with pytest.raises(TaskError, match=r"no run of .* could be finished: RuntimeError: no batches of eight"):
        lrbench.score("FIX(k0=0.1)", untrainable, seeds=1, store=store)
    compared = lrbench.compare(["FIX(k0=0.1)"], untrainable, seeds=2, store=store)
    assert str(compared).splitlines()[-1] == "2 runs failed: RuntimeError: no batches of eight"


def test_a_study_without_policies_is_refused(task: lrbench.Task) -> None:
    with pytest.raises(StudyError, match="names no policy"):
        lrbench.Study(name="empty", tasks=(task,), policies=(), seeds=(0,))


@pytest.mark.parametrize("package", [package.__name__ for package in LAZY])
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    program = f"import sys, {package}; print([name for name in {HEAVY!r} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


SLOW = {"torch._dynamo", "sympy", "torchvision", "pandas", "optuna", "matplotlib", "scipy.stats", "scipy.optimize"}
"""What takes long to import, and is no part of training."""


def test_scores_and_range_tests_import_nothing_that_delays_training(tmp_path: Path) -> None:
    lrbench.load_task("mnist1d-mlp")  # the data is made once a machine, by a package that draws
    program = f"""
import inspect, sys, lrbench, torch
torch.set_num_threads(1)
lab = dict(store={str(tmp_path / "runs.db")!r}, workers=1)
for engine in ("auto", "serial", "stacked"):
    lrbench.score("FIX(k0=0.1)", "mnist1d-mlp", steps=20, seeds=4, engine=engine, **lab)
    lab["store"] += engine
lrbench.range_test("mnist1d-mlp", steps=20, seeds=2, **lab)
print(sorted({SLOW!r} & sys.modules.keys()))
print("__dynamo_disable" in vars(inspect.unwrap(torch.optim.Optimizer.state_dict)))
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["[]", "False"]


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_every_public_name_can_be_had(package: ModuleType) -> None:
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = package.nonsense
