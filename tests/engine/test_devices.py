"""Training on another device than the CPU, for which `meta` stands: no tensor of one meets a tensor of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lrbench.engine import (
    Modifier,
    State,
    Training,
    Watcher,
    advance,
    advance_stacked,
    begin,
    state_from_bytes,
    state_to_bytes,
    why_not_stacked,
)
from lrbench.engine.stacked.optimizers import STACKED
from lrbench.modifiers import LearnAndDrop
from lrbench.modifiers.learn_and_drop.rest import Frozen, Storage
from lrbench.modifiers.registry import modifiers, parse_modifier
from lrbench.tasks import registry
from lrbench.tasks.augment import HorizontalFlip, RandomCrop
from lrbench.tasks.data import Data
from lrbench.tasks.optimizers import OPTIMIZERS, optimizer_named
from lrbench.tasks.task import Task
from tests.freezing import FreezeAt, frozen_in

aten = torch.ops.aten

STEPS = 8

SHAPES = {"conv1d": (1, 20), "mlp": (6,), "torchvision": (3, 64, 64)}
"""Of the inputs, where they are no images of 32x32."""

DEEPER = ("resnet32", "resnet56", "resnet34", "resnet101", "resnet152", "vgg13", "vgg16", "vgg19")
"""Models of the same blocks as others, only more of them: they are trained in one precision."""

METHODS = {
    "DEMON": ["DEMON"],
    "EMA": ["EMA(recompute_bn=True)", "EMA"],
    "ForecastDrop": ["ForecastDrop(rest=1.0, window=2, warmup=0)"],
    "FrozenFeatures": ["FrozenFeatures"],
    "LAWA": ["LAWA(K=2, every=0.5)"],
    "LearnAndDrop": ["LearnAndDrop(tau=1.0, delta=1.0, window=2, patience=1, warmup=0)"],
    "Lookahead": ["Lookahead(k=2)"],
    "PLP": ["PLP"],
    "PLPNoise": ["PLPNoise"],
    "PSWA": ["PSWA(p=1.0)", "PSWA(p=1.0, recompute_bn=True, reset_optimizer=True)"],
    "PSWM": ["PSWM(p=1.0)"],
    "PWALKS": ["PWALKS(p=1.0, K=2)"],
    "SWM": ["SWM(p=1.0)"],
    "SWA": ["SWA(start=0.25, every=0.5)"],
}
"""Every method, so that it acts within a few iterations."""


class Apart(TorchDispatchMode):
    """Raises an error where tensors of two devices meet, as CUDA does, and reads ones (or other floats) from `meta`.

    Initial weights are not drawn, which nothing looks at.
    """

    def __init__(self, floats: float = 1.0) -> None:
        TorchDispatchMode.__init__(self)
        self.floats = floats
        self.waits = 0
        """How often the host has waited for the device: for a number, or for a copy in either direction."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():
            with self:  # in which composite operations come as they are
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        if func is aten._local_scalar_dense.default and args[0].is_meta:
            return self._read(args[0]).item()
        sent = func is aten._to_copy.default and not args[0].is_meta and kwargs.get("device") == torch.device("meta")
        self.waits += sent and not kwargs.get("non_blocking")
        if func is aten._to_copy.default and args[0].is_meta and kwargs.get("device") == torch.device("cpu"):
            return self._read(args[0]).to(kwargs.get("dtype") or args[0].dtype)
        if func in (aten.normal_.default, aten.uniform_.default):
            return args[0]
        if func not in (aten._to_copy.default, aten.copy_.default):
            devices = {
                leaf.device.type for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf.dim()
            }
            if len(devices) > 1:
                raise RuntimeError(f"{func} was given tensors of {' and '.join(sorted(devices))}")
        return func(*args, **kwargs)

    def _read(self, tensor: Tensor) -> Tensor:
        self.waits += 1
        return torch.full(tensor.shape, self.floats if tensor.is_floating_point() else 1, dtype=tensor.dtype)


class ToBfloat16(TorchFunctionMode):
    """What autocast does, which torch does not have for `meta`: products are computed in bfloat16."""

    PRODUCTS = (F.linear, F.conv1d, F.conv2d, torch.conv1d, torch.conv2d, torch.matmul)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in self.PRODUCTS:
            args = tuple(arg.bfloat16() if isinstance(arg, Tensor) else arg for arg in args)
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = torch.autocast

    def autocast(device: str, dtype: torch.dtype | None = None, enabled: bool = True) -> AbstractContextManager[Any]:
        if device != "meta":
            return real(device, dtype, enabled)
        return ToBfloat16() if enabled else nullcontext()

    monkeypatch.setattr(torch, "autocast", autocast)
    with Apart():
        yield


def made(model: str | Callable[[], nn.Module], shape: Sequence[int] = (3, 32, 32), **changes: Any) -> Task:
    """A task on `meta` of two iterations an epoch, evaluated every three."""
    inputs, labels = torch.zeros(9, *shape), torch.arange(9) % 3
    data = Data.from_arrays((inputs, labels), (inputs[:3], labels[:3]))
    if isinstance(model, str):
        name, options = model, {"name": "squeezenet1_1"} if model == "torchvision" else {}

        def model() -> nn.Module:
            return registry.models.find(name).build(tuple(shape), 3, **options)

    settings = {"name": "apart", "batch_size": 4, "steps": STEPS, "eval_every": 3, **changes}
    return Task(model=model, data=data, **settings).to("meta")


def small(**changes: Any) -> Task:
    """A task of a network with everything in it that modifiers look at."""
    return made(
        lambda: nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
            nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.1)),
            nn.Sequential(nn.Flatten(), nn.Linear(64, 5)),
            nn.Linear(5, 3),
        ),
        (3, 8, 8),
        **changes,
    )


def train(task: Task, methods: Sequence[Modifier] = (), watchers: Sequence[Watcher] = ()) -> State:
    """Train in two segments, between which the state is stored."""
    lrs, state = np.linspace(0.1, 0.8, STEPS), begin(task, 0)
    for first, last in ((0, 5), (5, STEPS)):
        state, evaluations = advance(task, state, lrs[first:last], methods, watchers)
        assert [one.step for one in evaluations] == {5: [3], STEPS: [6, 8]}[last]
        state = state_from_bytes(state_to_bytes(state), task.device)
    assert all(tensor.is_meta for tensor in state.model.values())
    return state


def test_tensors_of_two_devices_that_meet_raise_an_error() -> None:
    with pytest.raises(RuntimeError, match="cpu and meta"):
        torch.ones(2, device="meta") @ torch.ones(2)


@pytest.mark.parametrize(
    ("model", "precision"),
    [(name, precision) for name in registry.models for precision in ("float32", "bfloat16") if name not in DEEPER]
    + [(name, "float32") for name in DEEPER],
)
def test_a_registered_model_is_trained_where_its_data_is(model: str, precision: str) -> None:
    if registry.models.find(model).reads_tokens:
        settings: dict[str, Any] = {"name": "apart", "batch_size": 4, "steps": STEPS, "precision": precision}
        text = {"kind": "grammar", "symbols": 4, "depth": 2, "train": 20, "validation": 8, "test": 8}
        tiny = {"kind": model, "layers": 1, "heads": 2, "width": 8}
        task = Task(model=tiny, data=text, **settings).to("meta")
    else:
        task = made(model, SHAPES.get(model, (3, 32, 32)), precision=precision)
    state, _ = advance(task, begin(task, 0), np.full(1, 0.1))
    assert state.step == 1
    assert all(tensor.is_meta for tensor in state.model.values())


@pytest.mark.parametrize(("precision", "augment"), [("float32", ()), ("bfloat16", (HorizontalFlip(), RandomCrop(1)))])
@pytest.mark.parametrize("text", [text for texts in METHODS.values() for text in texts])
def test_a_method_works_where_the_data_is(text: str, precision: str, augment: tuple[Any, ...]) -> None:
    method = parse_modifier(text)
    task = small(precision=precision, augment=augment)
    state = train(task, [method]) if isinstance(method, Modifier) else train(task, watchers=[method])
    assert state.step == STEPS
    if isinstance(method, LearnAndDrop):
        assert method.drops(state)[-1].units == 2


def test_every_method_is_among_them() -> None:
    assert set(METHODS) == set(modifiers())


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW"])
def test_an_optimizer_counts_its_steps_on_the_cpu_after_a_file_as_before(optimizer: str) -> None:
    task = small(optimizer=optimizer_named(optimizer, {}))
    state, _ = advance(task, begin(task, 0), np.full(2, 0.1))
    for each in (state, state_from_bytes(state_to_bytes(state), task.device)):
        (slots, *_) = Training(task, each, (), ()).optimizer.state.values()
        assert (slots["step"].device.type, slots["exp_avg"].device.type) == ("cpu", "meta")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("storage", "views"), [("none", 1), ("float32", 1), ("bfloat16", 2), ("float32", 2)])
def test_frozen_units_are_where_the_data_is(storage: Storage, views: int, precision: str) -> None:
    task = small(precision=precision, augment=(HorizontalFlip(),))
    plan = FreezeAt(tuple((2 * units, Frozen(units, storage, views)) for units in (1, 2)))
    assert frozen_in(train(task, [plan])).units == 2


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [*(("mlp", each.__name__) for each in STACKED), *((each, "SGD") for each in ("conv1d", "lenet", "cnn3", "vgg11"))],
)
def test_lanes_are_stacked_where_their_data_is(model: str, optimizer: str) -> None:
    task = made(model, SHAPES.get(model, (3, 32, 32)), optimizer=optimizer_named(optimizer, {}))
    with Apart(floats=0.0):  # for stacked outputs are compared with those of the network
        assert why_not_stacked(task) is None
        states = [begin(task, seed) for seed in (0, 1)]
        for first, last in ((0, 5), (5, STEPS)):
            lrs = np.full(last - first, 0.1)
            states = [state for state, _ in advance_stacked(task, states, [lrs, lrs[1:]])]
            states = [state_from_bytes(state_to_bytes(state), task.device) for state in states]
    assert [state.step for state in states] == [STEPS, STEPS - 2]
    assert all(tensor.is_meta for state in states for tensor in state.model.values())


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_an_optimizer_works_where_the_data_is(optimizer: str) -> None:
    assert train(small(optimizer=optimizer_named(optimizer, {}))).step == STEPS


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize(
    "changes",
    [
        {"augment": (HorizontalFlip(), RandomCrop(1))},
        {"precision": "bfloat16", "clip_norm": 1.0, "clip_value": 0.5, "label_smoothing": 0.1},
        {"micro_batch": 2, "groups": {"3.*": 0.5, "ndim<2": 0.25}},
    ],
)
def test_a_segment_waits_for_the_device_as_often_however_long_it_is(changes: dict[str, Any], optimizer: str) -> None:
    task = small(optimizer=optimizer_named(optimizer, {}), **changes).with_(eval_every=STEPS)

    def train(iterations: int) -> None:
        advance(task, begin(task, 0), np.full(iterations, 0.1))

    once, *waits = [waited(partial(train, iterations)) for iterations in (5, 2, 5)]
    assert once >= waits[0] == waits[1] > 0


def test_float16_waits_for_the_device_once_an_iteration() -> None:
    task = small(precision="float16", eval_every=STEPS)

    def train(iterations: int) -> None:
        advance(task, begin(task, 0), np.full(iterations, 0.1))

    _, *waits = [waited(partial(train, iterations), floats=0.0) for iterations in (5, 2, 5)]
    assert waits[1] - waits[0] == 3, "torch's scaler reads whether gradients overflowed"


@pytest.mark.parametrize("changes", [{}, {"augment": (HorizontalFlip(), RandomCrop(1)), "clip_norm": 1.0}])
def test_a_segment_of_lanes_waits_for_the_device_as_often_however_long_it_is(changes: dict[str, Any]) -> None:
    task = made("lenet", eval_every=STEPS, **changes)

    def train(iterations: int) -> None:
        advance_stacked(task, [begin(task, seed) for seed in (0, 1)], [np.full(iterations, 0.1)] * 2)

    once, *waits = [waited(partial(train, iterations), floats=0.0) for iterations in (5, 2, 5)]
    assert once >= waits[0] == waits[1] > 0


def waited(work: Callable[[], object], floats: float = 1.0) -> int:
    """How often some work waits for the device."""
    with Apart(floats) as device:
        work()
    return device.waits


def test_a_lane_goes_from_one_engine_to_the_other() -> None:
    task = made("mlp", (6,))
    with Apart(floats=0.0):
        state, _ = advance(task, begin(task, 0), np.full(2, 0.1))
        ((state, _),) = advance_stacked(task, [state], [np.full(2, 0.1)])
        assert advance(task, state, np.full(2, 0.1))[0].step == 6
