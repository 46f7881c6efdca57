import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrbench
import lrbench.training.estimate
from lrbench.errors import StudyError, TaskError
from lrbench.metrics.statistics import behind_best
from lrbench.store import open_store
from lrbench.study.results import results
from lrbench.study.study import Study
from lrbench.tasks import Task
from lrbench.training.listener import NullListener
from lrbench.training.plan import PlannedRun, plan
from lrbench.training.runner import run

WSD = "WSD(k0=0.1, up=0.1dur, stable=0.7dur, down=0.2dur)"
POLICIES = {
    "wsd": WSD,
    "constant": "FIX(k0=0.1).warmup(0.1dur)",
    "cosine": "COSINE(k0=0.1, l=1dur).warmup(0.1dur)",
}


@pytest.fixture(autouse=True)
def _every_shared_iteration_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lrbench.training.estimate, "SECONDS_OF_A_FORK", 1e-9)


def at(task: Task, *horizons: Any, **changes: Any) -> Study:
    return Study(**{"policies": POLICIES, "task": task, "horizons": horizons, "seeds": 3, "name": "any", **changes})


def test_shares_iterations_and_lengths_are_horizons(task: Task) -> None:
    tasks = at(task, "100%", "0.25dur", 20, "5ep").tasks
    assert [one.steps for one in tasks] == [10, 20, 5 * task.steps_per_epoch, 40]
    assert [one.name for one in tasks] == [f"thirds at {one.steps}" for one in tasks]
    assert {one.eval_every for one in tasks} == {task.eval_every}


def test_runs_at_a_horizon_are_the_same_whatever_the_other_horizons_are(task: Task) -> None:
    few, many = (plan(at(task, *horizons)) for horizons in (("50%",), ("25%", "50%", "200%")))
    assert set(few.by_key) < set(many.by_key)
    # and at the task's own budget they are those of the task itself
    own = plan(Study(policies=POLICIES, task=task, seeds=3))
    assert set(plan(at(task, "100%", "200%")).by_key) >= set(own.by_key)


def test_a_warmup_in_parts_of_the_budget_is_that_of_the_tasks_own_where_one_trunk_serves(task: Task) -> None:
    policies = {one.name: str(one.policy) for one in at(task, "25%", "100%").policies}
    assert policies["wsd"] == "WSD(k0=0.1, up=4, down=0.2dur)"
    assert policies["constant"] == "FIX(k0=0.1).warmup(4)"
    assert policies["cosine"] == POLICIES["cosine"]


@pytest.mark.parametrize(
    ("horizons", "sentence"),
    [
        (["25x"], 'horizons = ["25x"] must be a list of budgets'),
        (["50%", 20], "horizons come to 20, 20 iterations, each may stand only once"),
        (["2e6tok"], "is in tokens, which a task on a text has"),
        (
            [4],
            "policy 'wsd' on task 'thirds at 4': WSD: up=4 and down=0.2dur leave nothing of a budget of 4 iterations",
        ),
    ],
)
def test_horizons_that_cannot_be_are_refused_in_a_sentence(task: Task, horizons: list[Any], sentence: str) -> None:
    with pytest.raises((StudyError, TaskError)) as refused:
        at(task, *horizons)
    assert sentence in str(refused.value)


def test_horizons_are_of_one_task(task: Task) -> None:
    with pytest.raises(StudyError, match="horizons are of one task, and there are 2"):
        Study(policies=POLICIES, tasks=[task, task.with_(name="other")], horizons=["50%"])


def test_score_against_budget_and_what_one_trunk_costs(task: Task, tmp_path: Path) -> None:
    asked = at(task, "25%", "50%", "100%")
    with open_store(tmp_path / "runs.db") as store:
        tally = run(asked, store, engine="serial", workers=1)
        answer = results("any", store)
    (horizons,) = answer.horizons
    by_name = {policy.name: policy for policy in horizons.policies}
    assert {name: policy.one_trunk for name, policy in by_name.items()} == {
        "wsd": True,
        "constant": True,
        "cosine": False,
    }
    # of 10, 20 and 40 iterations the last 2, 4 and 8 are the cooldown, whose first rate is that of the trunk
    assert [score.shared for score in by_name["wsd"].scores] == [9, 17, 40]
    assert by_name["wsd"].saved == 26
    # the two trunks are one as far as they agree
    assert tally.steps_trained < tally.steps_nominal - 3 * (26 + 28)
    for place, scored in enumerate(answer.tasks):
        cards = {card.name: card for card in scored.scorecards}
        behind = by_name["wsd"].scores[place].behind
        assert behind is not None
        assert behind.mean == pytest.approx((cards["cosine"].val.mean or 0) - (cards["wsd"].val.mean or 0))
        assert by_name["cosine"].scores[place].behind is None
    assert json.loads(json.dumps(answer.to_json()))["horizons"][0]["policies"][0]["one_trunk"]
    printed = str(answer)
    assert "wsd forks at 9, 17: its trunk saves 26 of 70 iterations a seed." in printed
    assert "What one trunk costs" in printed


def test_runs_with_modifiers_are_trained_anew_for_each_horizon(task: Task, tmp_path: Path) -> None:
    constant = {"constant": POLICIES["constant"]}
    asked = at(task, "50%", "100%", policies=constant, modifiers={"ahead": "Lookahead()"}, seeds=2)
    with open_store(tmp_path / "runs.db") as store:
        tally = run(asked, store, engine="serial", workers=1)
        (horizons,) = results("any", store).horizons
    by_name = {policy.name: policy for policy in horizons.policies}
    assert {name: one.one_trunk for name, one in by_name.items()} == {"constant": True, "constant + ahead": False}
    assert by_name["constant + ahead"].saved == 0
    assert 0 < tally.steps_nominal - tally.steps_trained <= 2 * by_name["constant"].saved  # of two seeds


def test_a_study_of_different_tasks_has_no_horizons(task: Task, tmp_path: Path) -> None:
    asked = Study(policies=POLICIES, tasks=[task, task.with_(name="other", batch_size=8)], seeds=2, name="any")
    with open_store(tmp_path / "runs.db") as store:
        run(asked, store, engine="serial", workers=1)
        assert results("any", store).horizons == ()


def test_the_distance_to_the_best_of_several_is_covered_at_its_level() -> None:
    draw = np.random.default_rng(0)
    for means in ([0.0, 0.0, 0.0], [0.0, -0.5, -3.0], [0.0]):
        held = 0
        for _ in range(1500):
            common = draw.normal(size=5)
            own, *others = (
                mean + common * 0.5 + draw.normal(size=5) * spread
                for mean, spread in zip((-0.3, *means), (1.0, 0.3, 1.0, 2.0), strict=False)
            )
            distance = behind_best(own, others)
            assert distance.low is not None
            assert distance.high is not None
            held += distance.low <= max(means) + 0.3 <= distance.high
        assert held / 1500 > 0.94


def test_a_study_whose_runs_are_missing_at_a_budget_is_printed(task: Task, tmp_path: Path) -> None:
    class Plug(NullListener):
        left = 5

        def ended(self, run: PlannedRun, status: str) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    asked = at(task, "25%", "50%", "100%")
    with open_store(tmp_path / "runs.db") as store:
        with pytest.raises(KeyboardInterrupt):
            run(asked, store, engine="serial", workers=1, listener=Plug())
        answer = results("any", store)
    scores = [score for policy in answer.horizons[0].policies for score in policy.scores]
    assert any(score.behind is None for score in scores)
    assert "by budget in iterations" in str(answer)


def test_names_of_modifiers_are_short_and_scores_have_the_decimals_of_the_margin(task: Task, tmp_path: Path) -> None:
    constant = {"constant": POLICIES["constant"]}
    asked = at(task, "50%", "100%", policies=constant, modifiers=["Lookahead(k=3)", "Lookahead(k=4)"], seeds=2)
    with open_store(tmp_path / "runs.db") as store:
        run(replace(asked, margin=0.001), store, engine="serial", workers=1)
        (horizons,) = results("any", store).horizons
    table = str(horizons)
    assert "Lookahead(k=3, alpha=0.5)" not in table.partition("in full")[0]
    assert re.search(r"0\.\d{4} ±", table)


def test_a_study_with_horizons_is_not_run_at_another_budget(task: Task, tmp_path: Path) -> None:
    asked, lab = at(task, "50%", "100%"), lrbench.Lab(store=tmp_path / "runs.db")
    for changes in ({"steps": 80}, {"at": ["25%", "50%"]}):
        with pytest.raises(StudyError, match="study 'any' was made with horizons, its budgets"):
            lab.study(asked, **changes)
    assert lab.study(asked, seeds=2).tasks == asked.tasks
