"""Studies over datasets that are loaded a batch at a time, trained by processes that are killed."""

import os
import signal
import threading
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

import lrbench
from lrbench.store import open_store
from lrbench.tasks import Data, Task
from lrbench.training.runner import run


class Noisy(Dataset[tuple[Tensor, int]]):
    """Noisy vectors of two classes; when the sample `deadly` is asked for first, the worker of lrbench is killed."""

    def __init__(self, killed: Path, deadly: int | None = None) -> None:
        self.killed = killed
        self.deadly = deadly

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == self.deadly and not self.killed.exists():
            self.killed.touch()
            os.kill(os.getpid() if get_worker_info() is None else os.getppid(), signal.SIGKILL)
        return torch.randn(4) + index % 2, index % 2


def numbers(store: Path, deadly: int | None, loader_workers: int, workers: int) -> list[tuple[object, ...]]:
    """Train a study, and return what its store has of each run."""
    killed = store.with_suffix(".killed")
    data = Data.from_datasets(
        Noisy(killed, deadly), Noisy(killed), num_classes=2, loader_workers=loader_workers, version="1"
    )
    model = torch.nn.Linear
    task = Task(name="noisy", model=lambda: model(4, 2), data=data, batch_size=8, steps=20, eval_every=4)
    study = lrbench.Study(name="noisy", task=task, policies=["FIX(k0=0.1)", "STEP(k0=0.1, gamma=0.1, l=9)"], seeds=2)
    with open_store(store) as opened:
        run(study, opened, workers=workers, device="cpu")
        found = opened.study_runs("noisy")
    assert killed.exists() == (deadly is not None)
    rows = [(run.key, run.status, run.step, str(run.scores), str(run.final)) for run in found.values()]
    return [*sorted(rows)]


def test_a_study_whose_worker_is_killed_amid_a_dataset_ends_with_the_same_numbers(tmp_path: Path) -> None:
    undisturbed = numbers(tmp_path / "one.db", None, loader_workers=0, workers=1)
    assert numbers(tmp_path / "other.db", 17, loader_workers=2, workers=2) == undisturbed
    assert {run[1] for run in undisturbed} == {"finished"}


def test_a_study_in_the_main_process_ends_while_its_loader_workers_stay(tmp_path: Path) -> None:
    assert threading.current_thread() is threading.main_thread()  # which alone hears of Ctrl-C
    undisturbed = numbers(tmp_path / "one.db", None, loader_workers=0, workers=1)
    assert numbers(tmp_path / "other.db", None, loader_workers=2, workers=1) == undisturbed
