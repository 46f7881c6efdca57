"""Imported studies: what is in the store after an import, and that every other command knows them."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest

from lrbench.advice.evidence import evidence_by_task
from lrbench.api import Lab, import_runs
from lrbench.errors import LRBenchError, StoreError, StudyError
from lrbench.imports.judge import judge
from lrbench.imports.study import split_of
from lrbench.report.frames import study_frames
from lrbench.report.page import report_page
from lrbench.report.plot import drawings
from lrbench.serve.compare import Pick, compared
from lrbench.serve.home import HomeWatch, Leaders, LeadersWatch
from lrbench.store import Store, open_store
from lrbench.study.compare import compare_two
from lrbench.study.export import export
from lrbench.study.results import results
from lrbench.study.study import Study
from lrbench.study.study_runs import StudyRuns
from lrbench.study.trackers import export_to


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "runs.db"))


def table(sizes: dict[str, int], *, column: str = "run", last: dict[tuple[str, int], str] | None = None) -> str:
    """Runs of policies whose mean losses are 0.1 apart, with a spread of 0.01 between runs."""
    draw = random.Random(0)
    rows = [f"policy,{column},step,train_loss,val_loss"]
    for place, (policy, size) in enumerate(sizes.items()):
        for run in range(size):
            shift = 1 + 0.1 * place + draw.gauss(0, 0.01)
            name = run if column == "seed" else f"{policy}{run}"
            for step in (0, 50, 100):
                value = (last or {}).get((policy, run)) if step == 100 else None
                rows.append(f"{policy},{name},{step},{shift},{value or shift - step / 1000}")
    return "\n".join(rows) + "\n"


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("column", ["seed", "run"])
def test_an_imported_study_has_the_verdicts_that_judge_gives(column: str, store: Store, tmp_path: Path) -> None:
    source = put(tmp_path / "runs.csv", table({"a": 4, "b": 6, "c": 3}, column=column, last={("c", 2): "nan"}))
    imported = import_runs(source, store=store, margin=0.01)
    (task,), (judged,) = imported.results.tasks, judge(source, margin=0.01).tasks
    assert judged.paired == (column == "seed")
    assert [(card.name, card.n, card.verdict and card.verdict.label) for card in task.scorecards] == [
        (one.name, one.n, one.verdict.label) for one in judged.policies
    ]
    for card, one in zip(task.scorecards, judged.policies, strict=True):
        assert card.val.mean == pytest.approx(one.score.mean)
        assert card.verdict is not None
        assert card.verdict.p_avoid == pytest.approx(one.verdict.p_avoid)
        assert card.verdict.gap.low == pytest.approx(one.verdict.gap.low)


def test_importing_again_is_nothing_new_and_other_runs_need_another_name(store: Store, tmp_path: Path) -> None:
    source = put(tmp_path / "runs.csv", table({"a": 3, "b": 3}))
    assert import_runs(source, store=store).is_new
    moved = put(tmp_path / "moved.csv", source.read_text())
    before = store.studies(), store.totals()
    assert not import_runs(moved, "runs", store=store).is_new
    assert (store.studies(), store.totals()) == before
    with pytest.raises(StoreError, match="has a study 'runs' already, of other runs: give this one another name"):
        import_runs(put(tmp_path / "other.csv", table({"a": 3, "b": 2})), "runs", store=store)
    with pytest.raises(StoreError, match="of other runs"):
        import_runs(source, "runs", store=store, margin=0.5)
    assert len(store.study_runs("runs")) == 6


def test_an_imported_study_never_mixes_with_trained_runs_of_its_name(
    study: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    source = put(tmp_path / "small.csv", table({"FIX(k0=0.1)": 2, "FIX(k0=0.2)": 2}, column="seed"))
    with Lab(store=store, workers=1, progress=False) as lab:
        import_runs(source, store=store)
        outcome = lab.run(study("FIX(k0=0.1)", "FIX(k0=0.2)"))
        assert outcome.tally.trained == 4
        assert outcome.kept == "small@1"
        assert {run.status for run in store.study_runs("small@1").values()} == {"finished"}
        assert not any(run.exact for run in store.study_runs("small@1").values())
        with pytest.raises(StoreError, match="has a study 'small' already, which lrbench trained"):
            import_runs(put(tmp_path / "small2.csv", table({"a": 2, "b": 2})), "small", store=store)


def test_an_import_is_all_or_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr("lrbench.store.store.Store._insert_slots", fail)
    with pytest.raises(StoreError, match="the disk is full"):
        import_runs(put(tmp_path / "runs.csv", table({"a": 3, "b": 3})), store=store)
    assert store.studies() == ()
    assert store.statuses() == {}


def test_a_diverged_run_keeps_its_curve_until_then(store: Store, tmp_path: Path) -> None:
    source = put(tmp_path / "runs.csv", table({"a": 2, "b": 2}, last={("b", 1): "inf"}))
    import_runs(source, store=store)
    (fallen,) = (run for run in store.study_runs("runs").values() if run.status == "diverged")
    assert (fallen.diverged_at, fallen.step, fallen.scores.steps(), fallen.final) == (100, 100, (0, 50), None)
    assert fallen.provenance["engine"] == "imported, not exact"
    assert fallen.provenance["imported_run"] == "b1"
    assert fallen.provenance["source"] == str(source)


def test_every_view_of_a_study_works_on_an_imported_one_and_offers_no_training(store: Store, tmp_path: Path) -> None:
    import_runs(put(tmp_path / "runs.csv", table({"a": 4, "b": 6})), store=store)
    frames = study_frames("runs", store)
    page = report_page(frames, None)
    assert "another program trained them" in page
    assert "unpaired t tests" in page
    assert "initial weights" not in page
    assert {drawing.name for drawing in drawings(frames)} >= {"ranking", "training"}
    assert "tree" not in {drawing.name for drawing in drawings(frames)}
    leaders = Leaders(store)
    (_, home), *_ = HomeWatch(store, leaders).events()
    while not leaders.version:
        time.sleep(0.01)
    ((_, summaries),) = LeadersWatch(leaders).events()
    assert home["studies"][0]["kind"] == "imported"
    assert summaries[0]["leaders"][0]["name"] == "a"
    assert len(export("runs", store)) == 10


def test_unpaired_runs_are_compared_by_means_everywhere(store: Store, tmp_path: Path) -> None:
    import_runs(put(tmp_path / "runs.csv", table({"a": 4, "b": 6})), store=store)
    (comparison,) = compare_two("runs", "a", "b", store)
    last = {
        name: [run.scores[-1].val_score for run in store.study_runs("runs").values() if run.policy == name]
        for name in ("a", "b")
    }
    gap = comparison.differences["val_loss"]
    mean = float(np.mean(last["a"]) - np.mean(last["b"]))
    assert gap.mean == pytest.approx(mean)
    assert (comparison.paired, comparison.ahead, gap.n) == (False, {}, 4)
    entry = store.entry("runs")
    shown = compared(store, [Pick(entry.id, "runs", name) for name in ("a", "b")])
    assert shown["differences"][0]["how"] == "Unpaired: the runs have nothing in common."
    assert shown["differences"][0]["rows"][0]["mean"] == pytest.approx(-mean)


def test_by_steps_to_a_target_unpaired_runs_that_miss_it_are_judged_as_judge_judges_them(
    store: Store, tmp_path: Path
) -> None:
    missed = {("b", run): "1.2" for run in range(7)}
    source = put(tmp_path / "runs.csv", table({"a": 8, "b": 8}, last=missed))
    import_runs(source, store=store, target=1.03)
    (task,) = results("runs", store, "steps_to_target:10").tasks
    (judged,) = judge(source, target=1.03, margin=10).tasks
    assert {card.name: (card.reached, card.verdict and card.verdict.label) for card in task.scorecards} == {
        "a": (8, "good"),
        "b": (1, "avoid"),
    }
    assert [card.verdict and card.verdict.p_good for card in task.scorecards] == [
        policy.verdict.p_good for policy in judged.policies
    ]
    assert "unpaired rank tests" in report_page(study_frames("runs", store, "steps_to_target"))


def test_policies_with_one_schedule_are_advised_by_name_and_not_as_one(store: Store) -> None:
    rows = [
        {"policy": name, "seed": seed, "step": t, "lr": 0.1 - t / 1000, "val_loss": loss + seed / 100 - t / 1000}
        for name, loss in (("a", 1.0), ("b", 1.2), ("other", 1.1))
        for seed in range(4)
        for t in range(0, 100, 10)
    ]
    frame = pandas.DataFrame(rows)
    frame.loc[frame.policy == "other", "lr"] = 0.1
    imported = import_runs(frame, "mine", store=store)
    texts = {card.name: card.policy for card in imported.results.tasks[0].scorecards}
    assert texts == {"a": "a", "b": "b", "other": "FIX(k0=0.1)"}
    with Lab(store=store, progress=False) as lab:
        assert [one.policy for one in lab.recommend("mine").recommendations] == ["a"]


def test_what_is_exported_of_unpaired_runs_is_judged_as_unpaired(store: Store, tmp_path: Path) -> None:
    for column in ("run", "seed"):
        import_runs(put(tmp_path / f"{column}.csv", table({"a": 4, "b": 4}, column=column)), store=store)
        export_to("csv", str(tmp_path / f"{column}-again.csv"), StudyRuns.of(column, store))
        (task,) = judge(tmp_path / f"{column}-again.csv").tasks
        assert task.paired == (column == "seed")


def test_advice_on_an_imported_task_is_of_its_runs_and_reaches_no_other_task(store: Store, tmp_path: Path) -> None:
    rows = table({"a": 4, "b": 4}, column="seed").replace("policy,seed", "task,policy,seed").splitlines()
    named = "\n".join([rows[0], *(f"mnist1d-mlp,{row}" for row in rows[1:]), *(f"mine,{row}" for row in rows[1:])])
    import_runs(put(tmp_path / "runs.csv", named), store=store)
    with Lab(store=store, progress=False) as lab:
        advice = lab.recommend("mine")
        assert [one.policy for one in advice.recommendations] == ["a"]
        assert "8 runs of 2 policies on the same task" in advice.source
        with pytest.raises(StudyError, match="nothing can be trained on task 'mine'"):
            lab.recommend("mine", range_test=True)
        trained = lab.recommend("mnist1d-mlp")
        assert not {"a", "b"} & {one.policy for one in trained.recommendations}
    assert any(body.is_imported for body in evidence_by_task(store))


def test_a_margin_that_is_a_share_of_the_best_is_the_goal_of_the_study(store: Store, tmp_path: Path) -> None:
    source = put(tmp_path / "runs.csv", table({"a": 4, "b": 4}, column="seed"))
    (task,) = import_runs(source, store=store, margin="30%").results.tasks
    assert [str(goal.margin) for goal in task.goals] == ["30%"]
    labels = {card.name: card.verdict and card.verdict.label for card in results("runs", store).tasks[0].scorecards}
    assert labels == {"a": "good", "b": "good"}


def test_other_metrics_are_shown_by_their_last_values_under_lrbench_s_names(store: Store) -> None:
    frame = pandas.DataFrame(
        {
            "policy": ["a", "a", "b", "b"],
            "seed": [0, 1, 0, 1],
            "step": 10,
            "validation/accuracy": [0.5, 0.6, 0.7, 0.8],
            "test/accuracy": [0.4, 0.5, 0.6, 0.7],
            "training loss": [2.0, 1.0, 3.0, 2.0],
            "ece": [50.0, 60.0, 70.0, 80.0],
        }
    )
    cards = {card.name: card for card in import_runs(frame, "mine", store=store).results.tasks[0].scorecards}
    assert cards["b"].val.mean == pytest.approx(0.75)
    assert cards["b"].test.mean == pytest.approx(0.65)
    assert cards["b"].metrics["train_loss"].mean == pytest.approx(2.5)
    assert cards["b"].metrics["ece"].n == 0
    assert cards["b"].metrics["logged ece"].mean == pytest.approx(75)


def test_a_column_in_percent_is_not_taken_for_lrbench_s_accuracy(store: Store) -> None:
    frame = pandas.DataFrame({"policy": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1], "val_top1": [50.0, 60, 70, 80]})
    (task,) = import_runs(frame, "mine", store=store, better="higher").results.tasks
    assert task.objective == "logged val_top1"
    assert task.scorecards[0].val.high is not None
    assert task.scorecards[0].val.high > 80


@pytest.mark.parametrize(
    ("metric", "found"),
    [("val/loss", ("val", "loss")), ("Loss-Train", ("train", "Loss")), ("val", ("", "val")), ("f1", ("", "f1"))],
)
def test_a_split_is_read_off_the_name_of_a_metric(metric: str, found: tuple[str, str]) -> None:
    assert split_of(metric) == found


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"margin": "x"}, "must be a finite number from 0 on"),
        ({"target": float("inf")}, "the target must be a finite number"),
        ({"metric": "val_los"}, "no column named 'val_los'"),
    ],
)
def test_what_cannot_be_used_leaves_the_store_as_it_was(
    options: dict[str, object], sentence: str, store: Store, tmp_path: Path
) -> None:
    source = put(tmp_path / "runs.csv", table({"a": 3, "b": 3}))
    with pytest.raises(LRBenchError, match=sentence):
        import_runs(source, store=store, **options)  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="need a name for their study"):
        import_runs(pandas.DataFrame({"policy": ["a"], "loss": [1.0]}), store=store)
    with pytest.raises(StudyError, match="no store can hold"):
        import_runs({"a\0": [1.0, 2.0]}, "mine", store=store, better="lower")
    assert store.studies() == ()


def test_the_document_of_an_import_is_json(store: Store, tmp_path: Path) -> None:
    imported = import_runs(put(tmp_path / "runs.csv", table({"a": 3, "b": 3})), store=store)
    document = json.loads(json.dumps(imported.to_json()))
    assert document["imported"]["runs"] == 6
    assert document["study"] == "runs"
    assert "6 runs imported as study 'runs'." in str(imported)


def test_a_policy_whose_learning_rates_were_logged_is_known_by_its_function(store: Store) -> None:
    steps = np.arange(0, 101, 10)
    rows = [
        {"policy": name, "seed": seed, "step": int(step), "lr": lr, "val_loss": 1 + seed / 10 - step / 1000}
        for name, rates in (("flat", np.full(11, 0.1)), ("falling", 0.2 * (1 - steps / 100)))
        for seed in range(2)
        for step, lr in zip(steps, rates, strict=True)
    ]
    imported = import_runs(pandas.DataFrame(rows), "mine", store=store)
    texts = {card.name: card.policy for card in imported.results.tasks[0].scorecards}
    assert texts["flat"] == "FIX(k0=0.1)"
    assert texts["falling"].startswith(("POLY(", "LINEAR("))
