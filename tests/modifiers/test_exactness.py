"""Every method, and the sensible pairs: a run may be cut, saved, resumed and forked anywhere without changing a bit."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lrbench.engine import (
    Evaluation,
    State,
    advance,
    begin,
    identical,
    load_checkpoint,
    save_checkpoint,
)
from lrbench.modifiers import (
    DEMON,
    EMA,
    LAWA,
    PLP,
    PSWA,
    PSWM,
    PWALKS,
    SWA,
    SWM,
    Lookahead,
    Modifier,
    PLPNoise,
    Watcher,
)
from lrbench.tasks.optimizers import Adam
from lrbench.tasks.task import Task

WATCHERS = (SWA(start=0.3), EMA(decay=0.9), LAWA(K=2), EMA(decay=0.5, recompute_bn=True))
PERIOD = 0.7
"""In epochs, here 4 iterations: ends of periods, cycles (3) and epochs (6) and evaluations (5, 7) fall apart."""

Methods = tuple[tuple[Modifier, ...], tuple[Watcher, ...]]
METHODS: dict[str, Methods] = {
    "PLP": ((PLP(),), ()),
    "PSWA": ((PSWA(period=PERIOD),), ()),
    "PSWA-recompute-reset": ((PSWA(period=PERIOD, recompute_bn=True, reset_optimizer=True),), ()),
    "PWALKS": ((PWALKS(period=PERIOD, K=2, p=0.8, tail=0.7),), ()),
    "PSWM": ((PSWM(period=PERIOD, beta=0.4),), ()),
    "SWM": ((SWM(p=0.3, reset_optimizer=True),), ()),
    "DEMON": ((DEMON(),), ()),
    "PLPNoise+DEMON+SWM": ((PLPNoise(), DEMON(beta=0.8), SWM(p=0.3)), ()),
    "Lookahead": ((Lookahead(k=3),), ()),
    "SWA": ((), (SWA(start=0.3),)),
    "EMA": ((), (EMA(decay=0.9),)),
    "LAWA": ((), (LAWA(K=2),)),
    "watchers": ((), WATCHERS),
    "PLP+PSWA": ((PLP(), PSWA(period=PERIOD)), ()),
    "PLP+PWALKS": ((PLP(), PWALKS(period=PERIOD, K=2)), ()),
    "PSWM+watchers": ((PSWM(period=PERIOD),), WATCHERS),
    "PLP+PSWM+watchers": ((PLP(), PSWM(period=PERIOD, recompute_bn=True)), WATCHERS),
    "Lookahead+PSWA": ((Lookahead(k=3), PSWA(period=PERIOD)), ()),
    "Lookahead+PSWA+watchers": ((Lookahead(k=3), PSWA(period=PERIOD, recompute_bn=True)), WATCHERS),
}

GROUPS = {
    "4.*": {"ratio": 2.0, "policy": "COSINE(k0=0.05, l=1dur)"},
    "1.*": {"frozen_until": "2ep"},
    "0.bias": "frozen",
    "ndim<2": {"weight_decay": 0.1},
}

every_method = pytest.mark.parametrize("name", METHODS)


def ramp(task: Task) -> np.ndarray:
    return np.linspace(0.05, 0.005, task.steps)


def in_pieces(
    task: Task, state: State, lrs: np.ndarray, cuts: Sequence[int], methods: Methods
) -> tuple[State, list[Evaluation]]:
    evaluations = []
    for start, stop in zip([0, *cuts], [*cuts, len(lrs)], strict=True):
        state, seen = advance(task, state, lrs[start:stop], *methods)
        evaluations += seen
    return state, evaluations


def same(one: tuple[State, list[Evaluation]], other: tuple[State, list[Evaluation]]) -> bool:
    return identical(one[0], other[0]) and identical(*([flat(seen) for seen in run[1]] for run in (one, other)))


def flat(seen: Evaluation) -> list[object]:
    own = [seen.step, seen.train_loss, dict(seen.predictions)]
    return [*own, {name: flat(watched) for name, watched in seen.watched.items()}]


@every_method
def test_resumed_at_every_step_equals_uninterrupted(name: str, task: Task) -> None:
    lrs, methods = ramp(task), METHODS[name]
    uninterrupted = advance(task, begin(task, 3), lrs, *methods)
    pieces = in_pieces(task, begin(task, 3), lrs, range(1, task.steps), methods)
    assert same(pieces, uninterrupted)


@every_method
def test_saved_and_loaded_at_every_step_equals_uninterrupted(name: str, mlp_task: Task, tmp_path: Path) -> None:
    task, methods = mlp_task.with_(eval_every=mlp_task.steps), METHODS[name]
    lrs = ramp(task)[:14]
    state = begin(task, 1)
    for lr in lrs:
        state, _ = advance(task, state, np.array([lr]), *methods)
        save_checkpoint(tmp_path / "state.pt", state)
        state = load_checkpoint(tmp_path / "state.pt")
    assert identical(state, advance(task, begin(task, 1), lrs, *methods)[0])


@every_method
@pytest.mark.parametrize("fork", [5, 8])  # inside a cycle and a period, and at the end of a period
def test_forked_from_a_trunk_equals_trained_separately(name: str, fork: int, task: Task) -> None:
    task, methods = task.with_(eval_every=task.steps), METHODS[name]
    high = np.full(task.steps, 0.1)
    low = np.concatenate([high[:fork], np.full(task.steps - fork, 0.01)])
    trunk, _ = advance(task, begin(task, 5), high[:fork], *methods)
    for lrs in (high, low):
        assert identical(advance(task, trunk, lrs[fork:], *methods)[0], advance(task, begin(task, 5), lrs, *methods)[0])


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_how_a_run_is_cut_changes_nothing(mlp_task: Task, data: st.DataObject) -> None:
    methods = METHODS[data.draw(st.sampled_from(sorted(METHODS)))]
    cuts = sorted(data.draw(st.sets(st.integers(1, mlp_task.steps - 1), max_size=5)))
    task = data.draw(st.sampled_from([mlp_task, mlp_task.with_(optimizer=Adam()), mlp_task.with_(groups=GROUPS)]))
    lrs = ramp(task)
    assert same(in_pieces(task, begin(task, 0), lrs, cuts, methods), advance(task, begin(task, 0), lrs, *methods))


@every_method
def test_advance_leaves_the_given_state_as_it_is(name: str, mlp_task: Task) -> None:
    lrs, methods = ramp(mlp_task), METHODS[name]
    trunk, _ = advance(mlp_task, begin(mlp_task, 0), lrs[:5], *methods)
    again, _ = advance(mlp_task, begin(mlp_task, 0), lrs[:5], *methods)
    advance(mlp_task, trunk, lrs[5:], *methods)
    assert identical(trunk, again)


@every_method
def test_switching_a_method_on_changes_neither_initial_weights_nor_the_order_of_batches(
    name: str, mlp_task: Task
) -> None:
    batches: list[Tensor] = []

    def recording(outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.requires_grad:
            batches.append(targets)
        return torch.nn.functional.cross_entropy(outputs, targets)

    task = mlp_task.with_(loss=recording, version="recording")
    untrained, _ = advance(task, begin(task, 2), np.empty(0), *METHODS[name])
    assert identical(untrained.model, begin(task, 2).model)
    advance(task, begin(task, 2), ramp(task)[:1])
    batches.clear()  # a task's first iteration is also a pass that counts FLOPs
    advance(task, begin(task, 2), ramp(task), *METHODS[name])
    with_it = torch.stack(batches)
    batches.clear()
    advance(task, begin(task, 2), ramp(task))
    assert torch.equal(with_it, torch.stack(batches))


@pytest.mark.parametrize("name", [name for name, (own, _) in METHODS.items() if own])
def test_a_modifier_changes_training(name: str, mlp_task: Task) -> None:
    changed, _ = advance(mlp_task, begin(mlp_task, 0), ramp(mlp_task), *METHODS[name])
    plain, _ = advance(mlp_task, begin(mlp_task, 0), ramp(mlp_task))
    assert not identical(changed.model, plain.model)


@every_method
def test_bfloat16_resumes_exactly_too(name: str, cnn_task: Task) -> None:
    task, methods = cnn_task.with_(precision="bfloat16"), METHODS[name]
    lrs = ramp(task)
    pieces = in_pieces(task, begin(task, 0), lrs, [4, 9], methods)
    assert same(pieces, advance(task, begin(task, 0), lrs, *methods))


@pytest.mark.gpu
@every_method
def test_resumed_equals_uninterrupted_on_cuda_within_rounding(name: str, task: Task) -> None:
    task, methods = task.to("cuda"), METHODS[name]
    lrs = ramp(task)
    pieces, _ = in_pieces(task, begin(task, 0), lrs, [4, 9], methods)
    whole, _ = advance(task, begin(task, 0), lrs, *methods)
    torch.testing.assert_close(dict(pieces.model), dict(whole.model), rtol=1e-3, atol=1e-4)
