import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lrbench
from lrbench.advice.evidence import AskedTask, unseen_seeds
from lrbench.advice.verify import Verification, check_policy, judged
from lrbench.errors import PolicyError, StudyError
from lrbench.metrics import Curve, RunRecord
from lrbench.metrics.looks import Looks
from lrbench.metrics.statistics import t_interval
from lrbench.policy import parse
from lrbench.store import open_store
from lrbench.study.file import find_study
from lrbench.study.study import Study
from lrbench.study.study_runs import StudyRuns
from lrbench.tasks import Task, settings_from_dict
from lrbench.training.trainer import Trainer
from tests.report.made_studies import STEPS, write_study
from tests.small_search import SERIAL

FIVE = (0.78, 0.79, 0.80, 0.81, 0.82)
ONCE = Looks.once(5)


def runs_of(scores: Sequence[float | None], **changes: Any) -> list[RunRecord]:
    """Runs with these validation scores, those without one diverged."""
    objective = changes.get("objective", "top1")
    return [
        RunRecord(seed, "diverged", 1, Curve((), ()), {}, chance=0.1, **changes)
        if score is None
        else RunRecord(seed, "finished", 1, Curve((), ()), {f"val_{objective}": score}, chance=0.1, **changes)
        for seed, score in enumerate(scores)
    ]


@pytest.mark.parametrize(
    ("target", "answer", "why"),
    [
        (0.75, "yes", r"0\.8000 \[0\.7804, 0\.8196\], n = 5, at or above 0\.75"),
        (0.85, "no", r"n = 5, below 0\.85"),
        (0.81, "undecided", r"includes 0\.81; no number of seeds is known to decide"),
    ],
)
def test_the_interval_over_seeds_answers(target: float, answer: str, why: str) -> None:
    said, reason, card = judged("a policy", runs_of(FIVE), target, ONCE)

    assert said == answer
    assert re.search(why, reason)
    assert card.n == 5


@pytest.mark.parametrize(
    ("target", "answer", "why"),
    [
        (0.85, "yes", r"0\.8000 \[0\.7804, 0\.8196\], n = 5, at or below 0\.85"),
        (0.75, "no", r"n = 5, above 0\.75"),
        (0.81, "undecided", r"includes 0\.81"),
    ],
)
def test_a_loss_reaches_a_target_from_above(target: float, answer: str, why: str) -> None:
    said, reason, _ = judged("a policy", runs_of(FIVE, objective="loss", better="lower"), target, ONCE)
    assert said == answer
    assert re.search(why, reason)


def test_seeds_that_agree_to_a_step_of_the_scale_are_no_certainty() -> None:
    """Two networks that are each right on Binomial(N, p) of N samples agree often; the target is just above p."""
    studies, samples, p = 2_000, 100, 0.98
    rights = np.random.default_rng(7).binomial(samples, p, (studies, 2)) / samples
    answers = [judged("P", runs_of(row.tolist()), p + 1e-9, Looks.planned(2), 1 / samples)[0] for row in rights]

    assert answers.count("yes") / studies <= 0.025
    assert judged("P", runs_of([1.0, 1.0]), 0.8, Looks.planned(2), 1 / samples)[1].startswith(
        "validation top1 1.0000 [0.8"
    )
    assert judged("P", runs_of([0.9, 0.9]), 0.8, Looks.planned(2))[:2] == (
        "undecided",
        "validation top1 is 0.9000 on all 2 seeds: no spread is known; the next look is at 3 seeds, "
        "no number of seeds is known to decide",
    )


def test_a_policy_that_diverges_reaches_nothing() -> None:
    answer, reason, _ = judged("a policy", runs_of([0.9, 0.91, 0.9, None]), 0.05, Looks.planned(3))
    assert (answer, reason) == ("no", "1 of 4 runs diverged")


def test_answers_are_made_at_looks_alone_each_at_its_share_and_the_first_one_stays() -> None:
    looks = Looks.planned(5)
    low = t_interval(FIVE, 1 - 0.05 * looks.shares[0]).low
    assert low is not None

    def after(more: Sequence[float], target: float = low) -> tuple[str, str, int]:
        answer, reason, card = judged("a policy", runs_of([*FIVE, *more]), target, looks)
        return answer, reason, card.n

    first = after([])
    assert (first[0], first[2]) == ("yes", 5)
    assert after([], low + 0.0001)[0] == "undecided"
    assert after([0.1]) == first, "6 seeds are no look"
    assert after([0.1, 0.1]) == first, "the first answer stays"
    assert after([0.8, 0.8])[::2] == ("yes", 5)
    assert after([0.8] * 95)[::2] == ("yes", 80), "the last look that says so"
    advised = re.search(r"; the next look is at 7 seeds, about (\d+) would decide$", after([], 0.81)[1])
    assert advised
    assert int(advised[1]) in looks.seeds[1:]
    assert judged("a policy", runs_of(FIVE), 0.5, Looks.planned(7))[1] == "answers begin at 7 seeds, of which it has 5"


def test_who_asks_for_more_seeds_until_there_is_an_answer_errs_no_more_often() -> None:
    """The mean is the target: 2.5% is the rate of each answer, and three standard errors are allowed."""
    policies, most = 400, 40
    allowed = 0.025 + 3 * math.sqrt(0.025 * 0.975 / policies)
    scores = 0.7 + 0.01 * np.random.default_rng(2).standard_normal((policies, most))
    answers = [judged("a policy", runs_of(row.tolist()), 0.7, Looks.planned(5))[0] for row in scores]
    assert answers.count("yes") / policies <= allowed
    assert answers.count("no") / policies <= allowed
    unpaid = [t_interval(row[:seeds]) for row in scores for seeds in range(5, most + 1)]
    wrong = [one.low is not None and one.low > 0.7 for one in unpaid]
    assert np.reshape(wrong, (policies, -1)).any(axis=1).mean() > 0.06, "a plain interval at every number of seeds"


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


def test_a_policy_is_verified_on_seeds_that_no_evidence_of_it_has_used(task: Task, trainer: Trainer) -> None:
    policy = parse("POLY(k0=0.1, p=1, l=1dur)")
    trainer.train(Study(name="short", tasks=(task.with_budget(20),), policies=[policy], seeds=[0, 7], confirm=2))
    trainer.train(Study(name="others", tasks=(task,), policies=["FIX(k0=0.1)"], seeds=[0, 30]))
    verify = partial(lrbench.verify, policy, task, target=0.5, store=trainer.store, **SERIAL)

    fresh, again, given = verify(seeds=2), verify(seeds=2), verify(seeds=[0, 1])

    assert (fresh.seeds, fresh.steps_trained) == ((10, 11), 80)
    assert (again.seeds, again.steps_trained) == ((10, 11), 0)
    assert given.seeds == (0, 1)
    assert fresh.to_json()["seeds"] == [10, 11]
    assert "seeds 10 to 11: validation" in str(fresh)


def test_more_seeds_of_a_verification_go_on_at_the_looks_of_the_first(task: Task, trainer: Trainer) -> None:
    def verify(seeds: int, target: float) -> Verification:
        return lrbench.verify("FIX(k0=0.1)", task, target=target, seeds=seeds, store=trainer.store, **SERIAL)

    first, more, fewer = verify(3, 0.5), verify(5, 0.6), verify(2, 0.5)

    assert (first.looks, first.steps_trained) == ((3,), 120)
    assert (more.seeds, more.looks, more.steps_trained) == ((0, 1, 2, 3, 4), (3, 4), 80)
    assert (fewer.seeds, fewer.looks, fewer.steps_trained) == (more.seeds, more.looks, 0)
    assert more.to_json()["looks"] == [3, 4]
    (entry,) = trainer.store.studies()
    assert StudyRuns.of(entry.id, trainer.store).looks == Looks.planned(3)


def test_what_a_shipped_study_has_chosen_is_verified_after_its_seeds(trainer: Trainer) -> None:
    quickstart = pd.read_csv(find_study("quickstart").with_suffix(".csv"))
    best = parse(quickstart.sort_values("val_top1")["policy"].iloc[-1])
    mnist1d = lrbench.load_task("mnist1d-mlp").with_budget(40)
    tables = pd.concat(pd.read_csv(file) for file in find_study("quickstart").parent.glob("*.csv"))
    names = ("mnist1d-mlp", "SGD, momentum 0.9", "250 iterations", "1,000 iterations", "4,000 iterations")
    used = tables.loc[tables["task"].isin(names) & (tables["policy"] == str(best)), "seed"]
    other = settings_from_dict({"base": "mnist1d-mlp", "batch_size": 10})
    assert min(unseen_seeds(3, best, AskedTask.of(mnist1d), trainer.store)) == max(used) + 1
    assert unseen_seeds(3, best, AskedTask.of(other), trainer.store) == (0, 1, 2)


@pytest.mark.parametrize("policies", [13, 200])
def test_the_best_of_many_equal_policies_gets_a_wrong_yes_no_more_often_than_one_of_them(
    policies: int, tmp_path: Path
) -> None:
    """All are exactly as good as the target: 2.5% is the rate of the claim, and three standard errors are allowed."""
    studies, chosen_by = 1000, 5
    names = {f"{number}": f"FIX(k0=0.{number:03d})" for number in range(1, policies + 1)}
    asked = AskedTask("a-task", STEPS, "top1", "higher", None, None)
    with open_store(tmp_path / "runs.db") as store:
        write_study(store, names, lambda place: 0.5, seeds=range(chosen_by))
        seeds = unseen_seeds(5, parse(names["1"]), asked, store)
    scores = 0.7 + 0.01 * np.random.default_rng(policies).standard_normal((studies, policies, max(seeds) + 1))
    best = scores[np.arange(studies), scores[:, :, :chosen_by].mean(axis=2).argmax(axis=1)]

    def wrong(used: Sequence[int]) -> float:
        seen = (runs_of([float(study[seed]) for seed in used]) for study in best)
        return sum(judged("the best", runs, 0.7, Looks.once(len(used)))[0] == "yes" for runs in seen) / studies

    assert wrong(seeds) <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / studies)
    assert wrong(range(chosen_by)) > 0.15, "on the seeds that chose it"


def test_what_cannot_be_verified_is_one_sentence(task: Task, trainer: Trainer) -> None:
    policy = parse("STEP(k0=0.1, gamma=0.5, l=0.01dur)")
    with pytest.raises(StudyError, match="needs at least 2 seeds, not 1"):
        lrbench.verify("FIX(k0=0.1)", task, target=0.5, seeds=1, store=trainer.store)
    with pytest.raises(StudyError, match=r"verify: target = 1.5 must be from 0 to 1"):
        lrbench.verify("FIX(k0=0.1)", task, target=1.5, store=trainer.store)
    with pytest.raises(PolicyError, match="on task 'thirds': STEP: l does not fit a budget of 40 iterations"):
        check_policy(policy, task, trainer, target=0.5, seeds=(0, 1))
