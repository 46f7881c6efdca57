"""TaskSettings: the settings of a task in a study file, checked before any data is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lrbench.errors import TaskError
from lrbench.policy.budget import Budget, Length, read_length, round_iterations
from lrbench.policy.kind import short_repr
from lrbench.tasks import registry
from lrbench.tasks.augment import Augmentation
from lrbench.tasks.groups import Groups
from lrbench.tasks.initial_weights import Beginning
from lrbench.tasks.limits import (
    A_BUDGET,
    DIVERGENCE_FACTOR,
    MOST_STEPS,
    Compile,
    CurveSamples,
    Precision,
    check_budget,
    check_curve_samples,
    check_numerics,
    eval_every_for,
    rescaled_eval_every,
)
from lrbench.tasks.metric import LOSS, Better
from lrbench.tasks.mixtures import Mixture
from lrbench.tasks.optimizers import SGD, OptimizerSpec
from lrbench.tasks.validation import Validation, check_train_samples, check_validation


@dataclass(frozen=True)
class Choice:
    """A registered dataset or model by name, with the options that differ from its defaults."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.kind}({options})" if options else self.kind


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """A task as names and numbers; `make_task` loads the data and builds it.

    Attributes:
        name: what results call it; `DATASET-MODEL` unless given
        dataset: a name, or a table of `kind` and options
        model: a name, or a table of `kind` and options; `torchvision:NAME` for any classifier of torchvision
        pretrained: the weights that the network begins with: a file with a state dict, under the data root or absolute,
            or a table of `path` and `new`, a list of patterns over the names that keep their initial weights;
            `torchvision:NAME` for those of torchvision
        steps: the budget in iterations, or as a length such as `"10ep"`, `"2e6tok"` or `"20tok/param"`
        optimizer: a name, or a table of `kind` and options; the learning rate is the policy's
        groups: a table of settings by the names of parameters: a ratio of their learning rate to the policy's,
            `"frozen"`, or a table of `ratio`, `policy`, `frozen_until` and options of the optimizer
        batch_size: samples an iteration
        eval_every: iterations between two evaluations, or a length such as `"1ep"`; a twentieth of `steps` unless given
        augment: a list of names, or of tables of `kind` and options, that change train batches in this order
        precision: `"float32"`, `"bfloat16"`, or `"float16"` with a scaler of the loss
        divergence_factor: a loss over this many times the initial one, where that is positive, is divergence
        validation: the part of the train set that is held out: a fraction, or a number of samples; a fifth unless
            given, and nothing where the data set has a validation split of its own
        split_seed: draws which samples are held out
        stratified: hold out every class in the same proportion
        train_samples: how many of the samples that are not held out are trained on, drawn by `split_seed`; all unless
            given
        metric: `"loss"` judges the task by its loss, as it is for a text; top-1 accuracy unless given
        curve_samples: validation samples of the evaluations before the last, or `"all"`; unless given, at least 500
            and as many as cost a twentieth of the training
        clip_norm: the largest global 2-norm of an iteration's gradients, to which longer ones are scaled
        clip_value: the largest absolute value of a gradient's numbers, to which larger ones are set, after `clip_norm`
        micro_batch: samples that go through the network at once, where an iteration's are too many for the memory
        label_smoothing: the share of each target that is spread over all classes, in the training loss alone
        mix: a list of names, or of tables of `kind` and options, of which one, drawn at random, mixes each train batch
        compile: compile the network with `torch.compile`; `"reduce-overhead"` replays CUDA graphs too, on a GPU

    Raises TaskError for unknown names and options, DataError for a validation split that cannot be.
    """

    name: str
    dataset: Choice
    model: Choice
    steps: Length
    pretrained: Beginning | None = None
    optimizer: OptimizerSpec = field(default_factory=SGD)
    groups: Groups = field(default_factory=Groups)
    batch_size: int = 64
    eval_every: Length | None = None
    augment: tuple[Augmentation, ...] = ()
    precision: Precision = "float32"
    divergence_factor: float = DIVERGENCE_FACTOR
    validation: Validation | None = None
    split_seed: int = 0
    stratified: bool = False
    train_samples: int | None = None
    metric: Literal["loss"] | None = None
    curve_samples: CurveSamples = None
    clip_norm: float | None = None
    clip_value: float | None = None
    micro_batch: int | None = None
    label_smoothing: float = 0.0
    mix: tuple[Mixture, ...] = ()
    compile: Compile = False

    def __post_init__(self) -> None:
        where = f"task '{self.name}'"
        registry.datasets.find(self.dataset.kind).complete(self.dataset.options, "dataset")
        registry.models.find(self.model.kind).complete(self.model.options, "model")
        is_text = isinstance(self.steps, str)
        if is_text and (not isinstance(read_length(self.steps), str) or str(self.steps).strip().endswith("dur")):
            raise TaskError(f"{where}: steps = {short_repr(self.steps)} must be {A_BUDGET} of a base")
        steps = MOST_STEPS if is_text else self.steps
        every = self.eval_every
        if isinstance(every, str):
            if not isinstance(read_length(every), str):
                raise TaskError(f"{where}: eval_every = {short_repr(every)} must be {A_BUDGET}")
            every = None
        check_budget(where, batch_size=self.batch_size, steps=steps, eval_every=every)
        check_numerics(where, self)
        check_curve_samples(where, self.curve_samples)
        self.groups.check(self.optimizer)
        if self.validation is not None:
            check_validation(self.validation)
        if self.train_samples is not None:
            check_train_samples(self.train_samples)
        if type(self.split_seed) is not int or not -(2**63) <= self.split_seed < 2**63:
            raise TaskError(f"{where}: split_seed = {short_repr(self.split_seed)} must be an integer of 64 bits")
        if type(self.stratified) is not bool:
            raise TaskError(f"{where}: stratified = {self.stratified!r} must be true or false")
        if self.metric not in (None, LOSS):
            raise TaskError(f'{where}: metric = {self.metric!r} must be "{LOSS}"; others come from Python')

    @property
    def objective(self) -> str:
        """The name of the number the task is judged by: "top1" or "loss"."""
        reads_tokens = registry.models.find(self.model.kind).reads_tokens
        return LOSS if self.metric == LOSS or reads_tokens else "top1"

    @property
    def better(self) -> Better:
        """Which way that number is better."""
        return "lower" if self.objective == LOSS else "higher"

    def with_budget(self, steps: Length | None) -> "TaskSettings":
        """Change the budget to `steps` iterations, as `Task.with_budget` does before the data is loaded.

        A length in epochs or tokens is one of the task when its data is loaded, and evaluated twenty times. An
        `eval_every` that is a length stays as it is.
        """
        if steps is None:
            return self
        if isinstance(steps, str) and isinstance(self.steps, int) and str(read_length(steps)).endswith("dur"):
            steps = round_iterations(steps, Budget(self.steps, 1))
        if isinstance(self.eval_every, str):
            return replace(self, steps=steps)
        if isinstance(steps, str) or isinstance(self.steps, str):
            return replace(self, steps=steps, eval_every=None)
        check_budget(f"task '{self.name}'", batch_size=self.batch_size, steps=steps, eval_every=None)
        if steps == self.steps:
            return self
        own = self.eval_every or eval_every_for(self.steps)
        return replace(self, steps=steps, eval_every=rescaled_eval_every(own, self.steps, steps))
