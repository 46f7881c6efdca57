"""TaskSettings: what a study file can say about a task, before any data is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lrbench.tasks.augment import Augmentation
from lrbench.tasks.optimizers import SGD, OptimizerSpec
from lrbench.tasks.task import Precision
from lrbench.tasks.validation import Validation


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

    `steps` and `eval_every` are in iterations (`eval_every` None: a twentieth of `steps`), `batch_size` in samples.
    `validation` is the fraction (float) or number (int) of train samples held out, drawn with `split_seed`,
    in the same proportion of every class if `stratified`.
    """

    name: str
    dataset: Choice
    model: Choice
    steps: int
    optimizer: OptimizerSpec = field(default_factory=SGD)
    batch_size: int = 64
    eval_every: int | None = None
    augment: tuple[Augmentation, ...] = ()
    precision: Precision = "float32"
    divergence_factor: float = 10.0
    validation: Validation = 0.2
    split_seed: int = 0
    stratified: bool = False
