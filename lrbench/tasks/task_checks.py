"""The checks of a task when it is made: its settings, and two samples through all that it is trained by."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import UninitializedParameter

from lrbench.display.names import many
from lrbench.errors import TaskError
from lrbench.policy.budget import Budget
from lrbench.policy.kind import short_repr
from lrbench.reproducible import seed_generators
from lrbench.tasks.arrays import is_integer
from lrbench.tasks.fingerprint import OF_TORCH_OR_OURS, fingerprint, from_library, module_of, package_of, text_digest
from lrbench.tasks.library_optimizers import LibraryOptimizer
from lrbench.tasks.limits import check_budget, check_curve_samples, check_numerics
from lrbench.tasks.metric import LOSS, Metric
from lrbench.tasks.nested import logits_of, moved, shapes
from lrbench.tasks.optimizers import CustomOptimizer, OptimizerSpec
from lrbench.tasks.probe import attempt, backpropagate, check_network, check_optimizer

if TYPE_CHECKING:
    from lrbench.tasks.mixtures import Mixture
    from lrbench.tasks.split import Batch
    from lrbench.tasks.task import Task


def check_settings(task: Task) -> None:
    """Raise TaskError where a setting is of the wrong type, is out of its range, or does not fit the others."""
    if not isinstance(task.name, str) or not task.name:
        raise TaskError(f"task: name = {task.name!r} must be a text")
    where = f"task '{task.name}'"
    every = None if task.eval_every == 0 else task.eval_every
    check_budget(where, batch_size=task.batch_size, steps=task.steps, eval_every=every)
    check_numerics(where, task)
    if task.label_smoothing and task.loss is not F.cross_entropy:
        raise TaskError(
            f"{where}: label_smoothing = {task.label_smoothing} needs torch's cross_entropy as the loss; others "
            "have their own, such as nn.CrossEntropyLoss(label_smoothing=0.1)"
        )
    check_curve_samples(where, task.curve_samples)
    if task.batch_size > len(task.data.train):
        raise TaskError(
            f"{where}: batch_size = {short_repr(task.batch_size)} is larger than the train split of "
            f"{many(len(task.data.train), 'sample')}"
        )
    if not isinstance(task.optimizer, OptimizerSpec):
        raise TaskError(
            f"{where}: optimizer = {short_repr(task.optimizer)} must be a name, a specification such as SGD(), or a "
            "function such as lambda params: torch.optim.SGD(params, lr=1.0)"
        )
    # The model is checked later: any number of parameters shows whether lengths go together.
    budget = Budget(task.steps, task.steps_per_epoch, task.tokens_per_step, task.tokens_per_step)
    task.groups.check(task.optimizer, budget)
    if isinstance(task.model, nn.Module):
        raise TaskError(f"{where}: model must be a function that builds the network, not a network")
    changes = (*(("augment", each) for each in task.augment), *(("mix", each) for each in task.mix))
    for part, function in (("model", task.model), ("loss", task.loss), *changes):
        if not callable(function):
            raise TaskError(f"{where}: {part} = {function!r} must be a function")
        if isinstance(function, type) and part != "model":
            name = function.__name__
            raise TaskError(f"{where}: {part} = {name} is a class where a function is needed: give {name}()")
    if task.augment and len(task.data.input_shape) != 3:
        shape = list(task.data.input_shape)
        raise TaskError(f"{where}: augmentation needs images [C, H, W], and the inputs have shape {shape}")
    if task.metric is not None and task.metric != LOSS and not isinstance(task.metric, Metric):
        raise TaskError(
            f'{where}: metric = {short_repr(task.metric)} must be a Metric(name, function, chance), "{LOSS}", or None '
            "for the top-1 accuracy of a classification"
        )
    if task.metric is None and task.data.num_classes is None:
        labels = "" if task.data.in_memory else "; where they are, give the data num_classes"
        raise TaskError(
            f"{where}: targets that are no class labels need a metric=Metric(name, function, chance), "
            f'or metric="{LOSS}"{labels}'
        )


def check_augmentation(task: Task) -> None:
    """Put two samples through the augmentation; raise TaskError where it fails or changes their type or shape."""
    if not task.augment:
        return
    batch = moved(task.data.train.first(2).inputs, "cpu")
    expected = f"{_dtype(batch)} {list(batch.shape)}"
    for augment in task.augment:
        name = getattr(augment, "__name__", None) or type_name(augment)
        where = f"task '{task.name}': the augmentation {name}"
        found = attempt(f"{where} fails on a batch {expected}", augment, batch, torch.Generator().manual_seed(0))
        if not isinstance(found, Tensor):
            raise TaskError(f"{where} returns a {type_name(found)} where a batch {expected} is needed")
        if found.dtype != batch.dtype or found.shape != batch.shape:
            raise TaskError(
                f"{where} returns a batch {_dtype(found)} {list(found.shape)} where it was given one {expected}: "
                "type and shape must stay"
            )


def check_model(task: Task) -> Mapping[str, bool | str]:
    """Put two samples through model and loss, and make the optimizer; train two steps where a part is foreign.

    Returns:
        The fields of the task that follow from its parts: `draws_elsewhere`, `keeps_more_than_state`, `structure`.

    Raises:
        TaskError: a part fails, returns what cannot be used, or keeps what a run would lose.
    """
    where = f"task '{task.name}'"
    samples = task.data.train.first(2)
    inputs, targets = (moved(part, "cpu") for part in (task.data.decode(samples.inputs), samples.targets))
    if isinstance(inputs, Tensor) and not inputs.isfinite().all():
        raise TaskError(f"{where}: the inputs of the first samples are not all finite: train on numbers alone")
    hint, language = _hint(samples), task.data.language
    if language is not None:
        inputs, targets = (_with_the_last_token(ids, language.vocabulary) for ids in (inputs, targets))
        hint = f" of {language.vocabulary:,} tokens"
    with torch.no_grad():
        network = _new_network(task, where)
        failing = f"{where}: the model fails on a batch of shape {shapes(inputs)}{hint}"
        outputs = attempt(failing, network.train(), inputs)
    _check_outputs(task, where, outputs, targets, len(samples.indices))
    given = f"outputs {shapes(outputs)} and targets {shapes(targets)}{'' if language is None else hint}"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Using a target size")  # torch would compare each output with each target
        with task.data.naming_labels(task.data.train, samples):
            loss = attempt(f"{where}: the loss fails on {given}", task.loss, outputs, targets)
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        found = f"a tensor {list(loss.shape)}" if isinstance(loss, Tensor) else f"a {type_name(loss)}"
        raise TaskError(f"{where}: the loss returns {found}; it must be a scalar tensor, the mean over the batch")
    if task.loss is F.cross_entropy and isinstance(targets, Tensor) and targets.is_floating_point():
        _check_probabilities(where, targets)
    for mixture in task.mix:
        _check_mixture(task, where, mixture, outputs, inputs, targets)
    named = task.groups.freeze(network).named_parameters()
    weights = {name: weight for name, weight in named if weight.requires_grad}
    if not weights:
        raise TaskError(f"{where}: the model has no parameters to train")
    parts: list[Any] = [*network.modules(), task.loss, *task.augment]
    if not all(from_library(module_of(part)) for part in (*network.modules(), task.loss)):

        def anew() -> nn.Module:
            return materialized(_new_network(task, where), lambda: inputs)

        check_network(where, anew, task.loss, (inputs, targets), partial(_held, task))
    keeps_more = False
    foreign = isinstance(task.optimizer, CustomOptimizer | LibraryOptimizer)
    if task.groups or foreign or package_of(task.optimizer) != "lrbench":
        optimizer = _new_optimizer(task, where, network, weights)
        parts.append(optimizer)
        backpropagate(where, network, task.loss, (inputs, targets), 0)

        def build(copies: list[nn.Parameter]) -> torch.optim.Optimizer:
            return _new_optimizer(task, where, network, dict(zip(weights, copies, strict=True)))

        keeps_more = check_optimizer(where, build, list(weights.values())) and package_of(optimizer) != "torch"
    draws_elsewhere = any(package_of(part) not in OF_TORCH_OR_OURS for part in parts)
    structure = _structure(network)
    return {"draws_elsewhere": draws_elsewhere, "keeps_more_than_state": keeps_more, "structure": structure}


def _structure(network: nn.Module) -> str:
    modules = (f"{name}: {type(module).__qualname__}" for name, module in network.named_modules())
    return text_digest(*modules, *(f"{name}: {list(weight.shape)}" for name, weight in network.named_parameters()))


def _check_outputs(task: Task, where: str, outputs: Any, targets: Any, samples: int) -> None:
    """Check that outputs are what scores need; where only the loss is given them, they may be anything."""
    if task.data.in_memory and not isinstance(outputs, Tensor):
        raise TaskError(f"{where}: the model returns a {type_name(outputs)} where a tensor is needed")
    if task.data.num_classes is None:
        return
    logits, expected = logits_of(outputs), [samples, task.data.num_classes]
    if not isinstance(logits, Tensor):
        raise TaskError(
            f"{where}: the model returns a {type_name(outputs)} where a tensor or one as `logits` is needed"
        )
    if list(logits.shape) != expected:
        kind = " of a classification (targets of a regression are floating-point)" if logits.shape[1:] == (1,) else ""
        raise TaskError(f"{where}: the model's output has shape {list(logits.shape)}; {expected} is needed{kind}")
    labels = attempt(f"{where}: a batch {shapes(targets)} has no {task.data.target!r}", task.data.scored, targets)
    if not isinstance(labels, Tensor) or labels.is_floating_point() or list(labels.shape) != [samples]:
        found = f"{_dtype(labels)} {list(labels.shape)}" if isinstance(labels, Tensor) else shapes(labels)
        key = "" if task.data.target is None else f" at target={task.data.target!r}"
        several = not key and not isinstance(labels, Tensor)
        hint = "; where a batch has more than its labels, target= names them" if several else ""
        raise TaskError(
            f"{where}: the class labels of a batch of {samples}{key} are {found}, which must be integers "
            f"[{samples}]{hint}"
        )


def _check_probabilities(where: str, targets: Tensor) -> None:
    """Refuse targets that torch's cross-entropy, the loss unless another is given, would take for probabilities."""
    if targets.shape[1:] == (1,) or bool((targets < 0).any()):
        raise TaskError(
            f"{where}: targets {list(targets.shape)} are no class probabilities, which cross_entropy takes: give "
            "another loss, such as torch.nn.functional.mse_loss for a regression"
        )


def _with_the_last_token(ids: Tensor, vocabulary: int) -> Tensor:
    """Put the last token of a vocabulary at the end of a batch of ids, which a model or a loss of fewer fails on."""
    return torch.cat([ids[..., :-1], torch.full_like(ids[..., -1:], vocabulary - 1)], dim=-1)


def _hint(samples: Batch) -> str:
    """Write what a model that fails on samples may have been given by mistake."""
    inputs = samples.inputs
    if inputs is samples.targets:
        return ", all of it, since it is no pair"
    if not isinstance(inputs, Tensor) or inputs.is_floating_point():
        return ""
    if is_integer(inputs):
        return " of integers, which must be floating-point inputs where they are no ids"
    return " of uint8 images, scaled and normalised; ids must be of another integer type"


def _check_mixture(task: Task, where: str, mixture: Mixture, outputs: Any, inputs: Any, targets: Any) -> None:
    """Put two samples, their class labels as probabilities, through a mixture and the training loss."""
    where = f"{where}: the mixture {getattr(mixture, '__name__', None) or type_name(mixture)}"
    if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
        raise TaskError(
            f"{where} needs batches of two tensors, not of a {type_name(inputs)} and a {type_name(targets)}"
        )
    soft = task.as_probabilities(targets)
    given = f"inputs {_dtype(inputs)} {shapes(inputs)} and targets {_dtype(soft)} {shapes(soft)}"
    mixed = attempt(f"{where} fails on {given}", mixture, inputs, soft)
    parts = mixed if isinstance(mixed, tuple | list) else ()
    if [part.shape for part in parts if isinstance(part, Tensor)] != [inputs.shape, soft.shape]:
        raise TaskError(f"{where} must return the like of {given}, not {shapes(mixed)}")
    attempt(f"{where}: the loss fails on its targets", task.train_loss, outputs, parts[1])


def _held(task: Task) -> str:
    """Digest what the code of model and loss holds; empty where that has no identity or a version stands for it."""
    try:
        return "" if task.version is not None else fingerprint((task.model, task.loss))
    except TaskError:
        return ""


def _new_network(task: Task, where: str) -> nn.Module:
    seed_generators(0, torch.device("cpu"))
    network = attempt(f"{where}: the model function fails", task.model)
    if not isinstance(network, nn.Module):
        raise TaskError(f"{where}: the model function returns a {type_name(network)} where an nn.Module is needed")
    return network


def _new_optimizer(
    task: Task, where: str, network: nn.Module, weights: Mapping[str, nn.Parameter]
) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = attempt(
        f"{where}: the optimizer function fails", task.new_optimizer, network, weights
    )
    return optimizer


def materialized(network: nn.Module, inputs: Callable[[], Tensor]) -> nn.Module:
    """Give lazy layers their shapes by a forward pass in eval mode; return the network."""
    if any(isinstance(parameter, UninitializedParameter) for parameter in network.parameters()):
        with torch.no_grad():
            network.eval()(inputs())
    return network


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def type_name(value: Any) -> str:
    return type(value).__name__
