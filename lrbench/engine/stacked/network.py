"""Which tasks can be stacked, and a task's network as stacked layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.engine.evaluation import forward
from lrbench.engine.stacked.lanes import LaneTensors, Layout
from lrbench.engine.stacked.layers import (
    ELEMENTWISE,
    PER_CHANNEL,
    PER_SAMPLE,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Layer,
    Linear,
    PerChannel,
    PerSample,
    ReLU,
    Unflatten,
    WithoutWeights,
    out_of_place,
)
from lrbench.engine.stacked.optimizers import STACKED
from lrbench.errors import one_line
from lrbench.reproducible import deterministic, generator_states
from lrbench.tasks.remembered import once_per_task
from lrbench.tasks.snapshot import identical

if TYPE_CHECKING:
    from lrbench.engine.modifier import Modifier, Watcher
    from lrbench.tasks import Task

Loss = Callable[[Tensor, Tensor], Tensor]

TOLERANCE = 1e-3
"""How far the stacked outputs of one batch may lie from the serial ones, relative to the largest of them."""


@dataclass(frozen=True, eq=False)
class Network:
    """A task's network as stacked layers.

    Attributes:
        layers: in order.
        layout: where its parameters lie in a lane's row.
        names: its parameters and buffers, in the order of torch's `state_dict`.
    """

    layers: tuple[Layer, ...]
    layout: Layout
    names: tuple[str, ...]

    @property
    def uses_dropout(self) -> bool:
        """Whether training draws random numbers in the forward pass."""
        return any(isinstance(layer, Dropout) for layer in self.layers)

    def outputs(self, inputs: Tensor, live: LaneTensors) -> Tensor:
        """Compute the outputs [K, ..., B] of K lanes for decoded inputs [K, ..., B]."""
        for layer in self.layers:
            inputs, _ = layer.forward(inputs, live)
        return inputs

    def backpropagate(self, task: Task, inputs: Tensor, targets: Tensor, live: LaneTensors) -> Tensor:
        """Compute the loss [K] of each lane for decoded inputs [K, ..., B] and targets [K, B, ...].

        The gradients are written into `live`.
        """
        x, saved = inputs, []
        for layer in self.layers:
            x, kept = layer.forward(x, live)
            saved.append(kept)
        found, gradient = _losses_and_gradient(task.train_loss, x, targets)
        first = next(i for i, layer in enumerate(self.layers) if layer.has_weights)
        for i in range(len(self.layers) - 1, first - 1, -1):
            gradient = self.layers[i].backward(gradient, saved.pop(), live, need_input_grad=i > first)
        return found


class RefusalError(Exception):
    """A network cannot be stacked; the message is a clause that says why."""


def why_not_stacked(task: Task, modifiers: Sequence[Modifier] = (), watchers: Sequence[Watcher] = ()) -> str | None:
    """Return a clause that says why the stacked engine cannot train a task with these modifiers; None where it can.

    It trains networks that are an `nn.Sequential` (of `nn.Sequential`s, to any depth) of the layers of
    `lrbench.engine.stacked.layers`, and compares their outputs for a first batch with those of the network itself. It
    knows the optimizers of `lrbench.tasks.optimizers`, any loss that draws no random numbers, any augmentation,
    float32, no parameter groups, and no modifiers.
    """
    parts = (*modifiers, *watchers)
    if parts:
        return f"{parts[0]} is not known to the stacked engine"
    if type(task.optimizer) not in STACKED:
        return f"the optimizer {type(task.optimizer).__name__} is not known to the stacked engine"
    if task.groups:
        return "parameter groups are not known to the stacked engine"
    if task.precision != "float32":
        return f"the stacked engine trains in float32, not in {task.precision}"
    for name in ("micro_batch", "mix", "compile"):
        if getattr(task, name):
            return f"the stacked engine has no {name}"
    if not task.data.in_memory:
        return "its samples are loaded from datasets, and the stacked engine needs them in memory"
    found = stacked_network(task)
    return found if isinstance(found, str) else None


def losses(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Compute a loss in each lane, [K], for outputs [K, ..., B] and targets [K, B, ...]."""
    if _is_cross_entropy(loss, outputs, targets):
        return _cross_entropy(outputs.log_softmax(1), targets)
    return torch.stack(list(map(loss, outputs.movedim(-1, 1).contiguous(), targets)))


def _losses_and_gradient(loss: Loss, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the losses, and their gradient with respect to the outputs."""
    if not _is_cross_entropy(loss, outputs, targets):
        with torch.enable_grad():
            outputs = outputs.detach().requires_grad_()
            found = losses(loss, outputs, targets)
            gradient = torch.autograd.grad(found.sum(), outputs)[0]
        return found.detach(), gradient
    surprise = outputs.log_softmax(1)
    found = _cross_entropy(surprise, targets)
    gradient = surprise.exp_()
    places = targets.unsqueeze(1)
    gradient.scatter_add_(1, places, gradient.new_full((), -1).expand_as(places))
    return found, gradient.div_(targets.shape[1])


def _is_cross_entropy(loss: Loss, outputs: Tensor, targets: Tensor) -> bool:
    return loss is F.cross_entropy and outputs.dim() == 3 and targets.dim() == 2 and targets.dtype == torch.int64


def _cross_entropy(logarithms: Tensor, targets: Tensor) -> Tensor:
    """Return minus the mean logarithm of the targets' probability, [K], from logarithms [K, classes, B]."""
    return logarithms.gather(1, targets.unsqueeze(1)).mean((1, 2)).neg_()


@once_per_task
def stacked_network(task: Task) -> Network | str:
    """Make a task's network of stacked layers, or return a clause that says why that cannot be done."""
    with deterministic():
        torch.manual_seed(0)
        module = task.network().to(memory_format=torch.channels_last)
        inputs = task.data.decode(task.data.train.inputs[: task.batch_size])
        before = {name: kept.clone() for name, kept in module.state_dict().items()}
        try:
            _check_weights(module)
            layers = _chained(_layers(module, "", _dropout_inputs(task, module, inputs)))
            layout = Layout({name: weight.shape for name, weight in module.named_parameters()})
            network = Network(layers, layout, tuple(before))
            module.load_state_dict(before)
            _check_outputs(task, module, network, inputs)
        except RefusalError as refusal:
            return str(refusal)
    return network


def _check_weights(module: nn.Module) -> None:
    named = list(module.named_parameters(remove_duplicate=False))
    if len(named) > len(list(module.parameters())):
        raise RefusalError("two of its layers share a parameter")
    for name, weight in named:
        if not weight.requires_grad:
            raise RefusalError(f"the parameter {name} is not trained")
        if weight.dtype != torch.float32:
            raise RefusalError(f"the parameter {name} is not float32")


def _dropout_inputs(task: Task, module: nn.Module, inputs: Tensor) -> dict[nn.Module, Tensor]:
    """Return a tensor like the inputs that each dropout layer has when the serial engine trains."""
    seen: dict[nn.Module, Tensor] = {}

    def look(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[layer] = torch.empty_like(inputs[0])

    hooks = [layer.register_forward_pre_hook(look) for layer in module.modules() if isinstance(layer, nn.Dropout)]
    if hooks:
        with torch.no_grad():
            forward(task, module.train(), inputs)
    for hook in hooks:
        hook.remove()
    return seen


def _layers(module: nn.Module, name: str, dropout_inputs: dict[nn.Module, Tensor]) -> Iterator[Layer]:
    kind = type(module)
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or "forward" in vars(module):
        raise RefusalError(f"its layer {name or kind.__name__} has hooks")
    if isinstance(module, nn.Sequential) and kind is nn.Sequential:
        for child, layer in module._modules.items():
            assert layer is not None
            yield from _layers(layer, f"{name}{child}.", dropout_inputs)
    else:
        yield _layer(module, name, dropout_inputs)


def _chained(layers: Iterator[Layer]) -> tuple[Layer, ...]:
    """Chain the layers; one that may overwrite its inputs does."""
    chain: list[Layer] = []
    for layer in layers:
        overwrites = isinstance(layer, ReLU) and bool(chain) and chain[-1].owns_output
        chain.append(ReLU(in_place=True) if overwrites else layer)
    return tuple(chain)


def _layer(module: nn.Module, name: str, dropout_inputs: dict[nn.Module, Tensor]) -> Layer:
    kind = type(module)
    if kind is nn.ReLU:
        return ReLU(in_place=False)
    if kind in ELEMENTWISE:
        return WithoutWeights(out_of_place(module))
    if kind in PER_CHANNEL:
        return PerChannel(module)
    if kind in PER_SAMPLE:
        return PerSample(module)
    if isinstance(module, nn.Linear) and kind is nn.Linear:
        return Linear(name, module.bias is not None)
    if isinstance(module, nn.Conv1d | nn.Conv2d) and kind in (nn.Conv1d, nn.Conv2d):
        return _conv(module, name)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        return _batch_norm(module, name)
    if isinstance(module, nn.Flatten) and kind is nn.Flatten and module.start_dim != 0:
        return Flatten(module.start_dim, module.end_dim)
    if isinstance(module, nn.Unflatten) and kind is nn.Unflatten and isinstance(module.dim, int) and module.dim != 0:
        return Unflatten(module.dim, tuple(int(size) for size in module.unflattened_size))
    if isinstance(module, nn.Dropout) and kind is nn.Dropout:
        like = dropout_inputs[module]
        if like.device.type != "cpu" and module.p:
            raise RefusalError(f"dropout draws other numbers on {like.device.type} where lanes are stacked")
        return Dropout(module.p, like) if module.p else WithoutWeights(nn.Identity())
    raise RefusalError(f"the layer {kind.__name__} is not known to the stacked engine")


def _conv(module: nn.Conv1d | nn.Conv2d, name: str) -> Conv:
    if module.groups != 1 or module.padding_mode != "zeros":
        raise RefusalError(f"its convolution {name.rstrip('.')} has groups, or another padding than zeros")
    padding = tuple(module._reversed_padding_repeated_twice)
    return Conv(name, module.bias is not None, module.kernel_size, module.stride, padding, module.dilation)


def _batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, name: str) -> BatchNorm:
    if module.momentum is None or not module.track_running_stats:
        raise RefusalError(f"its batch normalisation {name.rstrip('.')} keeps no running average of its statistics")
    return BatchNorm(name, module.eps, module.momentum, module.affine)


def _check_outputs(task: Task, module: nn.Module, network: Network, inputs: Tensor) -> None:
    """Compare a batch's outputs, in training and then in eval mode, with those of the network itself."""
    live = LaneTensors.of(network.layout, [module.state_dict()], task.device)
    for training in (True, False):
        live.training = training
        torch.manual_seed(1)
        live.generators[0].manual_seed(1)
        with torch.no_grad():
            try:
                expected = forward(task, module.train(training), inputs)
                found = network.outputs(inputs.movedim(0, -1)[None], live)[0].movedim(-1, 0)
            except (RuntimeError, IndexError, ValueError) as error:
                raise RefusalError(f"its layers cannot be stacked: {one_line(error)}") from error
        largest = float(expected.abs().max())
        if expected.shape != found.shape or not float((expected - found).abs().max()) <= TOLERANCE * largest:
            raise RefusalError("its stacked outputs are not those of the network")
        before = generator_states()
        task.loss(expected, task.data.train.targets[: len(inputs)])
        if not identical(before, generator_states()):
            raise RefusalError("its loss draws random numbers")
