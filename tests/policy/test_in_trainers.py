"""`PolicyLR` where people use schedulers: inside Lightning and inside Hugging Face's Trainer."""

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from lrbench.policy import parse
from lrbench.policy.torch_scheduler import PolicyLR
from tests.hugging_face import HuggingFaceNetwork

POLICY = parse("TRI(k0=0.01, k1=0.1, l=0.25dur)")
STEPS, PER_EPOCH, BATCH = 20, 5, 8
EXPECTED = POLICY.bind(STEPS, PER_EPOCH).lrs(0, STEPS)


def scheduled(network: nn.Module) -> tuple[torch.optim.Optimizer, PolicyLR]:
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    return optimizer, PolicyLR(optimizer, POLICY, steps=STEPS, steps_per_epoch=PER_EPOCH)


class LightningNetwork(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.lrs: list[float] = []

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        optimizer: Any = self.optimizers()
        self.lrs.append(optimizer.param_groups[0]["lr"])
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer, scheduler = scheduled(self)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def test_lightning_trains_each_step_with_the_policys_learning_rate(tmp_path: Path) -> None:
    network = LightningNetwork()
    trainer = lightning.Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(network, DataLoader(TensorDataset(torch.randn(PER_EPOCH * BATCH, 4)), batch_size=BATCH))
    np.testing.assert_array_equal(network.lrs, EXPECTED)


class Recorder(TrainerCallback):
    def __init__(self) -> None:
        self.lrs: list[float] = []

    def on_step_begin(self, *_: Any, **given: Any) -> None:
        optimizer: torch.optim.Optimizer = given["optimizer"]
        self.lrs.append(optimizer.param_groups[0]["lr"])


def test_hugging_faces_trainer_trains_each_step_with_the_policys_learning_rate(tmp_path: Path) -> None:
    network, recorder = HuggingFaceNetwork(), Recorder()
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=STEPS,
        per_device_train_batch_size=BATCH,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    samples = [{"inputs": torch.randn(4), "labels": torch.tensor(0.0)} for _ in range(PER_EPOCH * BATCH)]
    optimizers: Any = scheduled(network)
    Trainer(model=network, args=arguments, train_dataset=samples, optimizers=optimizers, callbacks=[recorder]).train()
    np.testing.assert_array_equal(recorder.lrs, EXPECTED)
