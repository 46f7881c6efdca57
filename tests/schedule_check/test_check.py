"""Each known fault, made by the code of the framework that makes it, and named by the check."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    SequentialLR,
)
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainingArguments, get_cosine_schedule_with_warmup

import lrbench
from lrbench.errors import PolicyError, TraceError
from lrbench.policy import COSINE, FIX, LINEAR, Policy, PolicyLR, parse
from lrbench.schedule_check.check import ScheduleCheck, check
from lrbench.schedule_check.faults import MENDS
from lrbench.schedule_check.trace import Trace, trace
from tests.hugging_face import HuggingFaceNetwork

STEPS, WARMUP, PER_EPOCH = 60, 6, 10
COSINE_DECAY = COSINE(k0=0.2, l="1dur")
BOUND = COSINE(k0=0.2, l=STEPS)
HANDED_OVER = LINEAR(k0=0.02, k1=0.2, l=WARMUP).then(COSINE(k0=0.2, l=STEPS - WARMUP), at=WARMUP)
"""What torch's LinearLR, and CosineAnnealingLR after it, are to be."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Torch warns of some of the faults, which are made on purpose."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lrs.trace"


def sgd(lr: float = 0.2, optimizer: type[Optimizer] = SGD) -> Optimizer:
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    return optimizer([weight], lr=lr)  # type: ignore[call-arg]


def warmed_up(optimizer: Optimizer, last_epoch: int = -1) -> SequentialLR:
    rise = LinearLR(optimizer, 0.1, 1.0, WARMUP, last_epoch=last_epoch)
    return SequentialLR(
        optimizer, [rise, CosineAnnealingLR(optimizer, STEPS - WARMUP)], [WARMUP], last_epoch=last_epoch
    )


def train(optimizer: Optimizer, scheduler: LRScheduler, steps: int = STEPS) -> None:
    for _ in range(steps):
        optimizer.step()
        scheduler.step()


def only(checked: ScheduleCheck) -> str:
    (fault,) = checked.faults
    assert f"{fault.name}: {fault.sentence} {fault.mend}" in " ".join(str(checked).split())
    return f"{fault.name}: {fault.sentence}"


def simple(file: Path, schedule: Callable[[Optimizer], LRScheduler], loop: Callable[..., None] = train) -> None:
    """Trace a loop with a schedule of torch."""
    optimizer = sgd()
    trace(optimizer, file)
    loop(optimizer, schedule(optimizer))


def cosine(optimizer: Optimizer) -> LRScheduler:
    return CosineAnnealingLR(optimizer, STEPS)


def test_schedulers_of_torch_are_the_policies_that_they_are_to_be(file: Path, tmp_path: Path) -> None:
    simple(file, cosine)
    assert check(file, COSINE_DECAY, steps=STEPS).ok
    simple(tmp_path / "warm", warmed_up)
    checked = check(tmp_path / "warm", HANDED_OVER, steps=STEPS)
    assert checked.ok
    assert str(checked).startswith("The schedule that ran is LINEAR(")


def test_never_stepped(file: Path) -> None:
    def loop(optimizer: Optimizer, _: LRScheduler) -> None:
        for _step in range(STEPS):
            optimizer.step()

    simple(file, cosine, loop)
    assert only(check(file, COSINE_DECAY, steps=STEPS)).startswith("never stepped: The LR is 0.2 at every step")


def test_stepped_once_an_epoch(file: Path) -> None:
    def loop(optimizer: Optimizer, scheduler: LRScheduler) -> None:
        for step in range(STEPS):
            optimizer.step()
            if (step + 1) % PER_EPOCH == 0:
                scheduler.step()

    simple(file, cosine, loop)
    found = only(check(file, COSINE_DECAY, steps=STEPS, steps_per_epoch=PER_EPOCH))
    assert found.startswith("stepped once an epoch: The LR changes only once every 10 optimizer steps")
    assert only(check(file, COSINE_DECAY, steps=STEPS, steps_per_epoch=5)).startswith("stepped seldom")


def test_stepped_before_the_optimizer(file: Path) -> None:
    def loop(optimizer: Optimizer, scheduler: LRScheduler) -> None:
        for _ in range(STEPS):
            scheduler.step()
            optimizer.step()

    simple(file, cosine, loop)
    assert only(check(file, COSINE_DECAY, steps=STEPS)) == "early: The LR is one step ahead of the policy's."


def test_stepped_from_the_second_step_on(file: Path) -> None:
    def loop(optimizer: Optimizer, scheduler: LRScheduler) -> None:
        for step in range(STEPS):
            optimizer.step()
            if step > 0:
                scheduler.step()

    simple(file, cosine, loop)
    assert only(check(file, COSINE_DECAY, steps=STEPS)) == "late: The LR is one step behind the policy's."


def test_stepped_twice_a_step_and_up_again(file: Path) -> None:
    def loop(optimizer: Optimizer, scheduler: LRScheduler) -> None:
        for _ in range(STEPS):
            optimizer.step()
            scheduler.step()
            scheduler.step()

    simple(file, cosine, loop)
    found = only(check(file, COSINE_DECAY, steps=STEPS))
    assert found.startswith("stepped several times: The scheduler was stepped 2 times an optimizer step")
    assert "ends at iteration 30 of 60, and the LR is up to 0.199452 after it" in found


def test_stepped_once_a_micro_batch(file: Path) -> None:
    def loop(optimizer: Optimizer, scheduler: LRScheduler) -> None:
        for micro_batch in range(4 * STEPS):
            if micro_batch % 4 == 3:
                optimizer.step()
            scheduler.step()

    simple(file, lambda optimizer: LambdaLR(optimizer, lambda t: max(0.0, 1 - t / STEPS)), loop)
    found = only(check(file, LINEAR(k0=0.2, l="1dur"), steps=STEPS))
    assert found.startswith("stepped several times: The scheduler was stepped 4 times")


def test_a_schedule_for_the_micro_batches_does_not_come_to_its_end(file: Path) -> None:
    simple(file, lambda optimizer: CosineAnnealingLR(optimizer, 4 * STEPS))
    found = only(check(file, COSINE_DECAY, steps=STEPS))
    assert found.startswith("budget too large: The schedule is for 240 iterations, not 60")


def test_a_schedule_for_a_part_of_the_steps_ends_early_and_rises_again(file: Path) -> None:
    simple(file, lambda optimizer: CosineAnnealingLR(optimizer, 40))
    found = only(check(file, COSINE_DECAY, steps=STEPS))
    assert found.startswith("budget too small: The schedule is for 40 iterations, not 60: it ends at iteration 40, and")


def test_a_factor_that_is_the_number_of_processes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    optimizer = sgd(lr=0.2 * 8)
    trace(optimizer, file)
    train(optimizer, cosine(optimizer))
    found = only(check(file, COSINE_DECAY, steps=STEPS))
    assert found == "factor: Every LR is 8 times the policy's, which is by the number of processes, 8."


def test_a_final_lr_that_is_not_reached(file: Path) -> None:
    simple(file, lambda optimizer: CosineAnnealingLR(optimizer, STEPS, eta_min=0.05))
    found = only(check(file, COSINE_DECAY, steps=STEPS))
    assert found.startswith("other floor: The peak is reached, and the lowest LR is 0.05")


def test_a_lower_limit_of_the_lr(file: Path) -> None:
    simple(file, lambda optimizer: LambdaLR(optimizer, lambda t: max(0.51, 1 - t / STEPS)))
    assert only(check(file, LINEAR(k0=0.2, l="1dur"), steps=STEPS)).startswith("cut off: The LR is never below 0.102;")


def test_a_hand_over_that_keeps_a_factor(file: Path) -> None:
    def schedule(optimizer: Optimizer) -> LRScheduler:
        decay = MultiplicativeLR(optimizer, lambda _: 0.9)
        return SequentialLR(optimizer, [ConstantLR(optimizer, 0.5, 100), decay], [WARMUP])

    simple(file, schedule)
    policy = FIX(k0=0.1).then(parse("EXP(k0=0.2, gamma=0.9)"), at=WARMUP)
    found = only(check(file, policy, steps=STEPS))
    assert found.startswith("factor from a step: From iteration 6 on the LR is 0.45 times the policy's")


def resumed(file: Path, at: int, again: Callable[[Optimizer, dict[str, Any], dict[str, Any]], LRScheduler]) -> None:
    """Trace a run that is resumed by `again` from the states of optimizer and scheduler."""
    optimizer = sgd(optimizer=Adam)
    trace(optimizer, file)
    scheduler = warmed_up(optimizer)
    train(optimizer, scheduler, at)
    states = optimizer.state_dict(), scheduler.state_dict()
    optimizer = sgd(optimizer=Adam)
    trace(optimizer, file)
    train(optimizer, again(optimizer, *states), STEPS - at)


def test_a_run_that_resumes_with_all_states_is_right(file: Path) -> None:
    def again(optimizer: Optimizer, state: dict[str, Any], scheduled: dict[str, Any]) -> LRScheduler:
        scheduler = warmed_up(optimizer)
        optimizer.load_state_dict(state)
        scheduler.load_state_dict(scheduled)
        return scheduler

    resumed(file, 20, again)
    assert check(file, HANDED_OVER, steps=STEPS).ok


def test_resumed_without_the_schedulers_state(file: Path) -> None:
    def again(optimizer: Optimizer, state: dict[str, Any], _: object) -> LRScheduler:
        optimizer.load_state_dict(state)
        return warmed_up(optimizer)

    resumed(file, 20, again)
    found = only(check(file, HANDED_OVER, steps=STEPS))
    assert found == "restarted: At the resume at iteration 20 the schedule began again from its start."


def test_resumed_with_last_epoch_in_the_warmup_goes_over_the_peak(file: Path) -> None:
    def again(optimizer: Optimizer, state: dict[str, Any], _: object) -> LRScheduler:
        optimizer.load_state_dict(state)
        return warmed_up(optimizer, last_epoch=2)

    resumed(file, 3, again)
    found = only(check(file, HANDED_OVER, steps=STEPS))
    assert found.startswith("over the peak: From the resume at iteration 3 to 5 the LR is ")
    assert "times the policy's, and goes over the peak" in found


def test_resumed_with_last_epoch_after_the_warmup_is_not_restored(file: Path) -> None:
    def again(optimizer: Optimizer, state: dict[str, Any], _: object) -> LRScheduler:
        optimizer.load_state_dict(state)
        return warmed_up(optimizer, last_epoch=19)

    resumed(file, 20, again)
    assert only(check(file, HANDED_OVER, steps=STEPS)).startswith("not restored: ")


def test_resumed_from_the_schedulers_state_of_another_iteration(file: Path) -> None:
    optimizer = sgd(optimizer=Adam)
    trace(optimizer, file)
    scheduler = cosine(optimizer)
    train(optimizer, scheduler, 15)
    old = scheduler.state_dict()
    train(optimizer, scheduler, 5)
    state = optimizer.state_dict()
    optimizer = sgd(optimizer=Adam)
    trace(optimizer, file)
    scheduler = PolicyLR(optimizer, COSINE_DECAY, steps=STEPS)
    optimizer.load_state_dict(state)
    scheduler.load_state_dict({"last_epoch": old["last_epoch"], "base_lrs": old["base_lrs"], "history": []})
    train(optimizer, scheduler, 40)
    found = only(check(file, COSINE_DECAY, steps=STEPS))
    assert found == "resumed elsewhere: From the resume at iteration 20 on the LR is 5 steps behind the policy's."


def test_warmed_up_again_where_the_run_resumes(file: Path) -> None:
    policy = COSINE(k0=0.2, l="1dur").warmup(WARMUP)

    def run(start: int) -> None:
        optimizer = sgd(lr=1.0)
        trace(optimizer, file, step=start)
        train(optimizer, LambdaLR(optimizer, lambda t: BOUND(start + t) * min(1.0, t / WARMUP)), 30)

    run(0)
    run(30)
    found = only(check(file, policy, steps=STEPS))
    assert found == "warmed up again: At the resume at iteration 30 the LR was warmed up again, over 6 iterations."


def test_a_scaler_that_skips_steps_of_the_optimizer_and_not_of_the_scheduler(file: Path) -> None:
    optimizer = sgd()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    trace(optimizer, file)
    scheduler = cosine(optimizer)
    weight = optimizer.param_groups[0]["params"][0]
    for step in range(STEPS):
        weight.grad = torch.full((2,), float("inf") if step in (20, 30, 31) else 1.0)
        scaler.scale(torch.zeros(1))
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
    checked = check(file, COSINE_DECAY, steps=STEPS - 3)
    trained = check(file, BOUND, steps=STEPS - 3)
    assert not checked.ok
    assert only(trained).startswith("steps apart: At 2 steps one of optimizer and scheduler was stepped without")


def test_a_scheduler_that_stops_being_stepped(file: Path) -> None:
    def loop(optimizer: Optimizer, scheduler: LRScheduler) -> None:
        train(optimizer, scheduler, 20)
        for _ in range(40):
            optimizer.step()

    simple(file, cosine, loop)
    assert only(check(file, COSINE_DECAY, steps=STEPS)).startswith("stopped being stepped: From iteration 21 on")


def test_a_group_that_was_added_after_the_scheduler_and_one_of_another_ratio(file: Path) -> None:
    optimizer = SGD([{"params": [nn.Parameter(torch.zeros(1))]}, {"params": [nn.Parameter(torch.zeros(1))]}], lr=0.2)
    optimizer.param_groups[1]["lr_ratio"] = 10.0
    scheduler = cosine(optimizer)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.1})
    optimizer.step()
    trace(optimizer, file)
    scheduler = CosineAnnealingLR(optimizer, STEPS)
    optimizer.param_groups[2]["lr"] = 0.1
    for _ in range(STEPS):
        optimizer.step()
        scheduler.step()
        optimizer.param_groups[2]["lr"] = 0.1
    groups = check(file, COSINE_DECAY, steps=STEPS).faults
    assert [fault.name for fault in groups] == ["another ratio", "group not scheduled"]
    assert groups[0].sentence == "Group 1 has 1 times the first group's LR, not 10 times."


class Network(lightning.LightningModule):
    def __init__(self, file: Path, interval: str, schedule: Callable[[Optimizer], LRScheduler]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.trace_file, self.interval, self.schedule = file, interval, schedule

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=0.2)
        lrbench.trace(optimizer, self.trace_file)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.schedule(optimizer), "interval": self.interval},
        }


def fit(network: Network, folder: Path, **options: Any) -> None:
    trainer = lightning.Trainer(
        max_epochs=STEPS // PER_EPOCH,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(network, DataLoader(TensorDataset(torch.randn(PER_EPOCH, 4)), batch_size=1))


def policy_lr(optimizer: Optimizer) -> PolicyLR:
    return PolicyLR(optimizer, COSINE_DECAY, steps=STEPS)


def test_lightning_steps_a_scheduler_once_an_epoch_unless_it_is_asked(file: Path, tmp_path: Path) -> None:
    fit(Network(file, "epoch", cosine), tmp_path)
    found = only(check(file, COSINE_DECAY, steps=STEPS, steps_per_epoch=PER_EPOCH))
    assert found.startswith("stepped once an epoch: ")
    fit(Network(tmp_path / "steps", "step", policy_lr), tmp_path)
    assert check(tmp_path / "steps", COSINE_DECAY, steps=STEPS).ok


def test_lightning_with_accumulation_and_a_schedule_for_the_micro_batches(file: Path, tmp_path: Path) -> None:
    fit(Network(file, "step", cosine), tmp_path, accumulate_grad_batches=2)
    found = only(check(file, COSINE_DECAY, steps=STEPS // 2))
    assert found.startswith("budget too large: The schedule is for 60 iterations, not 30")


@pytest.mark.parametrize(
    ("schedule", "policy", "finds"),
    [
        (policy_lr, COSINE_DECAY, ""),
        (lambda optimizer: get_cosine_schedule_with_warmup(optimizer, 6, STEPS), COSINE_DECAY.warmup(6), "decay after"),
        (lambda optimizer: get_cosine_schedule_with_warmup(optimizer, 0, STEPS), COSINE_DECAY.warmup(6), "warmup miss"),
        (
            lambda optimizer: get_cosine_schedule_with_warmup(optimizer, 6, STEPS),
            LINEAR(k0=0, k1=0.2, l=6).then(COSINE(k0=0.2, l=STEPS - 6), at=6),
            "",
        ),
    ],
)
def test_hugging_faces_trainer(
    file: Path, tmp_path: Path, schedule: Callable[[Optimizer], LRScheduler], policy: Policy, finds: str
) -> None:
    network = HuggingFaceNetwork()
    optimizer = SGD(network.parameters(), lr=0.2)
    trace(optimizer, file)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=STEPS,
        per_device_train_batch_size=1,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    samples: Any = [{"inputs": torch.randn(4), "labels": torch.tensor(0.0)} for _ in range(PER_EPOCH)]
    both: Any = (optimizer, schedule(optimizer))
    Trainer(model=network, args=arguments, train_dataset=samples, optimizers=both).train()
    checked = check(file, policy, steps=STEPS)
    assert only(checked).startswith(finds) if finds else checked.ok


def of(lrs: np.ndarray[Any, np.dtype[np.float64]], **about: Any) -> Trace:
    return Trace(np.arange(len(lrs)), lrs[:, None], **about)


def test_a_warmup_that_is_one_step_ahead() -> None:
    policy = parse("FIX(k0=0.2)").warmup(WARMUP)
    lrs = 0.2 * np.minimum((np.arange(STEPS) + 1) / WARMUP, 1.0)
    assert only(check(of(lrs), policy, steps=STEPS)).startswith(("early", "warmup one step early"))
    decaying = COSINE_DECAY.warmup(WARMUP)
    lrs = BOUND.lrs(0, STEPS) * np.minimum((np.arange(STEPS) + 1) / WARMUP, 1.0)
    assert only(check(of(lrs), decaying, steps=STEPS)).startswith("warmup one step early")


def test_a_run_that_is_shorter_or_longer_than_its_schedule(file: Path) -> None:
    simple(file, cosine)
    assert only(check(file, BOUND, steps=STEPS + 20)).startswith("ended early: The trace has 60 of 80 steps")
    assert only(check(file, BOUND, steps=STEPS - 20)).startswith("ran past its end: The run has 60 steps")


def test_another_policy_is_what_no_known_fault_makes(file: Path) -> None:
    simple(file, lambda optimizer: MultiStepLR(optimizer, [20, 37], 0.3))
    checked = check(file, COSINE_DECAY, steps=STEPS)
    assert only(checked).startswith("another policy: The LR is not the policy's from iteration 1 on")
    assert checked.deviation == pytest.approx(abs(0.06 - BOUND(20)), rel=0.5)
    assert f"at iteration {checked.at}: by {checked.deviation:.6g}" in str(checked)


def test_without_a_policy_the_check_says_which_one_ran(file: Path) -> None:
    simple(file, warmed_up)
    checked = check(file)
    assert checked.ok
    assert checked.policy == HANDED_OVER
    assert str(checked).startswith("The schedule that ran is LINEAR(k0=0.02, k1=0.2, l=6).then(COSINE(")


def test_a_check_that_cannot_be_made_is_refused(file: Path) -> None:
    simple(file, cosine)
    with pytest.raises(PolicyError, match="reacts to evaluations"):
        check(file, parse("REDUCEONPLATEAU(k0=0.1, gamma=0.5, patience=2)"), steps=STEPS)
    with pytest.raises(PolicyError, match="steps_per_epoch is needed for l=2ep"):
        check(file, parse("STEP(k0=0.1, gamma=0.5, l=2ep)"), steps=STEPS)
    with pytest.raises(TraceError, match="begins at iteration 70, after a budget of 60"):
        check(Trace(np.array([70]), np.array([[0.1]])), COSINE_DECAY, steps=STEPS)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_an_lr_that_is_no_number_is_a_fault(wrong: float) -> None:
    lrs = BOUND.lrs(0, STEPS)
    lrs[40:] = wrong
    checked = check(of(lrs), COSINE_DECAY, steps=STEPS)
    assert only(checked).startswith(f"no learning rate: The LR is {wrong} at iteration 40, and at {STEPS - 41} more.")
    assert checked.at == 40


def test_the_policy_is_judged_by_the_first_group_that_has_its_rates(file: Path) -> None:
    lrs = BOUND.lrs(0, STEPS)
    frozen = Trace(np.arange(STEPS), np.stack([0 * lrs, 2 * lrs], axis=1), ratios=(0.0, 2.0))
    assert check(frozen, COSINE_DECAY, steps=STEPS).ok
    with pytest.raises(TraceError, match="every parameter group of the trace has lr_ratio 0"):
        check(of(0 * lrs, ratios=(0.0,)), COSINE_DECAY, steps=STEPS)
    with pytest.raises(PolicyError, match="a trace knows no tokens: give l=1000000tok in iterations"):
        check(of(lrs), parse("LINEAR(k0=0.1, l=1e6tok)"), steps=STEPS)


def test_every_fault_has_a_mend_and_a_line_in_the_guide() -> None:
    guide = (Path(lrbench.__file__).parent / "guide" / "checking-schedules.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in guide for name in MENDS)
