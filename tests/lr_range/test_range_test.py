import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import lrbench
from lrbench.errors import StudyError, TaskError
from lrbench.lr_range.crossings import Estimate, below
from lrbench.lr_range.range_test import find_range
from lrbench.policy import FIX
from lrbench.study.results import results
from lrbench.study.study import Study, StudyPolicy
from lrbench.tasks import Data, Metric, Task
from lrbench.training.backlog import Backlog
from lrbench.training.listener import NullListener
from lrbench.training.trainer import Trainer
from tests.present import present


@pytest.fixture(scope="module")
def mnist1d() -> Task:
    return lrbench.load_task("mnist1d-mlp")


def test_a_crossing_is_read_off_between_two_rates_in_the_logarithm() -> None:
    falls = [(0.001, 0.0), (0.01, 0.4), (0.1, 1.0), (1.0, 0.8), (10.0, -1.0)]

    assert below(falls, 0.9, upwards=True) == pytest.approx(10**-0.5)
    assert below(falls, 0.7, upwards=False) == pytest.approx(10**-1.5)
    assert below(falls, -2.0, upwards=True) is None


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12), st.floats(-0.9, 0.9))
def test_a_crossing_lies_between_the_best_rate_and_the_first_that_is_below(heights: list[float], level: float) -> None:
    falls = [(10.0**place, height) for place, height in enumerate(heights)]
    best = heights.index(max(heights))

    crossing = below(falls, level, upwards=True)

    under = [place for place in range(best + 1, len(heights)) if heights[place] < level]
    assert (crossing is None) == (not under)
    if crossing is not None and heights[best] >= level:
        assert 10.0 ** (under[0] - 1) * 0.999 <= crossing <= 10.0 ** under[0] * 1.001


def test_disjoint_seeds_agree_on_the_range_within_a_factor_of_two(mnist1d: Task, lasting_trainer: Trainer) -> None:
    one = find_range(mnist1d, lasting_trainer, seeds=(0, 1, 2), steps=100)
    other = find_range(mnist1d, lasting_trainer, seeds=(3, 4, 5), steps=100)

    for mine, theirs in ((one.low, other.low), (one.high, other.high), (one.cliff, other.cliff)):
        assert mine is not None
        assert theirs is not None
        assert abs(math.log2(mine.value / theirs.value)) < 1
        assert mine.spread < 2
    assert one.low.value < one.high.value < present(one.cliff).value


def test_the_upper_end_trains_and_ten_times_beyond_is_to_be_avoided(mnist1d: Task, lasting_trainer: Trainer) -> None:
    high = find_range(mnist1d, lasting_trainer, seeds=(0, 1, 2), steps=100).high.value
    task = mnist1d.with_(steps=300)
    policies = (StudyPolicy("high", FIX(k0=high)), StudyPolicy("beyond", FIX(k0=10 * high)))

    lasting_trainer.train(Study(name="ends", tasks=(task,), policies=policies, seeds=(10, 11, 12), margin=0.05))

    best, worst = results("ends", lasting_trainer.store).tasks[0].scorecards
    assert (best.name, present(worst.verdict).label) == ("high", "avoid")
    assert present(best.val.mean) > 3 * task.chance


def test_the_same_seeds_give_the_same_range_and_the_second_time_for_nothing(
    task: Task, lasting_trainer: Trainer
) -> None:
    first = find_range(task, lasting_trainer, seeds=(0, 1))
    told = []

    class Listener(NullListener):
        def planned(self, backlog: Backlog) -> None:
            told.append(len(backlog.missing))

    again = find_range(task, replace(lasting_trainer, listener=Listener()), seeds=(0, 1))

    assert again == first
    assert set(told) == {0}
    assert first.steps_spent == sum(run.steps for run in first.constant) + sum(run.steps for run in first.sweeps)


def test_a_range_test_asks_for_a_budget_as_everything_else_does(task: Task, lasting_trainer: Trainer) -> None:
    found = find_range(task, lasting_trainer, seeds=(0, 1))
    policies = tuple(StudyPolicy(f"{run.lr:.4g}", FIX(k0=run.lr)) for run in found.constant if run.seed == 0)
    asked = task.with_budget(found.steps, evaluations=5)

    tally = lasting_trainer.train(Study(name="the same rates", tasks=(asked,), policies=policies, seeds=(0, 1)))

    assert (tally.total, tally.trained) == (len(found.constant), 0)


def test_a_linear_sweep_leads_to_the_same_rates(task: Task, lasting_trainer: Trainer) -> None:
    geometric = find_range(task, lasting_trainer, seeds=(0, 1))
    linear = find_range(task, lasting_trainer, seeds=(0, 1), sweep="linear", sweep_range=(1e-3, 10.0))

    assert linear.high.value == pytest.approx(geometric.high.value, rel=0.3)
    assert linear.sweeps != geometric.sweeps


def test_diverging_rates_end_the_range_as_the_cliff(trainer: Trainer) -> None:
    """The loss of w on (w*x - y)^2 with x = 1 diverges for every rate above 2/curvature = 1, whatever the data are."""
    inputs = torch.ones(64, 1)
    data = Data.from_arrays((inputs, torch.zeros(64, 1)), (inputs, torch.zeros(64, 1)))

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(1, 1))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs * self.w

    task = Task(
        name="parabola",
        model=One,
        data=data,
        steps=50,
        batch_size=8,
        loss=lambda outputs, targets: ((outputs - targets) ** 2).mean(),
        metric=Metric("nearness", lambda outputs, targets: -float(((outputs - targets) ** 2).mean()), chance=-1.0),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        version="1",
    )

    found = find_range(task, trainer, seeds=(0,), steps=50)

    assert found.high.value < 1 < present(found.cliff).value * 1.8
    assert any(run.loss is None for run in found.constant if run.lr > 1.5)
    assert all(run.loss is not None for run in found.constant if run.lr < 1)
    frame = found.to_frame()
    assert list(frame["lr"]) == [run.lr for run in found.constant]
    assert frame.loc[frame["loss"].isna(), "lr"].min() > 1


def test_a_task_that_learns_nothing_has_no_range(task: Task, trainer: Trainer) -> None:
    frozen = task.with_(loss=lambda outputs, targets: nn.functional.cross_entropy(outputs * 0.0, targets), version="f")

    with pytest.raises(TaskError, match=r"no learning rate from .* lowers the training loss within 100 iterations"):
        find_range(frozen, trainer, seeds=(0,))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 5}, "steps = 5 must be at least 20"),
        ({"seeds": 0}, "seeds = 0 must be a number of seeds from 1 on"),
        ({"sweep": "cubic"}, "a sweep is exponential or linear, not 'cubic'"),
        ({"sweep_range": (1e5, 1e6)}, "no rate outside of 1e-08 to 1000 is tried, as from 100000 to 1e"),
        ({"sweep_range": (1.0, 0.1)}, "from a positive rate to a higher one, not from 1.0 to 0.1"),
    ],
)
def test_a_bad_argument_is_one_sentence(changes: dict[str, Any], sentence: str, task: Task, tmp_path: Path) -> None:
    with pytest.raises((StudyError, TaskError), match=sentence):
        lrbench.range_test(task, **{"store": tmp_path / "runs.db", **changes})


def test_a_range_without_a_cliff_says_so_and_is_a_document(task: Task, lasting_trainer: Trainer) -> None:
    found = find_range(task, lasting_trainer, seeds=(0, 1))
    open_ended = replace(found, cliff=None)

    assert "is too high" in str(open_ended)
    assert json.loads(json.dumps(open_ended.to_json()))["cliff"] is None
    assert found.to_json()["high"]["per_seed"] == list(found.high.per_seed)
    assert Estimate(2.0, (1.0, 4.0)).spread == 4.0


def test_a_task_that_diverges_at_every_rate_has_no_range(task: Task, trainer: Trainer) -> None:
    huge = task.with_(loss=lambda outputs, targets: 1e30 * nn.functional.cross_entropy(outputs, targets), version="h")

    with pytest.raises(TaskError, match=r"training diverges with every learning rate from 1e-08 to .*: look at"):
        find_range(huge, trainer, seeds=(0,))
