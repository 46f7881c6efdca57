"""Real loops of torch, Lightning, Hugging Face's Trainer and accelerate: two processes, and runs that resume."""

import logging
import multiprocessing
import os
import shutil
import socket
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.state import AcceleratorState
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainingArguments

from lrbench.policy import COSINE, PolicyLR
from lrbench.schedule_check.check import check
from lrbench.schedule_check.trace import read_trace, trace
from tests.hugging_face import HuggingFaceNetwork

STEPS, PER_EPOCH = 40, 10
POLICY = COSINE(k0=0.2, l="1dur")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    AcceleratorState._reset_state(reset_partial_state=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lrs.trace"


def of_processes(work: Callable[[], None], processes: int = 2) -> None:
    """Run a function in forked processes that form a group over gloo; started ones would import for half a minute."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def one(rank: int) -> None:
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ.update({**where, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)})
        torch.set_num_threads(1)
        work()
        if distributed.is_initialized():
            distributed.destroy_process_group()

    context = multiprocessing.get_context("fork")
    started = [context.Process(target=one, args=(rank,)) for rank in range(processes)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in started] == [0] * processes


def names(file: Path, steps: int = STEPS) -> list[str]:
    return [f"{fault.name}: {fault.sentence}" for fault in check(file, POLICY, steps=steps).faults]


def test_of_two_processes_of_torch_each_has_the_policy(tmp_path: Path) -> None:
    def work() -> None:
        distributed.init_process_group("gloo")
        network = DistributedDataParallel(nn.Linear(2, 1))
        optimizer = SGD(network.parameters(), lr=0.2)
        trace(optimizer, tmp_path / "lrs{rank}.trace")
        scheduler = PolicyLR(optimizer, POLICY, steps=STEPS)
        for _ in range(STEPS):
            network(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            scheduler.step()

    of_processes(work)
    for rank in range(2):
        read = read_trace(tmp_path / f"lrs{rank}.trace")
        assert (read.rank, read.world_size) == (rank, 2)
        assert check(read, POLICY, steps=STEPS).ok


@pytest.mark.parametrize(("splits", "built_for"), [(False, STEPS), (True, STEPS), (False, 2 * STEPS)])
def test_two_processes_of_accelerate_step_a_schedule_twice(file: Path, splits: bool, built_for: int) -> None:
    def work() -> None:
        accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(split_batches=splits))
        assert accelerator.num_processes == 2
        network = nn.Linear(2, 1)
        optimizer = SGD(network.parameters(), lr=0.2)
        prepared: Any = accelerator.prepare(network, optimizer, CosineAnnealingLR(optimizer, built_for))
        trace(prepared[1], file)
        for _ in range(STEPS):
            accelerator.backward(prepared[0](torch.ones(1, 2)).sum())
            prepared[1].step()
            prepared[2].step()

    of_processes(work)
    if splits or built_for == 2 * STEPS:
        assert names(file) == []
    else:
        (found,) = names(file)
        assert found.startswith("stepped once a process: The scheduler was stepped 2 times an optimizer step, once for")


class Network(lightning.LightningModule):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self.layer, self.file = nn.Linear(2, 1), file

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self) -> Any:
        optimizer = Adam(self.parameters(), lr=0.2)
        trace(optimizer, self.file)
        schedule = {"scheduler": CosineAnnealingLR(optimizer, STEPS), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def fit(network: Network, folder: Path, epochs: int, checkpoint: Path | None = None, **options: Any) -> None:
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    loader = DataLoader(TensorDataset(torch.randn(PER_EPOCH, 2)), batch_size=1)
    trainer.fit(network, loader, ckpt_path=checkpoint)
    if checkpoint is None and "strategy" not in options:
        trainer.save_checkpoint(folder / "saved.ckpt")


def test_lightning_over_two_processes_takes_half_the_steps_that_the_schedule_is_for(file: Path, tmp_path: Path) -> None:
    fit(Network(file), tmp_path, STEPS // PER_EPOCH, devices=2, strategy="ddp_fork")
    (found,) = names(file, steps=STEPS // 2)
    assert found.startswith("budget too large: The schedule is for 40 iterations, not 20")
    assert read_trace(file).world_size == 2


def test_lightning_resumes_from_its_checkpoint_and_not_from_weights_alone(file: Path, tmp_path: Path) -> None:
    fit(Network(file), tmp_path, 2)
    at_half = tmp_path / "half.trace"
    shutil.copy(file, at_half)
    fit(Network(file), tmp_path, 4, tmp_path / "saved.ckpt")
    assert read_trace(file).resumes == (20,)
    assert names(file) == []

    weights = Network(at_half)
    weights.load_state_dict(torch.load(tmp_path / "saved.ckpt", weights_only=True)["state_dict"])
    fit(weights, tmp_path, 2)
    assert names(at_half) == ["restarted: At the resume at iteration 20 the schedule began again from its start."]


@pytest.mark.parametrize("prepares", [True, False])
def test_accelerate_saves_the_schedules_that_it_has_prepared(file: Path, tmp_path: Path, prepares: bool) -> None:
    for resumes in (False, True):
        accelerator = Accelerator(cpu=True)
        network = nn.Linear(2, 1)
        optimizer = Adam(network.parameters(), lr=0.2)
        scheduler: Any = CosineAnnealingLR(optimizer, STEPS)
        ours: Any = accelerator.prepare(network, optimizer)
        if prepares:
            scheduler = accelerator.prepare(scheduler)
        trace(ours[1], file)
        if resumes:
            accelerator.load_state(str(tmp_path / "state"))
        for _ in range(STEPS // 2):
            accelerator.backward(ours[0](torch.ones(1, 2)).sum())
            ours[1].step()
            scheduler.step()
        accelerator.save_state(str(tmp_path / "state"))
    assert [name.split(":")[0] for name in names(file)] == ([] if prepares else ["restarted"])


@pytest.mark.parametrize("loses", [False, True])
def test_hugging_faces_trainer_resumes_where_the_schedules_state_is_in_the_checkpoint(
    file: Path, tmp_path: Path, loses: bool
) -> None:
    samples: Any = [{"inputs": torch.randn(2), "labels": torch.tensor(0.0)} for _ in range(PER_EPOCH)]

    def run(resume: bool) -> None:
        network = HuggingFaceNetwork(inputs=2)
        optimizer: Optimizer = SGD(network.parameters(), lr=0.2)
        trace(optimizer, file)
        scheduler: LRScheduler = CosineAnnealingLR(optimizer, STEPS)
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=STEPS if resume else STEPS // 2,
            per_device_train_batch_size=1,
            report_to=[],
            save_strategy="steps",
            save_steps=STEPS // 2,
            use_cpu=True,
            disable_tqdm=True,
        )
        both: Any = (optimizer, scheduler)
        trainer = Trainer(model=network, args=arguments, train_dataset=samples, optimizers=both)
        trainer.train(resume_from_checkpoint=resume)

    run(False)
    if loses:
        (tmp_path / f"checkpoint-{STEPS // 2}" / "scheduler.pt").unlink()
    run(True)
    assert [name.split(":")[0] for name in names(file)] == (["restarted"] if loses else [])
