"""How large a study may be, and which seeds it may have: refused before memory is taken."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lrbench
from lrbench.errors import StudyError
from lrbench.study.file import load_study
from lrbench.study.limits import seeds_of
from lrbench.study.study import Study, StudyPolicy
from lrbench.training.plan import plan


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("quickstart", steps=20)


@pytest.mark.parametrize("seed", [2**63, -1, True, 0.5, "1", None, pytest.param(10**5000, id="huge"), math.nan])
def test_a_seed_is_a_whole_number_of_63_bits(study: Study, seed: Any) -> None:
    with pytest.raises(StudyError, match=r"seeds = .* must be .* a list of whole numbers from 0 on, at most 2\^63 - 1"):
        replace(study, seeds=(0, seed))


@pytest.mark.parametrize("seeds", [True, 2.5, "12", None])
def test_a_number_of_seeds_is_a_whole_number(seeds: Any) -> None:
    with pytest.raises(StudyError, match=r"score: seeds = .* must be a number of seeds from 1 on"):
        lrbench.score("FIX(k0=0.1)", "mnist1d-mlp", seeds=seeds)


def test_so_many_seeds_are_counted_before_they_are_listed() -> None:
    with pytest.raises(StudyError, match="seeds = 1000000000000 must be a number of seeds from 1 on, at most 100,000"):
        seeds_of(10**12, "here")


def test_seeds_of_numpy_are_the_same_runs(study: Study) -> None:
    of_numpy: Any = np.array([3, 2**63 - 1])
    ours, theirs = (plan(replace(study, seeds=seeds)).by_key for seeds in ((3, 2**63 - 1), of_numpy))

    assert list(ours) == list(theirs)


def test_fresh_seeds_need_room_after_the_last(study: Study) -> None:
    with pytest.raises(StudyError, match="no 2 fresh seeds to confirm by come after 9223372036854775806"):
        replace(study, seeds=(2**63 - 2,), confirm=2)


def _error(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.argmax(1) != targets).float().mean())


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.square().mean()


@pytest.mark.parametrize(
    ("changes", "margin"),
    [
        ({}, 0.01),
        ({"metric": "loss"}, 0.02),
        ({"metric": "loss", "loss": torch.nn.CrossEntropyLoss()}, 0.02),
        ({"metric": "loss", "loss": _loss}, 0.0),
        ({"metric": lrbench.Metric("error", _error, 90.0, "lower", (0.0, 100.0))}, 1.0),
        ({"metric": lrbench.Metric("error", _error, 0.9, "lower", (0.0, 1.0), margin=0.003)}, 0.003),
        ({"metric": lrbench.Metric("error", _error, 0.9, "lower")}, 0.0),
    ],
)
def test_a_study_without_a_margin_has_that_of_its_tasks_metric(
    study: Study, changes: dict[str, Any], margin: float
) -> None:
    (task,) = study.tasks
    asked = Study(policies=["FIX(k0=0.1)"], task=task.with_(**changes))

    assert asked.margin == pytest.approx(margin, abs=0)
    assert replace(asked, margin=0.5).margin == 0.5


def test_tasks_with_different_margins_need_one_from_their_study(study: Study) -> None:
    (task,) = study.tasks
    both = [task, task.with_(name="losses", metric="loss")]

    with pytest.raises(StudyError, match=r"margin is missing, .* \(0.01 of 'mnist1d-mlp', 0.02 of 'losses'\)"):
        Study(policies=["FIX(k0=0.1)"], tasks=both)
    assert Study(policies=["FIX(k0=0.1)"], tasks=both, margin=0.03).margin == 0.03


@pytest.mark.parametrize("confirm", [-1, 10**9, pytest.param(10**5000, id="huge")])
def test_fresh_seeds_are_as_many_as_a_study_may_have_runs(study: Study, confirm: int) -> None:
    with pytest.raises(StudyError, match=r"confirm = .* must be a number of fresh seeds from 0 on, at most 100,000"):
        replace(study, confirm=confirm)


def test_learning_rates_that_do_not_fit_into_memory_are_counted_before_they_are_made(study: Study) -> None:
    (task,) = study.tasks
    long = task.with_(steps=50_000_000)

    with pytest.raises(StudyError, match="17 policies of 50,000,000 iterations, which is 850,000,000 learning rates"):
        replace(study, tasks=(long,))
    assert replace(study, tasks=(long,), policies=study.policies[:10]).tasks == (long,)


@pytest.mark.parametrize("name", ["a\0b", "a\udcff"])
def test_a_name_that_no_store_can_hold_is_refused(study: Study, name: str) -> None:
    entry = study.policies[0]

    with pytest.raises(StudyError, match="has a character that no store can hold"):
        replace(study, name=name)
    with pytest.raises(StudyError, match="has a character that no store can hold"):
        replace(study, policies=(StudyPolicy(name, entry.policy),))


@pytest.mark.parametrize("key", ["margin", "target"])
def test_a_score_too_large_for_a_float_is_refused(study: Study, key: str) -> None:
    huge: dict[str, Any] = {key: 10**400}
    with pytest.raises(StudyError, match=f"{key} = 1000.* must be a finite number"):
        replace(study, **huge)
