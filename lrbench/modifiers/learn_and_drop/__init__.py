"""Learn&Drop (Cruciata et al., arXiv 2604.23403): layers that have stopped learning leave training.

    units = the network's layers in order, a convolution with its normalisation or a residual block each
    at each epoch's end, for each unit that is still trained:
        score = |W - W one epoch ago| / |W one epoch ago| / (sum of the epoch's learning rates)      (1-norms)
        quiet = score < tau * the unit's largest score, and |slope of its last `window` scores| < delta * that
        done  = quiet in each of the last `patience` epochs, the first `warmup` epochs not counting
    drop = the longest prefix of done units, the last unit and the head excepted
    where it grows:
        the prefix goes into eval mode and out of the optimizer, whose state of it is freed
        its outputs over the train split are computed once and stored by sample; training goes on from those
    evaluations and checkpoints have the whole network

`ForecastDrop` has the same units and storage, and another rule, which is ours altogether:

    done = forecast < rest, after the first `warmup` epochs, where
        forecast = (mean of the last `window` scores) * (sum of the learning rates to come) / (how far it has moved)

so that a layer that moves little is not done while the decay, or most of the training, is still to come.

Only the paper's abstract was at hand. It claims that layers are scored by how much their parameters change and whether
they will go on learning, that the network is scaled down so that fewer parameters are learned, that forward operations
fall (by 17.83% for VGG-11 to 83.74% for ResNet-152), and that training time is more than halved without a significant
loss of accuracy. The scores, the rule, how outputs are stored and all defaults are our reconstruction.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lrbench.engine.modifier import Memory, Modifier
from lrbench.engine.size import byte_count, rough_size, size
from lrbench.errors import TaskError
from lrbench.modifiers.learn_and_drop.scores import (
    KEPT,
    change_score,
    choose_storage,
    forecast,
    is_done,
    prefix_to_drop,
)
from lrbench.modifiers.registry import register_modifier
from lrbench.policy.kind import Bounds
from lrbench.policy.parameter import count, number

if TYPE_CHECKING:
    from lrbench.engine import State, Training
    from lrbench.modifiers.learn_and_drop.rest import Frozen, Storage
    from lrbench.tasks import Task


@dataclass(frozen=True)
class Drop:
    """What was dropped at the end of an epoch.

    Attributes:
        epoch, step: the epochs and the iterations done by then.
        units: the number of leading units that are dropped from then on.
        storage: how their outputs over the train split are stored; "none": they are computed anew each iteration.
        views: the augmented views of each sample that are stored.
        bytes: the memory that they take.
    """

    epoch: int
    step: int
    units: int
    storage: Storage
    views: int
    bytes: int

    def __str__(self) -> str:
        kept = "computed each iteration"
        if self.storage != "none":
            views = f" in {self.views} views" if self.views > 1 else ""
            kept = f"stored as {self.storage}{views}, {rough_size(self.bytes)}"
        units = f"{self.units} units" if self.units > 1 else "unit"
        return f"after epoch {self.epoch}: the first {units} dropped, outputs {kept}"


class LayerDrop(Modifier):
    """A modifier that drops the longest prefix of units that are done; a subclass says which are.

    It takes any network with units (`lrbench.modifiers.learn_and_drop.units`), of which the last two always stay.
    Without augmentation, the dropped units' outputs are stored as float32 where they fit into the budget, as bfloat16
    where half of them does, and otherwise computed each iteration, which saves the backward pass only. With
    augmentation, `views` augmented views of each sample are stored, drawn once; with views=0 none are, and
    augmentation goes on as before. Of samples that datasets load, nothing is stored.
    While a longer prefix takes over, the outputs of both are in memory.

    An epoch whose learning rates are all 0 is not counted. After the last iteration nothing is dropped.
    """

    rank = 40
    family = "layer-dropping"

    views: int
    budget: str

    @abstractmethod
    def done(self, training: Training, memory: Memory, lr: float) -> list[bool]:
        """Say of each unit whether it is done, after an epoch of which `lr` is the sum of the learning rates."""

    def check(self, task: Task) -> None:
        """Refuse a task by a TaskError: its units are none or too few, views exceed the budget, mixtures, or groups.

        Groups must have learning rates in proportion to the policy's, which is taken out of the scores, and train a
        part of the units that always stay.
        """
        from lrbench.modifiers.learn_and_drop.rest import Frozen, features_bytes
        from lrbench.modifiers.learn_and_drop.units import check_units

        if task.mix:
            raise TaskError(f"LearnAndDrop trains on outputs of layers, which the mix of task '{task.name}' is not for")
        units = check_units(task)
        if len(units) <= KEPT:
            raise TaskError(
                f"{type(self).__name__} needs a model of at least {KEPT + 1} units, for the last {KEPT} always stay, "
                f"and that of task '{task.name}' has {len(units)}"
            )
        if any({"policy", "frozen_until"} & dict(settings).keys() for _, settings in task.groups.rules):
            raise TaskError(
                f"LearnAndDrop takes the policy's learning rate out of its scores, and groups of task '{task.name}' "
                "have others: leave out their policy and frozen_until"
            )
        if not any(weight.requires_grad for unit in units[-KEPT:] for weight in unit.parameters()):
            raise TaskError(f"LearnAndDrop keeps the last {KEPT} units, and in task '{task.name}' both are frozen")
        if not task.data.in_memory or not task.augment or not self.views:
            return
        needed = [features_bytes(task, Frozen(n, "bfloat16", self.views)) for n in range(1, len(units) - KEPT + 1)]
        if max(needed) > self._budget:
            raise TaskError(
                f"{type(self).__name__}: {self.views} views of task '{task.name}' take up to {rough_size(max(needed))} "
                f"(after unit {needed.index(max(needed)) + 1}), and the budget is {rough_size(self._budget)}: "
                "give a larger budget, fewer views, or views=0, which stores none"
            )

    def begin(self, training: Training) -> Memory:
        from lrbench.modifiers.learn_and_drop.units import units_of

        return {
            "lr": 0.0,
            "scores": [[] for _ in units_of(training.module)],
            "weights": dict(training.weights),
            "drops": [],
        }

    def resume(self, training: Training, memory: Mapping[str, Any], state: State) -> None:
        from lrbench.modifiers.learn_and_drop.rest import Frozen, Rest

        if memory["drops"]:
            last = Drop(**memory["drops"][-1])
            frozen = Frozen(last.units, last.storage, last.views)
            training.train_only(Rest(training.task, training.module, training.seed, frozen, state.features))

    def after_step(self, training: Training, memory: Memory) -> None:
        memory["lr"] += training.lr

    def after_epoch(self, training: Training, memory: Memory) -> None:
        from lrbench.modifiers.learn_and_drop.rest import features_bytes, freeze

        task = training.task
        lr, memory["lr"] = memory["lr"], 0.0
        if lr == 0:
            return
        dropped = memory["drops"][-1]["units"] if memory["drops"] else 0
        for scores, names in zip(memory["scores"][dropped:], _trained(training)[dropped:], strict=True):
            if names:
                before = [memory["weights"][name] for name in names]
                scores.append(change_score(before, [training.weights[name] for name in names], lr))
        done = self.done(training, memory, lr)
        units = prefix_to_drop([unit < dropped or one for unit, one in enumerate(done)])
        if units > dropped and training.step < task.steps:
            frozen = self._frozen(task, units)
            freeze(training, frozen)
            epoch, stored = training.step // task.steps_per_epoch, features_bytes(task, frozen)
            memory["drops"].append(asdict(Drop(epoch, training.step, units, frozen.storage, frozen.views, stored)))
        memory["weights"] = {name: weight.detach().clone() for name, weight in training.weights.items()}

    def facts(self, memory: Mapping[str, Any]) -> Mapping[str, str | float]:
        drops = [Drop(**drop) for drop in memory["drops"]]
        return {"dropped_units": drops[-1].units if drops else 0, "drops": "; ".join(map(str, drops))}

    def drops(self, state: State) -> tuple[Drop, ...]:
        """List what was dropped on the way to a state, in order."""
        return tuple(Drop(**drop) for drop in state.memories.get(str(self), {}).get("drops", ()))

    def _frozen(self, task: Task, units: int) -> Frozen:
        from lrbench.modifiers.learn_and_drop.rest import Frozen, features_bytes

        if not task.data.in_memory or (task.augment and not self.views):
            return Frozen(units)
        views = self.views if task.augment else 1
        needed = features_bytes(task, Frozen(units, "float32", views))
        storage = choose_storage(needed, self._budget)
        return Frozen(units, storage, views if storage != "none" else 1)

    @property
    def _budget(self) -> int:
        count = byte_count(self.budget)
        assert count is not None
        return count


_VIEWS = count("augmented views that are stored; 0: none", low=0, high=1000, unit="views a sample", default=0)
_BUDGET = size("memory for stored outputs", default="2GiB")


@register_modifier
@dataclass(frozen=True)
class LearnAndDrop(LayerDrop):
    """Learn&Drop: leading layers that have stopped learning leave the forward and the backward pass.

    What it takes and how it stores outputs is said of `LayerDrop`. The learning rate is taken out of the scores, so
    that a decaying policy does not look like a network that has learnt.

    The defaults drop late. Scores are low and flat early on, too, while a network has hardly begun to learn: limits
    that let units go then cost accuracy, so that a longer warmup is the first thing to try where it is lost.
    """

    tau: float = number("a unit is quiet below this fraction of its largest score", bounds=Bounds(0, 1), default=0.3)
    delta: float = number(
        "and while its score's slope is flatter than this",
        bounds=Bounds(0),
        unit="fraction of the largest score per epoch",
        default=0.02,
    )
    window: int = count("over how many scores the slope is taken", low=2, high=1000, unit="epochs", default=5)
    patience: int = count("how long a unit must be quiet", low=1, high=1000, unit="epochs", default=2)
    warmup: int = count("how long nothing counts as quiet", low=0, unit="epochs", default=5)
    views: int = _VIEWS
    budget: str = _BUDGET

    def done(self, training: Training, memory: Memory, lr: float) -> list[bool]:
        rule = {name: getattr(self, name) for name in ("tau", "delta", "window", "patience", "warmup")}
        return [is_done(scores, **rule) for scores in memory["scores"]]


@register_modifier
@dataclass(frozen=True)
class ForecastDrop(LayerDrop):
    """Learn&Drop by our own rule: leading layers leave training once the policy has little left to move them by.

    A unit is done when the forecast of what it would still move is below `rest` of what it has moved. The forecast
    takes the policy's learning rates to come; those of a policy that reacts are not known, and the last one stands for
    them. What it takes and how it stores outputs is said of `LayerDrop`. The rule and its defaults are ours.

    The default of `rest` lost at most 0.3 points of accuracy with VGG-11 on CIFAR-10 under a cosine, a stepped and a
    constant policy, and saved 9.5, 18.8 and 0% of forward operations (n = 5, `studies/forecast_drop_vgg11.md`). 0.05
    and 0.2 saved more, and lost up to 2.3 points where units left right at a decay.
    """

    looks_ahead = True

    rest: float = number(
        "a unit is done when less than this is left to move",
        bounds=Bounds(0),
        unit="of what it has moved",
        default=0.02,
    )
    window: int = count("over how many scores the forecast is made", low=1, high=1000, unit="epochs", default=3)
    warmup: int = count("how long nothing is done", low=0, unit="epochs", default=3)
    views: int = _VIEWS
    budget: str = _BUDGET

    def begin(self, training: Training) -> Memory:
        return {**super().begin(training), "rates": []}

    def done(self, training: Training, memory: Memory, lr: float) -> list[bool]:
        rates = memory["rates"] = [*memory["rates"], lr]
        left = training.lr_left
        known = [(scores, rates[: len(scores)]) for scores in memory["scores"]]
        left_to_move = [forecast(*each, left, self.window) if each[0] else 0.0 for each in known]
        return [len(rates) > self.warmup and share < self.rest for share in left_to_move]


def _trained(training: Training) -> list[list[str]]:
    """List the names of the trained weights of each unit."""
    from lrbench.modifiers.learn_and_drop.units import units_of

    names = {weight: name for name, weight in training.weights.items()}
    return [[names[weight] for weight in unit.parameters() if weight in names] for unit in units_of(training.module)]
