from dataclasses import dataclass

import numpy as np
import pytest

from lrbench.engine import Training, advance, begin, identical, in_order
from lrbench.errors import TaskError
from lrbench.modifiers import PLP, PSWA, PSWM, PWALKS, Lookahead, Memory, Modifier, parse_modifier
from lrbench.study.variant import Variant
from lrbench.tasks.task import Task


def test_short_cycles_come_before_sampling_in_whatever_order_they_are_given() -> None:
    assert in_order([PSWA(), PLP()]) == in_order([PLP(), PSWA()]) == (PLP(), PSWA())
    assert in_order([PWALKS(), Lookahead()]) == (Lookahead(), PWALKS())


@pytest.mark.parametrize(
    ("one", "other", "family"),
    [
        (PSWA(), PWALKS(), "weight-sampling"),
        (PSWM(), PSWA(), "weight-sampling"),
        (PSWA(), PSWA(period=2), "weight-sampling"),
        (PLP(), Lookahead(), "short-cycle"),
    ],
    ids=str,
)
def test_two_modifiers_that_would_undo_each_other_are_refused_in_one_sentence(
    one: Modifier, other: Modifier, family: str, mlp_task: Task
) -> None:
    with pytest.raises(TaskError) as error:
        advance(mlp_task, begin(mlp_task, 0), np.empty(0), [one, other])
    assert str(error.value) == f"{one} and {other} cannot be combined: both are {family} modifiers"


def test_the_order_in_which_modifiers_are_given_changes_no_bit(mlp_task: Task) -> None:
    lrs = np.full(mlp_task.steps, 0.05)
    one, _ = advance(mlp_task, begin(mlp_task, 0), lrs, [PLP(), PSWA()])
    other, _ = advance(mlp_task, begin(mlp_task, 0), lrs, [PSWA(), PLP()])
    assert identical(one, other)


def test_plp_begins_a_new_cycle_where_sampling_replaces_the_weights(mlp_task: Task) -> None:
    methods = [PLP(), PSWA(period=4 / 6, p=1)]
    positions = []
    state = begin(mlp_task, 0)
    for _ in range(9):
        state, _ = advance(mlp_task, state, np.full(1, 0.05), methods)
        positions.append(state.memories["PLP()"]["position"])
    assert positions == [1, 2, 0, 0, 1, 2, 0, 0, 1]  # the mean replaces the weights at iterations 4 and 8


@dataclass(frozen=True)
class Zeroing(Modifier):
    """Replaces all weights by zeros, once."""

    def after_step(self, training: Training, memory: Memory) -> None:
        if training.step == 2:
            training.replace({name: weight * 0 for name, weight in training.weights.items()})


def test_weights_replaced_by_a_method_of_the_users_own_end_the_paths_of_the_others(mlp_task: Task) -> None:
    lookahead = Lookahead()
    state, _ = advance(mlp_task, begin(mlp_task, 0), np.full(2, 0.05), [lookahead, Zeroing()])
    assert state.memories[str(lookahead)]["position"] == 0
    assert all(not weight.any() for weight in state.memories[str(lookahead)]["slow"].values())


@pytest.mark.parametrize("text", ["DEMON()", "EMA()", "SWA()", "LAWA()", "Lookahead()", "PSWA()", "SWM()", "PLP()"])
def test_what_reads_or_replaces_weights_is_refused_beside_schedule_free(mlp_task: Task, text: str) -> None:
    free = mlp_task.with_(optimizer="AdamWScheduleFree")
    with pytest.raises(TaskError, match="has other weights evaluated than trained, and it would mix the two"):
        Variant.of([parse_modifier(text)]).check(free)
    Variant.of([parse_modifier(text)]).check(mlp_task.with_(optimizer="AdamW"))
