"""The tables of a study: what of its runs and their curves is in them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from lrbench.metrics import RunRecord, register_metric
from lrbench.metrics.runs import Curve
from lrbench.modifiers import EMA
from lrbench.policy import parse, table, tabulate
from lrbench.policy.function import FUNCTIONS
from lrbench.store import Store, open_store
from lrbench.study.export import CURVE, PLACE, csv_of, export, export_curves, flat, run_rows
from lrbench.study.results import answer, results
from lrbench.study.study import Study
from lrbench.study.study_runs import StudyRuns
from lrbench.study.variant import Variant
from lrbench.tasks import Metric, Task
from lrbench.training.backlog import Backlog
from lrbench.training.listener import NullListener
from lrbench.training.runner import run
from tests.registries import forget_registrations

Make = Callable[..., Study]

STEPPED, WILD = "STEP(k0=0.1, gamma=0.5, l=0.25dur)", "FIX(k0=1e30)"
PLATEAU = "REDUCEONPLATEAU(k0=0.1, gamma=0.5, patience=0)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "runs.db") as store:
        yield store


def train(study: Study, store: Store) -> None:
    run(study, store, workers=1, engine="serial")


def share_of_zeros(outputs: Tensor, targets: Tensor) -> float:
    return float((targets == 0).double().mean() + outputs.double().mean())


def test_a_runs_own_metric_is_exported_as_it_is_ranked_by(study: Make, store: Store, task: Task) -> None:
    judged = task.with_(metric=Metric("zeros", share_of_zeros, 0.0))
    train(study("FIX(k0=0.1)", WILD, tasks=(judged,)), store)

    table = export("small", store)
    (card, _) = results("small", store).tasks[0].scorecards

    for name in ("val_zeros", "test_zeros"):
        assert table.loc[table["name"] == card.name, name].mean() == card.metrics[name].mean
        assert table.loc[table["name"] == WILD, name].isna().all()


def test_the_metrics_of_a_run_are_computed_once_for_its_row_and_its_scorecard(
    study: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_registrations(monkeypatch)
    train(study(STEPPED, "FIX(k0=0.1)"), store)
    computed = []

    @register_metric("counted")
    def counted(run: RunRecord) -> float:
        """Count how often it is computed."""
        computed.append(run)
        return 1.0

    evidence = StudyRuns.of("small", store)

    assert all(card.metrics["counted"].mean == 1.0 for card in answer(evidence).tasks[0].scorecards)
    assert all(row["counted"] == 1.0 for row in run_rows(evidence))
    assert len(computed) == len(evidence.runs)


def test_an_export_has_every_number_that_a_scorecard_averages(study: Make, store: Store, task: Task) -> None:
    train(study(STEPPED, tasks=(task.with_(eval_every=2),), target=0.4, base_lr_scales=(0.5, 1.0)), store)

    table = export("small", store)
    main = table[table["stage"] == "main"]
    (card,) = results("small", store).tasks[0].scorecards

    known = {name: one.mean for name, one in card.metrics.items() if one.mean is not None and name != "divergence_rate"}
    assert {"volatility", "steps_to_best", "steps_to_target", "base_lr_retention"} <= known.keys()
    assert {name: float(main[name].mean()) for name in known} == pytest.approx(known, rel=1e-12)


def test_a_study_without_a_target_has_no_iterations_to_it(study: Make, store: Store) -> None:
    train(study(STEPPED), store)
    assert "steps_to_target" not in export("small", store)


def test_whole_numbers_stay_whole_beside_missing_ones(study: Make, store: Store) -> None:
    train(study(STEPPED, WILD), store)
    table = export("small", store)

    for name in ("diverged_at", "classes_without_correct", "forward_flops", "steps_to_best"):
        values = table[name].dropna()
        assert 0 < len(values) < len(table), name
        assert {type(value) for value in values} == {int}, name


def test_each_run_has_its_curve_in_one_cell(study: Make, store: Store) -> None:
    train(study(STEPPED, WILD), store)
    table = export("small", store)
    for key, points in export_curves("small", store).groupby("run"):
        (cell,) = table.loc[table["run"] == key, "curve"]
        known = Curve.parse(cell)
        evaluated = points[points["val_score"].notna()]
        assert list(known.steps) == list(evaluated["step"])
        assert list(known.scores) == pytest.approx(list(evaluated["val_score"]), rel=1e-5)


def test_lists_are_in_the_table_and_not_in_its_flat_form(study: Make, store: Store) -> None:
    train(study(STEPPED, WILD), store)
    table = export("small", store)

    finished = table[table["status"] == "finished"].iloc[0]
    assert len(finished["class_confidence"]) == 3
    assert sum(finished["reliability"]["count"]) == 40
    assert set(table) - set(flat(table)) == {"class_confidence", "reliability"}


def test_curves_are_the_stored_evaluations_with_the_lr_of_their_last_iteration(
    study: Make, store: Store, task: Task
) -> None:
    train(study(STEPPED, base_lr_scales=(0.5, 1.0), seeds=(0,)), store)
    table = export_curves("small", store)

    lrs = parse(STEPPED).bind(task.steps, task.steps_per_epoch).lrs(0, task.steps)
    assert tuple(table) == CURVE
    assert list(table["step"]) == 2 * [5, 10, 15, 20, 25, 30, 35, 40]
    for scale, curve in table.groupby("scale"):
        assert list(curve["lr"]) == [scale * lrs[step - 1] for step in curve["step"]]
        (key,) = set(curve["run"])
        stored = store.runs([key])[key].scores
        kept = np.array([curve[name] for name in vars(stored[0])], dtype=np.float64)
        assert np.array_equal(kept.T, [list(vars(score).values()) for score in stored], equal_nan=True)


def test_a_run_that_diverged_has_the_curve_up_to_there(study: Make, store: Store) -> None:
    train(study(STEPPED, "FIX(k0=1e8)", seeds=(0,)), store)
    curves = export_curves("small", store)

    (wild,) = (one for one in store.study_runs("small").values() if one.status == "diverged")
    assert len(curves[curves["name"] == STEPPED]) == 8
    fallen = curves[curves["status"] == "diverged"]
    assert fallen["val_score"].notna().sum() == len(wild.scores) < 8
    assert fallen["step"].iloc[-1] == fallen["diverged_at"].iloc[-1] == wild.diverged_at


def test_the_lr_of_a_reactive_policy_follows_from_the_evaluations_of_its_run(
    study: Make, store: Store, task: Task
) -> None:
    train(study(PLATEAU, seeds=(0,)), store)
    table = export_curves("small", store)

    policy = parse(PLATEAU).bind(task.steps, task.steps_per_epoch)
    seen: list[tuple[int, float]] = []
    for row in table.to_dict("records"):
        assert row["lr"] == policy.lrs(row["step"] - 1, row["step"], seen)[0]
        seen.append((row["step"], row["val_score"]))
    assert table["lr"].nunique() > 1


def test_an_lr_that_is_not_known_is_empty(study: Make, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    averaged = Variant.of([EMA()], "averaged")
    train(study(PLATEAU, STEPPED, seeds=(0,), modifiers=(averaged,)), store)

    known = export_curves("small", store).groupby(["name", "modifier"])["lr"].count()
    assert known.to_dict() == {(PLATEAU, ""): 8, (PLATEAU, "averaged"): 0, (STEPPED, ""): 8, (STEPPED, "averaged"): 8}

    monkeypatch.setattr(FUNCTIONS, "_entries", {k: v for k, v in FUNCTIONS._entries.items() if k != "STEP"})
    forgotten = export_curves("small", store)
    assert forgotten.loc[forgotten["name"] == STEPPED, "lr"].isna().all()


def test_the_lrs_of_a_users_function_are_known_from_the_store_alone(
    study: Make, store: Store, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tabulate(lambda t: 0.1 / (t + 1), task.steps)
    train(Study(name="small", policies={"mine": mine, "late": mine.scaled(0.5)}, task=task, seeds=1), store)
    known = export_curves("small", store)

    monkeypatch.setattr(table, "_BY_TEXT", {})

    again = export_curves("small", store)
    assert again["lr"].tolist() == known["lr"].tolist()
    assert again.loc[again["name"] == "mine", "lr"].tolist() == [0.1 / step for step in range(5, 45, 5)]
    assert set(again["policy"]) == {str(mine), str(mine.scaled(0.5))}


def test_curves_of_a_study_that_was_not_begun_are_columns_without_rows(study: Make, store: Store) -> None:
    class Stopper(NullListener):
        def planned(self, backlog: Backlog) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(study(STEPPED), store, workers=1, listener=Stopper())
    table = export_curves("small", store)
    assert (tuple(table), len(table)) == (CURVE, 0)
    assert list(export("small", store)["status"]) == ["missing", "missing"]


def test_a_study_without_runs_has_columns_and_no_row(study: Make, store: Store) -> None:
    train(study(STEPPED), store)
    record, _ = store.study(store.entry("small").id)
    store.save_study("none", record, [])
    assert csv_of(export("none", store)).decode().splitlines() == [",".join((*PLACE, "status"))]
