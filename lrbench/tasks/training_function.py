"""TrainingFunction: a task that a function of the user's own trains, in whatever framework."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from lrbench.display.names import many
from lrbench.display.readable import LINE_WIDTH, Block
from lrbench.errors import PolicyError, TaskError, did_you_mean
from lrbench.policy.kind import short_repr
from lrbench.tasks import registry
from lrbench.tasks.any_task import AnyTask
from lrbench.tasks.fingerprint import fingerprint, text_digest
from lrbench.tasks.limits import DIVERGENCE_FACTOR, check_budget, check_divergence_factor, eval_every_for
from lrbench.tasks.metric import LOSS, Better, Bounds, check_scale

if TYPE_CHECKING:
    import torch

    from lrbench.policy import Policy
    from lrbench.tasks.training_run import TrainingRun

ACCURACY = "top1"
"""The objective that is an accuracy, whose direction and bounds are known."""

SETTINGS = ("name", "steps", "eval_every")
"""What can be changed of a training function; all else is its own."""

Function: TypeAlias = "Callable[[TrainingRun], object]"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TrainingFunction(AnyTask):
    """A task that a function trains: `lrbench.trainable` makes it of one.

    Attributes:
        function: it trains one run, and reports on it to the `TrainingRun` that it is given.
        epoch: the iterations of an epoch; None where lengths in epochs have no meaning.
        version: stands for the code of the function in what the task is known by.
    """

    forks: ClassVar[bool] = False

    name: str
    function: Function
    steps: int
    eval_every: int
    objective: str = LOSS
    better: Better = "lower"
    chance: float | None = None
    bounds: Bounds = (None, None)
    margin: float | None = None
    divergence_factor: float | None = DIVERGENCE_FACTOR
    epoch: int | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        where = f"task '{self.name}'"
        for key in ("name", "objective"):
            if not isinstance(value := getattr(self, key), str) or not value:
                raise TaskError(f"trainable: {key} = {short_repr(value)} must be a text")
        if not callable(self.function):
            raise TaskError(f"{where}: trainable decorates a function of a run, not {short_repr(self.function)}")
        try:
            signature(self.function).bind(None)
        except TypeError as error:
            raise TaskError(f"{where}: the function must take a run and nothing else: {error}") from error
        others = {} if self.epoch is None else {"steps_per_epoch": self.epoch}
        check_budget(where, steps=self.steps, eval_every=self.eval_every, **others)
        check_scale(where, self.better, self.chance, self.bounds, self.margin)
        if self.divergence_factor is not None:
            check_divergence_factor(where, self.divergence_factor)

    def display(self, width: int = LINE_WIDTH, *, drawn: bool = False) -> Iterator[Block]:
        better = "" if self.better == "higher" else ", lower is better"
        yield f"{self.name}: a training function, judged by {self.objective}{better}"
        yield f"{many(self.steps, 'iteration')}, evaluated every {self.eval_every:,}"

    @property
    def steps_per_epoch(self) -> int:
        """The iterations of an epoch; the whole budget where there are no epochs."""
        return self.steps if self.epoch is None else self.epoch

    @cached_property
    def fingerprint(self) -> str:
        try:
            code = fingerprint(self.function, self.version)
        except TaskError as error:
            raise TaskError(f"task '{self.name}': {error}") from error
        settings: dict[str, Any] = {"function": code, "version": self.version}
        if self.version is not None:  # without the code, the name alone tells functions of one version apart
            settings["name"] = self.name
        settings |= {"objective": self.objective, "better": self.better}
        if self.divergence_factor is not None and self.better == "lower" and self.chance is not None:
            settings["chance"] = self.chance  # it decides when a run has diverged
        if self.divergence_factor != DIVERGENCE_FACTOR:
            settings |= {"divergence factor": self.divergence_factor, "chance": self.chance}
        return text_digest("training function", json.dumps(settings, sort_keys=True))

    def bind(self, policy: Policy) -> Policy:
        if self.epoch is None and (lengths := [text for text in policy.relative if text.endswith("ep")]):
            raise PolicyError(
                f"{', '.join(lengths[:3])} cannot be an epoch's length: task '{self.name}' has none, "
                "give trainable(steps_per_epoch=...)"
            )
        return super().bind(policy)

    def with_(self, **changes: Any) -> TrainingFunction:
        unknown = next((name for name in changes if name not in SETTINGS), None)
        if unknown is not None:
            hint = did_you_mean(unknown, SETTINGS)
            raise TaskError(
                f"task '{self.name}' is a training function and has no setting '{unknown}'{hint}; "
                f"it has {', '.join(SETTINGS)}"
            )
        return replace(self, **changes)

    def to(self, device: torch.device | str) -> TrainingFunction:
        """Return the task itself: its function has the device from its run."""
        return self

    def evaluated_on(self, samples: int) -> TrainingFunction:
        """Return the task itself: its function chooses what it evaluates on."""
        return self


def trainable(
    *,
    name: str,
    steps: int,
    eval_every: int | None = None,
    better: Better | None = None,
    objective: str | None = None,
    chance: float | None = None,
    bounds: Bounds | None = None,
    margin: float | None = None,
    divergence_factor: float | None = DIVERGENCE_FACTOR,
    steps_per_epoch: int | None = None,
    version: str | None = None,
) -> Callable[[Function], TrainingFunction]:
    """Make a task of a function that trains one run, with the learning rates that the run gives it.

    The function is called once for each run, and reports on it: see `TrainingRun`. The task is used as any other, in
    Python, and by its name in study files and on the command line (`--plugin`). It is known by the function's code, and
    takes no modifiers; its runs share no training.

    Args:
        name: the name of the task in results and study files.
        steps: the budget in iterations.
        eval_every: iterations between two reports; a twentieth of `steps` unless given.
        better: whether "higher" or "lower" values of what is reported as `val` are better; lower unless given, and
            higher of "top1".
        objective: the name of that number, such as "perplexity"; "loss" or "score" unless given, "top1" for accuracy,
            a share from 0 to 1.
        chance: its value for a model that has learnt nothing, as which a run counts that diverged; such a run is left
            out of means unless it is given.
        bounds: its lowest and its highest value, None for an end that is open.
        margin: the difference that does not matter, where a study gives none; unless given, that of lrbench's metric of
            this name (0.02 of a "loss", as fits cross-entropy; 0.01 of "top1"), else as for `Metric`.
        divergence_factor: a run ends as diverged at a report whose losses (`train_loss`, `val_loss`, and `val` where
            lower is better) are all over this many times the initial ones: `chance` for `val`, if it is given, else
            those of the first report. Where higher is better, `val` must be below its first value too. None for no such
            end.
        steps_per_epoch: the iterations of an epoch, for policies with lengths in epochs.
        version: stands for the code of the function in what the task is known by.

    Raises:
        TaskError: a setting is not allowed, or another module has a task of this name.
    """

    check_budget(f"task '{name}'", steps=steps, eval_every=eval_every)
    every = eval_every_for(steps) if eval_every is None else eval_every
    is_accuracy = objective == ACCURACY
    if is_accuracy and better == "lower":
        raise TaskError(f"task '{name}': {ACCURACY} is better where it is higher: name another objective")
    direction = better or ("higher" if is_accuracy else "lower")

    def decorate(function: Function) -> TrainingFunction:
        task = TrainingFunction(
            name=name,
            function=function,
            steps=steps,
            eval_every=every,
            objective=objective or (LOSS if direction == "lower" else "score"),
            better=direction,
            chance=chance,
            bounds=bounds or ((0.0, 1.0) if is_accuracy else (None, None)),
            margin=margin,
            divergence_factor=divergence_factor,
            epoch=steps_per_epoch,
            version=version,
        )
        registry.tasks.add(name, registry.Registration(name, wraps(function)(lambda: task)), function.__module__)
        return task

    return decorate
