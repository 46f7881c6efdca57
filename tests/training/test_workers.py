import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import lrbench.training.estimate
import lrbench.training.runner
from lrbench.errors import StudyError
from lrbench.modifiers import EMA, PSWA
from lrbench.store import Store, open_store
from lrbench.store.records import Scores
from lrbench.study.study import Study
from lrbench.study.variant import Variant
from lrbench.tasks import Task
from lrbench.training.listener import NullListener
from lrbench.training.plan import PlannedRun
from lrbench.training.pools import worthwhile
from lrbench.training.runner import RunCounts, run
from lrbench.training.workers import parse_workers

Make = Callable[..., Study]

POLICIES = ("FIX(k0=0.1)", "STEP(k0=0.1, gamma=0.1, l=12)", "STEP(k0=0.1, gamma=0.1, l=20)", "FIX(k0=1e30)")
REACTIVE = "REDUCEONPLATEAU(k0=0.1, gamma=0.5, patience=0)"
VARIANTS = (Variant.of([EMA(decay=0.9)]), Variant.of([PSWA(p=0.5)]))

Numbers = dict[str, tuple[str, int, Scores, str]]


@pytest.fixture
def location(tmp_path: Path) -> str:
    """Where the store is: who trains and where it is written know nothing of each other, so one kind is enough."""
    return str(tmp_path / "runs.db")


def numbers(study: Study, store: Store) -> Numbers:
    """What training found, by run."""
    runs = store.study_runs(study.name)
    return {key: (one.status, one.step, one.scores, str(one.final)) for key, one in runs.items()}


@pytest.fixture(autouse=True)
def _forks_and_checkpoints_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lrbench.training.estimate, "SECONDS_OF_A_FORK", 1e-9)
    monkeypatch.setattr(lrbench.training.runner, "SECONDS_AT_RISK", 0.0)


@pytest.fixture
def separate(study: Make, tmp_path: Path) -> Callable[[Study], Numbers]:
    """What training finds where every run is trained for itself, in a store of its own."""

    def train(asked: Study) -> Numbers:
        found: Numbers = {}
        for i, entry in enumerate(asked.policies):
            for j, variant in enumerate((None, *asked.modifiers)):
                alone = study(entry.name, modifiers=() if variant is None else (variant,))
                with open_store(tmp_path / f"{i}-{j}.db") as store:
                    run(alone, store, engine="serial")
                    found |= numbers(alone, store)
        return found

    return train


@pytest.mark.parametrize("workers", [1, 2])
def test_a_tree_ends_with_the_numbers_of_separate_training_bit_for_bit(
    study: Make, store: Store, separate: Callable[[Study], Numbers], workers: int
) -> None:
    asked = study(*POLICIES, REACTIVE, modifiers=VARIANTS)
    tally = run(asked, store, workers=workers, engine="serial")
    assert numbers(asked, store) == separate(asked)
    assert list(store.checkpoints.path.iterdir()) == []
    # for each of two seeds, with and without PSWA: 40 + 28 + 20 shared iterations and 40 of the reactive policy; and
    # the 2 after which a learning rate of 1e30 has diverged
    assert (tally.steps_nominal, tally.steps_trained) == (2 * 3 * 5 * 40, 2 * 2 * (40 + 28 + 20 + 40) + 2 * 2 * 2)


class Killer(NullListener):
    """Kills a process each time that a run has come to a step, by a signal that nobody can catch."""

    def __init__(self, at: int, times: int) -> None:
        self.at = at
        self.times = times

    def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
        if step == self.at and self.times:
            self.times -= 1
            os.kill(next(iter(children())), signal.SIGKILL)


def children(called: str = "lrbench.training.pools.process_main", parent: int | None = None) -> Iterator[int]:
    """The processes that this one (or another) has begun by such a command."""
    of = str(os.getpid() if parent is None else parent)
    listed = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", of], capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        if called in line:
            yield int(line.split()[0])


def test_a_killed_worker_is_replaced_and_nothing_is_lost(
    study: Make, store: Store, separate: Callable[[Study], Numbers]
) -> None:
    asked = study(*POLICIES[:3])
    killer = Killer(at=15, times=2)
    tally = run(asked, store, workers=2, engine="serial", listener=killer)
    assert killer.times == 0
    assert (tally.trained, tally.failed) == (6, 0)
    assert numbers(asked, store) == separate(asked)


def test_a_reactive_run_whose_training_is_only_watched_survives_a_killed_worker(
    study: Make, store: Store, separate: Callable[[Study], Numbers]
) -> None:
    asked = study(REACTIVE, modifiers=(Variant.of([PSWA(p=0.5), EMA(decay=0.9)]),))
    run(study(REACTIVE), store, workers=1, engine="serial")
    killer = Killer(at=15, times=1)
    tally = run(asked, store, workers=2, engine="serial", listener=killer)
    assert killer.times == 0
    assert (tally.trained, tally.failed) == (2, 0)
    assert numbers(asked, store) == separate(asked)


class Deadly(nn.Module):
    """A model over which its process dies when it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)
        self.coordinator = os.getpid()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if (
            self.training
            and torch.is_grad_enabled()
            and "lrbench.training.pools.process_main" in " ".join(sys.orig_argv)
        ):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.layer(inputs)


def test_a_run_over_which_workers_die_is_failed_with_the_reason_and_the_others_go_on(
    study: Make, store: Store, task: Task
) -> None:
    deadly = task.with_(name="deadly", model=Deadly)
    tally = run(study("FIX(k0=0.1)", tasks=(deadly, task), seeds=(0,)), store, workers=2, engine="serial")
    assert (tally.trained, tally.failed) == (1, 1)
    (failed,) = (one for one in store.study_runs("small").values() if one.status == "failed")
    assert failed.error == "3 workers that trained it were lost; the last one was killed by signal 9 (SIGKILL)"


def test_a_model_that_raises_in_a_worker_is_stored_with_its_traceback(study: Make, store: Store, task: Task) -> None:
    coordinator = os.getpid()

    def fragile() -> nn.Module:
        class Fragile(nn.Linear):
            def forward(self, inputs: torch.Tensor) -> torch.Tensor:
                if self.training and torch.is_grad_enabled() and os.getpid() != coordinator:
                    raise RuntimeError("the model broke")
                return super().forward(inputs)

        return Fragile(8, 3)

    asked = study("FIX(k0=0.1)", tasks=(task.with_(name="fragile", model=fragile, version="1"),))
    assert run(asked, store, workers=2).failed == 2
    errors = {one.error for one in store.study_runs("small").values()}
    assert all(error is not None and "RuntimeError: the model broke" in error for error in errors)


SCRIPT = """
import sys
import torch
from torch import nn
import lrbench
from lrbench.tasks import register_model

@register_model("registered-in-a-script")
def tiny(input_shape, num_classes):
    return nn.Sequential(nn.Linear(8, 3))

x, y = torch.randn(60, 8), torch.randint(0, 3, (60,))
data = lrbench.Data.from_arrays((x, y), (x, y))
for model in ("registered-in-a-script", lambda: nn.Sequential(nn.Linear(8, 3))):
    task = lrbench.Task(name="mine", model=model, data=data, steps=20, batch_size=10)
    print(lrbench.score("FIX(k0=0.1)", task, seeds=2, workers=2, store=sys.argv[1]).test.n)
"""


def test_a_script_needs_no_guard_and_its_own_functions_reach_the_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "a.db")], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["2", "2"]), done.stderr


IMPORTER = """
import os, sys
import lrbench, torch, lrbench.training.pools.processes
sys.path.insert(0, os.getcwd())
x, y = torch.randn(60, 8), torch.randint(0, 3, (60,))
data = lrbench.Data.from_arrays((x, y), (x, y))
task = lrbench.Task(name="mine", model=lambda: torch.nn.Linear(8, 3), data=data, steps=4, batch_size=10, version="1")
print(lrbench.score("FIX(k0=0.1)", task, seeds=2, workers=2, store="a.db").test.n)
"""


@pytest.fixture
def files_named_like_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files that are named as modules of the standard library, and tell when they are run."""
    monkeypatch.chdir(tmp_path)
    for name in ("queue", "types", "random", "socket", "timeit"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write('{name} ')\n")
    return tmp_path / "executed"


def test_workers_import_no_standard_module_from_the_working_directory(files_named_like_modules: Path) -> None:
    command = [sys.executable, "-P", "-c", IMPORTER]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    assert not files_named_like_modules.exists()


def test_the_command_imports_nothing_from_the_working_directory(files_named_like_modules: Path) -> None:
    (files_named_like_modules.parent / "types.py").unlink()  # python -m itself imports it, before any of our code
    (files_named_like_modules.parent / "torchvision.py").write_text("raise SystemExit('not the package')")
    command = [sys.executable, "-m", "lrbench", "run", "quickstart", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not files_named_like_modules.exists()


def test_a_task_that_cannot_be_sent_is_refused_in_one_sentence(study: Make, store: Store, task: Task) -> None:
    lock = threading.Lock()
    odd = task.with_(name="odd", model=lambda: nn.Linear(8, 3 + lock.locked()), version="1")
    with pytest.raises(StudyError, match=r"^odd cannot be sent to other processes, train with workers=1: .*lock"):
        run(study("FIX(k0=0.1)", tasks=(odd,)), store, workers=2)


def test_a_failed_run_of_a_task_that_cannot_be_sent_is_tried_again_in_this_process(
    study: Make, store: Store, task: Task
) -> None:
    lock = threading.Lock()

    class Locked(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if lock.locked() and torch.is_grad_enabled():
                raise RuntimeError("locked")
            return super().forward(inputs)

    asked = study("FIX(k0=0.1)", tasks=(task.with_(name="odd", model=lambda: Locked(8, 3), version="1"),))
    with lock:
        assert run(asked, store, workers=1, engine="serial").failed == 2
    assert run(asked, store, workers=1, engine="serial").failed == 0


def test_after_ctrl_c_workers_are_gone_and_the_study_goes_on_from_what_they_told(
    study: Make, store: Store, separate: Callable[[Study], Numbers]
) -> None:
    class Interrupter(NullListener):
        def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
            if step == 15:
                signal.raise_signal(signal.SIGINT)

    asked = study(*POLICIES)
    with pytest.raises(KeyboardInterrupt):
        run(asked, store, workers=2, engine="serial", listener=Interrupter())
    assert list(children()) == []
    run(asked, store, workers=1, engine="serial")
    assert numbers(asked, store) == separate(asked)


def test_ray_trains_the_same_numbers_and_replaces_a_lost_actor(
    study: Make, store: Store, separate: Callable[[Study], Numbers], files_named_like_modules: Path
) -> None:
    import ray

    class Loser(NullListener):
        lost = False

        def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
            if step == 15 and not self.lost:
                self.lost = True
                (raylet,) = children("raylet/raylet")
                os.kill(next(children("ray::Actor", raylet)), signal.SIGKILL)

    asked = study(*POLICIES[:3])
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    try:
        loser = Loser()
        tally = run(asked, store, workers="ray", engine="serial", listener=loser)
    finally:
        ray.shutdown()
    assert loser.lost
    assert (tally.trained, tally.failed) == (6, 0)
    assert not files_named_like_modules.exists()
    assert numbers(asked, store) == separate(asked)


def test_ray_that_is_not_there_is_said_in_one_sentence(study: Make, store: Store) -> None:
    with pytest.raises(StudyError, match=r"^there is no Ray cluster at '127\.0\.0\.1:9': "):
        run(study("FIX(k0=0.1)"), store, workers="127.0.0.1:9")


@pytest.mark.parametrize("workers", [0, -1, 1001, "9" * 5000, "", "many", "1.5", "dask"])
def test_workers_that_make_no_sense_are_refused(workers: int | str) -> None:
    with pytest.raises(
        StudyError, match=rf"workers = '?{str(workers)[:50]}\S* must be a number of processes from 1 to 1000"
    ):
        parse_workers(workers)


def test_a_process_is_begun_only_where_there_is_enough_to_do() -> None:
    assert [worthwhile(seconds, 4) for seconds in (0.1, 14, 16, 34, 1000)] == [1, 1, 2, 3, 4]


def test_one_worker_is_this_process(study: Make, store: Store) -> None:
    class Counter(NullListener):
        seen = 0

        def advanced(self, run: PlannedRun, step: int, score: float | None) -> None:
            self.seen += len(list(children()))

    counter = Counter()
    assert run(study("FIX(k0=0.1)"), store, listener=counter) == RunCounts(
        total=2, trained=2, steps_nominal=80, steps_trained=80
    )
    assert counter.seen == 0
