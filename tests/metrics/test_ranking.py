from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest

from lrbench.errors import StudyError
from lrbench.metrics import PolicyRuns, RunRecord, rank, score_table
from lrbench.metrics.goal import criteria, objective_criterion
from lrbench.metrics.runs import Curve

MakeRun = Callable[..., RunRecord]


def contender(run: MakeRun, name: str, vals: list[float | None], tests: list[float] | None = None) -> PolicyRuns:
    runs = tuple(run(seed, val, tests[seed] if tests else None) for seed, val in enumerate(vals))
    return PolicyRuns(name, f"FIX(k0={len(name)})", runs)


def test_policies_are_ranked_by_mean_validation_score(run: MakeRun) -> None:
    ranking = rank([contender(run, "worse", [0.7, 0.7]), contender(run, "better", [0.8, 0.9])], margin=0.01)
    assert [card.name for card in ranking] == ["better", "worse"]


def test_lrbench_defect_selects_on_the_test_set(run: MakeRun) -> None:
    lucky = contender(run, "lucky in the test", [0.70, 0.71, 0.72, 0.70], tests=[0.99] * 4)
    sound = contender(run, "best in validation", [0.90, 0.91, 0.92, 0.90], tests=[0.89] * 4)
    first, second = rank([lucky, sound], margin=0.01)
    assert (first.name, first.verdict and first.verdict.label) == ("best in validation", "good")
    assert (second.name, second.verdict and second.verdict.label) == ("lucky in the test", "avoid")
    assert first.test.mean == pytest.approx(0.89)


def test_a_policy_that_diverged_is_scored_as_chance_and_to_be_avoided(run: MakeRun) -> None:
    wild = contender(run, "wild", [0.95, None, 0.95])
    first, last = rank([wild, contender(run, "calm", [0.8, 0.81, 0.82])], margin=0.01)
    assert (first.name, last.name) == ("calm", "wild")
    assert last.val.mean == pytest.approx((0.95 + 0.1 + 0.95) / 3)
    assert last.verdict is not None
    assert (last.verdict.label, last.verdict.reason) == ("avoid", "diverged on 1 of 3 seeds")


def test_policies_without_any_score_come_last(run: MakeRun) -> None:
    names = [
        card.name for card in rank([PolicyRuns("none", "FIX(k0=1)", ()), contender(run, "one", [0.1])], margin=0.0)
    ]
    assert names == ["one", "none"]


def test_scores_are_paired_by_seed_and_not_by_position(run: MakeRun) -> None:
    backwards = PolicyRuns("backwards", "FIX(k0=1)", (run(7, 0.7), run(3, 0.3)))
    partly = PolicyRuns("partly", "FIX(k0=2)", (run(3, 0.4), run(5, None)))
    scores, diverged = score_table([backwards, partly])
    assert np.array_equal(scores, [[0.3, np.nan, 0.7], [0.4, 0.1, np.nan]], equal_nan=True)
    assert diverged.tolist() == [[False, False, False], [False, True, False]]


def test_ties_keep_the_order_of_the_study(run: MakeRun) -> None:
    names = [card.name for card in rank([contender(run, name, [0.5, 0.6]) for name in "bca"], margin=0.01)]
    assert names == ["b", "c", "a"]


def test_an_empty_study_has_an_empty_ranking() -> None:
    assert rank([], margin=0.01) == []


def test_contenders_of_different_objectives_are_refused(run: MakeRun) -> None:
    other = PolicyRuns("f1", "FIX(k0=1)", (run(0, 0.5, objective="f1"),))
    with pytest.raises(StudyError, match="one objective, but have f1, top1"):
        rank([other, contender(run, "top1", [0.5])], margin=0.01)


def test_a_policy_that_diverges_no_more_often_than_is_tolerated_is_ranked_by_its_goal() -> None:
    def run(seed: int, steps: int, *, diverged: bool = False) -> RunRecord:
        curve = Curve((), ()) if diverged else Curve((steps, 100), (0.5, 0.6))
        status: Literal["finished", "diverged"] = "diverged" if diverged else "finished"
        final = {} if diverged else {"val_top1": 0.6, "test_top1": 0.6}
        return RunRecord(seed=seed, status=status, steps=100, curve=curve, final=final, chance=0.1)

    fast = PolicyRuns("fast", "FIX(k0=1)", tuple(run(seed, 10, diverged=seed == 3) for seed in range(12)))
    slow = PolicyRuns("slow", "FIX(k0=2)", tuple(run(seed, 50) for seed in range(12)))
    objective = objective_criterion("top1", "higher", 0.01)
    by = criteria("steps_to_target:5", objective, steps=100, target=0.5)
    for tolerated, order in ((0.3, ["fast", "slow"]), (0.0, ["slow", "fast"])):
        cards = rank([slow, fast], margin=0.01, target=0.5, by=by, tolerated=tolerated)
        assert [card.name for card in cards] == order


def test_a_run_that_diverged_has_no_test_score_where_the_task_measures_none() -> None:
    curve = Curve((), ())
    fallen = RunRecord(seed=0, status="diverged", steps=10, curve=curve, final={}, chance=0.1, is_tested=False)
    assert (fallen.score("val"), fallen.score("test")) == (0.1, None)
