import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from scipy import stats
from torch import Tensor

from lrbench.errors import StoreError, StudyError
from lrbench.metrics import rank
from lrbench.metrics.spread import Spread
from lrbench.store import Store, StudyRecord, StudySlot
from lrbench.study.compare import compare_two
from lrbench.study.export import export
from lrbench.study.results import Results, TaskResults, finalists, results
from lrbench.study.study import Study
from lrbench.study.study_runs import StudyRuns, resolution
from lrbench.tasks import Metric, Task
from lrbench.training.runner import run
from tests.present import present
from tests.report.made_studies import MISSING, Outcome, Place, write_study

Make = Callable[..., Study]
METRICS = {
    *("val_top1", "test_top1", "test_top5", "test_loss", "ac", "cv", "cdac", "ece", "brier", "loss_difference"),
    *(
        "volatility",
        "jitter",
        "monotonicity",
        "steps_to_target",
        "steps_to_best",
        "seconds",
        "flops",
        "divergence_rate",
    ),
}


def test_the_document_has_every_policy_and_metric_and_is_strict_json(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", "FIX(k0=1e-6)", "FIX(k0=1e30)", target=0.5), store)
    document = json.loads(json.dumps(results("small", store).to_json(), allow_nan=False))
    assert (document["study"], document["task"]) == ("small", "thirds")
    assert document["policies"][0]["policy"] == "FIX(k0=0.1)"
    for entry in document["policies"]:
        assert entry["n"] == 2
        assert entry["metrics"].keys() >= METRICS
    by_name = {entry["name"]: entry for entry in document["policies"]}
    assert by_name["FIX(k0=1e30)"]["verdict"] == "avoid"
    assert by_name["FIX(k0=1e30)"]["metrics"]["divergence_rate"]["mean"] == 1
    assert by_name["FIX(k0=1e30)"]["metrics"]["test_top1"]["mean"] == pytest.approx(1 / 3)
    assert by_name["FIX(k0=1e30)"]["metrics"]["ac"]["mean"] is None


def test_a_target_that_was_not_reached_has_no_number_but_how_many_reached_it(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", "FIX(k0=1e-6)", target=0.6), store)
    by_name = {card.name: card.to_json()["metrics"] for card in results("small", store).tasks[0].scorecards}
    assert by_name["FIX(k0=1e-6)"]["steps_to_target"]["mean"] is None
    assert by_name["FIX(k0=1e-6)"]["steps_to_target"]["reached"] == 0
    assert by_name["FIX(k0=0.1)"]["steps_to_target"]["reached"] == 2
    assert by_name["FIX(k0=0.1)"]["steps_to_target"]["mean"] <= 40


def test_one_seed_has_means_without_intervals(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", "FIX(k0=0.01)", seeds=(3,)), store)
    for card in results("small", store).tasks[0].scorecards:
        assert (card.val.low, card.val.high) == (None, None)
        assert card.verdict is not None
        assert card.verdict.label == "undecided"


def test_intervals_are_those_of_scipy_over_the_stored_runs(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", seeds=(0, 1, 2, 3)), store)
    (card,) = results("small", store).tasks[0].scorecards
    scores = [one.scores[-1].test_score for one in store.study_runs("small").values()]
    low, high = stats.t.interval(0.95, 3, stats.tmean(scores), stats.sem(scores))
    assert (card.test.mean, card.test.low, card.test.high) == pytest.approx((stats.tmean(scores), low, high))


def test_the_ranking_looks_at_validation_and_not_at_test(study: Make, store: Store) -> None:
    run(study(*(f"FIX(k0={k0})" for k0 in (0.001, 0.01, 0.03, 0.1, 0.3, 1.0))), store)
    means = [card.val.mean for card in results("small", store).tasks[0].scorecards]
    assert means == sorted(means, key=lambda mean: -math.inf if mean is None else mean, reverse=True)


def test_results_are_there_before_a_study_is_complete(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)"), store)
    store.save_study("half", *_wider(store))
    assert [card.n for card in results("half", store).tasks[0].scorecards] == [1]


def test_a_modifier_whose_runs_are_to_come_has_no_effect_yet(store: Store) -> None:
    write_study(store, {"flat": "FIX(k0=0.1)"}, lambda place: MISSING if place.variant else 0.5, variants=("PLP()",))

    assert results("a-study", store).tasks[0].effects == ()


def _wider(store: Store) -> tuple[StudyRecord, list[StudySlot]]:
    record, slots = store.study("small")
    return record, [slots[0], replace(slots[1], run="not begun yet")]


def test_several_tasks_have_an_answer_each(study: Make, store: Store, task: Task) -> None:
    run(study("FIX(k0=0.1)", tasks=(task, task.with_(name="small batches", batch_size=8))), store)
    document = results("small", store).to_json()
    assert [answer["task"] for answer in document["tasks"]] == ["thirds", "small batches"]


def test_a_tasks_own_metric_is_what_policies_are_ranked_by(study: Make, store: Store, task: Task) -> None:
    wrong = Metric("wrongness", lambda outputs, targets: float((outputs.argmax(1) != targets).float().mean()), 2 / 3)
    run(study("FIX(k0=0.1)", "FIX(k0=1e-6)", tasks=(task.with_(metric=wrong),)), store)
    (answer,) = results("small", store).tasks
    assert answer.objective == "wrongness"
    assert [card.name for card in answer.scorecards] == ["FIX(k0=1e-6)", "FIX(k0=0.1)"]
    best = answer.scorecards[0].to_json()["metrics"]
    assert best["val_wrongness"]["mean"] == pytest.approx(1 - best["val_top1"]["mean"])


def test_base_lr_robustness_is_the_mean_retained_score(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", seeds=(0,), base_lr_scales=(0.1, 1.0, 1e30))
    run(asked, store)
    _, slots = store.study("small")
    runs = store.study_runs("small")
    score = {slot.scale: runs[slot.run] for slot in slots}
    whole, tenth = (score[scale].scores[-1].val_score for scale in (1.0, 0.1))
    metrics = results("small", store).tasks[0].scorecards[0].metrics
    assert metrics["base_lr_retention"].mean == pytest.approx((1 + tenth / whole + (1 / 3) / whole) / 3)
    assert metrics["base_lr_divergence_rate"].mean == pytest.approx(1 / 3)


def test_confirmed_policies_are_reported_from_fresh_seeds_with_their_search_score(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", "FIX(k0=0.05)", confirm=2), store)
    (answer,) = results("small", store).tasks
    assert {confirmation.card.n for confirmation in answer.confirmed} == {2}
    best = answer.scorecards[0]
    assert [one.card.name for one in answer.confirmed] == [card.name for card in answer.scorecards]
    assert answer.confirmed[0].search == best.val
    assert "search" in answer.to_json()["confirmed"][0]


@pytest.mark.parametrize("goal", ["loss_difference", "val_loss"])
def test_the_first_by_a_studys_goal_is_confirmed(goal: str, study: Make, store: Store) -> None:
    policies = ("FIX(k0=0.1)", "FIX(k0=0.08)", "FIX(k0=0.06)", "FIX(k0=1e-6)")
    run(study(*policies, seeds=3, confirm=2, by=goal), store)
    (answer,) = results("small", store).tasks
    labels = {card.name: present(card.verdict).label for card in answer.scorecards}
    ranked = [name for label in ("good", "undecided") for name in labels if labels[name] == label]
    assert next(one.card.name for one in answer.confirmed if not one.refused) == ranked[0]
    assert {one.card.name for one in answer.confirmed} == set(ranked[:3])
    assert {*answer.confirmed[0].card.verdicts} == {goal}


def test_finalists_are_judged_at_each_tasks_share_of_the_error_rate(study: Make, store: Store, task: Task) -> None:
    short = task.with_(name="short", steps=20)
    run(study("FIX(k0=0.1)", "FIX(k0=0.05)", tasks=(task, short), confirm=3, margin=0), store)
    evidence = StudyRuns.of("small", store)
    for of_task, answer in zip(evidence.tasks, results("small", store).tasks, strict=True):
        fresh = evidence.contenders(evidence.records(of_task, "confirm"))
        judged = rank(fresh, margin=0, alpha=0.025, resolution=resolution(of_task))
        assert {one.card.name: present(one.card.verdict).reason for one in answer.confirmed} == {
            card.name: present(card.verdict).reason for card in judged
        }


def test_two_policies_are_compared_seed_by_seed(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", "FIX(k0=1e-6)", seeds=(0, 1, 2)), store)
    (comparison,) = compare_two("small", "FIX(k0=0.1)", "FIX(k0=1e-6)", store)
    table = export("small", store).pivot(index="seed", columns="name", values="test_top1")
    difference = table["FIX(k0=0.1)"] - table["FIX(k0=1e-6)"]
    found = comparison.differences["test_top1"]
    assert (found.mean, found.sd, found.n) == pytest.approx((difference.mean(), difference.std(), 3))
    json.dumps([comparison.to_json()], allow_nan=False)


def test_a_policy_named_as_another_with_a_modifier_is_a_row_of_its_own(store: Store, task: Task) -> None:
    policies = {"flat": "FIX(k0=0.1)", "flat + e": "FIX(k0=0.001)"}
    run(Study(name="twins", policies=policies, task=task, modifiers={"e": "EMA(decay=0.9)"}, seeds=2), store)
    (answered,) = results("twins", store).tasks
    rows = {row: card for card in answered.scorecards for row in [answered.rows[card.name]]}
    assert rows.keys() == {(policy, variant) for policy in policies for variant in ("", "e")}
    assert len({card.name for card in answered.scorecards}) == 4
    assert {row: card.policy for row, card in rows.items()} == {row: policies[row[0]] for row in rows}

    bad, averaged = rows["flat + e", ""], rows["flat", "e"]
    (comparison,) = compare_two("twins", averaged.name, "flat + e", store)
    difference = present(averaged.metrics["val_loss"].mean) - present(bad.metrics["val_loss"].mean)
    assert comparison.second == "flat + e"
    assert comparison.differences["val_loss"].mean == pytest.approx(difference)
    assert difference != 0


def test_an_unknown_policy_is_named_with_the_nearest_one(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", seeds=(0,)), store)
    with pytest.raises(StudyError, match=r"no policy 'FIX\(k0=0.2\)' \(did you mean 'FIX\(k0=0.1\)'\?\)"):
        compare_two("small", "FIX(k0=0.1)", "FIX(k0=0.2)", store)


def test_a_policy_without_a_finished_run_cannot_be_compared(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", seeds=(0,)), store)
    record, _ = store.study("small")
    store.save_study("empty", record, [])
    with pytest.raises(StudyError, match="has no run on 'thirds' that has ended"):
        compare_two("empty", "FIX(k0=0.1)", "FIX(k0=0.1)", store)


def test_the_export_has_a_row_for_each_run_with_where_it_comes_from(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", "FIX(k0=1e30)"), store)
    table = export("small", store)
    assert list(table["status"]) == ["finished", "finished", "diverged", "diverged"]
    assert list(table["seed"]) == [0, 1, 0, 1]
    assert table["test_top1"].isna().tolist() == [False, False, True, True]
    assert {"torch", "device", "engine", "commit", "lrbench"} <= set(table.columns)


def test_the_number_of_statements_does_not_grow_with_the_runs(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", name="few", seeds=(0, 1)), store)
    run(study(*(f"FIX(k0={k0})" for k0 in (0.1, 0.05, 0.01)), name="many", seeds=(0, 1, 2, 3)), store)
    with counted_statements() as few:
        results("few", store), export("few", store), store.runs(store.statuses())
    with counted_statements() as many:
        results("many", store), export("many", store), store.runs(store.statuses())
    assert len(few) == len(many) > 0


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """The statements that any database is told."""
    told: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        told.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield told
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def test_an_unknown_study_is_said_to_be_unknown(store: Store) -> None:
    with pytest.raises(StoreError, match="no study 'nothing'"):
        results("nothing", store)


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.argmax(1) == targets).double().mean())


def negated(outputs: Tensor, targets: Tensor) -> float:
    return -accuracy(outputs, targets)


REACTING = "REDUCEONPLATEAU(k0=0.1, gamma=0.5, patience=1, threshold=0.01)"
CHANGING = "CHANGEONPLATEAU(policies=[FIX(k0=0.3), FIX(k0=0.1), FIX(k0=0.01)], first=1, window=2, cooldown=1)"


def test_a_metric_better_lower_says_what_its_mirror_image_says(study: Make, store: Store, task: Task) -> None:
    upwards = task.with_(name="up", metric=Metric("fit", accuracy, 1 / 3))
    downwards = task.with_(name="down", metric=Metric("fit", negated, -1 / 3, better="lower"))
    texts = ("FIX(k0=0.1)", "FIX(k0=1e-6)", "FIX(k0=1e30)", REACTING, CHANGING)
    for mirrored, sign in ((upwards, 1), (downwards, -1)):
        asked = study(*texts, tasks=(mirrored,), seeds=(0, 1, 2), target=sign * 0.6, confirm=2, name=mirrored.name)
        run(asked, store, engine="serial")
    up, down = (results(name, store).tasks[0] for name in ("up", "down"))
    assert (up.to_json()["better"], down.to_json()["better"]) == ("higher", "lower")
    assert [card.name for card in down.scorecards] == [card.name for card in up.scorecards]
    assert [card.verdict for card in down.scorecards] == [card.verdict for card in up.scorecards]
    assert [one.card.name for one in down.confirmed] == [one.card.name for one in up.confirmed]
    assert [one.shrinkage for one in down.confirmed] == [one.shrinkage for one in up.confirmed]
    for one, other in zip(up.scorecards, down.scorecards, strict=True):
        assert other.val.mean == -present(one.val.mean)
        assert other.test.mean == -present(one.test.mean)
        assert other.reached == one.reached
        for same in ("steps_to_target", "steps_to_best", "volatility", "test_loss", "test_top1"):
            assert other.metrics[same] == one.metrics[same], same


def test_a_task_is_judged_by_its_loss_where_it_says_so(study: Make, store: Store, task: Task) -> None:
    judged = task.with_(metric="loss")
    asked = study("FIX(k0=1e-6)", "FIX(k0=0.1)", "FIX(k0=1e30)", tasks=(judged,), target=0.9)
    run(asked, store)
    (answer,) = results("small", store).tasks
    assert (answer.objective, answer.better) == ("loss", "lower")
    assert answer.scorecards[0].name == "FIX(k0=0.1)"
    assert answer.scorecards[0].reached == 2
    stored = store.study_runs("small").values()
    assert all(score.val_score == score.val_loss for one in stored for score in one.scores)
    diverged = next(card for card in answer.scorecards if card.name == "FIX(k0=1e30)")
    assert diverged.val.mean == judged.chance
    assert judged.chance == pytest.approx(math.log(3), rel=0.3)
    assert run(asked, store).trained == 0


@pytest.mark.parametrize("unknown", [math.nan, -math.inf, math.inf])
def test_a_metric_that_is_not_finite_is_a_fact_and_the_study_goes_on(
    study: Make, store: Store, task: Task, unknown: float
) -> None:
    def fragile(outputs: Tensor, targets: Tensor) -> float:
        return accuracy(outputs, targets) if outputs.std() > 1 else unknown

    lost = task.with_(metric=Metric("fit", fragile, 1 / 3))
    asked = study("FIX(k0=0.1)", "FIX(k0=1e-6)", tasks=(lost,), target=0.6, base_lr_scales=(1.0, 1e-5))
    assert run(asked, store).failed == 0
    assert run(asked, store).steps_trained == 0
    (answer,) = results("small", store).tasks
    document = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    by_name = {entry["name"]: entry for entry in document["policies"]}
    good, bad = by_name["FIX(k0=0.1)"], by_name["FIX(k0=1e-6)"]
    assert (good["not_finite"], bad["not_finite"]) == (0, 2)
    assert good["metrics"]["val_fit"]["n"] == 2
    assert good["metrics"]["steps_to_target"]["reached"] == 2
    assert bad["metrics"]["steps_to_target"]["reached"] == 0
    assert bad["metrics"]["val_fit"]["mean"] == (None if unknown == math.inf else pytest.approx(1 / 3))
    assert document["policies"][0] == good
    assert document["remarks"] == [
        "fit is NaN or infinite at the end of 2 of 4 runs; NaN and what is infinitely bad count as chance."
    ]
    stored = [one for one in store.study_runs("small").values() if one.policy == "FIX(k0=1e-06)"]
    assert stored
    assert all(repr(one.scores[-1].val_score) == repr(unknown) for one in stored)


def test_a_study_in_which_every_score_is_worse_than_chance_says_so(study: Make, store: Store, task: Task) -> None:
    wrong = Metric("wrongness", lambda outputs, targets: 1 - accuracy(outputs, targets), 2 / 3)
    run(study("FIX(k0=0.1)", "FIX(k0=1e30)", tasks=(task.with_(metric=wrong),)), store)
    (answer,) = results("small", store).tasks
    said = "Every score is worse than chance (0.6667): no policy learnt anything, unless wrongness is better where it "
    rate = "Seeds diverged, with the exact 95% interval of the rate: FIX(k0=1e30) 2 of 2 (15.8% to 100.0%)."
    assert answer.to_json()["remarks"] == [f"{said}is lower.", rate]
    run(study("FIX(k0=0.1)", "FIX(k0=1e-6)", name="mixed"), store)
    assert "remarks" not in results("mixed", store).tasks[0].to_json()


@pytest.mark.parametrize(
    ("network", "advice"), [(0.23, ": more samples would decide more than more seeds."), (0.6, ".")]
)
def test_a_study_says_where_its_spread_comes_from_and_which_seeds_collapsed(network: float, advice: str) -> None:
    answer = TaskResults("t", "top1", (), spread=Spread(0.02, network, 36), collapsed={"wild": 2}, val_samples=8000)
    answer = replace(answer, skewed={"bent": -1.62})
    collapsed, skewed, spread = answer.remarks
    assert skewed.startswith("Scores are skewed beyond chance (skewness): bent (-1.6). Verdicts may err more often")
    assert "lost over half of what their policy learns: wild (2)." in collapsed
    assert spread == (
        f"Of the variance between seeds about {network:.0%} is the networks'; the rest is that of measuring on 8,000 "
        f"validation samples{advice}"
    )


def test_the_spread_is_that_of_the_policies_that_are_not_avoided(study: Make, store: Store) -> None:
    run(study("FIX(k0=0.1)", "FIX(k0=0.08)", "FIX(k0=0.00001)", seeds=6, margin=0.1), store)
    answer = results("small", store).tasks[0]
    assert [card.verdict.label for card in answer.scorecards if card.verdict][-1] == "avoid"
    assert answer.spread is not None
    assert answer.spread.degrees == 2 * 5


def test_a_tolerated_divergence_is_no_verdict_and_its_rate_is_named(study: Make, store: Store) -> None:
    policies = ("FIX(k0=0.1)", "FIX(k0=1e30)")
    run(study(*policies, seeds=3), store)
    assert run(study(*policies, seeds=3, tolerated_divergence=0.9), store).trained == 0
    (strict,), (tolerant,) = results("small@1", store).tasks, results("small", store).tasks
    assert [card.verdict.label for card in strict.scorecards if card.verdict] == ["undecided", "avoid"]
    assert [card.verdict.label for card in tolerant.scorecards if card.verdict] == ["undecided", "undecided"]
    for answer in (strict, tolerant):
        assert answer.remarks[0].endswith("the rate: FIX(k0=1e30) 3 of 3 (29.2% to 100.0%).")


def test_the_first_good_policy_is_confirmed_where_restless_ones_have_higher_means(store: Store) -> None:
    """Three policies whose spread is large, each by another wave over the seeds, stand above one that is calm."""
    waves = {"one": 1, "two": 2, "three": 3}

    def outcome(place: Place) -> float:
        wave = waves.get(place.name, 0)
        return 0.7 if wave == 0 else 0.7001 + 0.06 * math.cos(2 * math.pi * wave * place.seed / 8)

    write_study(store, {name: f"FIX(k0=0.{i + 1})" for i, name in enumerate([*waves, "calm"])}, outcome, seeds=range(8))
    cards = results("a-study", store).tasks[0].scorecards

    assert [(card.name, card.verdict.label) for card in cards if card.verdict] == [
        *((name, "undecided") for name in waves),
        ("calm", "good"),
    ]
    assert next(policy for policy, _ in finalists("a-study", store)["a-task"]) == "calm"


PACES = {"fast": 0.9, "slow": 0.6, "never": 0.4}
"""Final scores; with a target of 0.5 they reach it at iterations 20 and 80, or not at all."""
TEN = range(10)


def paces(store: Store, **changes: Any) -> None:
    """Write a study of policies that learn at other paces, with ten seeds that hardly differ."""
    policies = {name: f"FIX(k0={score})" for name, score in PACES.items()}
    settings = {"seeds": TEN, "better": "higher"} | changes
    write_study(store, policies, lambda place: PACES[place.name] + place.seed / 1e4, **settings)


def verdicts_by(answer: Results, goal: str) -> dict[str, str]:
    return {card.name: card.verdicts[goal].label for card in answer.tasks[0].scorecards}


def test_a_study_is_ranked_by_goals_from_the_store(store: Store) -> None:
    paces(store)

    answer = results("a-study", store, by=["steps_to_target", "loss:3"])

    assert [card.name for card in answer.tasks[0].scorecards] == ["fast", "slow", "never"]
    assert verdicts_by(answer, "steps_to_target") == {"fast": "good", "slow": "avoid", "never": "avoid"}
    assert verdicts_by(answer, "loss") == dict.fromkeys(PACES, "good")
    (fast, *_) = answer.to_json()["policies"]
    assert fast["verdicts"] == {
        "steps_to_target": {"verdict": "good", "look": 10, "within": 5.0, "beyond": None},
        "loss": {"verdict": "good", "look": 10, "within": 3.0, "beyond": None},
    }
    assert [goal["margin"] for goal in answer.to_json()["by"]] == [5, 3]


def test_the_goals_of_a_study_are_in_its_record_and_others_may_be_asked(store: Store) -> None:
    paces(store, by=["steps_to_target:100"])

    assert verdicts_by(results("a-study", store), "steps_to_target")["slow"] == "good"
    assert verdicts_by(results("a-study", store, by="top1"), "top1")["slow"] == "avoid"


def test_the_ranking_has_a_column_of_verdicts_for_each_goal_and_says_that_claims_are_per_goal(store: Store) -> None:
    paces(store, by=["steps_to_target:50", "ac"])

    title, header, fast, *_, never = str(results("a-study", store)).splitlines()[:5]
    text = " ".join(str(results("a-study", store)).split())

    assert "by steps_to_target (margin 50), ac (margin 0.01), target 0.5" in title
    assert header.split("  ")[1].split() == ["by", "steps_to_target"]
    assert "by ac" in header
    assert ("20" in fast.split(), "0 of 10" in never) == (True, True)
    assert "Claims are per goal" in text
    assert "Claims are per goal" not in str(results("a-study", store, by="ac"))


def test_verdicts_by_more_than_two_goals_stand_below_the_values(store: Store) -> None:
    paces(store, by=["steps_to_target:50", "ac", "top1"])

    _, header, fast, below, *_ = str(results("a-study", store)).splitlines()

    assert re.split(r" {2,}", header)[:4] == ["policy", "to target", "AC", "val top1"]
    assert re.split(r" {2,}", fast)[:2] == ["fast", "20 ±0"]
    assert set(below.split()) <= {"good", "avoid", "undecided"}
    assert len(below.split()) == 3


def test_a_goal_that_no_run_has_claims_nothing_and_says_so(store: Store) -> None:
    paces(store)

    answer = results("a-study", store, by=["cdac", "top1"])

    assert set(verdicts_by(answer, "cdac").values()) == {"undecided"}
    assert "No run has a value of cdac, so that nothing is claimed by it." in answer.tasks[0].remarks


@pytest.mark.parametrize(
    ("by", "error"),
    [
        ("speed", "study 'a-study': by: there is no goal named 'speed'; there are top1, loss, "),
        ("base_lr_retention", "study 'a-study': by base_lr_retention: base_lr_scales are missing"),
        ("ac:-1", "study 'a-study': the margin of 'ac:-1' must be"),
    ],
)
def test_a_goal_that_a_stored_study_cannot_be_ranked_by_is_refused(store: Store, by: str, error: str) -> None:
    paces(store)
    with pytest.raises(StudyError, match=error):
        results("a-study", store, by=by)


def test_a_seed_counts_for_the_retention_once_all_its_base_lrs_have_run(store: Store) -> None:
    policies = {"flat": "FIX(k0=0.1)", "high": "FIX(k0=0.3)"}

    def outcome(place: Place) -> Outcome:
        return MISSING if place.stage == "scale" and place.seed == 3 else 0.8 - (place.scale != 1) * 0.1

    write_study(store, policies, outcome, seeds=range(4), scales=(0.1,), better="higher")

    evidence = StudyRuns.of("a-study", store)
    (task,) = evidence.tasks
    assert set(evidence.over(task).values()) == {4}
    assert set(evidence.over(task, evidence.goals(task, "base_lr_retention")).values()) == {3}


def test_other_goals_make_no_new_version_of_a_study(study: Make, store: Store) -> None:
    texts = ("FIX(k0=0.1)", "FIX(k0=0.01)")
    run(study(*texts), store)
    run(study(*texts, by=["flops", "top1"]), store)
    assert [(entry.name, entry.version) for entry in store.studies()] == [("small", 1)]
    assert set(verdicts_by(results("small", store), "flops").values()) == {"good"}
    run(study(*texts), store)
    assert [goal.name for goal in results("small", store).tasks[0].goals] == ["top1"]


def test_two_policies_are_compared_by_goals_alone_where_some_are_given(store: Store) -> None:
    paces(store)

    (compared,) = compare_two("a-study", "fast", "never", store, by=["steps_to_target", "top1"])

    assert list(compared.differences) == ["steps_to_target", "top1"]
    assert compared.differences["steps_to_target"].mean is None
    assert compared.differences["top1"].mean == pytest.approx(0.5)
    assert compared.ahead == {"steps_to_target": (10, 0), "top1": (10, 0)}
