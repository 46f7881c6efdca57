"""Task: what is trained, as one frozen value. Everything that determines a run's numbers, except policy and seed."""

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block
from lrbench.errors import TaskError, did_you_mean
from lrbench.policy.kind import short_repr
from lrbench.reproducible import callers_generators, deterministic, seed_generators
from lrbench.streams import stream_seed
from lrbench.tasks.any_task import AnyTask
from lrbench.tasks.augment import Augmentation
from lrbench.tasks.data import Data
from lrbench.tasks.fingerprint import fingerprint, package_of, text_digest
from lrbench.tasks.groups import Groups
from lrbench.tasks.initial_weights import Pretrained
from lrbench.tasks.limits import (
    ALL,
    DIVERGENCE_FACTOR,
    Compile,
    CurveSamples,
    Precision,
    curve_samples_for,
    eval_every_for,
)
from lrbench.tasks.metric import LOSS, Better, Bounds, Metric
from lrbench.tasks.mixtures import Mixture
from lrbench.tasks.models.registered import RegisteredModel
from lrbench.tasks.optimizer_state import BuiltOptimizer, note_ratios
from lrbench.tasks.optimizers import SGD, CustomOptimizer, OptimizerSpec
from lrbench.tasks.probe import attempt
from lrbench.tasks.split import Batch, Split
from lrbench.tasks.table import Table, augmentations_of, choice_of, mixtures_of, optimizer_of
from lrbench.tasks.task_checks import check_augmentation, check_model, check_settings, materialized, type_name

DEFAULT_OPTIMIZER = SGD()

NO_GROUPS = Groups()

EVALUATION_BATCH = 500
"""Samples in memory that a forward pass of an evaluation takes; fixed, because sums depend on how they are split."""


WITHOUT: Mapping[str, Any] = {
    "clip_norm": None,
    "clip_value": None,
    "micro_batch": None,
    "label_smoothing": 0.0,
    "mix": (),
    "compile": False,
}
"""Fields of a task that enter its fingerprint only where they are not as here, so that older tasks keep theirs."""

COMPARABLE = ("model", "optimizer", "groups", "batch_size", "augment", "precision", "divergence_factor", *WITHOUT)
"""The fields of a task that may differ between runs whose scores are compared."""


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Task(AnyTask):
    """A network, its data and how it is trained, for a budget of `steps` iterations.

    `model` is a function that builds the network; it draws its initial weights from torch's global generator, which the
    engine seeds. `optimizer` is a specification such as `SGD(momentum=0.9)` or a function
    `params -> torch.optim.Optimizer`. `data`, `model`, `optimizer` and the items of `augment` may each be a registered
    name or a table, as under `[task]` of a study file: `model={"kind": "mlp", "hidden": [50]}`, `optimizer="AdamW"`.
    How the data of a name is found and split are arguments of `lrbench.tasks.load_data`; `lrbench.load_task` takes all
    keys of such a table, `base` too.

    `groups` gives parts of the network a learning rate and optimizer settings of their own: a table over the names of
    parameters, such as `{"head.*": 10.0, "body.*": "frozen", "ndim<2": {"weight_decay": 0}}` (`lrbench.tasks.Groups`).
    The policy's LR is that of ratio 1. The normalisations of a frozen part go on measuring their batches.

    `batch_size` is in samples, `steps` and `eval_every` in iterations; `eval_every` is a twentieth of `steps` unless
    given. `loss(outputs, targets)` is the mean over a batch. Without a `metric`, the task is judged by top-1 accuracy;
    with `metric="loss"`, and where its data is a text, by its loss. `augment` acts on train batches, in order. A
    segment whose every training loss exceeds `divergence_factor` times the initial validation loss, where that is
    positive, has diverged.

    At the end of a run its network is measured on all of the validation and the test split. The evaluations before are
    a curve over `curve_samples` of the validation split, the same ones each time, or `"all"` of it. Unless given, they
    are as many as cost a twentieth of the training (`samples_of_curve`), and at least 500.

    `clip_norm` scales the gradients of an iteration to this 2-norm over all trained parameters, where theirs is larger;
    `clip_value` then sets each of their numbers that is larger, by its absolute value, to this. A norm that is not
    finite is divergence. `micro_batch` samples of the batch go through the network at once, and their gradients are
    added up: for a loss that is a plain mean over samples they are those of the batch within rounding, unless batch
    normalisation or dropout sees the smaller batches. `label_smoothing` is that of torch's cross-entropy in the
    training loss alone: validation and test losses stay those of `loss`, comparable between its values.

    Each batch is mixed by one of `mix`, drawn at random: a function of decoded inputs and targets to the same, such as
    torchvision's `v2.MixUp()`. Class labels are given to it as probabilities [N, classes], which the loss must take.

    With `precision` "float16" torch's `GradScaler` scales the loss. A step whose gradients overflow is skipped and
    counted in the run's fact `skipped_steps`; it is no divergence.

    With `compile` the network is compiled by `torch.compile`, for training and for evaluations, once for each shape of
    a batch. Its numbers differ from those of the network as it is by rounding. With "reduce-overhead" a GPU replays
    CUDA graphs of what was compiled, which spares the time of launching each kernel.

    `version` replaces the code of the user's own functions in the fingerprint. The names and classes of the network's
    modules and the shapes of its parameters are in it beside the version, so that two networks are two tasks.

    Raises TaskError when built with settings that could not be trained: two samples are put through augmentation and
    model, and through two training steps where model or optimizer are the user's. A module's state from step to step
    must be in parameters and buffers, an optimizer's in its state and parameter groups: what is anywhere else is
    refused, for it would start over at every evaluation. What the user's functions draw, they draw from `generator`
    (augmentation) or from the global generators of torch, NumPy or Python, all of which the engine seeds.
    """

    forks: ClassVar[bool] = True

    name: str
    model: Callable[[], nn.Module]
    data: Data
    steps: int
    optimizer: OptimizerSpec
    groups: Groups
    batch_size: int
    eval_every: int
    loss: Callable[[Any, Any], Tensor]
    metric: Metric | Literal["loss"] | None
    augment: tuple[Augmentation, ...]
    precision: Precision
    divergence_factor: float
    curve_samples: CurveSamples
    clip_norm: float | None
    clip_value: float | None
    micro_batch: int | None
    label_smoothing: float
    mix: tuple[Mixture, ...]
    compile: Compile
    version: str | None
    draws_elsewhere: bool = field(init=False, default=False)
    """Whether a part of an iteration may draw from NumPy's or Python's global generator: code that is no torch's."""
    keeps_more_than_state: bool = field(init=False, default=False)
    """Whether the optimizer keeps more from step to step than its state by parameter."""
    structure: str = field(init=False, default="")
    """A digest of the names and classes of the network's modules and of the shapes of its parameters."""

    def __init__(
        self,
        *,
        name: str,
        model: Callable[[], nn.Module] | str | Table,
        data: Data | str | Table,
        steps: int,
        optimizer: OptimizerSpec | Callable[[list[Any]], torch.optim.Optimizer] | str | Table = DEFAULT_OPTIMIZER,
        groups: Groups | Table = NO_GROUPS,
        batch_size: int = 64,
        eval_every: int | None = None,
        loss: Callable[[Any, Any], Tensor] = F.cross_entropy,
        metric: Metric | Literal["loss"] | None = None,
        augment: Sequence[Augmentation | str | Table] = (),
        precision: Precision = "float32",
        divergence_factor: float = DIVERGENCE_FACTOR,
        curve_samples: CurveSamples = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        micro_batch: int | None = None,
        label_smoothing: float = 0.0,
        mix: Sequence[Mixture | str | Table] = (),
        compile: Compile = False,  # noqa: A002
        version: str | None = None,
    ) -> None:
        data = _data(data)
        if isinstance(model, str | Mapping):
            choice = choice_of("model", model)
            model = RegisteredModel.named(choice.kind, data, choice.options)
        if isinstance(model, RegisteredModel | Pretrained) and model.takes_numbers:
            data = data.as_numbers()
        if isinstance(optimizer, str | Mapping):
            optimizer = optimizer_of(optimizer)
        elif not isinstance(optimizer, OptimizerSpec) and callable(optimizer):
            optimizer = CustomOptimizer(optimizer)
        settled = {
            "name": name,
            "model": model,
            "data": data,
            "steps": steps,
            "optimizer": optimizer,
            "groups": Groups.of(groups),
            "batch_size": batch_size,
            "eval_every": 0 if eval_every is None else eval_every,
            "loss": loss,
            "metric": LOSS if metric is None and data.language is not None else metric,
            "augment": augmentations_of(augment),
            "precision": precision,
            "divergence_factor": divergence_factor,
            "curve_samples": curve_samples,
            "clip_norm": clip_norm,
            "clip_value": clip_value,
            "micro_batch": micro_batch,
            "label_smoothing": label_smoothing,
            "mix": mixtures_of(mix),
            "compile": compile,
            "version": version,
        }
        settle = object.__setattr__
        for key, value in settled.items():
            settle(self, key, value)
        check_settings(self)
        if self.eval_every == 0:
            settle(self, "eval_every", eval_every_for(self.steps))
        with deterministic():
            check_augmentation(self)
            for key, found in check_model(self).items():
                settle(self, key, found)

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        better = "" if self.better == "higher" else ", lower is better"
        augment = ", ".join(map(_called, self.augment))
        yield f"{self.name}: {_called(self.model)}, judged by {self.objective}{better}"
        yield f"{_called(self.optimizer)}{f'; {self.groups}' if self.groups else ''}"
        trained = f"{many(self.steps, 'iteration')} of {many(self.batch_size, 'sample')}"
        yield f"{trained}, {self.steps_per_epoch:,} an epoch, evaluated every {self.eval_every:,}"
        if self.tokens_per_step is not None:
            passes = self.steps / self.steps_per_epoch
            yield f"{self.tokens_per_step * self.steps:,} tokens a run, {passes:.3g} passes over the train part"
        yield from self.data.display(width)
        if augment:
            yield f"augmented by {augment}"
        steps = {name: str(value) for name, value in self._steps.items()}
        if self.mix:
            steps["mix"] = f"[{', '.join(map(_called, self.mix))}]"
        if steps:
            yield f"trained with {', '.join(f'{name} = {text}' for name, text in steps.items())}"

    @property
    def steps_per_epoch(self) -> int:
        """Iterations of one pass over the train split; the samples left over are dropped, others each epoch."""
        return len(self.data.train) // self.batch_size

    @property
    def tokens_per_step(self) -> int | None:
        """The tokens of an iteration; None where the data is no text."""
        return None if self.data.language is None else self.batch_size * self.data.input_shape[0]

    @cached_property
    def parameters(self) -> int | None:
        """The parameters of the model; None where the data is no text."""
        if self.data.language is None:
            return None
        with callers_generators():
            return sum(weight.numel() for weight in self.network().parameters())

    @cached_property
    def chance(self) -> float:
        """What a model that has learnt nothing scores: 1/classes for top-1 accuracy, else the metric's own.

        For the loss it is the validation loss of the network with the initial weights of seed 0; for that of a text,
        the loss of a prediction without context, `Language.unigram`.

        Raises:
            TaskError: that loss is not finite.
        """
        if isinstance(self.metric, Metric):
            return self.metric.chance
        if self.metric == LOSS:
            return self._untrained_loss() if self.data.language is None else self.data.language.unigram
        assert self.data.num_classes is not None
        return 1 / self.data.num_classes

    @property
    def objective(self) -> str:
        """The name of the number the task is judged by: "top1", "loss" or the metric's name."""
        if isinstance(self.metric, Metric):
            return self.metric.name
        return "top1" if self.metric is None else LOSS

    @property
    def compares_outputs(self) -> bool:
        """Whether scores compare the outputs of an evaluation with its targets, beside the loss."""
        return self.metric != LOSS or self.data.num_classes is not None

    @property
    def margin(self) -> float | None:
        if isinstance(self.metric, Metric):
            return self.metric.margin
        is_declared = self.metric is None or self.loss is F.cross_entropy or isinstance(self.loss, nn.CrossEntropyLoss)
        return None if is_declared else 0.0

    @property
    def better(self) -> Better:
        """Which way that number is better."""
        if isinstance(self.metric, Metric):
            return self.metric.better
        return "higher" if self.metric is None else "lower"

    @property
    def bounds(self) -> Bounds:
        """The lowest and the highest value that the number can have, None for an end that is open or not known."""
        if isinstance(self.metric, Metric):
            return self.metric.bounds
        return (0.0, 1.0) if self.metric is None else (None, None)

    @cached_property
    def train_loss(self) -> Callable[[Any, Any], Tensor]:
        """The loss whose gradients are trained by: `loss`, with label smoothing."""
        smoothing = self.label_smoothing
        return partial(F.cross_entropy, label_smoothing=smoothing) if smoothing else self.loss

    def as_probabilities(self, targets: Tensor) -> Tensor:
        """Return class labels as probabilities, float32 [N, classes]; other targets as they are."""
        classes = self.data.num_classes
        return targets if classes is None else F.one_hot(targets, classes).float()

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self.data.class_names

    @property
    def val_samples(self) -> int:
        return len(self.data.val)

    @property
    def test_samples(self) -> int:
        return len(self.data.test)

    @property
    def device(self) -> torch.device:
        """Where the data lies, and so where the task is trained."""
        return self.data.device

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits of everything that determines the numbers except `steps` and `eval_every`.

        Raises TaskError where the user's code holds something without an identity and there is no `version`.
        """
        code = {
            "model": self.model,
            "loss": self.loss,
            "metric": self.metric,
            "optimizer": self.optimizer,
            "augment": self.augment,
        }
        settings = {
            "data": self.data.checksum,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "divergence_factor": self.divergence_factor,
            "version": self.version,
            **({} if self.version is None else {"network": self.structure}),
            **{part: self._identity(part, value) for part, value in code.items()},
            **({"groups": self._identity("groups", self.groups)} if self.groups else {}),
            **({"optimizer state": "with groups"} if self.keeps_more_than_state else {}),
            **({"curve samples": self.curve_samples} if isinstance(self.curve_samples, int) else {}),
            **{name: self._identity(name, _as_float(value)) for name, value in self._steps.items()},
        }
        return text_digest(json.dumps(settings, sort_keys=True))

    @cached_property
    def key(self) -> str:
        """32 hex digits of everything that determines the numbers of a whole run, but for policy and seed."""
        chosen = self.curve_samples is None and self.samples_of_curve < len(self.data.val)
        curve = (f"curve samples {self.samples_of_curve}",) if chosen else ()
        return text_digest(self.fingerprint, str(self.steps), str(self.eval_every), *curve)

    @cached_property
    def trunk(self) -> str:
        groups = str(self.groups.of_budget(self.budget))
        return text_digest(self.fingerprint, str(self.eval_every), str(self.samples_of_curve), groups)

    @property
    def samples_of_curve(self) -> int:
        """The validation samples of every evaluation before the last."""
        samples = self.curve_samples
        if samples is None:
            samples = curve_samples_for(self.eval_every, self.batch_size)
        return len(self.data.val) if samples == ALL else min(samples, len(self.data.val))

    @cached_property
    def augments_elsewhere(self) -> bool:
        """Whether augmentation may draw from a global generator: code that is no lrbench's."""
        return any(package_of(augment) != "lrbench" for augment in self.augment)

    def network(self) -> nn.Module:
        """Make a network on the task's device, its initial weights drawn from torch's global generator.

        Lazy layers are given their shapes by a forward pass of two train samples in eval mode. The parameters of frozen
        groups need no gradients.
        """
        network = self.model().to(self.device)
        network = materialized(network, lambda: self.data.decode(self.data.train.first(2).inputs))
        return self.groups.freeze(network).train()

    def new_optimizer(self, network: nn.Module, weights: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
        """Build the optimizer of some of a network's weights, or of others of their names, in the task's groups.

        Each of its parameter groups has as `lr_ratio` the ratio of its LR to the policy's.

        Raises:
            TaskError: the optimizer is none of torch's, or cannot be used with the groups.
            PolicyError: a group of the optimizer's own has no ratio.
        """
        if not self.groups:
            built = self.optimizer.build(list(weights.values()))
            if not isinstance(built, torch.optim.Optimizer):
                raise TaskError(
                    f"task '{self.name}': the optimizer function returns a {type_name(built)}, no torch optimizer"
                )
            return note_ratios(built)
        return self.groups.optimizer(self.optimizer, weights, self.groups.settings(network), self.budget)

    @cached_property
    def built_optimizer(self) -> BuiltOptimizer:
        """What is to be known of the task's optimizer, by one that is built for a network of its own."""
        with callers_generators():
            network = self.network()
        trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        return BuiltOptimizer.of(self.new_optimizer(network, trained))

    def to(self, device: torch.device | str) -> "Task":
        """The same task with its data on `device`; itself where it is there, for much is remembered of a task."""
        if self.device == torch.device(device):
            return self
        moved = copy.copy(self)
        object.__setattr__(moved, "data", self.data.to(device))
        if isinstance(self.loss, nn.Module):
            object.__setattr__(moved, "loss", copy.deepcopy(self.loss).to(device))
        return moved

    def evaluated_on(self, samples: int) -> "Task":
        return self.with_(data=self.data.evaluated_on(samples), curve_samples=ALL)

    def with_(self, **changes: Any) -> "Task":
        """This task with other settings, checked like a new one."""
        settings = [each.name for each in fields(self) if each.init]
        unknown = next((name for name in changes if name not in settings), None)
        if unknown is not None:
            hint = did_you_mean(unknown, settings)
            raise TaskError(f"task '{self.name}' has no setting '{unknown}'{hint}")
        if isinstance(options := changes.get("optimizer"), Mapping):
            changes["optimizer"] = optimizer_of(options, self.optimizer)
        return replace(self, **changes)

    def at_settings(self, settings: Mapping[str, Any]) -> "Task":
        """Return this task with other fields, or with other options of its optimizer by their names.

        Raises:
            TaskError: a setting would make scores that cannot be compared, is not known, or has a value not allowed.
        """
        changes = {name: value for name, value in settings.items() if name in COMPARABLE}
        task = self.with_(**changes) if changes else self
        options = {name: value for name, value in settings.items() if name not in COMPARABLE}
        fixed = next((each.name for each in fields(self) if each.init and each.name in options), None)
        if fixed is not None:
            raise TaskError(f"{fixed} must be the same for all policies; what may differ is {', '.join(COMPARABLE)}")
        if not options:
            return task
        return task.with_(optimizer=optimizer_of(options, task.optimizer))

    def mean_loss(self, split: Split, outputs: Callable[[Batch], Any]) -> float:
        """Compute the loss over a split, the mean over samples, of what a function returns for each batch.

        A batch is of `EVALUATION_BATCH` samples in memory, or as large as those of training where it is loaded.
        """
        total = 0.0
        for batch in split.evaluated(EVALUATION_BATCH if split.in_memory else self.batch_size):
            found = outputs(batch)
            with self.data.naming_labels(split, batch):
                total += float(self.loss(found, batch.targets)) * len(batch.indices)
        return total / len(split)

    def _untrained_loss(self) -> float:
        with deterministic(), torch.inference_mode():
            seed_generators(stream_seed(0, "initial weights"), self.device)
            network = self.network().eval()

            def outputs(batch: Batch) -> Any:
                return network(self.data.decode(batch.inputs))

            failing = f"task '{self.name}': the untrained network cannot be evaluated"
            loss: float = attempt(failing, self.mean_loss, self.data.val, outputs)
        if not math.isfinite(loss):
            raise TaskError(f"task '{self.name}': the loss of the untrained network is not finite")
        return loss

    @property
    def _steps(self) -> dict[str, Any]:
        """The settings of a step that are used, by name."""
        return {name: getattr(self, name) for name in WITHOUT if getattr(self, name) != WITHOUT[name]}

    def _identity(self, part: str, value: Any) -> str:
        try:
            return fingerprint(value, self.version)
        except TaskError as error:
            raise TaskError(f"task '{self.name}', {part}: {error}") from error


def _data(given: Data | str | Table) -> Data:
    if isinstance(given, Data):
        return given
    if not isinstance(given, str | Mapping):
        raise TaskError(f"task: data = {short_repr(given)} must be Data, or the name or table of a registered data set")
    from lrbench.tasks.make import load_data

    return load_data(given)


def _as_float(value: Any) -> Any:
    """Return a whole number as a float, so that 1 and 1.0 are the same setting."""
    return float(value) if isinstance(value, int) else value


def _called(part: Any) -> str:
    """Name a part of a task: a function by its name, a specification as it is written, others by their type."""
    text = str(getattr(part, "__name__", part))
    return type_name(part) if " at 0x" in text else text
