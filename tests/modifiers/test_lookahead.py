from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from lrbench.engine import State, advance, begin, identical, predict
from lrbench.modifiers import PSWA, Lookahead
from lrbench.modifiers.lookahead import step_back
from lrbench.tasks.task import Task

Weights = dict[str, Tensor]


def test_a_step_back_keeps_a_share_of_the_way() -> None:
    slow, fast = torch.tensor([0.0, 4.0]), torch.tensor([8.0, 0.0])
    torch.testing.assert_close(step_back(slow, fast, 0.25), torch.tensor([2.0, 3.0]))


@pytest.mark.parametrize(("k", "alpha"), [(5, 0.5), (3, 0.8), (1, 0.5)])
def test_it_equals_the_algorithm_of_the_paper_by_hand(
    k: int,
    alpha: float,
    task: Task,
    by_hand: Callable[..., Iterator[State]],
    weights_of: Callable[[Task, State], Weights],
) -> None:
    slow = {name: weight.double() for name, weight in weights_of(task, begin(task, 0)).items()}

    def back(step: int, state: State) -> Weights | None:
        if step % k:
            return None
        for name, fast in weights_of(task, state).items():
            slow[name] += alpha * (fast.double() - slow[name])
        return {name: weight.float() for name, weight in slow.items()}

    *_, last = by_hand(task, back)
    state, _ = advance(task, begin(task, 0), np.full(task.steps, 0.05), [Lookahead(k=k, alpha=alpha)])
    torch.testing.assert_close(dict(state.model), dict(last.model), rtol=1e-4, atol=1e-6)


def test_with_alpha_1_it_equals_no_modifier(task: Task) -> None:
    lrs = np.full(task.steps, 0.05)
    state, _ = advance(task, begin(task, 0), lrs, [Lookahead(alpha=1)])
    plain, _ = advance(task, begin(task, 0), lrs)
    assert identical(state.model, plain.model)
    assert identical(state.optimizer, plain.optimizer)


def test_the_slow_weights_are_evaluated(mlp_task: Task) -> None:
    task = mlp_task.with_(eval_every=7)
    state, (seen, *_) = advance(task, begin(task, 0), np.full(7, 0.05), [Lookahead(k=5)])
    at_5, _ = advance(task, begin(task, 0), np.full(5, 0.05), [Lookahead(k=5)])
    slow = task.model()
    slow.load_state_dict({**state.model, **{n: at_5.model[n] for n, _ in slow.named_parameters()}})
    assert identical(seen.val.outputs, predict(task, slow, task.data.val).outputs)


def test_where_weights_are_replaced_the_slow_ones_follow_and_the_steps_are_counted_anew(mlp_task: Task) -> None:
    methods = [Lookahead(k=4), PSWA(p=1)]
    state, _ = advance(mlp_task, begin(mlp_task, 0), np.full(6, 0.05), methods)
    memory = state.memories[str(methods[0])]
    assert memory["position"] == 0
    assert identical(memory["slow"], {name: state.model[name] for name in memory["slow"]})
