"""Outputs of the leading frozen units of a network, computed once and stored: fine-tuning without its frozen part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from lrbench.engine.modifier import Memory, Modifier
from lrbench.engine.size import byte_count, rough_size, size
from lrbench.errors import TaskError
from lrbench.modifiers.registry import register_modifier

if TYPE_CHECKING:
    from torch import nn

    from lrbench.engine import State, Training
    from lrbench.tasks import Task


def leading_frozen(units: Sequence[nn.Module]) -> int:
    """Count the units at the beginning in which no parameter is trained."""
    return sum(1 for _ in takewhile(lambda unit: not any(w.requires_grad for w in unit.parameters()), units))


@register_modifier
@dataclass(frozen=True)
class FrozenFeatures(Modifier):
    """Leading units that the task's groups freeze are computed once: training goes on from their stored outputs.

    The units (`lrbench.modifiers.learn_and_drop.units`) are in eval mode. Where they have neither batch normalisation
    nor dropout, and the task has no `micro_batch`, the run ends with the bits of the run without the modifier, and
    costs fewer operations; that of storing is counted. Batch normalisation in them no longer measures the batches, as
    it does in a frozen part otherwise.
    """

    rank = 40
    family = "layer-dropping"

    budget: str = size("memory for stored outputs", default="2GiB")

    def check(self, task: Task) -> None:
        """Refuse a task by a TaskError: no leading unit is frozen for good, or inputs differ between epochs.

        Neither augmentation, `mix` nor data that is loaded gives the same inputs again. Groups have no `frozen_until`.
        """
        from lrbench.modifiers.learn_and_drop.rest import Frozen, features_bytes
        from lrbench.modifiers.learn_and_drop.units import check_units

        where = f"FrozenFeatures stores outputs of frozen layers, and task '{task.name}' has"
        loaded = "data that is loaded" if not task.data.in_memory else ""
        if changing := loaded or ("augmentation" if task.augment else "a mix" if task.mix else ""):
            raise TaskError(f"{where} {changing}, with which they are not the same in every epoch")
        if any("frozen_until" in dict(settings) for _, settings in task.groups.rules):
            raise TaskError(f"{where} groups with frozen_until: leave it out")
        units = check_units(task)
        frozen = Frozen(leading_frozen(units), "float32")
        if not 0 < frozen.units < len(units):
            which = "all units frozen" if frozen.units else "a first unit that is trained"
            raise TaskError(f'{where} {which}: freeze the first ones by groups, such as {{ "features.*" = "frozen" }}')
        if (needed := features_bytes(task, frozen)) > self._budget:
            raise TaskError(f"{where} {rough_size(needed)} of them, over the budget of {rough_size(self._budget)}")

    def begin(self, training: Training) -> Memory:
        from lrbench.modifiers.learn_and_drop.rest import Frozen, freeze
        from lrbench.modifiers.learn_and_drop.units import units_of

        frozen = Frozen(leading_frozen(units_of(training.module)), "float32")
        freeze(training, frozen)
        return asdict(frozen)

    def resume(self, training: Training, memory: Mapping[str, Any], state: State) -> None:
        from lrbench.modifiers.learn_and_drop.rest import Frozen, Rest

        training.train_only(Rest(training.task, training.module, training.seed, Frozen(**memory), state.features))

    def facts(self, memory: Mapping[str, Any]) -> Mapping[str, str | float]:
        return {"frozen_units": memory["units"]}

    @property
    def _budget(self) -> int:
        count = byte_count(self.budget)
        assert count is not None
        return count
