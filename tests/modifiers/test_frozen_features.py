"""Leading units that groups freeze are computed once, and the run ends with the bits of the run that computes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn
from torchvision.transforms import v2

from lrbench.engine import State, advance, begin, identical, load_checkpoint, save_checkpoint
from lrbench.engine.flops import step_flops
from lrbench.engine.modifier import in_order
from lrbench.errors import TaskError
from lrbench.modifiers import FrozenFeatures, LearnAndDrop, parse_modifier
from lrbench.tasks.data import Data
from lrbench.tasks.optimizers import SGD, AdamW, OptimizerSpec
from lrbench.tasks.task import Task
from tests.engine.conftest import images
from tests.freezing import losses
from tests.present import present

FROZEN = FrozenFeatures()


def plain_cnn() -> nn.Module:
    """Four units, of which the last has dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 12),
        nn.ReLU(),
        nn.Linear(12, 3),
        nn.Dropout(0.1),
    )


def normalised_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Conv2d(6, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


@pytest.fixture(scope="module")
def tuned(cnn_task: Task) -> Task:
    """Two of four units are frozen, and the head has ten times the rate."""
    return cnn_task.with_(model=plain_cnn, augment=(), groups={"[02].*": "frozen", "8.*": 10.0})


def whole(task: Task, *modifiers: Any) -> tuple[State, list[Any]]:
    return advance(task, begin(task, 3), np.linspace(0.05, 0.005, task.steps), modifiers)


def trained(state: State) -> list[object]:
    return [dict(state.model), dict(state.optimizer), state.since_evaluation]


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9, weight_decay=1e-3), AdamW()], ids=str)
@pytest.mark.parametrize("frozen", ["[0].*", "[02].*", "[026].*"])
def test_stored_outputs_give_the_bits_of_the_plain_run(frozen: str, optimizer: OptimizerSpec, tuned: Task) -> None:
    task = tuned.with_(groups={frozen: "frozen"}, optimizer=optimizer)
    FROZEN.check(task)
    stored, seen = whole(task, FROZEN)
    computed, expected = whole(task)
    assert identical(trained(stored), trained(computed))
    assert losses(seen) == losses(expected)
    assert stored.flops.forward < computed.flops.forward
    assert stored.flops.backward == computed.flops.backward


def test_what_storing_costs_is_counted(tuned: Task) -> None:
    state, _ = whole(tuned, FROZEN)
    rest = 2 * tuned.batch_size * (8 * 12 + 12 * 3)
    ahead = step_flops(tuned).forward - rest
    batches = -(-len(tuned.data.train) // tuned.batch_size)
    assert state.flops.forward == ahead * batches + rest * tuned.steps


@pytest.mark.parametrize(("model", "part"), [(plain_cnn, "0.*"), (normalised_cnn, "[01].*")])
def test_cut_anywhere_through_a_file_a_run_has_the_same_bits(
    model: Callable[[], nn.Module], part: str, tuned: Task, tmp_path: Path
) -> None:
    task = tuned.with_(model=model, groups={part: "frozen"})
    lrs = np.full(task.steps, 0.05)
    state = begin(task, 0)
    for start, stop in zip([0, 1, 7, 13], [1, 7, 13, task.steps], strict=True):
        state, _ = advance(task, state, lrs[start:stop], (FROZEN,))
        save_checkpoint(tmp_path / "state", state)
        state = load_checkpoint(tmp_path / "state")
    assert identical(state, advance(task, begin(task, 0), lrs, (FROZEN,))[0])
    assert FROZEN.facts(present(state.memories[str(FROZEN)])) == {"frozen_units": 1}


def test_batch_normalisation_of_a_frozen_part_measures_no_batch(tuned: Task) -> None:
    task = tuned.with_(model=normalised_cnn, groups={"[01].*": "frozen"})
    before = begin(task, 3).model["1.running_mean"]
    assert identical(whole(task, FROZEN)[0].model["1.running_mean"], before)
    assert not identical(whole(task)[0].model["1.running_mean"], before)


def test_a_stream_of_datasets_augmentation_and_mixes_are_refused(tuned: Task, cnn_task: Task) -> None:
    loaded = Data.from_datasets(Photos(), Photos(), num_classes=3)
    cases = {
        "augmentation": tuned.with_(augment=cnn_task.augment),
        "a mix": tuned.with_(mix=(v2.MixUp(num_classes=3),)),
        "data that is loaded": tuned.with_(data=loaded, batch_size=4),
    }
    for what, task in cases.items():
        with pytest.raises(TaskError, match=f"has {what}, with which they are not the same in every epoch"):
            FROZEN.check(task)


class Photos:
    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        inputs, labels = images(20, 1)
        return inputs[index].float(), labels[index]


@pytest.mark.parametrize(
    ("groups", "budget", "sentence"),
    [
        ({}, "2GiB", "has a first unit that is trained: freeze the first ones by groups, such as"),
        ({"8.*": "frozen"}, "2GiB", "has a first unit that is trained"),
        ({"[02].*": "frozen", "8.*": {"frozen_until": "0.5dur"}}, "2GiB", "has groups with frozen_until: leave it out"),
        ({"[0].*": "frozen"}, "1KiB", "has 40.5 KiB of them, over the budget of 1.0 KiB"),
    ],
)
def test_a_task_that_nothing_can_be_stored_of_is_refused(
    groups: dict[str, Any], budget: str, sentence: str, tuned: Task
) -> None:
    with pytest.raises(TaskError, match=sentence):
        FrozenFeatures(budget=budget).check(tuned.with_(groups=groups))


def test_it_excludes_what_drops_layers_itself() -> None:
    with pytest.raises(TaskError, match="both are layer-dropping modifiers"):
        in_order((FROZEN, LearnAndDrop()))


def test_its_text_is_read_back() -> None:
    assert parse_modifier(str(FrozenFeatures(budget="512MiB"))) == FrozenFeatures(budget="512MiB")
