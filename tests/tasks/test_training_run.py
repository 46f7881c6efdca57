"""A run gives a function its learning rates, and takes its reports in order."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lrbench.errors import TaskError
from lrbench.policy import parse
from lrbench.tasks.training_function import TrainingFunction
from lrbench.tasks.training_run import Report, RunOver, TrainingRun

TASK = TrainingFunction(name="mine", function=print, steps=25, eval_every=10, bounds=(0.0, 1.0))


LOGITS, LABELS = torch.arange(12.0).reshape(4, 3), torch.arange(4) % 3


def run(
    folder: Path, policy: str = "LINEAR(k0=1, k1=0, l=1dur)", going_on: bool = True, task: TrainingFunction = TASK
) -> tuple[TrainingRun, list[Report]]:
    handed: list[Report] = []

    def hand_over(new: Sequence[Report]) -> bool:
        handed.extend(new)
        return going_on

    bound = task.bind(parse(policy))
    made = TrainingRun(task, seed=3, policy=bound, device="cpu", folder=folder / "run", hand_over=hand_over)
    return made, handed


def test_iterations_and_their_rates_are_counted_from_one(tmp_path: Path) -> None:
    one, _ = run(tmp_path)

    assert [one.lr(step) for step in range(1, 26)] == parse("LINEAR(k0=1, k1=0, l=25)").lrs(0, 25).tolist()
    assert [step for step in range(1, 26) if one.is_due(step)] == [10, 20, 25]
    for step in (0, 26, 2.5, "3"):
        with pytest.raises(TaskError, match=r"run.lr\(.*\): iterations are counted from 1 to 25"):
            one.lr(step)  # type: ignore[arg-type]


def test_the_scheduler_sets_the_rates_that_the_run_gives(tmp_path: Path) -> None:
    one, _ = run(tmp_path)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=5.0)
    scheduler = one.scheduler(optimizer)
    rates = []
    for _ in range(25):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()

    assert rates == [one.lr(step) for step in range(1, 26)]


@pytest.mark.parametrize("times", [0, 8, 20])
def test_a_scheduler_that_is_not_stepped_once_an_iteration_fails_the_report(tmp_path: Path, times: int) -> None:
    one, _ = run(tmp_path)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=5.0)
    scheduler = one.scheduler(optimizer)
    for _ in range(times):
        optimizer.step()
        scheduler.step()

    with pytest.raises(
        TaskError, match=rf"run.report\(10\): the scheduler has been stepped {times} times: call its step"
    ):
        one.report(10, val=0.5)


@pytest.mark.parametrize("stepped_before", [False, True])
def test_a_reactive_policy_falls_with_the_reports_in_the_scheduler_too(tmp_path: Path, stepped_before: bool) -> None:
    one, _ = run(tmp_path, "REDUCEONPLATEAU(k0=1, gamma=0.5, patience=0)")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=5.0)
    scheduler = one.scheduler(optimizer)
    rates = []
    for step in range(1, 26):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if stepped_before:
            scheduler.step()
        if one.is_due(step):
            one.report(step, val=0.5)
        if not stepped_before:
            scheduler.step()

    assert rates == [1.0] * 20 + [0.5] * 5
    assert one.lr(21) == 0.5


REFUSED: list[tuple[list[tuple[Any, dict[str, Any]]], str]] = [
    ([(0, {})], r"run.report\(0\): iterations are counted from 1 to 25"),
    ([(26, {})], r"run.report\(26\): iterations are counted from 1 to 25"),
    (
        [(5, {})],
        r"run.report\(5\) is not due: report every 10 iterations and at the last, 25, whenever run.is_due says",
    ),
    ([(20, {})], r"run.report\(20\) comes before the report of iteration 10, which is due too"),
    ([(10, {}), (10, {})], r"run.report\(10\) comes after the report of iteration 10: each is reported once"),
    ([(10, {}), (20, {}), (10, {})], r"run.report\(10\) comes after the report of iteration 20"),
    ([(10, {"val": "low"})], r"run.report\(10\): val is 'low' where a number is needed"),
    ([(10, {"val": 3.0})], r"run.report\(10\): val is 3, outside of its bounds = \(0.0, 1.0\)"),
    ([(10, {"test": [1, 2]})], r"run.report\(10\): test is \[1, 2\] where a number is needed"),
    ([(10, {"metrics": {"f1": "?"}})], r"run.report\(10\): f1 is '\?' where a number is needed"),
    ([(10, {"metrics": [0.8]})], r"run.report\(10\): metrics = \[0.8\] must be a table of numbers by name"),
    (
        [(10, {"seconds": 3}), (20, {"seconds": 2})],
        r".*seconds = 2 are less than the 3 so far: give those of the whole",
    ),
    ([(10, {"test_predictions": LOGITS})], r".*test_predictions must be a pair of outputs \[N, C\] and labels \[N\]"),
    ([(10, {"val_predictions": (LOGITS, LABELS[:2])})], r".*val_predictions must be .* \(4, 3\) and \(2,\)"),
    (
        [(10, {"test_predictions": (LOGITS.softmax(1), LABELS)})],
        r".*test_predictions has probabilities: give the outputs",
    ),
    (
        [(10, {"test_predictions": (LOGITS.softmax(1).numpy(), LABELS.numpy())})],
        r".*test_predictions has probabilities",
    ),
]


@pytest.mark.parametrize(("reports", "sentence"), REFUSED)
def test_a_report_that_cannot_be_is_refused_in_one_sentence(
    tmp_path: Path, reports: list[tuple[Any, dict[str, Any]]], sentence: str
) -> None:
    one, handed = run(tmp_path)
    *good, (step, numbers) = reports
    for earlier, given in good:
        one.report(earlier, **{"val": 0.5, **given})

    with pytest.raises(TaskError, match="task 'mine': " + sentence):
        one.report(step, **{"val": 0.5, **numbers})
    assert len(handed) == len(good)


def test_tensors_and_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    one, handed = run(tmp_path)
    one.report(torch.tensor(10).item(), val=torch.tensor(0.5), train_loss=torch.tensor(2.0))  # type: ignore[arg-type]

    assert (handed[0].val, handed[0].train_loss) == (0.5, 2.0)


@pytest.mark.parametrize("numbers", [{"val": math.nan}, {"val": 0.5, "train_loss": math.inf}])
def test_after_a_number_that_is_not_finite_the_run_is_over(tmp_path: Path, numbers: dict[str, Any]) -> None:
    one, handed = run(tmp_path)
    one.report(10, **numbers)

    assert one.should_stop
    assert not handed, "the end is handed over when the function has returned"
    with pytest.raises(RunOver):
        one.report(20, val=0.5)


LOSS = {"better": "lower", "bounds": (None, None)}
SCORE = {"better": "higher", "bounds": (None, None)}


@pytest.mark.parametrize(
    ("settings", "first", "then", "over"),
    [
        (LOSS, {"val": 2.0}, {"val": 20.5}, True),
        (LOSS, {"val": 2.0}, {"val": 19.5}, False),
        (LOSS, {"val": -2.0}, {"val": 1e9}, False),
        ({**LOSS, "divergence_factor": None}, {"val": 2.0}, {"val": 2e19}, False),
        ({**LOSS, "divergence_factor": 2.0}, {"val": 2.0}, {"val": 4.5}, True),
        ({**LOSS, "chance": 2.0}, {"val": 1e-6}, {"val": 0.1}, False),
        ({**LOSS, "chance": 2.0}, {"val": 1e-6}, {"val": 20.5}, True),
        (LOSS, {"val": 2.0, "train_loss": 2.0}, {"val": 20.5, "train_loss": 0.1}, False),
        (LOSS, {"val": 2.0, "train_loss": 2.0}, {"val": 20.5, "train_loss": 20.5}, True),
        (SCORE, {"val": 0.1}, {"val": 1e9}, False),
        (SCORE, {"val": 0.5, "train_loss": 0.1}, {"val": 0.6, "train_loss": 1.5}, False),
        (SCORE, {"val": 0.5, "train_loss": 0.1}, {"val": 0.1, "train_loss": 1.5}, True),
    ],
)
def test_a_run_whose_losses_are_far_over_the_initial_ones_is_over(
    tmp_path: Path, settings: dict[str, Any], first: dict[str, Any], then: dict[str, Any], over: bool
) -> None:
    one, _ = run(tmp_path, task=replace(TASK, **settings))
    one.report(10, **first)
    assert not one.should_stop
    one.report(20, **then)

    assert (one.should_stop, one.is_over) == (over, over)


def test_a_first_loss_far_over_chance_ends_the_run(tmp_path: Path) -> None:
    one, _ = run(tmp_path, task=replace(TASK, chance=2.0, bounds=(None, None)))
    one.report(10, val=2e19, train_loss=2e19)

    assert one.should_stop


def test_a_run_that_is_stopped_ends_its_function_at_the_next_report(tmp_path: Path) -> None:
    one, _ = run(tmp_path, going_on=False)

    one.report(10, val=0.5)
    assert one.should_stop, "it has the time until its next report to write a checkpoint"
    with pytest.raises(RunOver):
        one.report(20, val=0.5)


def test_reports_are_remembered_where_the_function_keeps_checkpoints(tmp_path: Path) -> None:
    first, _ = run(tmp_path)
    first.checkpoint_folder.joinpath("state").write_text("10")
    first.report(10, val=0.25, metrics={"f1": 0.5})
    first.report(20, val=0.5)

    resumed, handed = run(tmp_path)
    assert resumed.checkpoint_folder.joinpath("state").read_text() == "10"
    resumed.report(20, val=0.75)
    assert [(one.step, one.val, dict(one.metrics)) for one in handed] == [(10, 0.25, {"f1": 0.5}), (20, 0.75, {})]

    anew, handed = run(tmp_path)
    anew.report(10, val=0.125)
    assert [(one.step, one.val) for one in handed] == [(10, 0.125)]


def test_without_a_checkpoint_folder_nothing_is_written(tmp_path: Path) -> None:
    one, _ = run(tmp_path)
    one.report(10, val=0.5)

    assert not list(tmp_path.iterdir())
