"""Two steps at the making of a Task find what would start over at every evaluation."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import schedulefree
import torch
from prodigyopt import Prodigy
from torch import Tensor, nn

from lrbench.errors import TaskError
from lrbench.tasks import Data, Task

RNG = np.random.default_rng(0)
SIGNALS, LABELS = RNG.normal(size=(40, 6)), np.arange(40) % 3
DATA = Data.from_arrays((SIGNALS, LABELS), (SIGNALS, LABELS))


def make(model: Callable[[], nn.Module], **changes: Any) -> Task:
    return Task(**{"name": "mine", "model": model, "data": DATA, "batch_size": 8, "steps": 20, **changes})


class Net(nn.Module):
    """A linear layer; what it keeps besides is for the classes below."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.start()

    def start(self) -> None:
        """What is kept before the first step."""

    def keep(self, outputs: Tensor) -> Tensor:
        return outputs

    def forward(self, inputs: Tensor) -> Tensor:
        return self.keep(self.layer(inputs))


class Counter(Net):
    def start(self) -> None:
        self.calls = 0

    def keep(self, outputs: Tensor) -> Tensor:
        self.calls += 1
        return outputs


class Temperature(Net):
    def start(self) -> None:
        self.temperature = 1.0

    def keep(self, outputs: Tensor) -> Tensor:
        self.temperature *= 0.9
        return outputs / self.temperature


class History(Net):
    def start(self) -> None:
        self.history: list[float] = []

    def keep(self, outputs: Tensor) -> Tensor:
        self.history.append(float(outputs.detach().mean()))
        return outputs


class Toggle(Net):
    def start(self) -> None:
        self.flags = {"on": False}

    def keep(self, outputs: Tensor) -> Tensor:
        self.flags["on"] = not self.flags["on"]
        return outputs


class MeanTensor(Net):
    def start(self) -> None:
        self.mean = torch.zeros(3)

    def keep(self, outputs: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * outputs.detach().mean(0)
        return outputs - self.mean


class MeanArray(Net):
    def start(self) -> None:
        self.mean = np.zeros(3)

    def keep(self, outputs: Tensor) -> Tensor:
        self.mean = self.mean + outputs.detach().mean(0).numpy()
        return outputs


class OwnGenerator(Net):
    def start(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def keep(self, outputs: Tensor) -> Tensor:
        return outputs + torch.randn(outputs.shape, generator=self.generator)


class Schedule:
    def __init__(self) -> None:
        self.step = 0


class InAnObject(Net):
    def start(self) -> None:
        self.schedule = Schedule()

    def keep(self, outputs: Tensor) -> Tensor:
        self.schedule.step += 1
        return outputs


class LeftOutBuffer(Net):
    calls: Tensor

    def start(self) -> None:
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def keep(self, outputs: Tensor) -> Tensor:
        self.calls += 1
        return outputs


@pytest.mark.parametrize(
    ("model", "lost"),
    [
        (Counter, "Counter.calls"),
        (Temperature, "Temperature.temperature"),
        (History, "History.history"),
        (Toggle, "Toggle.flags"),
        (MeanTensor, "MeanTensor.mean"),
        (MeanArray, "MeanArray.mean"),
        (OwnGenerator, "OwnGenerator.generator"),
        (InAnObject, "InAnObject.schedule"),
        (LeftOutBuffer, "LeftOutBuffer.calls"),
    ],
)
def test_what_a_module_keeps_outside_its_state_dict_is_refused_by_name(
    model: Callable[[], nn.Module], lost: str
) -> None:
    with pytest.raises(TaskError, match=rf"task 'mine': {lost} is kept from step to step .* register it as a buffer"):
        make(model)


def test_a_part_of_a_network_is_named_too() -> None:
    with pytest.raises(TaskError, match=r"Counter\.calls"):
        make(lambda: nn.Sequential(Counter(), nn.ReLU(), nn.Linear(3, 3)))


class InitializesItself(nn.Module):
    """Scales its inputs by what its first batch has: a second network would begin again."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))
        self.layer = nn.Linear(6, 3)
        self.initialized = False

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.initialized:
            self.scale.data = 1 / inputs.abs().amax(0)
            self.initialized = True
        return self.layer(inputs * self.scale)


def test_a_network_that_initializes_itself_again_is_refused_by_what_it_does() -> None:
    with pytest.raises(TaskError, match=r"the model InitializesItself, made anew .* gives other gradients"):
        make(InitializesItself)


class CountsInItsClass(Net):
    calls = 0

    def keep(self, outputs: Tensor) -> Tensor:
        CountsInItsClass.calls += 1
        return outputs / CountsInItsClass.calls


class RunningMean:
    """A loss over the mean of the losses so far."""

    def __init__(self) -> None:
        self.mean = 1.0

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(outputs, targets)
        self.mean = 0.9 * self.mean + 0.1 * loss.item()
        return loss / self.mean


def anneals() -> Callable[[Tensor, Tensor], Tensor]:
    calls = 0

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return nn.functional.cross_entropy(outputs * (1 + calls), targets)

    return loss


SEEN: list[float] = []


def remembers(outputs: Tensor, targets: Tensor) -> Tensor:
    loss = nn.functional.cross_entropy(outputs, targets)
    SEEN.append(loss.item())
    return loss / max(SEEN)


@pytest.mark.parametrize("loss", [RunningMean(), anneals(), remembers], ids=["object", "closure", "global"])
@pytest.mark.parametrize("model", [Net, lambda: nn.Linear(6, 3)], ids=["own", "torch"])
def test_a_loss_that_keeps_something_from_step_to_step_is_refused(model: Callable[[], nn.Module], loss: Any) -> None:
    with pytest.raises(
        TaskError, match=r"model or the loss keeps something .* \(in an object, a closure, a class attri"
    ):
        make(model, loss=loss)


def test_a_version_answers_for_what_has_no_part_in_training() -> None:
    seen: list[float] = []

    def logged(outputs: Tensor, targets: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(outputs, targets)
        seen.append(loss.item())
        return loss

    with pytest.raises(TaskError, match=r'where it has no part in training, give the task version="\.\.\."'):
        make(Net, loss=logged)
    assert make(Net, loss=logged, version="1").name == "mine"


def test_a_network_that_counts_in_its_class_is_refused() -> None:
    with pytest.raises(TaskError, match="keeps something from step to step"):
        make(CountsInItsClass)


class RemembersTheLastLoss:
    """A loss with its last value to look at, and a table that is made once."""

    def __init__(self) -> None:
        self.last: float | None = None
        self.weights: dict[int, Tensor] = {}

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        weights = self.weights.setdefault(outputs.shape[1], torch.ones(outputs.shape[1]))
        loss = nn.functional.cross_entropy(outputs, targets, weight=weights)
        self.last = loss.item()
        return loss


def test_a_loss_with_its_last_value_and_with_what_it_made_once_is_allowed() -> None:
    assert make(Net, loss=RemembersTheLastLoss()).name == "mine"


class WithBuffers(Net):
    calls: Tensor

    def start(self) -> None:
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def keep(self, outputs: Tensor) -> Tensor:
        self.calls += 1
        return outputs / (1 + 0.1 * self.calls)


class RemembersTheLastPass(Net):
    """An attention map for inspection, an auxiliary loss, a cache made at the first pass, a random mask that stays."""

    def start(self) -> None:
        self.mask = torch.rand(3)
        self.shift = random.random()
        self.cache: dict[int, Tensor] = {}
        self.last: dict[str, Any] = {}

    def keep(self, outputs: Tensor) -> Tensor:
        positions = self.cache.setdefault(outputs.shape[1], torch.arange(outputs.shape[1]))
        self.map = outputs.softmax(1)
        self.last = {"mean": float(outputs.detach().mean()), "shape": outputs.shape}
        self.auxiliary = self.map.square().mean()
        return nn.functional.dropout(outputs + self.mask + positions + self.shift, 0.1, self.training)


@pytest.mark.parametrize("model", [WithBuffers, RemembersTheLastPass, lambda: nn.Sequential(nn.LazyLinear(3))])
def test_what_follows_from_the_last_pass_or_is_a_buffer_is_allowed(model: Callable[[], nn.Module]) -> None:
    assert make(model).steps == 20


class Stepping(torch.optim.SGD):
    """Counts its steps in an attribute."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        super().__init__(params, lr=1.0)
        self.steps_made = 0

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.steps_made += 1
        super().step()


class Wrapping(torch.optim.Optimizer):
    """Its momentum is in an optimizer that it has inside."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        self.inner = torch.optim.SGD(params, lr=1e-3, momentum=0.9)
        super().__init__(params, {"lr": 1.0})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.inner.step()


class Unloadable(torch.optim.SGD):
    """Its state has an object of a class of its own."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        super().__init__(params, lr=1.0)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.state[self.param_groups[0]["params"][0]]["schedule"] = Schedule()
        super().step()


class WithClosure(Stepping):
    """Steps only with a function that computes the loss."""

    def step(self, closure: Callable[[], float]) -> None:  # type: ignore[override]
        closure()


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (Stepping, "the optimizer Stepping would start over .* its attribute steps_made is neither in its state nor"),
        (Wrapping, "the optimizer Wrapping would start over .* what it keeps from step to step is neither"),
        (Unloadable, "a checkpoint does not bring back the optimizer Unloadable"),
        (WithClosure, "the step of the optimizer WithClosure fails: TypeError"),
        (torch.optim.LBFGS, "the step of the optimizer LBFGS fails: TypeError"),
    ],
)
def test_an_optimizer_that_a_checkpoint_does_not_bring_back_is_refused(optimizer: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message) as refusal:
        make(lambda: nn.Linear(6, 3), optimizer=optimizer)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize(
    ("optimizer", "more"),
    [
        (lambda params: torch.optim.NAdam(params), False),
        (lambda params: torch.optim.ASGD(params), False),
        (lambda params: schedulefree.AdamWScheduleFree(params), True),
        (lambda params: schedulefree.SGDScheduleFree(params), True),
        (lambda params: Prodigy(params), True),
    ],
)
def test_only_an_optimizer_that_keeps_more_than_state_has_a_mark_in_the_fingerprint(optimizer: Any, more: bool) -> None:
    task = make(Net, optimizer=optimizer)
    assert task.keeps_more_than_state == more
    unmarked = make(Net, optimizer=optimizer)
    object.__setattr__(unmarked, "keeps_more_than_state", False)
    assert (task.fingerprint != unmarked.fingerprint) == more


def test_the_callers_generators_are_untouched_by_the_steps() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    torchs, numpys, pythons = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    make(RemembersTheLastPass, optimizer=lambda params: Prodigy(params))
    assert torch.equal(torch.get_rng_state(), torchs)
    np.testing.assert_equal(np.random.get_state(legacy=False), numpys)  # noqa: NPY002
    assert random.getstate() == pythons
