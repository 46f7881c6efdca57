"""The training loop: what one iteration does, and what modifiers see of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lrbench.engine.batches import in_micro_batches, mixed, train_batches
from lrbench.engine.clock import clock
from lrbench.engine.evaluation import Evaluation, compiled, evaluated_splits, forward, predict
from lrbench.engine.modifier import Modifier
from lrbench.engine.state import Flops, State, TrainingLoss, up_to_divergence
from lrbench.engine.trainable import Trainable
from lrbench.reproducible import seed_numpy_and_python, seed_torch
from lrbench.streams import stream_seed
from lrbench.tasks.optimizer_state import (
    HasModes,
    changed_groups,
    evaluated_weights,
    group_settings,
    restore,
)
from lrbench.tasks.snapshot import copied

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lrbench.engine.modifier import Memory, Watcher
    from lrbench.tasks import Task
    from lrbench.tasks.split import Batch

    Event = Callable[["Training", Memory], None]


class Training:
    """A run while it is trained.

    Attributes:
        task: what is trained.
        seed: the run's seed, from which a modifier derives its own random draws (`lrbench.streams`).
        step: iterations done so far.
        lr: the learning rate of the last iteration, that of the policy and of groups with ratio 1.
        module: the whole network.
        weights: the parameters that are being trained, by name.
        optimizer: the optimizer over `weights`.
        trainable: what of the network is trained, and what it is given.
        flops: floating-point operations spent so far.
    """

    def __init__(self, task: Task, state: State, modifiers: Sequence[Modifier], watchers: Sequence[Watcher]) -> None:
        self.task = task
        self.seed = state.seed
        self.step = state.step
        self.lr = math.nan
        self._known = self.step, np.empty(0)
        self.module = initial_network(task, state.seed).to(memory_format=torch.channels_last)
        if state.diverged_at is None:
            self.module.load_state_dict(state.model)
        self.module.train()
        self.trainable = Trainable(task, self.module, state.seed)
        self.weights = {name: weight for name, weight in self.module.named_parameters() if weight.requires_grad}
        self.optimizer = task.new_optimizer(self.module, self.weights)
        if isinstance(self.optimizer, HasModes):
            self.optimizer.train()
        self._built = group_settings(self.optimizer)
        for modifier in modifiers:
            if (memory := state.memories.get(str(modifier))) is not None:
                modifier.resume(self, memory, state)
        self._built_state = copied(dict(self.optimizer.state))
        if state.step:
            restore(self.optimizer, state.optimizer, state.groups)
        self._scaler = torch.amp.GradScaler(task.device.type, enabled=task.precision == "float16")
        self._scaler.load_state_dict(dict(state.scaler) or self._scaler.state_dict())
        # Where its first step is skipped, a fused optimizer would go on with a momentum that was never written.
        vars(self.optimizer)["_step_supports_amp_scaling"] = False
        self._skipped = state.scaler.get("skipped", 0)
        if self._scaler.is_enabled():
            self.optimizer.register_step_post_hook(self._note_step)
        self.flops = state.flops
        self.diverged_at = state.diverged_at
        self._initial_loss = state.initial_loss
        self._since_evaluation = state.since_evaluation
        self._modifiers = [(modifier, self._memory(modifier, state)) for modifier in modifiers]
        self._watchers = {str(watcher): (watcher, self._memory(watcher, state)) for watcher in watchers}
        self._watching = dict.fromkeys(self._watchers, 0.0)
        self._after_backward = list(self._having("after_backward"))
        self._before_step = list(self._having("before_step"))

    def know(self, lrs: NDArray[np.float64]) -> None:
        """Note the learning rates from this step on, as far as they are known."""
        self._known = self.step, lrs

    @property
    def lr_left(self) -> float:
        """The sum of the learning rates of the iterations to come; where they are not known, that of the last one."""
        start, lrs = self._known
        known = lrs[self.step - start :]
        return math.fsum(known) + self.lr * (self.task.steps - self.step - len(known))

    def run(self, lrs: Sequence[float]) -> None:
        """Train one iteration for each learning rate, and note where a loss was not finite."""
        if self.diverged_at is not None:
            return
        started = self.step
        losses: list[Tensor] = []
        costs: list[Flops] = []
        batches = train_batches(self.task, self.seed, started, started + len(lrs))
        for lr, batch in zip(lrs, batches, strict=True):
            with self.task.data.naming_labels(self.task.data.train, batch):
                losses.append(self._iterate(lr, batch))
            costs.append(self.trainable.flops)
            self._call_modifiers()
        self._note(started, torch.stack(losses).tolist(), costs)

    def evaluate(self) -> Iterator[Evaluation]:
        """Yield the evaluation at this step, if the run has not diverged."""
        began = clock()
        seen, self._since_evaluation = self._since_evaluation, TrainingLoss()
        if seen.has_left(self._initial_loss, self.task.divergence_factor) or not _is_finite(self.module):
            self.diverged_at = self.step
            return
        with evaluated_weights(self.optimizer):
            own = self.module
            with torch.no_grad():
                for modifier, memory in self._modifiers:
                    own = modifier.evaluated(self, memory, own)
            evaluation = self._evaluation(own, seen.mean, began)
            if not evaluation.is_finite:
                self.diverged_at = self.step
                return
            watched = {name: self._watched(name, seen.mean) for name in self._watchers}
        watching, self._watching = self._watching, dict.fromkeys(self._watchers, 0.0)
        yield replace(evaluation, watched=watched, watching=watching)

    def train_only(self, part: Trainable) -> None:
        """Take all but a part of the network out of training, for good.

        The optimizer keeps its state of what is still trained, and drops the rest.
        """
        self.trainable = part
        kept = set(part.trained.parameters())
        for weight in self.weights.values():
            if weight not in kept:
                weight.grad = None
                self.optimizer.state.pop(weight, None)
        self.weights = {name: weight for name, weight in self.weights.items() if weight in kept}
        groups = []
        for group, built in zip(self.optimizer.param_groups, self._built, strict=True):
            group["params"] = [weight for weight in group["params"] if weight in kept]
            if group["params"]:
                groups.append((group, built))
        self.optimizer.param_groups = [group for group, _ in groups]
        self._built = tuple(built for _, built in groups)

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """Replace the weights, by an average, say, and call `after_replacement` of every modifier.

        `weights` has every weight that is still trained, by name; others in it are left as they are in the network.
        """
        for name, weight in self.weights.items():
            weight.copy_(weights[name])
        for modifier, memory in self._modifiers:
            modifier.after_replacement(self, memory)

    def reset_optimizer(self) -> None:
        """Clear the optimizer's state, so that it is as it was built."""
        self.optimizer.state.clear()
        restore(self.optimizer, {}, self._built)
        left = {weight for weight in self._built_state if isinstance(weight, Tensor)} - set(self.weights.values())
        kept = {place: slots for place, slots in self._built_state.items() if place not in left}
        self.optimizer.state.update(copied(kept))

    def state(self) -> State:
        """Return a copy of the state, which further training leaves as it is."""
        if self.diverged_at is not None:
            return State.diverged(self.seed, self.step, self._initial_loss, self.flops)
        return State(
            seed=self.seed,
            step=self.step,
            model=copied(self.module.state_dict()),
            optimizer=copied(self.optimizer.state_dict()["state"]),
            groups=changed_groups(self._built, group_settings(self.optimizer)),
            initial_loss=self._initial_loss,
            since_evaluation=self._since_evaluation,
            flops=self.flops,
            memories={
                str(modifier): copied(memory) for modifier, memory in (*self._modifiers, *self._watchers.values())
            },
            scaler={**self._scaler.state_dict(), "skipped": self._skipped} if self._scaler.is_enabled() else {},
            features=self.trainable.features,
        )

    def _iterate(self, lr: float, batch: Batch) -> Tensor:
        """Train one iteration: batch, forward, backward, optimizer step; return its loss."""
        inputs, targets = self.trainable.inputs(self.step, batch), batch.targets
        if self.task.mix:
            inputs, targets = mixed(self.task, self.seed, self.step, inputs, targets)
        seed = stream_seed(self.seed, "forward", self.step)
        seed_torch(seed, self.task.device)
        if self.task.draws_elsewhere:
            seed_numpy_and_python(seed)
        for weight in self.weights.values():
            weight.grad = None
        self._thaw()
        loss = self._backpropagate(inputs, targets)
        self._scaler.unscale_(self.optimizer)
        self._call(self._after_backward)
        loss = self._clipped(loss)
        self._call(self._before_step)
        for group in self.optimizer.param_groups:
            own = group.get("lr_policy")
            group["lr"] = (lr if own is None else own(self.step)) * group["lr_ratio"]
        self._make_step()
        self.step += 1
        self.lr = lr
        return loss

    def _backpropagate(self, inputs: Any, targets: Any) -> Tensor:
        """Compute the loss of a batch, and its gradients."""
        task, network = self.task, compiled(self.task, self.trainable.trained)
        if task.micro_batch is None:
            loss = task.train_loss(forward(task, network, inputs), targets)
            self._scaler.scale(loss).backward()
            return loss.detach()
        total = torch.zeros((), device=task.device)
        for part, wanted, share in in_micro_batches(task, inputs, targets):
            loss = task.train_loss(forward(task, network, part), wanted) * share
            self._scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def _thaw(self) -> None:
        """Have gradients computed of the groups that are frozen until a certain iteration, from that one on."""
        frozen_first = [group for group in self.optimizer.param_groups if "frozen_until" in group]
        for group in frozen_first:
            for weight in group["params"]:
                weight.requires_grad_(self.step >= group["frozen_until"])
        if frozen_first:
            waiting = (name for name, weight in self.weights.items() if not weight.requires_grad)
            self.trainable.wait_for(frozenset(waiting))

    def _clipped(self, loss: Tensor) -> Tensor:
        """Clip the gradients, and return the loss, NaN where their norm is not finite and the step is not skipped."""
        if self.task.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(self.weights.values(), self.task.clip_norm)
            if not self._scaler.is_enabled():
                loss = torch.where(norm.isfinite(), loss, math.nan)
        if self.task.clip_value is not None:
            nn.utils.clip_grad_value_(self.weights.values(), self.task.clip_value)
        return loss

    def _make_step(self) -> None:
        """Make the optimizer's step, unless the loss was scaled so that gradients overflow."""
        if not self._scaler.is_enabled():
            self.optimizer.step()
            return
        self._skipped += 1  # until the step is made
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def _note_step(self, *_: object) -> None:
        self._skipped -= 1

    def _call(self, events: Sequence[tuple[Event, Memory]]) -> None:
        if events:
            with torch.no_grad():
                for event, memory in events:
                    event(self, memory)

    def _call_modifiers(self) -> None:
        """Call modifiers, and then watchers, after an iteration, and again where it was an epoch's last."""
        epoch_ended = self.step % self.task.steps_per_epoch == 0
        with torch.no_grad():
            for modifier, memory in self._modifiers:
                modifier.after_step(self, memory)
            if epoch_ended:
                for modifier, memory in self._modifiers:
                    modifier.after_epoch(self, memory)
            for name, (watcher, memory) in self._watchers.items():
                began = time.perf_counter()
                watcher.after_step(self, memory)
                if epoch_ended:
                    watcher.after_epoch(self, memory)
                self._watching[name] += time.perf_counter() - began

    def _watched(self, name: str, train_loss: float) -> Evaluation:
        """Evaluate a watcher's network."""
        began = clock()
        watcher, memory = self._watchers[name]
        with torch.no_grad():
            module = watcher.evaluated(self, memory, self.module)
        return self._evaluation(module, train_loss, began)

    def _evaluation(self, module: nn.Module, train_loss: float, began: float) -> Evaluation:
        splits = evaluated_splits(self.task, self.step).items()
        predictions = {name: predict(self.task, module, split) for name, split in splits}
        return Evaluation(self.step, train_loss, predictions, clock() - began)

    def _having(self, event: str) -> Iterator[tuple[Event, Memory]]:
        """Yield an event of the modifiers that act at it, so that the others cost nothing."""
        for modifier, memory in self._modifiers:
            if getattr(type(modifier), event) is not getattr(Modifier, event):
                yield getattr(modifier, event), memory

    def _memory(self, modifier: Watcher, state: State) -> Memory:
        known = state.memories.get(str(modifier))
        with torch.no_grad():
            memory: Memory = copied(modifier.begin(self) if known is None else known)
        return memory

    def _note(self, started: int, losses: list[float], costs: list[Flops]) -> None:
        made = up_to_divergence(losses)
        if made and not math.isfinite(made[-1]):
            self.step = self.diverged_at = started + len(made)
        for cost in costs[: len(made)]:
            self.flops += cost
        self._since_evaluation = self._since_evaluation.after(made)


def initial_network(task: Task, seed: int) -> nn.Module:
    """Make the network; its initial weights, and all else that its making draws, follow from the seed."""
    drawn = stream_seed(seed, "initial weights")
    torch.manual_seed(drawn)
    seed_numpy_and_python(drawn)
    return task.network()


def _is_finite(module: nn.Module) -> bool:
    held = module.state_dict().values()
    tensors = [tensor for tensor in held if tensor.is_floating_point() and tensor.numel()]
    if not tensors:
        return True
    return all(math.isfinite(norm) for norm in torch.stack(torch._foreach_norm(tensors, math.inf)).tolist())
