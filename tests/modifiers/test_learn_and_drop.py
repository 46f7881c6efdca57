import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lrbench.engine import (
    State,
    Training,
    advance,
    begin,
    identical,
    load_checkpoint,
    save_checkpoint,
    state_from_bytes,
    state_to_bytes,
)
from lrbench.errors import TaskError
from lrbench.modifiers import (
    EMA,
    PLP,
    PSWA,
    Drop,
    ForecastDrop,
    LearnAndDrop,
    Lookahead,
    Memory,
    Modifier,
    Watcher,
    parse_modifier,
)
from lrbench.modifiers.learn_and_drop.scores import (
    change_score,
    choose_storage,
    forecast,
    is_done,
    is_quiet,
    prefix_to_drop,
    slope,
)
from lrbench.tasks.augment import HorizontalFlip, RandomCrop
from lrbench.tasks.task import Task
from tests.freezing import losses

EPOCH = 6
MAGIC = b"lrbench checkpoint 1\n"
EAGER = LearnAndDrop(tau=1, delta=100, window=2, patience=1, warmup=1)
"""Drops a unit as soon as its score is not its largest."""


def deep_cnn() -> nn.Module:
    """Five units, with batch normalisation in three and dropout in the fourth."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(6, 8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(8, 3),
    )


@pytest.fixture(scope="module")
def plain(cnn_task: Task) -> Task:
    """6 iterations an epoch, 8 epochs and a piece."""
    return cnn_task.with_(model=deep_cnn, augment=(), steps=8 * EPOCH + 2, eval_every=10)


@pytest.fixture(scope="module")
def augmented(plain: Task) -> Task:
    return plain.with_(augment=(RandomCrop(padding=1), HorizontalFlip()))


def ramp(task: Task) -> np.ndarray:
    return np.linspace(0.05, 0.005, task.steps)


def trained(task: Task, *modifiers: Modifier, steps: int | None = None) -> State:
    return advance(task, begin(task, 3), ramp(task)[:steps], modifiers)[0]


def units(names: Sequence[str]) -> dict[int, list[str]]:
    """The names of `deep_cnn`'s parameters by unit."""
    children = {"0": 0, "1": 1, "2": 2, "3": 3, "6": 4}
    return {unit: [n for n in names if children[n.partition(".")[0]] == unit] for unit in range(5)}


class TestScore:
    def test_is_the_relative_change_over_the_learning_rates(self) -> None:
        before = [torch.tensor([1.0, -1.0]), torch.tensor([[2.0]])]
        now = [torch.tensor([1.5, -1.0]), torch.tensor([[1.0]])]
        assert change_score(before, now, lr=0.3) == pytest.approx((0.5 + 1.0) / (1.0 + 1.0 + 2.0) / 0.3)

    @given(st.floats(1e-4, 10.0))
    def test_does_not_fall_when_only_the_learning_rate_does(self, factor: float) -> None:
        before, step = torch.tensor([1.0, -3.0]), torch.tensor([0.25, 0.5])
        full = change_score([before], [before - step], lr=1.0)
        less = change_score([before], [before - factor * step], lr=factor)
        assert less == pytest.approx(full, rel=1e-2)

    def test_of_weights_that_were_all_zero_is_finite(self) -> None:
        assert math.isfinite(change_score([torch.zeros(3)], [torch.ones(3)], lr=0.1))


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8))
def test_the_slope_is_that_of_numpys_line(values: list[float]) -> None:
    assert slope(values) == pytest.approx(np.polyfit(range(len(values)), values, 1)[0], abs=1e-6)


@pytest.mark.parametrize(
    ("scores", "delta", "quiet"),
    [
        ([8.0, 1.0], 9.0, False),  # the slope is taken over three scores
        ([8.0, 1.0, 1.0], 9.0, True),
        ([1.0, 1.0, 8.0], 9.0, False),  # it changes much
        ([8.0, 1.0, 1.0, 5.0], 9.0, False),
        ([8.0, 4.0, 4.0], 9.0, False),  # half of 8 is not below half of it
        ([8.0, 3.0, 2.0, 1.0], 0.2, True),  # a slope of -1, an eighth of 8
        ([8.0, 3.0, 2.0, 1.0], 0.1, False),  # its changes are still getting smaller
        ([8.0, 1.0, 2.0, 3.0], 0.2, True),
        ([8.0, 1.0, 2.0, 3.0], 0.1, False),  # or larger again
        ([8.0, 2.0, 1.0, 2.0], 0.0, False),  # a slope of 0 is not below 0
        ([math.nan, 1.0, 1.0], 9.0, False),
        ([8.0, 1.0, math.nan], 9.0, False),
    ],
)
def test_a_unit_is_quiet_when_it_changes_little_and_steadily(scores: list[float], delta: float, quiet: bool) -> None:
    assert is_quiet(scores, tau=0.5, delta=delta, window=3) == quiet


def test_quiet_is_relative_to_the_largest_score() -> None:
    for unit in (1e-6, 1.0, 1e6):
        scores = [score * unit for score in (8.0, 3.0, 2.0, 1.0)]
        assert is_quiet(scores, tau=0.5, delta=0.126, window=3)
        assert not is_quiet(scores, tau=0.5, delta=0.124, window=3)


RULE: dict[str, Any] = {"tau": 0.5, "delta": 1.0, "window": 2}


@pytest.mark.parametrize(
    ("scores", "patience", "warmup", "done"),
    [
        ([8.0, 1.0, 1.0], 2, 0, True),
        ([8.0, 1.0, 1.0], 2, 1, True),
        ([8.0, 1.0, 1.0], 2, 2, False),  # the second epoch is warmup
        ([8.0, 1.0, 1.0], 3, 0, False),  # the first was not quiet
        ([8.0, 1.0, 5.0], 1, 0, False),
        ([8.0, 5.0, 1.0], 1, 2, True),
        ([8.0, 1.0, 5.0, 1.0], 2, 0, False),  # not in a row
        ([8.0], 1, 0, False),
        ([8.0], 5, 0, False),
        ([1.0, 1.0, 9.0, 4.0, 4.0], 2, 0, True),  # against the largest so far
        ([1.0, 1.0, 9.0, 4.0, 4.0], 3, 0, False),
    ],
)
def test_a_unit_is_done_when_it_was_quiet_long_enough_after_the_warmup(
    scores: list[float], patience: int, warmup: int, done: bool
) -> None:
    assert is_done(scores, **RULE, patience=patience, warmup=warmup) == done


@given(st.lists(st.floats(0, 1e6), max_size=8), st.integers(1, 4), st.integers(0, 4))
def test_nothing_is_ever_done_when_tau_is_0(scores: list[float], patience: int, warmup: int) -> None:
    assert not is_done(scores, tau=0, delta=1e9, window=2, patience=patience, warmup=warmup)


def test_a_unit_without_weights_to_train_is_done_from_the_start() -> None:
    assert is_done([], **RULE, patience=3, warmup=3)


@pytest.mark.parametrize(
    ("done", "dropped"),
    [
        ("", 0),
        ("d", 0),
        ("dd", 0),
        ("ddd", 1),
        ("ddddd", 3),  # the last unit and the head stay
        ("dd...", 2),
        (".dddd", 0),  # a prefix, or nothing
        ("d.d..", 1),
    ],
)
def test_the_longest_prefix_of_done_units_is_dropped_but_never_the_last_two(done: str, dropped: int) -> None:
    assert prefix_to_drop([unit == "d" for unit in done]) == dropped


@pytest.mark.parametrize(
    ("needed", "budget", "storage"),
    [
        (100, 100, "float32"),
        (100, 99, "bfloat16"),
        (100, 50, "bfloat16"),
        (100, 49, "none"),
        (100, 0, "none"),
    ],
)
def test_outputs_are_stored_as_exactly_as_the_budget_allows(needed: int, budget: int, storage: str) -> None:
    assert choose_storage(needed, budget) == storage


def facts(state: State) -> dict[str, object]:
    return {name: value for name, value in state.facts().items() if name != "memories"}


@pytest.mark.parametrize("task_name", ["plain", "augmented"])
def test_tau_0_equals_no_modifier_bit_for_bit(task_name: str, request: pytest.FixtureRequest) -> None:
    task = request.getfixturevalue(task_name)
    never = LearnAndDrop(tau=0, delta=100, window=2, patience=1, warmup=0)
    assert identical(facts(trained(task, never)), facts(trained(task)))


def test_scores_are_those_of_the_weights_at_the_ends_of_epochs(plain: Task) -> None:
    method = LearnAndDrop(tau=0)
    scores = trained(plain, method).memories[str(method)]["scores"]
    lrs = ramp(plain)
    states = [trained(plain, steps=epoch * EPOCH).model for epoch in range(9)]
    parts = units([name for name, _ in deep_cnn().named_parameters()])
    for unit, names in parts.items():
        for epoch in range(8):
            before, now = (
                torch.cat([states[e][name].flatten() for name in names]).double() for e in (epoch, epoch + 1)
            )
            expected = float((now - before).abs().sum() / before.abs().sum()) / lrs[epoch * EPOCH :][:EPOCH].sum()
            assert scores[unit][epoch] == pytest.approx(expected, rel=1e-6)


def test_units_leave_when_their_scores_say_so(plain: Task) -> None:
    state = trained(plain, EAGER)
    scores = state.memories[str(EAGER)]["scores"]
    dropped = 0
    expected = []
    for epoch in range(1, 9):
        done = [
            unit < dropped or is_done(scores[unit][:epoch], tau=1, delta=100, window=2, patience=1, warmup=1)
            for unit in range(5)
        ]
        if prefix_to_drop(done) > dropped:
            dropped = prefix_to_drop(done)
            expected.append((epoch, epoch * EPOCH, dropped))
    assert [(drop.epoch, drop.step, drop.units) for drop in EAGER.drops(state)] == expected
    assert dropped == 3
    assert [len(unit) for unit in scores[3:]] == [8, 8]


def test_what_was_dropped_and_how_it_is_stored_can_be_read_from_a_file(plain: Task, tmp_path: Path) -> None:
    state = trained(plain, EAGER)
    save_checkpoint(tmp_path / "state.pt", state)
    drops = EAGER.drops(load_checkpoint(tmp_path / "state.pt"))
    assert drops == EAGER.drops(state) != ()
    assert str(drops[-1]) == (
        f"after epoch {drops[-1].epoch}: the first 3 units dropped, outputs stored as float32, "
        f"{48 * 6 * 4 / 1024:.1f} KiB"
    )


@pytest.mark.parametrize(
    ("drop", "sentence"),
    [
        (Drop(7, 700, 1, "none", 1, 0), "after epoch 7: the first unit dropped, outputs computed each iteration"),
        (
            Drop(9, 900, 4, "bfloat16", 3, 2**30),
            "after epoch 9: the first 4 units dropped, outputs stored as bfloat16 in 3 views, 1.0 GiB",
        ),
    ],
)
def test_a_drop_says_what_became_of_the_outputs(drop: Drop, sentence: str) -> None:
    assert str(drop) == sentence


def test_a_run_without_the_method_has_dropped_nothing(plain: Task) -> None:
    assert EAGER.drops(trained(plain)) == ()


@dataclass(frozen=True)
class Shrink(Modifier):
    """Writes to every weight that it is offered, after every iteration."""

    def after_step(self, training: Training, memory: Memory) -> None:
        for weight in training.weights.values():
            weight.mul_(0.999)


PAIRS: dict[str, tuple[Modifier, ...]] = {
    "alone": (EAGER,),
    "PLP": (PLP(), EAGER),
    "PSWA": (PSWA(period=0.7), EAGER),
    "PLP and PSWA": (PLP(), PSWA(period=1.5), EAGER),
    "Lookahead": (Lookahead(k=4), EAGER),
    "the user's own": (Shrink(), EAGER),
}


@pytest.mark.parametrize("methods", PAIRS.values(), ids=PAIRS)
def test_no_modifier_writes_to_dropped_weights_or_their_running_statistics_again(
    methods: tuple[Modifier, ...], plain: Task
) -> None:
    end = trained(plain, *methods)
    drops = EAGER.drops(end)
    assert drops
    for drop in drops:
        then = trained(plain, *methods, steps=drop.step)
        prefix = tuple(f"{child}." for child in range(drop.units))
        for name, tensor in then.model.items():
            assert not name.startswith(prefix) or torch.equal(end.model[name], tensor), name
    assert not torch.equal(end.model["6.weight"], then.model["6.weight"])


METHODS: dict[str, tuple[tuple[Modifier, ...], tuple[Watcher, ...]]] = {
    **{name: (methods, ()) for name, methods in PAIRS.items() if name != "the user's own"},
    "in half precision": ((LearnAndDrop(tau=1, delta=100, window=2, patience=1, warmup=1, budget="1.5KiB"),), ()),
    "with views": ((LearnAndDrop(tau=1, delta=100, window=2, patience=1, warmup=1, views=3),), ()),
    "EMA": ((EAGER,), (EMA(decay=0.9),)),
}


@pytest.mark.parametrize("task_name", ["plain", "augmented"])
@pytest.mark.parametrize(("modifiers", "watchers"), METHODS.values(), ids=METHODS)
def test_cut_anywhere_through_a_file_or_forked_a_run_has_the_same_bits(
    modifiers: tuple[Modifier, ...],
    watchers: tuple[Watcher, ...],
    task_name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    task = request.getfixturevalue(task_name)
    lrs = ramp(task)
    expected, evaluations = advance(task, begin(task, 3), lrs, modifiers, watchers)
    assert any(memory.get("drops") for memory in expected.memories.values())
    for cuts in ([EPOCH * 2 - 1, EPOCH * 3 + 1], [EPOCH * epoch for epoch in range(1, 9)], [11, 12, 13, 17, 18, 19]):
        state, seen = begin(task, 3), []
        for start, stop in zip([0, *cuts], [*cuts, task.steps], strict=True):
            save_checkpoint(tmp_path / "state.pt", state)
            forked, more = advance(task, state, lrs[start:stop], modifiers, watchers)
            state, again = advance(task, load_checkpoint(tmp_path / "state.pt"), lrs[start:stop], modifiers, watchers)
            assert identical(forked, state)
            assert losses(more) == losses(again)
            seen += more
        assert identical(state, expected)
        assert losses(seen) == losses(evaluations)
        watched, expected_watched = ([w for e in run for w in e.watched.values()] for run in (seen, evaluations))
        assert losses(watched) == losses(expected_watched)


def test_an_epoch_without_learning_is_not_counted(plain: Task) -> None:
    lrs = ramp(plain)
    lrs[2 * EPOCH : 3 * EPOCH] = 0
    state, _ = advance(plain, begin(plain, 3), lrs, [LearnAndDrop(tau=0)])
    assert [len(scores) for scores in state.memories[str(LearnAndDrop(tau=0))]["scores"]] == [7] * 5


def test_nothing_is_dropped_when_no_iteration_is_left(plain: Task) -> None:
    (first, *_) = EAGER.drops(trained(plain, EAGER))
    short = plain.with_(steps=first.step)
    assert EAGER.drops(trained(short, EAGER)) == ()


def test_a_unit_that_the_user_has_frozen_does_not_keep_the_next_ones_in_training(plain: Task) -> None:
    def fine_tuned() -> nn.Module:
        network = deep_cnn()
        assert isinstance(network, nn.Sequential)
        network[0].requires_grad_(False)
        return network

    task = plain.with_(model=fine_tuned)
    state = trained(task, EAGER)
    assert EAGER.drops(state)[0].epoch == 1
    assert EAGER.drops(state)[-1].units == 3
    assert state.memories[str(EAGER)]["scores"][0] == []


def with_budget(budget: Any, views: int = 0) -> LearnAndDrop:
    return LearnAndDrop(tau=1, delta=100, window=2, patience=1, warmup=1, budget=budget, views=views)


@pytest.mark.parametrize(
    ("budget", "storage"),
    [(48 * 6 * 4, "float32"), (48 * 6 * 4 - 1, "bfloat16"), (48 * 6 * 2, "bfloat16"), (48 * 6 * 2 - 1, "none")],
)
def test_the_budget_decides_how_outputs_are_stored(budget: int, storage: str, plain: Task) -> None:
    """The outputs of the first three units are 6 numbers for each of 48 samples."""
    method = with_budget(budget)
    state = trained(plain, method)
    last = method.drops(state)[-1]
    assert (last.units, last.storage) == (3, storage)
    assert last.bytes == (state.features.nbytes if state.features is not None else 0) <= budget


@pytest.mark.parametrize(("views", "storage"), [(0, "none"), (1, "float32"), (4, "float32")])
def test_views_decide_whether_augmented_samples_are_stored(views: int, storage: str, augmented: Task) -> None:
    method = with_budget("1MiB", views)
    last = method.drops(trained(augmented, method))[-1]
    assert (last.storage, last.views) == (storage, max(1, views))


def test_without_augmentation_there_is_one_view_whatever_is_asked(plain: Task) -> None:
    assert identical(facts(trained(plain, with_budget("1MiB", 5))), facts(trained(plain, with_budget("1MiB"))))


def test_views_for_which_there_is_no_room_are_refused_before_training(augmented: Task) -> None:
    needed = 4 * 48 * (4 * 6 * 6) * 2  # 4 views of 48 samples of 4 x 6 x 6 numbers, two bytes each
    with_budget(needed, views=4).check(augmented)
    with pytest.raises(TaskError) as error:
        with_budget(needed - 1, views=4).check(augmented)
    assert str(error.value) == (
        "LearnAndDrop: 4 views of task 'cnn' take up to 54.0 KiB (after unit 1), and the budget is 54.0 KiB: "
        "give a larger budget, fewer views, or views=0, which stores none"
    )


def test_without_views_or_augmentation_no_budget_is_too_small(augmented: Task, plain: Task) -> None:
    with_budget(0).check(augmented)
    with_budget(0, views=4).check(plain)


def opaque() -> nn.Module:
    class Opaque(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = deep_cnn()

        def forward(self, inputs: Tensor) -> Tensor:
            return self.layers(inputs)

    return Opaque()


def short() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 8), nn.ReLU(), nn.Linear(8, 3))


def test_groups_train_on_behind_dropped_units_bit_for_bit_wherever_a_run_is_cut(plain: Task) -> None:
    task = plain.with_(groups={"0.*": "frozen", "6.*": 2.0, "ndim<2": {"weight_decay": 0.1}, "layer_decay": 0.9})
    run, state = trained(task, EAGER), begin(task, 3)
    for first in range(0, task.steps, 7):
        state = state_from_bytes(state_to_bytes(advance(task, state, ramp(task)[first : first + 7], [EAGER])[0]))
    assert identical(state, run)
    assert EAGER.drops(run)[0].epoch == 1
    assert len(run.optimizer) < len([weight for weight in task.network().parameters() if weight.requires_grad])


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        (
            {"6.*": {"policy": "FIX(k0=0.1)"}},
            "groups of task 'cnn' have others: leave out their policy and frozen_until",
        ),
        ({"0.*": {"frozen_until": 5}}, "leave out their policy and frozen_until"),
        ({"3.*": "frozen", "6.*": "frozen"}, "keeps the last 2 units, and in task 'cnn' both are frozen"),
    ],
)
def test_groups_with_which_units_cannot_be_judged_or_dropped_are_refused(
    groups: dict[str, Any], sentence: str, plain: Task
) -> None:
    with pytest.raises(TaskError, match=sentence):
        EAGER.check(plain.with_(groups=groups))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (opaque, "the model Opaque declares no units"),
        (
            short,
            "LearnAndDrop needs a model of at least 3 units, for the last 2 always stay, and that of task 'cnn' has 2",
        ),
    ],
)
def test_a_network_in_which_nothing_can_be_dropped_is_refused_before_training(
    model: Callable[[], nn.Module], sentence: str, plain: Task
) -> None:
    with pytest.raises(TaskError, match=sentence):
        LearnAndDrop().check(plain.with_(model=model))


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("tau", 1.5, "LearnAndDrop: tau must be a finite number in [0, 1], not 1.5"),
        ("tau", math.nan, "LearnAndDrop: tau must be a finite number in [0, 1], not nan"),
        ("delta", -1, "LearnAndDrop: delta must be a finite number of at least 0, not -1"),
        ("window", 1, "LearnAndDrop: window must be a whole number in [2, 1000], not 1"),
        ("patience", 0, "LearnAndDrop: patience must be a whole number in [1, 1000], not 0"),
        ("warmup", -1, "LearnAndDrop: warmup must be a whole number of at least 0, not -1"),
        ("views", 1.5, "LearnAndDrop: views must be a whole number in [0, 1000], not 1.5"),
        (
            "budget",
            "2 gigs",
            "LearnAndDrop: budget must be a number of bytes or a size such as '512MiB' or '2GiB', not '2 gigs'",
        ),
        ("budget", -1, "LearnAndDrop: budget must be a number of bytes or a size such as '512MiB' or '2GiB', not -1"),
    ],
)
def test_a_setting_that_is_not_allowed_is_refused_in_one_sentence(setting: str, value: object, sentence: str) -> None:
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(TaskError) as error:
        LearnAndDrop(**settings)
    assert str(error.value) == sentence


def test_a_budget_is_the_same_however_it_is_written() -> None:
    of_bytes: Any = 2**31
    assert LearnAndDrop(budget=of_bytes) == LearnAndDrop(budget="2 GiB") == LearnAndDrop(budget="2048MiB")
    assert LearnAndDrop(budget=of_bytes).budget == "2GiB"


@pytest.mark.parametrize("method", [LearnAndDrop(), EAGER, with_budget("1.5GiB", 4)], ids=str)
def test_its_text_is_read_back(method: LearnAndDrop) -> None:
    assert parse_modifier(str(method)) == method


def test_dropping_saves_operations_forward_and_backward(plain: Task) -> None:
    with_it, without = trained(plain, EAGER).flops, trained(plain).flops
    assert with_it.forward < without.forward
    assert with_it.backward < without.backward


def test_a_file_from_before_modifiers_alone_remembered_what_is_frozen_goes_on_with_the_same_bits(plain: Task) -> None:
    half, _ = advance(plain, begin(plain, 3), ramp(plain)[:30], [EAGER])
    last = EAGER.drops(half)[-1]
    fields = torch.load(io.BytesIO(state_to_bytes(half)[len(MAGIC) + 32 :]), weights_only=True)
    buffer = io.BytesIO()
    torch.save({**fields, "frozen": {"units": last.units, "storage": last.storage, "views": last.views}}, buffer)
    content = buffer.getvalue()
    older = MAGIC + sha256(content).digest() + content
    resumed, _ = advance(plain, state_from_bytes(older), ramp(plain)[30:], [EAGER])
    assert identical(resumed, trained(plain, EAGER))


FORESIGHT = ForecastDrop(rest=0.5, window=1, warmup=1)


def test_the_forecast_is_what_the_rates_to_come_would_move_over_what_was_moved() -> None:
    # It moved by 8 * 1 + 2 * 2 = 12; at 2 by learning rate the 3 to come move it by 6. Over two scores it is at 5: 15.
    assert forecast([8.0, 2.0], [1.0, 2.0], left=3.0, window=1) == pytest.approx(6 / 12)
    assert forecast([8.0, 2.0], [1.0, 2.0], left=3.0, window=2) == pytest.approx(15 / 12)
    assert forecast([8.0, 2.0], [1.0, 2.0], left=0.0, window=2) == 0
    assert forecast([0.0], [1.0], left=3.0, window=1) == 0


def test_no_unit_leaves_before_the_rates_that_are_still_to_come(plain: Task) -> None:
    high = np.full(plain.steps, 0.05)
    low = np.where(np.arange(plain.steps) < 3 * EPOCH, 0.05, 0.0005)
    start = begin(plain, 3)
    late, soon = (FORESIGHT.drops(advance(plain, start, lrs, [FORESIGHT])[0]) for lrs in (high, low))
    assert soon[0].epoch < 4
    assert not late or late[0].epoch > soon[0].epoch


def test_with_the_rates_to_come_a_forecast_is_the_same_wherever_the_run_is_cut(plain: Task) -> None:
    lrs = ramp(plain)
    expected, _ = advance(plain, begin(plain, 3), lrs, [FORESIGHT])
    assert FORESIGHT.drops(expected)
    state = begin(plain, 3)
    for start, stop in ((0, 11), (11, 12), (12, 13), (13, 31), (31, plain.steps)):
        state = state_from_bytes(state_to_bytes(state))
        state, _ = advance(plain, state, lrs[start:stop], [FORESIGHT], ahead=lrs[stop:])
    assert identical(state, expected)


def test_unknown_rates_to_come_are_taken_to_be_the_last_one(plain: Task) -> None:
    lrs = np.full(plain.steps, 0.05)
    expected, _ = advance(plain, begin(plain, 3), lrs, [FORESIGHT])
    state = begin(plain, 3)
    for start in range(0, plain.steps, 10):
        state, _ = advance(plain, state, lrs[start : start + 10], [FORESIGHT])
    assert FORESIGHT.drops(state) == FORESIGHT.drops(expected)
