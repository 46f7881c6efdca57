"""No method writes to weights that have left training, whatever it remembers of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lrbench.engine import Modifier, advance, begin, identical
from lrbench.modifiers import EMA, LAWA, PLP, PSWA, PSWM, PWALKS, SWA, FrozenFeatures, Lookahead
from lrbench.modifiers.learn_and_drop.rest import Frozen, Storage
from lrbench.tasks.task import Task
from tests.freezing import FreezeAt

STEP = 5
"""Inside a cycle of PLP and of Lookahead and inside a sampling period, which all have begun to remember something."""


FREEZE = FreezeAt(((STEP, Frozen(units=1)),))

MODIFIERS = [
    (PLP(),),
    (Lookahead(k=3),),
    (PSWA(p=1, recompute_bn=True),),
    (PSWA(p=1, reset_optimizer=True),),
    (PWALKS(p=1, K=2),),
    (PWALKS(p=1, K=100),),
    (PSWM(period=0.5, p=1),),
    (PLP(), PSWA(p=1)),
    (Lookahead(k=3), PSWM(period=0.5)),
]
WATCHERS = (SWA(start=0.1), EMA(decay=0.9), LAWA(K=2))


@pytest.mark.parametrize("modifiers", MODIFIERS, ids=lambda methods: "+".join(map(str, methods)))
def test_weights_that_left_training_stay_as_they_were_and_the_rest_goes_on(
    modifiers: tuple[Modifier, ...], task: Task
) -> None:
    lrs = np.full(task.steps, 0.05)
    methods = (*modifiers, FREEZE)
    at_freeze, _ = advance(task, begin(task, 0), lrs[:STEP], methods, WATCHERS)
    last, _ = advance(task, begin(task, 0), lrs, methods, WATCHERS)
    frozen = [name for name in last.model if name.startswith(("0.", "1."))]
    assert identical({n: last.model[n] for n in frozen}, {n: at_freeze.model[n] for n in frozen})
    assert not any(identical(last.model[n], at_freeze.model[n]) for n in last.model if n not in frozen)


@pytest.mark.parametrize("modifiers", MODIFIERS, ids=lambda methods: "+".join(map(str, methods)))
def test_resumed_before_at_and_after_units_left_training_equals_uninterrupted(
    modifiers: tuple[Modifier, ...], task: Task
) -> None:
    lrs = np.full(task.steps, 0.05)
    methods = (*modifiers, FREEZE)
    state = begin(task, 0)
    for start, stop in zip([0, 4, 5, 6, 8], [4, 5, 6, 8, task.steps], strict=True):
        state, _ = advance(task, state, lrs[start:stop], methods, WATCHERS)
    assert identical(state, advance(task, begin(task, 0), lrs, methods, WATCHERS)[0])


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 12)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + torch.relu(self.linear(inputs))


def residual() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 12), Block(), Block(), Block(), nn.Linear(12, 3))


@pytest.mark.parametrize("storage", ["float32", "none"])
def test_frozen_units_in_bfloat16_have_the_bits_of_the_network_they_are_part_of(
    storage: Storage, mlp_task: Task
) -> None:
    task = mlp_task.with_(model=residual, precision="bfloat16", version="residual")
    twice = FreezeAt(((5, Frozen(1, storage)), (11, Frozen(3, storage))))
    lrs = np.full(task.steps, 0.05)
    whole, _ = advance(task, begin(task, 0), lrs, (twice,))
    state = begin(task, 0)
    for start, stop in zip([0, 4, 6, 12], [4, 6, 12, task.steps], strict=True):
        state, _ = advance(task, state, lrs[start:stop], (twice,))
        state = replace(state, features=None)  # as from a checkpoint
    assert identical(state, whole)


def test_frozen_features_in_bfloat16_have_the_bits_of_the_plain_run(mlp_task: Task) -> None:
    frozen = {"0.*": "frozen", "1.*": "frozen", "2.*": "frozen"}
    task = mlp_task.with_(model=residual, precision="bfloat16", groups=frozen, version="residual")
    lrs = np.full(task.steps, 0.05)
    plain, _ = advance(task, begin(task, 0), lrs)
    stored, _ = advance(task, begin(task, 0), lrs, (FrozenFeatures(),))
    assert identical(stored.model, plain.model)
