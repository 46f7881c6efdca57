"""A training state come to life: what one iteration does, and what modifiers see of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lrbench.engine.batches import batch_indices, train_batch
from lrbench.engine.evaluation import Evaluation, forward, predict, train_subset
from lrbench.engine.flops import features_flops, step_flops
from lrbench.engine.frozen import extended_features, extends, frozen_features, split_network, stored_batch
from lrbench.engine.state import Flops, Frozen, State, TrainingLoss, up_to_divergence
from lrbench.reproducible import seed_generators, seed_numpy_and_python, seed_torch
from lrbench.streams import stream_seed
from lrbench.tasks.optimizer_state import HasModes, changed_groups, evaluated_weights, group_settings, restore
from lrbench.tasks.snapshot import copied

if TYPE_CHECKING:
    from lrbench.engine.modifier import Memory, Modifier, Watcher
    from lrbench.tasks import Task


class Training:
    """A run while it is trained.

    Attributes:
        task: what is trained.
        seed: the run's seed, from which a modifier derives its own random draws (`lrbench.streams`).
        step: iterations done so far.
        lr: the learning rate of the last iteration.
        module: the whole network.
        weights: the parameters that are being trained, by name.
        optimizer: the optimizer over `weights`.
        frozen: the leading units that are no longer trained.
    """

    def __init__(self, task: Task, state: State, modifiers: Sequence[Modifier], watchers: Sequence[Watcher]) -> None:
        self.task = task
        self.seed = state.seed
        self.step = state.step
        self.lr = math.nan
        self.module = initial_network(task, state.seed).to(memory_format=torch.channels_last)
        if state.diverged_at is None:
            self.module.load_state_dict(state.model)
        self.module.train()
        self._trained: nn.Module = self.module
        self._prefix = nn.Sequential()
        self._features = state.features
        self.weights = {name: weight for name, weight in self.module.named_parameters() if weight.requires_grad}
        self.optimizer = task.optimizer.build(list(self.weights.values()))
        if isinstance(self.optimizer, HasModes):
            self.optimizer.train()
        self._ratios = _lr_ratios(self.optimizer)
        self._built = group_settings(self.optimizer)
        self.frozen = state.frozen
        if self.frozen.units:
            self._take_out(self.frozen.units)
        restore(self.optimizer, state.optimizer, state.groups)
        self.flops = state.flops
        self.diverged_at = state.diverged_at
        self._initial_loss = state.initial_loss
        self._since_evaluation = state.since_evaluation
        self._modifiers = [(modifier, self._memory(modifier, state)) for modifier in modifiers]
        self._watchers = {str(watcher): (watcher, self._memory(watcher, state)) for watcher in watchers}
        self._watching = dict.fromkeys(self._watchers, 0.0)
        self._augmentation = torch.Generator()

    def run(self, lrs: Sequence[float]) -> None:
        """Train one iteration for each learning rate, and note where a loss was not finite."""
        if self.diverged_at is not None:
            return
        started = self.step
        losses: list[Tensor] = []
        costs: list[Flops] = []
        for lr, indices in zip(lrs, batch_indices(self.task, self.seed, started, started + len(lrs)), strict=True):
            losses.append(self._iterate(lr, indices))
            costs.append(step_flops(self.task, self.frozen))
            self._tell_methods()
        self._note(started, torch.stack(losses).tolist(), costs)

    def evaluate(self) -> Iterator[Evaluation]:
        """The evaluation at this step, if the run has not diverged."""
        seen, self._since_evaluation = self._since_evaluation, TrainingLoss()
        if seen.lowest > self.task.divergence_factor * self._initial_loss or not _is_finite(self.module):
            self.diverged_at = self.step
            return
        with evaluated_weights(self.optimizer):
            own = self.module
            with torch.no_grad():
                for modifier, memory in self._modifiers:
                    own = modifier.evaluated(self, memory, own)
            evaluation = self._evaluation(own, seen.mean)
            if not evaluation.is_finite:
                self.diverged_at = self.step
                return
            watched = {name: self._watched(name, seen.mean) for name in self._watchers}
        watching, self._watching = self._watching, dict.fromkeys(self._watchers, 0.0)
        finite = {name: beside for name, beside in watched.items() if beside.is_finite}
        yield replace(evaluation, watched=finite, watching=watching)

    def freeze(self, frozen: Frozen) -> None:
        """Take leading units out of training: out of the forward and the backward pass, and of the optimizer.

        Unless the storage is "none", their outputs over the train split are computed now, which is counted, and
        training goes on from those. The optimizer keeps its state of what is still trained, and drops the rest.

        Raises:
            TaskError: the network has no units.
            ValueError: there are fewer units than are frozen already, or all there are.
        """
        before, features = self.frozen, self._features
        if frozen.units < before.units:
            raise ValueError(f"{before.units} units are frozen, and {frozen.units} of them cannot be trained again")
        self.frozen, self._features = frozen, None
        self._take_out(frozen.units)
        if features is not None and extends(frozen, before):
            self._features = extended_features(self.task, self._prefix[before.units :], frozen, features)
        elif frozen.stored:
            self._features = frozen_features(self.task, self._prefix, frozen, self.seed)
        self.flops += features_flops(self.task, frozen, before)

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from other weights (an average, say), and tell the modifiers that the path up to here has ended.

        `weights` has every weight that is still trained, by name; others in it are left as they are in the network.
        """
        for name, weight in self.weights.items():
            weight.copy_(weights[name])
        for modifier, memory in self._modifiers:
            modifier.after_replacement(self, memory)

    def reset_optimizer(self) -> None:
        """Let the optimizer forget what it has kept since it was built."""
        self.optimizer.state.clear()
        restore(self.optimizer, {}, self._built)

    def state(self) -> State:
        """A copy of where training stands, that further training leaves as it is."""
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
            frozen=self.frozen,
            memories={str(method): copied(memory) for method, memory in (*self._modifiers, *self._watchers.values())},
            features=self._features,
        )

    def _take_out(self, units: int) -> None:
        """Let only what follows the first units be trained, and have those in eval mode."""
        self._prefix, self._trained = split_network(self.module, units)
        self._prefix.eval()
        gone = set(self._prefix.parameters())
        for parameter in gone:
            parameter.grad = None
            self.optimizer.state.pop(parameter, None)
        self.weights = {name: weight for name, weight in self.weights.items() if weight not in gone}
        kept = []
        for group, ratio, built in zip(self.optimizer.param_groups, self._ratios, self._built, strict=True):
            group["params"] = [weight for weight in group["params"] if weight not in gone]
            if group["params"]:
                kept.append((group, ratio, built))
        self.optimizer.param_groups = [group for group, _, _ in kept]
        self._ratios = [ratio for _, ratio, _ in kept]
        self._built = tuple(built for _, _, built in kept)

    def _iterate(self, lr: float, indices: Tensor) -> Tensor:
        """One iteration: batch, forward, backward, optimizer step; returns its loss."""
        inputs = self._inputs(indices)
        seed = stream_seed(self.seed, "forward", self.step)
        seed_torch(seed, inputs.device)
        if self.task.draws_elsewhere:
            seed_numpy_and_python(seed)
        for weight in self.weights.values():
            weight.grad = None
        loss = self.task.loss(forward(self.task, self._trained, inputs), self.task.data.train.targets[indices])
        loss.backward()
        for group, ratio in zip(self.optimizer.param_groups, self._ratios, strict=True):
            group["lr"] = lr * ratio
        self.optimizer.step()
        self.step += 1
        self.lr = lr
        return loss.detach()

    def _inputs(self, indices: Tensor) -> Tensor:
        """What the trained part of the network is given for these samples."""
        if not self.frozen.units:
            return self._augmented(indices)
        if not self.frozen.stored:
            with torch.no_grad():
                inputs = self._augmented(indices)
                if self.task.draws_elsewhere:
                    seed_generators(stream_seed(self.seed, "frozen units", self.step), inputs.device)
                return forward(self.task, self._prefix, inputs)
        if self._features is None:
            self._features = frozen_features(self.task, self._prefix, self.frozen, self.seed)
        return stored_batch(self._features, self._views(len(indices)), indices)

    def _augmented(self, indices: Tensor) -> Tensor:
        return self.task.data.decode(train_batch(self.task, self.seed, self.step, indices, self._augmentation))

    def _views(self, samples: int) -> Tensor:
        """Which stored view each sample of this iteration's batch is taken from."""
        generator = self._augmentation.manual_seed(stream_seed(self.seed, "stored view", self.step))
        return torch.randint(self.frozen.views, (samples,), generator=generator).to(self.task.device)

    def _tell_methods(self) -> None:
        """Tell modifiers, and then watchers, that an iteration is done, and where it was an epoch's last, that too."""
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
        """The evaluation of a watcher's network."""
        began = time.perf_counter()
        watcher, memory = self._watchers[name]
        with torch.no_grad():
            module = watcher.evaluated(self, memory, self.module)
        evaluation = self._evaluation(module, train_loss)
        self._watching[name] += time.perf_counter() - began
        return evaluation

    def _evaluation(self, module: nn.Module, train_loss: float) -> Evaluation:
        task = self.task
        val, test = predict(task, module, task.data.val), predict(task, module, task.data.test)
        train = predict(task, module, train_subset(task)) if self.step == task.steps else None
        return Evaluation(self.step, train_loss, val, test, train)

    def _memory(self, method: Watcher, state: State) -> Memory:
        known = state.memories.get(str(method))
        with torch.no_grad():
            memory: Memory = copied(method.begin(self) if known is None else known)
        return memory

    def _note(self, started: int, losses: list[float], costs: list[Flops]) -> None:
        made = up_to_divergence(losses)
        if made and not math.isfinite(made[-1]):
            self.step = self.diverged_at = started + len(made)
        for cost in costs[: len(made)]:
            self.flops += cost
        self._since_evaluation = self._since_evaluation.after(made)


def initial_network(task: Task, seed: int) -> nn.Module:
    """The network with the initial weights that the seed stands for, and whatever else its making draws."""
    drawn = stream_seed(seed, "initial weights")
    torch.manual_seed(drawn)
    seed_numpy_and_python(drawn)
    return task.network()


def _lr_ratios(optimizer: torch.optim.Optimizer) -> list[float]:
    """Each parameter group's learning rate over that of the first, as the optimizer was built."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    return [rate / rates[0] for rate in rates]


def _is_finite(module: nn.Module) -> bool:
    tensors = [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
    return all(math.isfinite(norm) for norm in torch.stack(torch._foreach_norm(tensors, math.inf)).tolist())
