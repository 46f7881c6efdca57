"""Every function that torch has a scheduler for gives torch's LRs."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim import lr_scheduler as schedulers
from torch.optim.lr_scheduler import LRScheduler

from lrbench.policy import COSINE, EXP, FIX, LINEAR, NSTEP, ONECYCLE, POLY, SGDR, STEP, TRI, TRI2, TRIEXP, Policy

STEPS = 230
Build = Callable[[Optimizer], LRScheduler]


def torch_lrs(lr: float, build: Build) -> list[float]:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = build(optimizer)
    found = []
    for _ in range(STEPS):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return found


def cyclic(mode: Literal["triangular", "triangular2", "exp_range"], gamma: float = 1.0) -> Build:
    return lambda optimizer: schedulers.CyclicLR(
        optimizer, base_lr=0.02, max_lr=0.3, step_size_up=17, mode=mode, gamma=gamma, cycle_momentum=False
    )


CASES: list[tuple[Policy, float, Build]] = [
    (FIX(k0=0.1), 0.1, lambda o: schedulers.ConstantLR(o, factor=1.0)),
    (STEP(k0=0.1, gamma=0.3, l=7), 0.1, lambda o: schedulers.StepLR(o, step_size=7, gamma=0.3)),
    (
        NSTEP(k0=0.1, gamma=0.2, l=[3, 50, 51, 200]),
        0.1,
        lambda o: schedulers.MultiStepLR(o, milestones=[3, 50, 51, 200], gamma=0.2),
    ),
    (EXP(k0=0.1, gamma=0.97), 0.1, lambda o: schedulers.ExponentialLR(o, gamma=0.97)),
    (POLY(k0=0.1, p=1.7, l=150), 0.1, lambda o: schedulers.PolynomialLR(o, total_iters=150, power=1.7)),
    (TRI(k0=0.02, k1=0.3, l=17), 0.02, cyclic("triangular")),
    (TRI2(k0=0.02, k1=0.3, l=17), 0.02, cyclic("triangular2")),
    (TRIEXP(k0=0.02, k1=0.3, gamma=0.99, l=17), 0.02, cyclic("exp_range", 0.99)),
    (
        COSINE(k0=0.1, k1=0.01, l=STEPS),
        0.1,
        lambda o: schedulers.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.01),
    ),
    (
        SGDR(k0=0.1, k1=0.01, l=23),
        0.1,
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, T_0=23, eta_min=0.01),
    ),
    (
        SGDR(k0=0.1, k1=0.01, l=7, mult=3),
        0.1,
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, T_0=7, T_mult=3, eta_min=0.01),
    ),
    (
        LINEAR(k0=0.02, k1=0.1, l=90),
        0.1,
        lambda o: schedulers.LinearLR(o, start_factor=0.2, end_factor=1.0, total_iters=90),
    ),
    (LINEAR(k0=0.1, l=90), 0.1, lambda o: schedulers.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=90)),
    (
        # torch counts total_steps LRs, the last at the end, and places the peak at pct_start * total_steps - 1.
        ONECYCLE(k0=0.004, k1=0.1, k2=4e-7, up=69, down=STEPS - 69),
        0.1,
        lambda o: schedulers.OneCycleLR(
            o, max_lr=0.1, total_steps=STEPS + 1, pct_start=70 / (STEPS + 1), cycle_momentum=False
        ),
    ),
    (
        FIX(k0=0.1).warmup(50, start=0.01),
        0.1,
        lambda o: schedulers.LinearLR(o, start_factor=0.1, end_factor=1.0, total_iters=50),
    ),
    (
        EXP(k0=0.1, gamma=0.97).warmup(50),
        0.1,
        lambda o: schedulers.LambdaLR(o, lambda t: min(1.0, t / 50) * 0.97**t),
    ),
    (
        FIX(k0=0.1).then(EXP(k0=0.1, gamma=0.9), at=60),
        0.1,
        lambda o: schedulers.SequentialLR(
            o, [schedulers.ConstantLR(o, factor=1.0), schedulers.ExponentialLR(o, gamma=0.9)], milestones=[60]
        ),
    ),
]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step", "ignore:The epoch parameter")
@pytest.mark.parametrize(("policy", "lr", "build"), CASES, ids=[str(case[0]) for case in CASES])
def test_gives_the_lrs_of_torchs_scheduler(policy: Policy, lr: float, build: Build) -> None:
    np.testing.assert_allclose(policy.lrs(0, STEPS), torch_lrs(lr, build), rtol=1e-9, atol=1e-16)
