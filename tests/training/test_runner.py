import gc
import math
import os
import platform
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

import lrbench.training.coordinator
import lrbench.training.estimate
import lrbench.training.runner
from lrbench.errors import CheckpointError
from lrbench.modifiers import EMA
from lrbench.policy import Policy
from lrbench.store import Holder, Lease, NewRun, Segment, Store, StoredRun, open_store
from lrbench.study.results import results
from lrbench.study.schedule import computed_lrs
from lrbench.study.study import Study
from lrbench.study.variant import Variant
from lrbench.tasks import Metric, Task
from lrbench.training.backlog import Backlog
from lrbench.training.listener import NullListener
from lrbench.training.plan import PlannedRun, fresh_seeds, plan
from lrbench.training.runner import INTERRUPT_ANSWERS, RunCounts, record_of, slots_of
from lrbench.training.runner import run as run_study

Make = Callable[..., Study]

run = partial(run_study, engine="serial")
POLICIES = ("FIX(k0=0.1)", "EXP(k0=0.1, gamma=0.01 per 1dur)")


def stored(study: Study, store: Store) -> dict[str, StoredRun]:
    """The study's runs as numbers alone: what training found, without times and provenance."""
    runs = store.study_runs(study.name)
    blank = {"seconds": 0.0, "evaluating": 0.0, "provenance": {}, "checkpoint": None}
    return {key: StoredRun(**{**vars(one), **blank}) for key, one in runs.items()}


class Interrupter(NullListener):
    """Sends Ctrl-C to its own process when a run has come to a step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def checkpoint_at_every_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lrbench.training.runner, "SECONDS_AT_RISK", 0.0)


def test_every_policy_is_trained_with_every_seed(study: Make, store: Store) -> None:
    asked = study(*POLICIES)
    assert run(asked, store) == RunCounts(total=4, trained=4, steps_nominal=160, steps_trained=160)
    runs = stored(asked, store)
    assert [one.status for one in runs.values()] == ["finished"] * 4
    assert all([score.step for score in one.scores] == list(range(5, 45, 5)) for one in runs.values())
    assert all(one.final is not None and 0 <= one.final["test_top1"] <= 1 for one in runs.values())


def test_a_finished_run_is_never_trained_again(study: Make, store: Store) -> None:
    asked = study(*POLICIES)
    run(asked, store)
    before = store.study_runs("small")
    assert run(asked, store) == RunCounts(total=4, cached=4, steps_nominal=160)
    assert store.study_runs("small") == before


def test_what_was_stacked_is_trained_again_where_it_has_to_be_exact_and_never_the_other_way_round(
    study: Make, store: Store, tmp_path: Path
) -> None:
    asked = study(*POLICIES)
    run_study(asked, store, engine="stacked", workers=1)
    assert {one.provenance["engine"] for one in store.study_runs("small").values()} == {"stacked"}
    assert run_study(asked, store, workers=1).cached == 4

    assert run(asked, store).trained == 4
    with open_store(tmp_path / "other.db") as other:
        run(asked, other)
        assert stored(asked, store) == stored(asked, other)
    assert run_study(asked, store, engine="stacked", workers=1).cached == 4
    assert run(asked, store).cached == 4


def test_a_training_method_is_compared_with_runs_of_its_own_engine(study: Make, store: Store) -> None:
    run_study(study(*POLICIES, name="without"), store, engine="stacked", workers=1)
    run_study(study(*POLICIES, modifiers=(Variant.of([EMA(decay=0.9)]),)), store, workers=1)
    assert {one.provenance["engine"] for one in store.study_runs("small").values()} == {"serial"}


def test_a_run_that_was_stacked_for_a_while_is_not_exact(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", seeds=(0,))
    key = plan(asked).runs[0].key
    with store.lease() as lease:
        lease.claim([key])
        lease.begin([NewRun(key, "t", "t", "FIX(k0=0.1)", "", 0, 40, {})])
        lease.append({key: Segment(20, 0.0, 0, (), provenance={"engine": "stacked"}, exact=False)})
        lease.append({key: Segment(40, 0.0, 0, (), "finished", final={}, provenance={"engine": "serial"})})
        assert lease.claim([key]) == set()
        assert lease.claim([key], exact=[key]) == {key}
    assert store.statuses() == {key: "finished"}
    assert store.statuses(exact=[key]) == {}
    assert store.runs([key], exact=[key]) == {}


@pytest.mark.parametrize("workers", [1, 2])
def test_budgets_that_share_a_trunk_have_the_numbers_of_runs_alone(
    study: Make, task: Task, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lrbench.training.estimate, "SECONDS_OF_A_FORK", 1e-9)
    tasks = tuple(task.with_(name=f"thirds at {steps}", steps=steps) for steps in (12, 20, 40))
    texts = ("FIX(k0=0.1).warmup(4).then(LINEAR(k0=0.1, l=0.25dur), at=0.75dur)", "FIX(k0=0.1).warmup(4)")
    together = study(*texts, tasks=tasks)
    with open_store(tmp_path / "together.db") as store:
        tally = run(together, store, workers=workers)
        shared = stored(together, store)
    assert tally.steps_trained < tally.steps_nominal / 2
    alone: dict[str, StoredRun] = {}
    for number, (one, text) in enumerate((one, text) for one in tasks for text in texts):
        with open_store(tmp_path / f"{number}.db") as store:
            asked = study(text, tasks=(one,))
            assert run(asked, store, workers=1).steps_trained == 2 * one.steps
            alone |= stored(asked, store)
    assert len(shared) == 12
    assert {key: one.scores for key, one in shared.items()} == {key: one.scores for key, one in alone.items()}
    assert {key: one.final for key, one in shared.items()} == {key: one.final for key, one in alone.items()}


def test_another_study_finds_the_runs_whatever_the_order_of_its_policies(study: Make, store: Store) -> None:
    run(study(*POLICIES), store)
    other = study(*reversed(POLICIES), "FIX(k0=0.2)", name="other")
    assert run(other, store).trained == 2


def test_policies_with_equal_learning_rates_share_their_runs(study: Make, store: Store) -> None:
    tally = run(study("FIX(k0=0.1)", "STEP(k0=0.1, gamma=0.5, l=1000)"), store)
    assert (tally.total, tally.trained, tally.cached) == (4, 2, 2)
    assert (tally.steps_nominal, tally.steps_trained) == (160, 80)


def test_another_budget_optimizer_or_batch_size_is_another_run(study: Make, store: Store, task: Task) -> None:
    run(study("FIX(k0=0.1)"), store)
    for changed in (task.with_(steps=45), task.with_(batch_size=8), task.with_(eval_every=8)):
        assert run(study("FIX(k0=0.1)", tasks=(changed,)), store).trained == 2


def test_a_run_is_trained_with_its_policys_learning_rates(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", "FIX(k0=1e-12)")
    run(asked, store)
    runs = store.study_runs("small")
    learning, still = (runs.get(one.key) for one in plan(asked).runs[:2])
    assert learning is not None
    assert still is not None
    assert learning.scores[-1].val_score > 0.6
    assert len({score.val_score for score in still.scores}) == 1


@pytest.mark.usefixtures("checkpoint_at_every_evaluation")
def test_after_ctrl_c_nothing_is_lost_and_the_same_numbers_come_out(study: Make, store: Store, tmp_path: Path) -> None:
    asked = study(*POLICIES)
    with pytest.raises(KeyboardInterrupt):
        run(asked, store, listener=Interrupter(at=15))
    unfinished = [one for one in stored(asked, store).values() if one.status == "running"]
    assert [one.step for one in unfinished] == [15]
    assert len(list(store.checkpoints.path.iterdir())) == 1
    assert run(asked, store).steps_trained == 160 - 15
    assert list(store.checkpoints.path.iterdir()) == []
    with open_store(tmp_path / "undisturbed.db") as undisturbed:
        run(asked, undisturbed)
        assert stored(asked, undisturbed) == stored(asked, store)


@pytest.mark.usefixtures("checkpoint_at_every_evaluation")
@pytest.mark.parametrize("damage", ["torn", "gone", "foreign"])
def test_a_checkpoint_that_cannot_be_used_is_trained_anew(
    damage: str, study: Make, store: Store, tmp_path: Path
) -> None:
    asked = study(*POLICIES)
    with pytest.raises(KeyboardInterrupt):
        run(asked, store, listener=Interrupter(at=15))
    (checkpoint,) = store.checkpoints.path.iterdir()
    if damage == "torn":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    elif damage == "gone":
        checkpoint.unlink()
    else:
        torch.save({"step": 15}, checkpoint)
    assert run(asked, store).steps_trained == 160
    with open_store(tmp_path / "undisturbed.db") as undisturbed:
        run(asked, undisturbed)
        assert stored(asked, undisturbed) == stored(asked, store)


@pytest.mark.usefixtures("checkpoint_at_every_evaluation")
def test_a_checkpoint_that_cannot_be_written_stops_the_study_in_one_sentence(study: Make, store: Store) -> None:
    store.checkpoints.path.touch()
    with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
        run(study(*POLICIES), store)


@pytest.mark.usefixtures("checkpoint_at_every_evaluation")
@pytest.mark.parametrize(
    "name", ["{folder}/precious.pt", "../precious.pt", "precious.pt", "sub/../../precious.pt", ".", ""]
)
def test_a_store_that_names_another_file_as_a_checkpoint_reads_and_deletes_nothing(
    name: str, study: Make, store: Store, sql: Callable[[str], None], tmp_path: Path
) -> None:
    asked = study("FIX(k0=0.1)", seeds=(0,))
    with pytest.raises(KeyboardInterrupt):
        run(asked, store, listener=Interrupter(at=15))
    (own,) = store.checkpoints.path.iterdir()
    precious = [tmp_path / "precious.pt", store.checkpoints.path / "precious.pt"]
    for file in precious:
        file.write_bytes(own.read_bytes())
    sql(f"UPDATE runs SET checkpoint = '{name.format(folder=tmp_path)}'")

    assert run(asked, store).steps_trained == 40
    assert all(file.exists() for file in precious)
    assert not own.exists()


@pytest.mark.usefixtures("checkpoint_at_every_evaluation")
def test_a_folder_of_checkpoints_that_is_a_link_is_neither_emptied_nor_written_to(
    study: Make, store: Store, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    files = [target / "thesis.tex", target / f"{'a' * 32}-5.pt"]
    for file in files:
        file.touch()
    store.checkpoints.path.symlink_to(target)
    with pytest.raises(CheckpointError, match=r"folder .*\.checkpoints is a symbolic link"):
        run(study("FIX(k0=0.1)"), store)
    assert sorted(target.iterdir()) == sorted(files)


def test_only_checkpoints_are_swept_from_their_folder(study: Make, store: Store, tmp_path: Path) -> None:
    folder, elsewhere = store.checkpoints.path, tmp_path / "elsewhere"
    elsewhere.touch()
    left, strange = [f"{'a' * 32}-5.pt", f"{'b' * 32}-10.pt.{'c' * 32}.tmp"], ["sub", f"{'d' * 32}-5.pt", "notes.txt"]
    for name in (*left[1:], strange[2]):
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / left[0]).symlink_to(elsewhere)
    (folder / strange[0]).mkdir()
    (folder / strange[1]).mkdir()
    assert run(study("FIX(k0=0.1)"), store).trained == 2
    assert sorted(file.name for file in folder.iterdir()) == sorted(strange)
    assert elsewhere.exists()


class Fragile(nn.Module):
    """A linear layer that can be told to fail in training, in this process and in those that it starts."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.training and "FRAGILE_IS_BROKEN" in os.environ:
            raise RuntimeError("the model broke")
        return self.layer(inputs)


def test_a_run_that_raises_is_stored_with_its_traceback_and_the_others_go_on(
    study: Make, store: Store, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragile = task.with_(name="fragile", model=Fragile)
    asked = study("FIX(k0=0.1)", tasks=(fragile, task))
    monkeypatch.setenv("FRAGILE_IS_BROKEN", "yes")
    assert run(asked, store) == RunCounts(total=4, trained=2, failed=2, steps_nominal=160, steps_trained=80)
    failed = [one for one in stored(asked, store).values() if one.status == "failed"]
    assert all(one.error is not None and "RuntimeError: the model broke" in one.error for one in failed)
    assert all("Traceback" in one.error for one in failed if one.error)

    monkeypatch.delenv("FRAGILE_IS_BROKEN")
    again = run(asked, store)
    assert (again.trained, again.cached, again.failed) == (2, 2, 0)


def test_every_run_is_counted_once_as_trained_cached_or_failed(
    study: Make, store: Store, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragile = task.with_(name="fragile", model=Fragile)
    twice = ("FIX(k0=0.1)", "STEP(k0=0.1, gamma=0.5, l=1dur)")  # the same learning rates, and so the same run
    monkeypatch.setenv("FRAGILE_IS_BROKEN", "yes")
    first = run(study(*twice, tasks=(fragile, task)), store)
    assert (first.total, first.trained, first.cached, first.failed) == (8, 2, 2, 4)

    second = run(study(*twice, tasks=(fragile, task)), store)
    assert (second.total, second.trained, second.cached, second.failed) == (8, 0, 4, 4)


class Unsettling(nn.Linear):
    """A linear layer that goes to another folder, forgets one to import from, and makes torch's new tensors larger."""

    trains = False

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        os.chdir("/")
        sys.path[:] = [folder for folder in sys.path if not folder.endswith("imported")]
        if self.trains:
            torch.set_default_dtype(torch.float64)
        return super().forward(inputs)


def surroundings() -> tuple[object, ...]:
    return Path.cwd(), set(sys.path), torch.get_default_dtype()


def test_what_a_model_changes_in_the_process_is_put_back_and_changes_no_other_run(
    study: Make, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "imported")])
    before = surroundings()
    unsettling = task.with_(name="unsettling", model=lambda: Unsettling(8, 3), version="1")
    assert surroundings() == before
    monkeypatch.setattr(Unsettling, "trains", True)
    with open_store("a.db") as one, open_store("b.db") as other:
        together = study("FIX(k0=0.1)", tasks=(unsettling, task))
        assert run(together, one, workers=1, engine="serial").trained == 4
        assert surroundings() == before
        alone = study("FIX(k0=0.1)", tasks=(task,))
        run(alone, other, workers=1, engine="serial")
        runs, expected = one.study_runs("small"), stored(alone, other)
    assert {key: runs[key].scores for key in expected} == {key: run.scores for key, run in expected.items()}


FORKING = """
import os, sys
import torch
from torch import nn
import lrbench

forks = []

def fork():
    forks.append(0)
    if len(forks) == 1:
        os.fork()

class Model(nn.Linear):
    def forward(self, inputs):
        if torch.is_grad_enabled() and place == "model":
            fork()
        return super().forward(inputs)

def measure(outputs, targets):
    if place == "metric":
        fork()
    return 0.5

place = ""
x, y = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
task = lrbench.Task(
    name="t", model=lambda: Model(8, 3), data=lrbench.Data.from_arrays((x, y), (x, y)), steps=4, batch_size=10,
    metric=lrbench.Metric("half", measure, chance=0.0), version="1"
)
place = sys.argv[1]
outcome = lrbench.compare(["FIX(k0=0.1)", "FIX(k0=0.2)"], task, seeds=2, store="a.db", workers=int(sys.argv[2]))
print(outcome.tally.to_json()["runs"])
"""


@pytest.mark.parametrize(("place", "workers"), [("model", "2"), ("metric", "1")])
def test_a_process_that_a_run_forks_ends_without_a_word(place: str, workers: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKING, place, workers]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    counts = "{'total': 4, 'trained': 4, 'cached': 0, 'diverged': 0, 'failed': 0}\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, counts, "")


class ExitError(BaseException):
    """What no `except Exception` catches."""


class Quitter(nn.Linear):
    """A linear layer that can be told to end everything in training."""

    error: BaseException | None = None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.error is not None and torch.is_grad_enabled():
            raise self.error
        return super().forward(inputs)


@pytest.mark.parametrize(
    ("error", "last_line"),
    [
        (SystemExit(0), "the code that was training called sys.exit(0)"),
        (SystemExit(), "the code that was training called sys.exit(None)"),
        (GeneratorExit(), "GeneratorExit"),
        (ExitError("enough"), "tests.training.test_runner.ExitError: enough"),
        (RuntimeError("no memory\n\nSet DEBUG to know more"), "RuntimeError: no memory Set DEBUG to know more"),
    ],
    ids=str,
)
def test_code_that_would_end_the_process_fails_its_run_alone(
    study: Make, tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch, error: BaseException, last_line: str
) -> None:
    asked = study("FIX(k0=0.1)", tasks=(task.with_(name="quitting", model=lambda: Quitter(8, 3), version="1"), task))
    monkeypatch.setattr(Quitter, "error", error)
    with open_store(tmp_path / "a.db") as store:
        assert run(asked, store, workers=1) == RunCounts(
            total=4, trained=2, failed=2, steps_nominal=160, steps_trained=80
        )
        failed = [one.error for one in store.study_runs("small").values() if one.status == "failed"]
    assert [error.splitlines()[-1] for error in failed if error] == [last_line] * 2


def test_a_metric_that_exits_fails_its_run_alone(study: Make, tmp_path: Path, task: Task) -> None:
    def leave(*_: object) -> float:
        sys.exit("no")

    measured = task.with_(name="measured", metric=Metric("leaving", leave, chance=0.0), version="1")
    asked = study("FIX(k0=0.1)", tasks=(measured, task), seeds=(0,), margin=0.01)
    with open_store(tmp_path / "a.db") as store:
        tally = run(asked, store, workers=1)
        errors = {one.error.splitlines()[-1] for one in store.study_runs("small").values() if one.error}
    assert (tally.total, tally.failed) == (2, 1)
    assert errors == {"the metric 'leaving' fails: SystemExit: no"}


MISBEHAVING = """
import ctypes, os, signal, sys, threading
import torch
from torch import nn
import lrbench
import lrbench.training.coordinator
import lrbench.training.runner
from lrbench.policy import parse
from lrbench.study.study import StudyPolicy

lrbench.training.coordinator.TRIES = 1
lrbench.training.runner.SECONDS_TO_ACT_ON_AN_INTERRUPT = 0.2
how = sys.argv[1]

class Model(nn.Linear):
    def forward(self, inputs):
        if torch.is_grad_enabled() and self.weight.abs().max() > 50:
            sys.stderr.write("begun" + chr(10))
            if how == "dies":
                ctypes.string_at(0)
            lock = ctypes.create_string_buffer(64)
            while how == "loops" or ctypes.CDLL(None).pthread_mutex_lock(lock) == 0:
                pass
        return super().forward(inputs)

x, y = torch.randn(60, 8, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
data = lrbench.Data.from_arrays((x, y), (x, y))
task = lrbench.Task(name="t", model=lambda: Model(8, 3), data=data, steps=4, batch_size=10, version="1")
policies = tuple(StudyPolicy(text, parse(text)) for text in ("FIX(k0=1000)", "FIX(k0=0.1)"))
study = lrbench.Study(name="small", tasks=(task,), policies=policies, seeds=(0,))
print(lrbench.run(study, store="a.db", workers=1, engine="serial").tally.to_json()["runs"])
"""


def misbehaving(how: str) -> subprocess.Popen[str]:
    """A process that trains a study of two policies, with the first of which its model misbehaves."""
    command = [sys.executable, "-c", MISBEHAVING, how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_run_that_kills_its_process_is_tried_last_and_apart_ever_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with misbehaving("dies") as first:
        first.communicate()
    assert first.returncode == -signal.SIGSEGV
    trained = []
    for _ in range(2):
        with misbehaving("dies") as again:
            said, explained = again.communicate()
        assert again.returncode == 0, explained
        trained.append(said)
    runs = "{{'total': 2, 'trained': {}, 'cached': {}, 'diverged': 0, 'failed': 1}}\n"
    assert trained == [runs.format(1, 0), runs.format(0, 1)]
    with open_store("a.db") as store:
        (failed,) = (one for one in store.study_runs("small").values() if one.status == "failed")
    assert failed.error == "1 workers that trained it were lost; the last one was killed by signal 11 (SIGSEGV)"


@pytest.mark.parametrize(("how", "presses", "code"), [("loops", 2, -signal.SIGINT), ("locks", 3, 130)])
def test_ctrl_c_is_answered_while_a_model_hangs_and_its_run_is_no_longer_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, presses: int, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    with misbehaving(how) as hanging:
        assert hanging.stderr is not None
        assert hanging.stderr.readline() == "begun\n"
        for answer in INTERRUPT_ANSWERS[: presses - 1]:
            hanging.send_signal(signal.SIGINT)
            assert hanging.stderr.readline() == f"{answer}\n"
        hanging.send_signal(signal.SIGINT)
        hanging.communicate(timeout=60)
    assert hanging.returncode == code
    with open_store("a.db") as store, store.lease() as lease:
        begun = store.study_runs("small")
        assert [one.policy for one in begun.values()] == ["FIX(k0=1000.0)"]
        assert lease.left_behind(begun) == set(begun)


def test_divergence_is_a_result(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", "FIX(k0=1e30)")
    tally = run(asked, store)
    assert (tally.diverged, tally.failed) == (2, 0)
    diverged = [one for one in stored(asked, store).values() if one.status == "diverged"]
    assert all(one.diverged_at is not None and one.diverged_at <= 40 and one.final is None for one in diverged)
    assert run(asked, store).trained == 0


def test_base_lr_scales_are_trained_too_and_the_unscaled_runs_are_shared(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", "FIX(k0=0.2)", base_lr_scales=(0.5, 1.0, 2.0))
    tally = run(asked, store)
    # 0.1 x 2 is 0.2 x 1, and 0.2 x 0.5 is 0.1 x 1: of six learning rates, .05, .1, .2 and .4 remain
    assert (tally.total, tally.trained) == (12, 8)


def test_the_finalists_are_scored_again_on_fresh_seeds(study: Make, store: Store) -> None:
    asked = study("FIX(k0=0.1)", "FIX(k0=1e30)", confirm=3)
    assert fresh_seeds(asked.seeds, asked.confirm) == (2, 3, 4)
    tally = run(asked, store)
    _, slots = store.study("small")
    confirmed = {(slot.policy, slot.seed) for slot in slots if slot.stage == "confirm"}
    assert confirmed == {("FIX(k0=0.1)", seed) for seed in (2, 3, 4)}
    assert tally.total == 4 + 3
    assert run(asked, store).trained == 0


SOMETIMES_UNKNOWN = Metric("odd", lambda outputs, _: float(outputs.std()) if outputs.mean() > 0 else math.nan, 1.0)


@pytest.mark.parametrize("metric", [None, "loss", SOMETIMES_UNKNOWN])
def test_a_policy_that_reacts_to_evaluations_is_trained_and_resumed(
    metric: Metric | Literal["loss"] | None,
    study: Make,
    store: Store,
    task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged = task.with_(metric=metric)
    asked = study("REDUCEONPLATEAU(k0=0.1, gamma=0.5, patience=0)", seeds=(0,), tasks=(judged,))
    run(asked, store)
    monkeypatch.setattr(lrbench.training.runner, "SECONDS_AT_RISK", 0.0)
    with open_store(tmp_path / "resumed.db") as resumed:
        with pytest.raises(KeyboardInterrupt):
            run(asked, resumed, listener=Interrupter(at=20))
        run(asked, resumed)
        assert stored(asked, resumed) == stored(asked, store)


def test_the_listener_hears_of_every_run(study: Make, store: Store) -> None:
    heard: list[str] = []

    class Recorder(NullListener):
        def planned(self, backlog: Backlog) -> None:
            heard.append(f"{len(backlog.missing)} planned")

        def ended(self, run: PlannedRun, status: str) -> None:
            heard.append(f"{run.entry.name} {run.seed} {status}")

    run(study("FIX(k0=0.1)"), store, listener=Recorder())
    assert heard == ["2 planned", "FIX(k0=0.1) 0 finished", "FIX(k0=0.1) 1 finished"]


def test_who_sees_a_study_that_is_begun_sees_its_coordinator(
    study: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, save = [], Store.save_study

    def looked(store: Store, *arguments: Any) -> int:
        alive.append(len(store.coordinators()))
        return save(store, *arguments)

    monkeypatch.setattr(Store, "save_study", looked)
    run(study("FIX(k0=0.1)"), store)
    assert alive == [1]


def test_the_listener_hears_for_whom_one_waits(study: Make, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lrbench.training.coordinator, "SECONDS_BEFORE_WAITING_IS_REPORTED", 0.3)
    asked = study("FIX(k0=0.1)")
    heard: list[object] = []
    planned = plan(asked).runs

    class Releaser(NullListener):
        def ended(self, run: PlannedRun, status: str) -> None:
            heard.append(run.key)

        def waiting(self, holders: Sequence[Holder]) -> None:
            heard.append(holders)
            other.release([planned[1].key])

    with store.lease() as other:
        other.claim([planned[1].key])
        assert run(asked, store, listener=Releaser()).trained == 2
    assert heard == [planned[0].key, (Holder(platform.node(), os.getpid(), 1),), planned[1].key]


@pytest.mark.parametrize("engine", ["serial", "stacked"])
def test_a_task_and_its_data_die_with_the_last_reference_after_a_run(
    engine: Literal["serial", "stacked"], study: Make, task: Task, tmp_path: Path
) -> None:
    mine = task.with_(data=replace(task.data))
    dying = weakref.ref(mine), weakref.ref(mine.data)
    with open_store(tmp_path / "runs.db") as store:
        run_study(study("FIX(k0=0.1)", tasks=(mine,)), store, engine=engine)
    del mine
    gc.collect()
    assert [each() for each in dying] == [None, None]


def test_runs_that_are_taken_over_before_they_begin_are_waited_for(
    study: Make, store: Store, monkeypatch: pytest.MonkeyPatch, sql: Callable[[str], None]
) -> None:
    """As where a machine sleeps between claiming runs and their beginning, for longer than a lease lasts."""
    begin, taken = Lease.begin, list[set[str]]()

    def late(lease: Lease, new_runs: Iterable[NewRun]) -> None:
        begun = tuple(new_runs)
        if not taken:
            sql("UPDATE coordinators SET expires = 0")
            with store.lease() as other:
                taken.append(other.claim([one.key for one in begun]))
                begin(lease, begun)
        else:
            begin(lease, begun)

    monkeypatch.setattr(Lease, "begin", late)
    assert run(study("FIX(k0=0.1)", "FIX(k0=0.2)", seeds=(0,)), store).trained == 2
    assert len(taken) == 1


def test_the_learning_rates_of_a_policy_are_hashed_once_for_all_its_seeds(
    study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []

    def count(policy: Policy, steps: int) -> Any:
        computed.append(str(policy))
        return computed_lrs(policy, steps)

    monkeypatch.setattr("lrbench.study.schedule.computed_lrs", count)
    keys = plan(study("FIX(k0=0.1)", "FIX(k0=0.2)", seeds=tuple(range(9)))).by_key

    assert len(keys) == 18
    assert computed == ["FIX(k0=0.1)", "FIX(k0=0.2)"]


BEGINNING = "FIX(k0=0.1).then(FIX(k0={}), at=20)"


@pytest.fixture
def forks_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lrbench.training.estimate, "SECONDS_OF_A_FORK", 1e-9)


@pytest.fixture
def interrupted(
    study: Make, tmp_path: Path, checkpoint_at_every_evaluation: None, forks_anywhere: None
) -> Iterator[tuple[Store, list[str]]]:
    """A store with a study of three policies, by their texts, that was interrupted where they part."""
    texts = [BEGINNING.format(rate) for rate in (0.01, 0.02, 0.03)]
    with open_store(tmp_path / "runs.db") as store:
        with pytest.raises(KeyboardInterrupt):
            run(study(*texts, seeds=(0,)), store, listener=Interrupter(20))
        yield store, texts


def test_a_checkpoint_that_another_study_goes_on_from_is_left(
    study: Make, interrupted: tuple[Store, list[str]]
) -> None:
    store, texts = interrupted
    (shared,) = store.checkpoints_in_use()
    assert run(study(texts[0], seeds=(0,), name="first"), store).steps_trained == 20
    assert store.checkpoints.file(shared).is_file()
    assert run(study(*texts[1:], seeds=(0,), name="others"), store).steps_trained == 40


def test_deleting_a_study_leaves_the_checkpoint_of_another(study: Make, interrupted: tuple[Store, list[str]]) -> None:
    store, texts = interrupted
    second = study(texts[1], seeds=(0,), name="second")
    planned = plan(second)
    store.save_study(second.name, record_of(second, planned), slots_of(planned), "study", None)
    assert store.delete_study("small") == 2
    assert run(second, store).steps_trained == 20


def test_a_goal_over_base_lrs_is_measured_on_fresh_seeds_too(study: Make, store: Store) -> None:
    asked = study(*POLICIES, seeds=(0, 1), by=("base_lr_retention",), base_lr_scales=(0.5, 1.0), confirm=2)
    tally = run(asked, store)
    (task,) = results("small", store).tasks
    assert [one.card.metrics["base_lr_retention"].n for one in task.confirmed] == [2] * len(task.confirmed)
    assert tally.total == 2 * 2 * 2 + len(task.confirmed) * 2 * 2
    assert "retention" in str(results("small", store)).partition("on fresh seeds")[2].splitlines()[1]


def test_the_table_of_fresh_seeds_has_the_goal_that_ranks(study: Make, store: Store) -> None:
    run(study(*POLICIES, by=("steps_to_target:5",), target=0.5, confirm=2), store)
    assert "to target" in str(results("small", store)).partition("on fresh seeds")[2].splitlines()[1]
