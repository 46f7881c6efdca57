"""What is exported to CSV, Parquet, TensorBoard and MLflow, and imported again, gives the same scorecards."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
import torch

import lrbench
from lrbench.api import Lab, import_runs
from lrbench.errors import StudyError
from lrbench.imports.judge import judge
from lrbench.metrics import Scorecard
from lrbench.store import Store, open_store
from lrbench.study.export import PLACE, csv_of, export, export_curves
from lrbench.study.results import results
from lrbench.study.study import Study, StudyPolicy
from lrbench.study.study_runs import StudyRuns
from lrbench.study.trackers import FORMATS, TRACKERS, export_to
from lrbench.tasks import Task

DESTINATIONS = {"csv": "runs.csv", "parquet": "runs.parquet", "tensorboard": "events", "mlflow": "mlflow.db"}


@pytest.fixture(scope="module")
def trained(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A study with a variant, a policy that diverges, a target and another base LR, of two tasks."""
    other = task.with_(name="fewer steps", steps=20)
    policies = {"flat": "FIX(k0=0.1)", "falling/fast": "POLY(k0=0.2, p=1, l=1dur)", "=wild": "FIX(k0=1e9)"}
    study = Study(
        name="small",
        tasks=(task, other),
        policies=tuple(StudyPolicy(name, lrbench.parse(text)) for name, text in policies.items()),
        seeds=(0, 1, 3),
        modifiers=["EMA(decay=0.9)"],
        target=0.5,
        base_lr_scales=(0.5,),
    )
    with Lab(store=tmp_path_factory.mktemp("trained") / "runs.db", workers=1, engine="serial", progress=False) as lab:
        lab.run(study)
        yield lab.store


def cards(study: str, store: Store, by: tuple[str, ...] = ()) -> list[list[Scorecard]]:
    return [list(task.scorecards) for task in results(study, store, by).tasks]


@pytest.mark.parametrize("to", FORMATS)
def test_a_round_trip_gives_the_same_scorecards(to: str, trained: Store, tmp_path: Path) -> None:
    destination = str(tmp_path / DESTINATIONS[to])
    assert export_to(to, destination, StudyRuns.of("small", trained)) == 36
    if to in TRACKERS:
        with pytest.raises(StudyError, match=r"(is not empty|experiment 'small' already): export into"):
            export_to(to, destination, StudyRuns.of("small", trained))
    with open_store(str(tmp_path / "other.db")) as store:
        imported = import_runs(destination, "back", store=store)
        assert imported.is_new
        assert not import_runs(destination, "back", store=store).is_new
        for by in ((), ("loss",), ("steps_to_target", "seconds:5%")):
            assert cards("back", store, by) == cards("small", trained, by)
        assert all(run.scores for run in store.study_runs("back").values() if run.status == "finished")
        assert {run.status for run in store.study_runs("back").values()} == {"finished", "diverged"}
        again = tmp_path / "again.csv"
        export_to("csv", str(again), StudyRuns.of("back", store))
        import_runs(again, "twice", store=store)
        assert cards("twice", store) == cards("small", trained)


def test_tasks_of_different_objectives_come_back_from_folders_and_from_evaluations(
    trained: Store, task: Task, tmp_path: Path
) -> None:
    by_loss = task.with_(name="by loss", metric="loss", loss=torch.nn.functional.cross_entropy)
    policies = (StudyPolicy("flat", lrbench.parse("FIX(k0=0.1)")), StudyPolicy("wild", lrbench.parse("FIX(k0=1e9)")))
    study = Study(name="mixed", tasks=(task, by_loss), policies=policies, seeds=(0, 1), margin=0.01)
    with Lab(store=trained, workers=1, engine="serial", progress=False) as lab, open_store(":memory:") as store:
        lab.run(study)
        export_to("tensorboard", str(tmp_path / "events"), StudyRuns.of("mixed", trained))
        import_runs(str(tmp_path / "events"), "back", store=store)
        assert cards("back", store) == cards("mixed", trained)
    (tmp_path / "curves.csv").write_bytes(csv_of(export_curves("mixed", trained)))
    for answer in judge(tmp_path / "curves.csv", metric="val_loss").tasks:
        labels = {policy.name: (policy.verdict.label, policy.diverged) for policy in answer.policies}
        assert labels["wild"] == ("avoid", 2), "a run that diverged has finite evaluations before"
        assert labels["flat"][1] == 0


def test_a_table_of_runs_comes_back_without_those_that_were_never_begun(trained: Store, tmp_path: Path) -> None:
    table = export("small", trained)
    at = table.index[(table["stage"] == "main") & (table["scale"] == 1) & (table["seed"] == 0)]
    table.loc[at, [name for name in table if name not in (*PLACE, "status")]] = None
    table.loc[at, "status"] = "missing"
    (tmp_path / "runs.csv").write_bytes(csv_of(table))

    def runs(study: str, store: Store) -> dict[tuple[object, ...], object]:
        found: dict[tuple[object, ...], object] = {}
        record, slots = store.study(study)
        texts = {policy.name: policy.policy for policy in record.policies}
        for slot in slots:
            if (slot.stage, slot.scale) == ("main", 1) and slot.seed != 0:
                run, label = store.study_runs(study)[slot.run], " + ".join(filter(None, (slot.policy, slot.variant)))
                scores = [(score.step, float(f"{score.val_score:.6g}")) for score in run.scores]
                known = (run.status, run.diverged_at, scores, (run.final or {}).get("ece"))
                found[slot.task, label, slot.seed] = (*known, "" if " + " in label else texts[label])
        return found

    with open_store(":memory:") as store:
        found = import_runs(tmp_path / "runs.csv", store=store)
        assert runs("runs", store) == runs("small", trained)
        assert {task.objective for task in found.results.tasks} == {"top1"}
        assert "rows of runs that have not ended" in " ".join(found.remarks)


def test_an_export_is_judged_by_the_objective_of_its_task(trained: Store, tmp_path: Path) -> None:
    export_to("csv", str(tmp_path / "runs.csv"), StudyRuns.of("small", trained))
    judged = judge(tmp_path / "runs.csv", task="thirds")
    assert (judged.tasks[0].metric, judged.tasks[0].better, judged.tasks[0].paired) == ("val_top1", "higher", True)
    assert {one.name: one.verdict.label for one in judged.tasks[0].policies}["=wild"] == "avoid"


def test_what_was_left_out_of_an_export_is_not_made_up(trained: Store, tmp_path: Path) -> None:
    export_to("csv", str(tmp_path / "runs.csv"), StudyRuns.of("small", trained))
    table = pandas.read_csv(tmp_path / "runs.csv")
    table[table["policy"] != "flat"].to_csv(tmp_path / "fewer.csv", index=False)
    with open_store(str(tmp_path / "other.db")) as store:
        (task, _) = import_runs(tmp_path / "fewer.csv", store=store).results.tasks
        assert "flat" not in {card.name for card in task.scorecards}
        table.drop(columns="lrbench").to_csv(tmp_path / "plain.csv", index=False)
        plain = import_runs(tmp_path / "plain.csv", store=store, metric="val_top1", better="higher")
        first = cards("small", trained)[0]
        found = {card.name: card.val for card in plain.results.tasks[-1].scorecards}
        assert found["flat"].mean == next(card.val.mean for card in first if card.name == "flat")


def test_an_option_makes_an_export_like_any_other_runs(trained: Store, tmp_path: Path) -> None:
    export_to("csv", str(tmp_path / "runs.csv"), StudyRuns.of("small", trained))
    with open_store(str(tmp_path / "other.db")) as store:
        found = import_runs(tmp_path / "runs.csv", store=store, metric="val_loss", margin=0.5).results
        assert (found.margin, found.tasks[0].objective) == (0.5, "loss")


def test_an_export_that_cannot_be_made_is_refused_in_one_sentence(trained: Store, tmp_path: Path) -> None:
    evidence = StudyRuns.of("small", trained)
    with pytest.raises(StudyError, match="no format of an export named 'xlsx'"):
        export_to("xlsx", "x", evidence)
    with pytest.raises(StudyError, match="no run of study 'small' has ended yet"):
        export_to("csv", "x", replace(evidence, runs={}))
    with pytest.raises(StudyError, match=r"cannot write .+: No such file"):
        export_to("csv", str(tmp_path / "none" / "x.csv"), evidence)


@pytest.mark.parametrize("to", ["tensorboard:{}/events", "mlflow:{}/mlflow.db"])
def test_a_study_writes_to_a_tracker_while_it_is_trained(to: str, study: Callable[..., Study], tmp_path: Path) -> None:
    where = to.format(tmp_path)
    with Lab(store=tmp_path / "runs.db", workers=1, engine="serial", progress=False) as lab:
        lab.run(study("FIX(k0=0.1)"))
        lab.listeners = (lrbench.Tracking(where),)
        asked = study("FIX(k0=0.1)", "FIX(k0=0.2)")
        lab.run(asked)
        lab.run(asked)
        with open_store(str(tmp_path / "other.db")) as store:
            import_runs(where.partition(":")[2], "back", store=store)
            assert cards("back", store) == cards("small", lab.store)


def test_a_tracker_that_is_none_is_refused_before_anything_is_trained(
    study: Callable[..., Study], tmp_path: Path
) -> None:
    for to, sentence in (("wandb:x", "no tracker named 'wandb:x'"), ("tensorboard", "as in tensorboard:DIR")):
        with pytest.raises(StudyError, match=sentence):
            lrbench.Tracking(to)
