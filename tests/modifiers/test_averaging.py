from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from lrbench.engine import Evaluation, State, advance, begin, identical, predict
from lrbench.modifiers import EMA, LAWA, PLP, SWA, Watcher
from lrbench.modifiers.registry import parse_modifier
from lrbench.tasks.task import Task

Weights = dict[str, Tensor]
ByHand = Callable[..., Iterator[State]]


def watched_by(watcher: Watcher, task: Task) -> list[Evaluation]:
    _, evaluations = advance(task, begin(task, 0), np.full(task.steps, 0.05), watchers=[watcher])
    return [seen.watched[str(watcher)] for seen in evaluations]


def network_at(task: Task, state: State) -> nn.Module:
    network = task.model()
    network.load_state_dict(dict(state.model))
    return network


def same(seen: Evaluation, network: nn.Module, task: Task) -> bool:
    return identical(seen.val.outputs, predict(task, network, task.data.val).outputs)


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999])
def test_ema_is_what_torchs_averaged_model_holds(decay: float, mlp_task: Task, by_hand: ByHand) -> None:
    averaged = AveragedModel(mlp_task.model(), multi_avg_fn=get_ema_multi_avg_fn(decay))
    evaluations = iter(watched_by(EMA(decay=decay), mlp_task))
    for state in by_hand(mlp_task, lambda step, state: None):
        averaged.update_parameters(network_at(mlp_task, state))
        if state.step % mlp_task.eval_every == 0 or state.step == mlp_task.steps:
            assert same(next(evaluations), averaged.module, mlp_task)


def test_ema_with_a_warmup_is_a_plain_loop_with_a_decay_that_rises(mlp_task: Task, by_hand: ByHand) -> None:
    watcher = EMA(decay=0.6, warmup=True)
    average: Weights = {}
    for state in by_hand(mlp_task, lambda step, state: None):
        n = state.step - 1  # the decay is 0.6 from n = 13 on
        for name, weight in network_at(mlp_task, state).named_parameters():
            decay = min(0.6, (1 + n) / (10 + n)) if n else 0.0
            average[name] = decay * average.get(name, torch.zeros(())) + (1 - decay) * weight.detach()
    network = network_at(mlp_task, state)
    network.load_state_dict(average, strict=False)
    expected = predict(mlp_task, network, mlp_task.data.val).outputs
    warmed, plain = (watched_by(each, mlp_task)[-1].val.outputs for each in (watcher, EMA(decay=0.6)))
    torch.testing.assert_close(warmed, expected, rtol=1e-5, atol=1e-6)
    assert not identical(warmed, plain)


def test_a_setting_that_was_added_later_is_written_only_where_it_is_not_at_its_default() -> None:
    assert str(EMA(decay=0.9)) == "EMA(decay=0.9, recompute_bn=False)"
    warmed = EMA(decay=0.9, warmup=True)
    assert str(warmed) == "EMA(decay=0.9, recompute_bn=False, warmup=True)"
    assert parse_modifier(str(warmed)) == warmed


def test_swa_is_what_torchs_averaged_model_holds(mlp_task: Task, by_hand: ByHand) -> None:
    averaged = AveragedModel(mlp_task.model(), multi_avg_fn=get_swa_multi_avg_fn())
    for state in by_hand(mlp_task, lambda step, state: None):
        if state.step in (12, 18, 24):  # the ends of epochs in the last 60% of 26 iterations
            averaged.update_parameters(network_at(mlp_task, state))
    last = network_at(mlp_task, state)
    for buffer, current in zip(averaged.module.buffers(), last.buffers(), strict=True):
        buffer.copy_(current)
    seen = watched_by(SWA(start=0.4, recompute_bn=False), mlp_task)[-1]
    assert same(seen, averaged.module, mlp_task)


def test_swa_evaluates_the_network_itself_until_it_has_begun(mlp_task: Task, by_hand: ByHand) -> None:
    evaluations = watched_by(SWA(start=0.75, recompute_bn=False), mlp_task)
    states = list(by_hand(mlp_task, lambda step, state: None))
    assert [same(seen, network_at(mlp_task, states[seen.step - 1]), mlp_task) for seen in evaluations] == [
        True,  # iterations 5, 10, 15 and 20: the first epoch end past 19.5 is that at 24
        True,
        True,
        True,
        False,  # 25 and 26: the weights of 24
        False,
    ]


def test_lawa_is_the_mean_of_the_last_weights_at_epoch_ends(mlp_task: Task, by_hand: ByHand) -> None:
    states = list(by_hand(mlp_task, lambda step, state: None))
    network = network_at(mlp_task, states[-1])
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_((states[17].model[name].double() + states[23].model[name].double()) / 2)
    seen = watched_by(LAWA(K=2, recompute_bn=False), mlp_task)[-1]
    expected = predict(mlp_task, network, mlp_task.data.val).outputs
    torch.testing.assert_close(seen.val.outputs, expected, rtol=1e-5, atol=1e-6)


def test_lawa_of_the_last_iteration_is_the_network_itself(task: Task) -> None:
    _, evaluations = advance(
        task, begin(task, 0), np.full(task.steps, 0.05), watchers=[watcher := LAWA(K=1, every=0.01, recompute_bn=False)]
    )
    for seen in evaluations:
        assert identical(seen.watched[str(watcher)].predictions, seen.predictions)


@pytest.mark.parametrize("watcher", [SWA(start=0.2), EMA(decay=0.5), EMA(recompute_bn=True), LAWA(K=2)], ids=str)
def test_a_watcher_changes_no_bit_of_training(watcher: Watcher, task: Task) -> None:
    lrs = np.full(task.steps, 0.05)
    plain, seen = advance(task, begin(task, 0), lrs)
    state, watched = advance(task, begin(task, 0), lrs, watchers=[watcher])
    assert identical({**state.facts(), "memories": {}}, plain.facts())
    assert identical([e.predictions for e in watched], [e.predictions for e in seen])


def test_averages_are_of_the_weights_as_modifiers_leave_them(mlp_task: Task) -> None:
    lrs = np.full(mlp_task.steps, 0.05)
    _, evaluations = advance(mlp_task, begin(mlp_task, 0), lrs, [PLP()], [watcher := EMA(decay=0)])
    for seen in evaluations:
        assert identical(seen.watched[str(watcher)].predictions, seen.predictions)
