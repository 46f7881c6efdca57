"""The protocol of modifiers: the events at which they are called, and what they may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lrbench.errors import TaskError
from lrbench.policy.parameter import parameters_of

if TYPE_CHECKING:
    from torch import nn

    from lrbench.engine.loop import Training
    from lrbench.engine.state import State
    from lrbench.tasks import Task

Memory = dict[str, Any]
"""A modifier's memory from step to step: tensors and numbers by name, lists and dicts of them."""


class Watcher:
    """A modifier that only watches: it averages weights, say, and writes nothing into training.

    It rides on a run that would be trained anyway, and is evaluated beside it. Its events, for a watcher `w`::

        memory = w.begin(training)
        for each iteration:
            forward, backward, optimizer step
            w.after_step(training, memory)
            if an epoch has ended:
                w.after_epoch(training, memory)
        at each evaluation:
            evaluate w.evaluated(training, memory, network)

    A subclass is a frozen dataclass of its settings, each declared by a specifier of `lrbench.policy.parameter`. Equal
    settings compare equal, and `str` is the text that names the modifier: a setting that is `added_later` is in it only
    where it is not at its default. All that changes is in `memory`, which is
    part of the training state: it is saved, forked and resumed with it. Events are called without gradients.

    Attributes:
        takes_modes: whether it can be used with an optimizer that has other weights evaluated than trained
            (Schedule-Free). One that reads or replaces weights, or sets the momentum, cannot: it would mix the two.

    Raises:
        TaskError: it is made with a setting that is not allowed.
    """

    takes_modes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for setting in parameters_of(type(self)):
            given = getattr(self, setting.name)
            object.__setattr__(self, setting.name, setting.read(type(self).__name__, given, TaskError))

    def __str__(self) -> str:
        names: list[str] = [field.name for field in fields(self)] if is_dataclass(self) else []
        values = {name: getattr(self, name) for name in names}
        settings = parameters_of(type(self)) if names else ()
        late = {setting.name: setting.default for setting in settings if setting.added_later}
        written = (f"{name}={value!r}" for name, value in values.items() if name not in late or value != late[name])
        return f"{type(self).__name__}({', '.join(written)})"

    def check(self, task: Task) -> None:
        """Refuse a task that the modifier cannot be used on, before anything is trained.

        Raises:
            TaskError: why not.
        """

    def begin(self, training: Training) -> Memory:
        """Return the memory before the first iteration."""
        return {}

    def after_step(self, training: Training, memory: Memory) -> None:
        """Act after an optimizer step, when `training.step` iterations are done."""

    def after_epoch(self, training: Training, memory: Memory) -> None:
        """Act after `after_step` where an epoch has ended."""

    def evaluated(self, training: Training, memory: Memory, module: nn.Module) -> nn.Module:
        """Return the network that is evaluated in place of `module`, which must be left as it is."""
        return module

    def facts(self, memory: Mapping[str, Any]) -> Mapping[str, str | float]:
        """Return what it did in a run that has ended, by name; it is stored, shown, and exported with its metrics."""
        return {}


@dataclass(frozen=True)
class Control:
    """A run without a modifier that has a part of its effect, so that the rest can be measured.

    Attributes:
        name: its name in results.
        meaning: its description, to follow its name.
        lr_scale: the factor on the policy's learning rates.
        modifier: what it is trained with in place of the modifier; None for nothing.
    """

    name: str
    meaning: str
    lr_scale: float = 1.0
    modifier: Modifier | None = None


class Modifier(Watcher):
    """A modifier that changes training; it is trained as a run of its own.

    It has the events of a `Watcher` and two more in each iteration, for a modifier `m`::

        forward, backward
        m.after_backward(training, memory)
        clip the gradients
        m.before_step(training, memory)
        optimizer step
        m.after_step(training, memory)

    It may write to `training.weights` and their `.grad`, and call two methods of `Training`: `replace`, which calls
    `after_replacement` of every modifier, and `train_only`, which it calls again in `resume`. At every event, several
    are called in the order of their `rank`, lowest first. None may write to weights that are no longer trained:
    `training.weights` does not have them.

    Attributes:
        rank: the place of the modifier among others.
        family: modifiers of one family exclude each other, for each would undo the other's effect.
        controls: the controls that a study trains beside it.
        looks_ahead: whether it asks for learning rates to come (`Training.lr_left`): its runs share no trunk.
    """

    rank: ClassVar[int] = 50
    family: ClassVar[str] = ""
    controls: ClassVar[tuple[Control, ...]] = ()
    looks_ahead: ClassVar[bool] = False

    def resume(self, training: Training, memory: Mapping[str, Any], state: State) -> None:
        """Act before the first iteration from a state that an earlier segment has left.

        The optimizer has no state yet: it gets that of the weights that are in training after this.
        """

    def after_backward(self, training: Training, memory: Memory) -> None:
        """Act where the gradients are computed, before they are clipped; they may be changed in place."""

    def before_step(self, training: Training, memory: Memory) -> None:
        """Act right before the optimizer's step, after the gradients are clipped."""

    def after_replacement(self, training: Training, memory: Memory) -> None:
        """Act after any modifier has replaced the weights: a memory of their path is of no more use."""


def in_order(modifiers: Sequence[Modifier]) -> tuple[Modifier, ...]:
    """Sort modifiers into the order in which they are called.

    Raises:
        TaskError: two are of one family.
    """
    seen: dict[str, Modifier] = {}
    for modifier in modifiers:
        family = modifier.family or type(modifier).__name__
        if family in seen:
            raise TaskError(f"{seen[family]} and {modifier} cannot be combined: both are {family} modifiers")
        seen[family] = modifier
    return tuple(sorted(modifiers, key=lambda modifier: (modifier.rank, str(modifier))))
