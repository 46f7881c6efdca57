"""Lightning's and Hugging Face's Trainer train a run: its learning rates at each step, its reports when due."""

import logging
import re
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainerCallback, TrainingArguments

import lrbench
from lrbench.errors import TaskError
from lrbench.tasks.trainer_callbacks import lightning_callback, transformers_callback
from tests.registries import forget_registrations

STEPS, EVERY = 25, 10
POLICY = "LINEAR(k0=0.1, k1=0.01, l=1dur)"


@pytest.fixture(autouse=True)
def _quiet_and_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_registrations(monkeypatch)
    monkeypatch.chdir(tmp_path)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Recorded:
    """What a training function saw, for the test to look at."""

    def __init__(self) -> None:
        self.rates: list[tuple[float, ...]] = []
        self.modes: list[bool] = []

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        self.modes.append(network.training or torch.is_grad_enabled())
        return {"val": float(sum(weight.square().sum() for weight in network.parameters())), "test": 1.0}


class Module(lightning.LightningModule):
    def __init__(self, seen: Recorded, scheduled: bool = False) -> None:
        super().__init__()
        self.layer, self.scale = nn.Linear(4, 1), nn.Linear(1, 1)
        self.seen, self.scheduled = seen, scheduled

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        optimizer: Any = self.optimizers()
        self.seen.rates.append(tuple(group["lr"] for group in optimizer.param_groups))
        return self.scale(self.layer(batch[0])).square().mean()

    def configure_optimizers(self) -> Any:
        groups: Any = [{"params": self.layer.parameters()}, {"params": self.scale.parameters(), "lr": 2.0}]
        optimizer = torch.optim.SGD(groups, lr=1.0)
        if self.scheduled:
            return [optimizer], [torch.optim.lr_scheduler.ConstantLR(optimizer)]
        return optimizer


def fitted(
    run: lrbench.TrainingRun, seen: Recorded, *, scheduled: bool = False, resume: str | None = None, **options: Any
) -> None:
    trainer = lightning.Trainer(
        **{"max_steps": run.steps, **options},
        callbacks=[run.lightning_callback(seen.evaluate), ModelCheckpoint("saved", "{step}", every_n_train_steps=20)],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches = DataLoader(TensorDataset(torch.randn(48, 4)), batch_size=8)
    trainer.fit(Module(seen, scheduled), batches, ckpt_path=resume)


def task(function: Any) -> Any:
    return lrbench.trainable(name="mine", steps=STEPS, eval_every=EVERY, version="1")(function)


def steps_of(store: str) -> tuple[int, ...]:
    with lrbench.open_store(store) as opened:
        (run,) = opened.runs(opened.statuses()).values()
        return run.scores.steps()


@pytest.mark.parametrize("accumulated", [1, 2])
def test_lightning_trains_each_step_with_the_runs_rate_and_reports_when_due(accumulated: int) -> None:
    seen = Recorded()

    lrbench.score(
        POLICY,
        task(lambda run: fitted(run, seen, accumulate_grad_batches=accumulated)),
        seeds=1,
        store="a.db",
        workers=1,
    )

    expected = lrbench.parse(POLICY).bind(STEPS, 1).lrs(0, STEPS)
    assert seen.rates[::accumulated] == [(lr, 2 * lr) for lr in expected]
    assert steps_of("a.db") == (10, 20, 25)
    assert seen.modes == [False] * 3, "evaluation without gradients and dropout"


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.layer(inputs)[:, 0] - labels).square().mean()}


class Recorder(TrainerCallback):
    def __init__(self, seen: Recorded) -> None:
        self.seen = seen

    def on_pre_optimizer_step(self, *_: Any, **given: Any) -> None:
        self.seen.rates.append((given["optimizer"].param_groups[0]["lr"],))


def trained(run: lrbench.TrainingRun, seen: Recorded, *, resume: str | None = None, **options: Any) -> None:
    settings: dict[str, Any] = {"max_steps": run.steps, "warmup_steps": 5, "save_steps": 20, **options}
    arguments = TrainingArguments("out", **settings, report_to=[], use_cpu=True, disable_tqdm=True)
    samples: Any = [{"inputs": torch.randn(4), "labels": torch.tensor(0.0)} for _ in range(48)]
    callbacks = [run.transformers_callback(seen.evaluate), Recorder(seen)]
    Trainer(model=Network(), args=arguments, train_dataset=samples, callbacks=callbacks).train(resume)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_hugging_face_trains_each_step_with_the_runs_rate_and_reports_when_due(accumulated: int) -> None:
    seen = Recorded()

    lrbench.score(
        POLICY,
        task(lambda run: trained(run, seen, gradient_accumulation_steps=accumulated)),
        seeds=1,
        store="a.db",
        workers=1,
    )

    expected = lrbench.parse(POLICY).bind(STEPS, 1).lrs(0, STEPS)
    assert seen.rates == [(lr,) for lr in expected], "whatever scheduler the arguments have"
    assert steps_of("a.db") == (10, 20, 25)
    assert seen.modes == [False] * 3


class Rates:
    """A run of its learning rates alone: what a callback asks of one that goes on from a checkpoint."""

    steps, should_stop = STEPS, False

    def lr(self, iteration: int) -> float:
        return 1.0 - iteration / 100

    def is_due(self, step: int) -> bool:
        return False


def test_a_trainer_that_resumes_goes_on_with_the_rate_of_its_next_step() -> None:
    run: Any = Rates()
    run.transformers_callback = lambda evaluate: transformers_callback(run, evaluate)
    run.lightning_callback = lambda evaluate: lightning_callback(run, evaluate)
    expected = [(run.lr(step + 1),) for step in range(STEPS)]

    trained(run, Recorded())
    trained(run, seen := Recorded(), resume="out/checkpoint-20")
    assert seen.rates == expected[20:]

    fitted(run, Recorded())
    fitted(run, seen := Recorded(), resume="saved/step=20.ckpt")
    assert [rates[0] for rates in seen.rates] == [lr for (lr,) in expected[20:]]
    assert all(other == pytest.approx(2 * lr) for lr, other in seen.rates)


@pytest.mark.parametrize(
    ("train", "sentence"),
    [
        (lambda run: fitted(run, Recorded(), max_steps=30), "Lightning's Trainer has max_steps=30: give it max_steps"),
        (lambda run: fitted(run, Recorded(), scheduled=True), "must return one optimizer and no scheduler"),
        (
            lambda run: trained(run, Recorded(), max_steps=30),
            "Hugging Face's Trainer has max_steps=30",
        ),
    ],
)
def test_what_would_train_with_other_rates_is_refused(train: Any, sentence: str) -> None:
    with pytest.raises(TaskError, match=re.escape(sentence)):
        lrbench.score(POLICY, task(train), seeds=1, store="a.db", workers=1)


@pytest.mark.parametrize("train", [fitted, trained])
def test_a_trainer_stops_where_the_run_has_diverged(train: Any) -> None:
    seen = Recorded()
    seen.evaluate = lambda network: float("nan")  # type: ignore[assignment, method-assign, return-value]

    card = lrbench.score(POLICY, task(lambda run: train(run, seen)), seeds=1, store="a.db", workers=1)

    assert card.metrics["divergence_rate"].mean == 1
    assert len(seen.rates) == EVERY
