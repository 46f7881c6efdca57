"""The quickstart's runs by PyTorch Lightning's Trainer, one after another, without logger and checkpoints."""

from __future__ import annotations

import logging
import sys
import time
import warnings

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from baselines.answer import parse_runs, say
from baselines.plain_loop import CURVE, EVERY, Data, Split, by_loader, mlp
from baselines.schedules import SCHEDULES, STEPS, Schedule


class Classifier(lightning.LightningModule):
    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.model = mlp()
        self.schedule = schedule

    def training_step(self, batch: Split, batch_idx: int) -> Tensor:
        inputs, targets = batch
        return F.cross_entropy(self.model(inputs), targets)

    def validation_step(self, batch: Split, batch_idx: int, dataloader_idx: int = 0) -> None:
        inputs, targets = batch
        accuracy = (self.model(inputs).argmax(1) == targets).float().mean()
        self.log(("val", "test")[dataloader_idx], accuracy, add_dataloader_idx=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0, momentum=0.9)
        scheduler = LambdaLR(optimizer, self.schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def train(data: Data, schedule: Schedule, seed: int) -> tuple[float, float]:
    """Train 1,000 iterations, evaluated as the plain loop is; when that ended, and the accuracy on the test split."""
    lightning.seed_everything(seed, verbose=False)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=STEPS,
        val_check_interval=EVERY,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    curve, *splits = (
        DataLoader(TensorDataset(*split), batch_size=1000)
        for split in ((data.val[0][:CURVE], data.val[1][:CURVE]), data.val, data.test)
    )
    classifier = Classifier(schedule)
    trainer.fit(classifier, by_loader(data.train), curve)
    trainer.validate(classifier, splits, verbose=False)
    return time.time(), float(trainer.callback_metrics["test"])


def main() -> None:
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data = Data.made()
    trained = [train(data, SCHEDULES[name], seed) for name, seed in parse_runs(sys.argv[1])]
    say(*zip(*trained, strict=True))


if __name__ == "__main__":
    main()
