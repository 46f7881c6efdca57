from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.engine import Evaluation, Memory, Modifier, State, Training
from lrbench.modifiers.learn_and_drop.rest import Frozen, Rest, freeze


@dataclass(frozen=True)
class FreezeAt(Modifier):
    """A modifier that takes leading units out of training after given iterations."""

    plan: tuple[tuple[int, Frozen], ...]

    def after_step(self, training: Training, memory: Memory) -> None:
        for step, frozen in self.plan:
            if training.step == step:
                freeze(training, frozen)
                memory["frozen"] = vars(frozen)

    def resume(self, training: Training, memory: Mapping[str, Any], state: State) -> None:
        if memory:
            frozen = Frozen(**memory["frozen"])
            training.train_only(Rest(training.task, training.module, training.seed, frozen, state.features))


def frozen_in(state: State) -> Frozen:
    """Read what `FreezeAt` has frozen on the way to a state."""
    return next(Frozen(**memory["frozen"]) for memory in state.memories.values() if "frozen" in memory)


def losses(evaluations: Sequence[Evaluation]) -> list[float]:
    """List the losses on every split of every evaluation."""
    return [seen.loss for evaluation in evaluations for seen in evaluation.predictions.values()]
