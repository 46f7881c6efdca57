import math
from collections.abc import Callable

import pytest

from lrbench.errors import StudyError
from lrbench.report.frames import Frames, records
from lrbench.report.page.content import task_content
from lrbench.report.plots.ranking import ranking_figure
from lrbench.store import Store
from lrbench.study.export import export
from tests.report.made_studies import CHANCE, FAILED, FIVE, MISSING, SCORES, Place, same_everywhere

Study = Callable[..., Frames]


def test_runs_have_the_columns_of_the_export_and_the_scores_that_count(study: Study, store: Store) -> None:
    runs = study(FIVE, same_everywhere(SCORES)).runs

    assert set(export("a-study", store).columns) <= set(runs.columns)
    assert len(runs) == 15
    scores = {(row["label"], row["seed"]): row["val_score"] for row in records(runs)}
    assert scores["falling", 2] == pytest.approx(0.702)
    assert scores["wild", 0] == CHANCE


def test_a_policy_named_as_another_with_a_modifier_has_rows_of_its_own_in_tables_and_on_the_page(study: Study) -> None:
    def outcome(place: Place) -> float:
        return {("A", ""): 0.4, ("A", "e"): 0.5, ("A + e", ""): 0.6, ("A + e", "e"): 0.7}[place.name, place.variant]

    frames = study({"A": "FIX(k0=0.1)", "A + e": "FIX(k0=0.2)"}, outcome, variants=("e",))
    rows = task_content(frames, 0)["data"]["rows"]
    assert [(row["name"], row["modifier"], round(row["val"], 6)) for row in records(frames.policies)] == [
        ("A + e", "e", 0.7),
        ("A + e", "", 0.6),
        ("A", "e", 0.5),
        ("A", "", 0.4),
    ]
    assert frames.runs.groupby("label")["val_score"].agg(["nunique", "size"]).to_numpy().tolist() == [[1, 3]] * 4
    assert [(row["policy"], round(row["val"][0], 6), len(row["runs"])) for row in rows] == [
        ("FIX(k0=0.2)", 0.7, 3),
        ("FIX(k0=0.2)", 0.6, 3),
        ("FIX(k0=0.1)", 0.5, 3),
        ("FIX(k0=0.1)", 0.4, 3),
    ]
    assert len({row["name"] for row in rows}) == 4


def test_a_run_that_has_not_ended_has_no_score(study: Study) -> None:
    runs = study(
        {"late": "FIX(k0=0.1)", "broken": "FIX(k0=0.2)"}, lambda p: MISSING if p.name == "late" else FAILED
    ).runs

    assert [(row["label"], row["status"], row["val_score"]) for row in records(runs[runs["seed"] == 0])] == [
        ("late", "missing", None),
        ("broken", "failed", None),
    ]


def test_curves_have_a_row_for_each_evaluation(five: Frames) -> None:
    falling = five.curves[(five.curves["label"] == "falling") & (five.curves["seed"] == 1)]

    assert falling["step"].tolist() == [20, 40, 60, 80, 100]
    assert falling["val_score"].iloc[-1] == pytest.approx(0.701)
    assert len(five.curves[five.curves["label"] == "wild"]) == 3


def test_policies_stand_best_first_with_their_verdicts(five: Frames) -> None:
    rows = records(five.policies)

    assert [row["label"] for row in rows] == ["falling", "wave", "steps", "flat", "wild"]
    assert [row["verdict"] for row in rows] == ["good", "good", "good", "avoid", "avoid"]
    assert rows[0]["val"] == pytest.approx((0.700 + 0.701 + 0.702) / 3)
    assert rows[0]["val_low"] < rows[0]["val"] < rows[0]["val_high"]
    assert (rows[4]["divergence_rate"], rows[4]["ac"]) == (1.0, None)


def test_effects_are_paired_differences(study: Study) -> None:
    effects = study(
        {"flat": "FIX(k0=0.1)"},
        lambda place: 0.5 + 0.1 * place.seed + (0.02 if place.variant else 0.0),
        variants=("EMA(decay=0.99)",),
    ).effects

    (test,) = records(effects[effects["figure"] == "test_top1"])
    assert test["difference"] == pytest.approx(0.02)
    assert (test["name"], test["modifier"], test["seeds"]) == ("flat", "EMA(decay=0.99)", 3)


def test_a_task_can_be_taken_alone_and_a_figure_takes_no_more(study: Study) -> None:
    both = study(FIVE, same_everywhere(SCORES), tasks=("one", "two"))

    assert both.tasks == ("one", "two")
    assert set(both.on("two").runs["task"]) == set(both.on("two").policies["task"]) == {"two"}
    with pytest.raises(StudyError, match=r"has no task 'tow'.*did you mean 'two'"):
        both.on("tow")
    with pytest.raises(StudyError, match="shows one task"):
        ranking_figure(both.policies)


def test_frames_have_a_line_at_the_prompt(five: Frames) -> None:
    shown = f"<Frames: {five.study}, {len(five.runs)} runs, {len(five.curves):,} evaluations>"

    assert repr(five) == shown


def test_records_say_none_where_there_is_nothing(five: Frames) -> None:
    assert not any(
        isinstance(value, float) and math.isnan(value) for row in records(five.policies) for value in row.values()
    )
