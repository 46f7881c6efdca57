import re

import pytest

import lrbench
from lrbench.advice.verify import check_policy, judged
from lrbench.errors import PolicyError, StudyError
from lrbench.metrics import score_curves
from lrbench.policy import parse
from lrbench.tasks import Task
from lrbench.training.trainer import Trainer


@pytest.mark.parametrize(
    ("target", "answer", "why"),
    [
        (0.75, "yes", r"0\.8000 \[0\.7804, 0\.8196\], n = 5, at or above 0\.75"),
        (0.85, "no", r"n = 5, below 0\.85"),
        (0.81, "undecided", r"includes 0\.81; about \d+ would decide"),
    ],
)
def test_the_interval_over_seeds_answers(target: float, answer: str, why: str) -> None:
    card = score_curves([[(1, score)] for score in (0.78, 0.79, 0.80, 0.81, 0.82)])

    said, reason = judged(card, target)

    assert said == answer
    assert re.search(why, reason)


@pytest.mark.parametrize(
    ("target", "answer", "why"),
    [
        (0.85, "yes", r"0\.8000 \[0\.7804, 0\.8196\], n = 5, at or below 0\.85"),
        (0.75, "no", r"n = 5, above 0\.75"),
        (0.81, "undecided", r"includes 0\.81; about \d+ would decide"),
    ],
)
def test_a_loss_reaches_a_target_from_above(target: float, answer: str, why: str) -> None:
    curves = [[(1, score)] for score in (0.78, 0.79, 0.80, 0.81, 0.82)]
    said, reason = judged(score_curves(curves, objective="loss", better="lower"), target)
    assert said == answer
    assert re.search(why, reason)


def test_a_policy_that_diverges_reaches_nothing() -> None:
    card = score_curves([[(1, 0.9)], [(1, 0.9)], [(1, float("nan"))]], chance=0.1)
    assert judged(card, 0.05) == ("no", "1 of 3 runs diverged")


def test_a_policy_is_verified_at_the_budget_that_is_asked_for(task: Task, trainer: Trainer) -> None:
    policy = parse("POLY(k0=0.1, p=1, l=1dur)")

    short = check_policy(policy, task.with_budget(20), trainer, target=0.5, seeds=(0, 1, 2))
    whole = check_policy(policy, task, trainer, target=0.5, seeds=(0, 1, 2))
    again = check_policy(policy, task, trainer, target=0.9999, seeds=(0, 1, 2))

    assert (short.budget, whole.budget) == (20, 40)
    assert whole.answer == "yes"
    assert again.answer in ("no", "undecided")
    assert (whole.steps_trained, again.steps_trained) == (120, 0)
    assert whole.card.reached == 3


def test_what_cannot_be_verified_is_one_sentence(task: Task, trainer: Trainer) -> None:
    policy = parse("STEP(k0=0.1, gamma=0.5, l=0.01dur)")
    with pytest.raises(StudyError, match="needs at least 2 seeds, not 1"):
        lrbench.verify("FIX(k0=0.1)", task, target=0.5, seeds=1, store=trainer.store)
    with pytest.raises(StudyError, match=r"verify: target = 1.5 must be from 0 to 1"):
        lrbench.verify("FIX(k0=0.1)", task, target=1.5, store=trainer.store)
    with pytest.raises(PolicyError, match="on task 'thirds': STEP: l does not fit a budget of 40 iterations"):
        check_policy(policy, task, trainer, target=0.5, seeds=(0, 1))
