"""What an optimizer keeps from step to step, taken out and put back: its state, and its parameter groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from lrbench.policy.torch_scheduler import lr_ratios
from lrbench.tasks.snapshot import copied, identical

SET_ELSEWHERE = frozenset({"params", "lr"})
"""What the engine sets in a parameter group."""


@runtime_checkable
class HasModes(Protocol):
    """An optimizer that has other weights evaluated than trained (Schedule-Free), and swaps them in its parameters."""

    def train(self) -> object: ...

    def eval(self) -> object: ...


Groups = tuple[Mapping[str, Any], ...]


class BuiltOptimizer(NamedTuple):
    """A newly built optimizer without its parameters.

    Attributes:
        has_modes: whether it has other weights evaluated than trained.
        groups: the settings of its parameter groups.
    """

    has_modes: bool
    groups: Groups

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer) -> BuiltOptimizer:
        return cls(isinstance(optimizer, HasModes), group_settings(optimizer))


def note_ratios(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Note in each group of a newly built optimizer, as `lr_ratio`, the ratio of its LR to the policy's.

    Raises:
        PolicyError: there is none; see `lr_ratios`.
    """
    groups = optimizer.param_groups
    ratios = lr_ratios([group["lr"] for group in groups], [group.get("lr_ratio") for group in groups])
    for group, ratio in zip(groups, ratios, strict=True):
        group["lr_ratio"] = ratio
    return optimizer


def group_settings(optimizer: torch.optim.Optimizer) -> Groups:
    """A copy of each parameter group, without its parameters and its LR."""
    return tuple(
        {name: copied(value) for name, value in group.items() if name not in SET_ELSEWHERE}
        for group in optimizer.param_groups
    )


def changed_groups(built: Groups, now: Groups) -> Groups:
    """What each parameter group holds now that it was not built with; empty where that is nothing in any group."""
    changes = tuple(
        {name: value for name, value in new.items() if name not in old or not identical(value, old[name])}
        for old, new in zip(built, now, strict=True)
    )
    return changes if any(changes) else ()


def restore(optimizer: torch.optim.Optimizer, state: Mapping[Any, Any], groups: Sequence[Mapping[str, Any]]) -> None:
    """Give a newly built optimizer its state, and what its groups held besides what they were built with."""
    built = optimizer.state_dict()["param_groups"]
    added = groups or [{}] * len(built)
    merged = [{**group, **values} for group, values in zip(built, added, strict=True)]
    load(optimizer, {"state": state, "param_groups": merged})


def load(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """`load_state_dict` of a copy, each tensor in its own type: torch casts those of a parameter to the parameter's."""
    saved = copied(saved)
    optimizer.load_state_dict(saved)
    for slots, slot, kept in _recast(optimizer, saved["state"]):
        slots[slot] = kept.to(slots[slot].device)


@contextmanager
def evaluated_weights(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Let the parameters be those that the optimizer has evaluated, and then again bit for bit those in training.

    An optimizer's own way back, `train()` after `eval()`, rounds.
    """
    if not isinstance(optimizer, HasModes):
        yield
        return
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    before, saved = copied(weights), copied(optimizer.state_dict())
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()
        load(optimizer, saved)
        with torch.no_grad():
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)


def keeps_more_than_state(optimizer: torch.optim.Optimizer, built: Groups) -> bool:
    """Whether the optimizer, after some steps, keeps what `load_state_dict` of its state alone does not restore."""
    state = optimizer.state_dict()["state"]
    before = copied(state)
    optimizer.load_state_dict(optimizer.state_dict())
    cast = not identical(before, optimizer.state_dict()["state"])
    return isinstance(optimizer, HasModes) or cast or bool(changed_groups(built, group_settings(optimizer)))


def _recast(optimizer: torch.optim.Optimizer, saved: Mapping[Any, Any]) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """The tensors that loading cast to another type: where they lie, and what they were."""
    loaded = optimizer.state_dict()["state"]
    for index, slots in saved.items():
        for slot, kept in slots.items() if isinstance(slots, dict) else ():
            now = loaded[index].get(slot)
            if isinstance(kept, Tensor) and isinstance(now, Tensor) and now.dtype != kept.dtype:
                yield loaded[index], slot, kept
