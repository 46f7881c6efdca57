"""A training function is a task: what it reports is in the store, and what goes wrong in it is a fact or a sentence."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lrbench
from lrbench.errors import StudyError, TaskError
from lrbench.metrics import classify
from lrbench.modifiers import EMA
from lrbench.store import Store, StoredRun, open_store
from lrbench.tasks import TrainingFunction
from lrbench.training.runner import run as train_study
from tests.registries import forget_registrations

POLICIES = ("FIX(k0=0.1)", "STEP(k0=0.2, gamma=0.1, l=20)")


@pytest.fixture(autouse=True)
def _registries(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_registrations(monkeypatch)


@pytest.fixture
def location(tmp_path: Path) -> str:
    return str(tmp_path / "runs.db")


def descent(run: lrbench.TrainingRun, step: int, weight: float) -> tuple[float, float]:
    """One iteration on the loss weight², with noise that follows from seed and step."""
    noise = random.Random(f"{run.seed} {step}").gauss(0, 0.1)
    weight -= run.lr(step) * 2 * (weight + noise)
    return weight, weight**2


@lrbench.trainable(name="descent", steps=40, eval_every=10, chance=4.0)
def plain(run: lrbench.TrainingRun) -> None:
    weight = 2.0
    for step in range(1, run.steps + 1):
        weight, loss = descent(run, step, weight)
        if run.is_due(step):
            run.report(step, val=loss, train_loss=loss)


def task(function: Callable[[lrbench.TrainingRun], None], **settings: object) -> TrainingFunction:
    asked = {"name": "descent", "steps": 40, "eval_every": 10, "chance": 4.0, **settings}
    return lrbench.trainable(**asked)(function)  # type: ignore[arg-type]


def trained(asked: TrainingFunction, store: Store, *policies: str, seeds: int = 1, workers: int = 1) -> list[StoredRun]:
    """The runs of a study in the order of its slots."""
    study = lrbench.Study(name="called", task=asked, policies=policies or POLICIES, seeds=seeds)
    train_study(study, store, workers=workers)
    _, slots = store.study("called")
    runs = store.study_runs("called")
    return [runs[slot.run] for slot in slots]


def numbers(runs: list[StoredRun]) -> list[tuple[object, ...]]:
    return [(run.key, run.status, run.step, run.diverged_at, run.scores, run.final) for run in runs]


def test_every_report_is_an_evaluation_of_a_run_and_the_last_one_is_its_end(store: Store) -> None:
    (run, _) = trained(plain, store)

    weight, losses = 2.0, []
    for step in range(1, 41):
        weight -= 0.1 * 2 * (weight + random.Random(f"0 {step}").gauss(0, 0.1))
        losses.append(weight**2)
    assert (run.status, run.step, run.task, run.steps) == ("finished", 40, "descent", 40)
    assert [(one.step, one.val_score, one.train_loss) for one in run.scores] == [
        (step, losses[step - 1], losses[step - 1]) for step in (10, 20, 30, 40)
    ]
    assert run.final == {"val_loss": losses[-1]}
    assert run.provenance["engine"] == "function"


def test_reports_are_in_the_store_while_the_function_is_still_training(store: Store) -> None:
    seen = []

    def train(run: lrbench.TrainingRun) -> None:
        for step in (10, 20, 30, 40):
            seen.append([one.step for stored in store.study_runs("called").values() for one in stored.scores])
            run.report(step, val=1.0)

    trained(task(train, version="1"), store, "FIX(k0=0.1)")

    assert seen == [[], [10], [10, 20], [10, 20, 30]]


def test_two_processes_find_what_one_process_finds(store: Store, tmp_path: Path) -> None:
    alone = trained(plain, store, seeds=2)
    with open_store(tmp_path / "other.db") as other:
        together = trained(plain, other, seeds=2, workers=2)

    assert numbers(together) == numbers(alone)


def test_a_run_whose_worker_is_killed_begins_anew_and_ends_the_same(store: Store, tmp_path: Path) -> None:
    once = tmp_path / "killed"

    def train(run: lrbench.TrainingRun) -> None:
        weight = 2.0
        for step in range(1, run.steps + 1):
            weight, loss = descent(run, step, weight)
            if step == 35 and not once.exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if run.is_due(step):
                run.report(step, val=loss, train_loss=loss)

    runs = trained(task(train, version="1"), store, seeds=1, workers=2)

    assert once.exists()
    with open_store(tmp_path / "other.db") as other:
        undisturbed = trained(plain, other)
    assert [run.scores for run in runs] == [run.scores for run in undisturbed]
    assert {run.status for run in runs} == {"finished"}


def test_a_function_goes_on_from_what_it_kept_and_its_earlier_reports_are_remembered(
    store: Store, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def train(run: lrbench.TrainingRun) -> None:
        kept = run.checkpoint_folder / "state.json"
        done, weight = json.loads(kept.read_text()) if kept.exists() else (0, 2.0)
        with log.open("a") as file:
            file.write(f"{done}\n")
        for step in range(done + 1, run.steps + 1):
            if step == 25 and not done:
                os.kill(os.getpid(), signal.SIGKILL)
            weight, loss = descent(run, step, weight)
            if run.is_due(step):
                kept.write_text(json.dumps((step, weight)))
                run.report(step, val=loss, train_loss=loss)

    runs = trained(task(train, version="1"), store, seeds=1, workers=2)

    assert sorted(log.read_text().split()) == ["0", "0", "20", "20"]
    with open_store(tmp_path / "other.db") as other:
        undisturbed = trained(plain, other)
    assert [run.scores for run in runs] == [run.scores for run in undisturbed]
    assert not list(tmp_path.glob("*.checkpoints/*")), "the folders of ended runs are deleted"


KILLED = """
import os, signal, sys
from pathlib import Path
import lrbench

@lrbench.trainable(name="killed", steps=40, eval_every=10)
def train(run):
    for step in range(1, 41):
        if step == 25 and not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if run.is_due(step):
            run.report(step, val=1 / step + run.lr(step))

print(lrbench.compare(["FIX(k0=0.1)", "FIX(k0=0.2)"], train, seeds=1, store="a.db", workers=1).tally.to_json()["runs"])
"""


def test_a_study_whose_own_process_is_killed_is_taken_up_by_the_next_call(tmp_path: Path) -> None:
    first, second = (
        subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        for _ in range(2)
    )

    assert first.returncode == -signal.SIGKILL
    assert second.stdout.strip() == str({"total": 2, "trained": 2, "cached": 0, "diverged": 0, "failed": 0}), (
        second.stderr
    )


def test_a_number_that_is_not_finite_ends_the_run_as_diverged(store: Store) -> None:
    told = []

    def train(run: lrbench.TrainingRun) -> None:
        for step in range(1, run.steps + 1):
            if run.is_due(step):
                run.report(step, val=1.0 if step < 20 else math.nan)
                told.append((step, run.should_stop))

    (run,) = trained(task(train, version="1"), store, "FIX(k0=0.1)")

    assert told == [(10, False), (20, True)], "a function that does not stop is ended by its next report"
    assert (run.status, run.step, run.diverged_at, run.final) == ("diverged", 20, 20, None)
    assert [one.step for one in run.scores] == [10]


def test_an_infinite_training_loss_is_divergence_and_what_fails_after_it_is_no_failure(store: Store) -> None:
    def train(run: lrbench.TrainingRun) -> None:
        run.report(10, val=1.0, train_loss=math.inf)
        raise ValueError("the input has NaN")

    (run,) = trained(task(train, version="1"), store, "FIX(k0=0.1)")

    assert (run.status, run.diverged_at, run.error) == ("diverged", 10, None)


def test_a_loss_that_runs_away_ends_the_run_as_diverged_while_it_is_finite(store: Store) -> None:
    fixed, running = trained(plain, store, "FIX(k0=0.1)", "FIX(k0=3)")

    assert fixed.status == "finished"
    assert (running.status, running.step, running.diverged_at, list(running.scores)) == ("diverged", 10, 10, [])


def exits(run: lrbench.TrainingRun) -> None:
    sys.exit("enough")


def raises(run: lrbench.TrainingRun) -> None:
    run.report(10, val=1.0)
    raise RuntimeError("no batch left")


def stops_early(run: lrbench.TrainingRun) -> None:
    run.report(10, val=1.0)


def says_nothing(run: lrbench.TrainingRun) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (exits, "the code that was training called sys.exit('enough')"),
        (raises, "RuntimeError: no batch left"),
        (
            stops_early,
            "task 'descent': the function returned after the report of iteration 10: it must "
            "report every 10 iterations and at the last, 40, whenever run.is_due says so",
        ),
        (
            says_nothing,
            "task 'descent': the function returned without a report: it must report every 10 "
            "iterations and at the last, 40, whenever run.is_due says so",
        ),
    ],
)
def test_a_function_that_goes_wrong_fails_its_run_in_one_sentence(
    store: Store, function: Callable[[lrbench.TrainingRun], None], sentence: str
) -> None:
    (run,) = trained(task(function), store, "FIX(k0=0.1)")

    assert run.status == "failed"
    assert run.error is not None
    assert run.error.strip().splitlines()[-1] == sentence


def test_a_failed_function_is_asked_anew_by_the_next_call(store: Store, tmp_path: Path) -> None:
    mended = tmp_path / "mended"

    def train(run: lrbench.TrainingRun) -> None:
        for step in (10, 20, 30, 40):
            if step == 30 and not mended.exists():
                raise RuntimeError
            run.report(step, val=1.0)

    asked = task(train, version="1")
    (first,) = trained(asked, store, "FIX(k0=0.1)")
    mended.touch()
    (second,) = trained(asked, store, "FIX(k0=0.1)")

    assert (first.status, second.status) == ("failed", "finished")
    assert [one.step for one in second.scores] == [10, 20, 30, 40]


def test_an_interrupt_stops_the_function_and_keeps_its_reports(store: Store) -> None:
    ended = threading.Event()

    def train(run: lrbench.TrainingRun) -> None:
        try:
            for step in (10, 20, 30, 40):
                if step == 20:
                    os.kill(os.getpid(), signal.SIGINT)
                run.report(step, val=1.0)
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        trained(task(train, version="1"), store, "FIX(k0=0.1)")

    assert ended.wait(10)
    (run,) = store.study_runs("called").values()
    assert (run.status, [one.step for one in run.scores]) == ("running", [10, 20])


STOPPED = """
import os, signal, sys, time
from pathlib import Path
import lrbench

@lrbench.trainable(name="stopped", steps=40, eval_every=10, version="1")
def train(run):
    state = run.checkpoint_folder / "step"
    begin = int(state.read_text()) if state.exists() else 0
    for step in range(begin + 1, 41):
        while step == 25 and not Path("again").exists() and not run.should_stop:
            time.sleep(0.01)
        if run.should_stop:
            state.write_text(str(step - 1))
            Path("written").touch()
            return
        if run.is_due(step):
            run.report(step, val=1 / step)

lrbench.compare(["FIX(k0=0.1)"], train, seeds=2, store="a.db", workers=int(sys.argv[1]))
"""


@pytest.mark.parametrize(("workers", "signalled"), [(1, signal.SIGINT), (1, signal.SIGTERM), (2, signal.SIGTERM)])
def test_a_function_that_is_told_to_stop_between_reports_writes_a_checkpoint_and_goes_on_from_it(
    tmp_path: Path, workers: int, signalled: signal.Signals
) -> None:
    command = [sys.executable, "-c", STOPPED, str(workers)]
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not list(tmp_path.glob("a.db.checkpoints/*/reports.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signalled)
    _, said = first.communicate(timeout=60)

    assert said.strip().endswith("KeyboardInterrupt")
    assert (tmp_path / "written").exists()
    with open_store(tmp_path / "a.db") as store:
        assert {run.status for run in store.study_runs(store.studies()[0].id).values()} <= {"running"}
    (tmp_path / "again").touch()
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert second.returncode == 0, second.stderr
    with open_store(tmp_path / "a.db") as store:
        runs = store.study_runs(store.studies()[0].id).values()
        assert [(run.status, [one.step for one in run.scores]) for run in runs] == [("finished", [10, 20, 30, 40])] * 2


def test_logits_with_labels_are_scored_for_confidence_and_further_numbers_are_averaged(store: Store) -> None:
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(50, 3)), generator.integers(0, 3, 50)

    def train(run: lrbench.TrainingRun) -> None:
        for step in (10, 20, 30, 40):
            run.report(
                step,
                val=0.5,
                test=0.25,
                test_predictions=(logits, labels),
                val_predictions=(logits * math.nan, labels),
                tokens=step * 64,
                metrics={"f1": step / 100},
                seconds=step,
            )

    asked = task(train, version="1", objective="top1", better="higher", chance=1 / 3)
    card = lrbench.score("FIX(k0=0.1)", asked, seeds=2, store=store)

    figures = {name: one.mean for name, one in card.metrics.items()}
    assert figures["ece"] == classify(logits, labels).ece
    assert figures["val_top1"] == 0.5, "what is reported; logits that are not finite have no scores"
    assert figures["tokens"] == 2560
    assert figures["f1"] == 0.4
    assert figures["seconds"] == 40
    assert (card.val.mean, card.test.mean) == (0.5, 0.25)


def test_a_test_score_that_was_not_reported_is_none_rather_than_chance(store: Store) -> None:
    card = lrbench.score("FIX(k0=0.1)", plain, seeds=2, store=store)

    assert card.test.mean is None
    assert card.not_finite == 0
    assert card.metrics["flops"].mean is None


def test_a_reactive_policy_sees_the_reports(store: Store) -> None:
    rates = []

    def train(run: lrbench.TrainingRun) -> None:
        for step in range(1, run.steps + 1):
            rates.append(run.lr(step))
            if run.is_due(step):
                run.report(step, val=1.0)

    trained(task(train, version="1"), store, "REDUCEONPLATEAU(k0=1, gamma=0.5, patience=0)")

    assert rates == [1.0] * 20 + [0.5] * 10 + [0.25] * 10


def test_policies_with_equal_rates_share_a_run_and_no_other_share_anything(store: Store) -> None:
    flat, late, never = trained(
        plain, store, "FIX(k0=0.1)", "STEP(k0=0.1, gamma=0.1, l=39)", "STEP(k0=0.1, gamma=0.1, l=40)"
    )

    assert flat.key == never.key != late.key
    tally = train_study(lrbench.Study(name="more", task=plain, policies=["FIX(k0=0.3)"], seeds=1), store)
    assert tally.steps_trained == 40


def test_the_same_function_trains_nothing_twice_and_another_version_does(store: Store) -> None:
    first = trained(task(stops_early, steps=10, version="1"), store, "FIX(k0=0.1)")
    again = trained(task(stops_early, steps=10, version="1"), store, "FIX(k0=0.1)")
    other = trained(task(stops_early, steps=10, version="2"), store, "FIX(k0=0.1)")

    assert again[0].created == first[0].created
    assert other[0].key != first[0].key


def test_modifiers_and_the_stacked_engine_are_refused(store: Store) -> None:
    with pytest.raises(TaskError, match=r"task 'descent' is a training function and takes no modifiers: leave out EMA"):
        lrbench.Study(task=plain, policies=POLICIES, modifiers=[EMA()])
    with pytest.raises(StudyError, match="the stacked engine cannot train task 'descent': it is a training function"):
        lrbench.compare(POLICIES, plain, seeds=1, store=store, engine="stacked")


def test_a_function_finds_its_generators_seeded_and_leaves_the_callers_as_they_were(store: Store) -> None:
    drawn = []

    def train(run: lrbench.TrainingRun) -> None:
        drawn.append((random.random(), float(np.random.random())))  # noqa: NPY002
        for step in (10, 20, 30, 40):
            os.chdir("/")
            run.report(step, val=1.0)
            assert os.getcwd() == "/"

    random.seed(5)
    expected = random.Random(5).random()
    before = os.getcwd()
    trained(task(train, version="1"), store, "FIX(k0=0.1)", "FIX(k0=0.2)")

    assert drawn[0] == drawn[1], "the policies of a seed have the same draws"
    assert random.random() == expected
    assert os.getcwd() == before


def test_a_range_test_reads_the_training_losses_or_else_the_scores(store: Store) -> None:
    def judged_alone(run: lrbench.TrainingRun) -> None:
        weight = 2.0
        for step in range(1, run.steps + 1):
            weight, loss = descent(run, step, weight)
            if run.is_due(step):
                run.report(step, val=loss if loss < 1e100 else math.inf)

    with lrbench.Lab(store=store, workers=1) as lab:
        by_loss = lab.range_test(plain.with_budget(100), seeds=2)
        by_score = lab.range_test(task(judged_alone).with_budget(100), seeds=2)

    assert by_loss.low.value == by_score.low.value
    assert by_loss.cliff is not None
    assert 0.5 < by_loss.cliff.value < 2, "descent on a parabola diverges from the rate 1 on"


def test_a_search_has_rungs_of_a_functions_budget_and_a_verification_has_fresh_seeds(store: Store) -> None:
    space = lrbench.Space(functions=("FIX", "STEP"), lr=lrbench.Between(0.001, 0.5, log=True))
    asked = plain.with_budget(60)
    search = lrbench.Search(name="s", task=asked, space=space, policies=6, batch=3, rungs=2, confirm=2, seeds=(0, 1))
    with lrbench.Lab(store=store, workers=1) as lab:
        found = lab.search(search)
        assert found.winner is not None
        answer = lab.verify(found.winner.policy, asked, target=0.5, seeds=3)
        advice = lab.recommend(asked)

    assert {run.steps for trial in found.trials for run in store.runs(store.statuses()).values()} == {20, 60}
    assert answer.answer == "yes"
    assert advice.recommendations
