"""The parser of a study file's `[task]` table: plain dicts, lists, texts and numbers to `TaskSettings`.

    [task]
    base = "cifar10-resnet20"                    # a registered task; everything below overrides it
    dataset = {kind = "image_folder", path = "photos", size = 64}
    model = {kind = "mlp", hidden = [100, 100]}  # or a name: "resnet18", "torchvision:mobilenet_v2"
    pretrained = {path = "weights.pt", new = ["head.*"]}
    optimizer = {kind = "AdamW", weight_decay = 0.05}
    groups = {"head.*" = 10.0, "ndim<2" = {weight_decay = 0}}
    augment = [{kind = "RandomCrop", padding = 8}, "HorizontalFlip"]
    batch_size = 128
    steps = 5000
    metric = "loss"                              # judged by its loss, lower is better, in place of top-1 accuracy

Without a `base`, `dataset`, `model` and `steps` are needed. With one, `steps` alone does what `Task.with_budget` does:
the task is evaluated as often over the new budget. A table without `kind` changes options of the base's.
From Python, a value may also be the result of parsing: `Choice("mlp")`, `SGD()`, `HorizontalFlip()`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from lrbench.errors import TaskError, did_you_mean
from lrbench.tasks import registry
from lrbench.tasks.any_task import AnyTask
from lrbench.tasks.augment import Augmentation, augmentation_named
from lrbench.tasks.groups import Groups
from lrbench.tasks.initial_weights import beginning_of
from lrbench.tasks.mixtures import Mixture, mixture_named
from lrbench.tasks.optimizers import OptimizerSpec, optimizer_named, optimizer_with
from lrbench.tasks.settings import Choice, TaskSettings

Table = Mapping[str, Any]
T = TypeVar("T")


def task_from_dict(table: Table) -> TaskSettings | AnyTask:
    """Read a `[task]` table: the settings that it describes, or the task of Python that is its base.

    Raises:
        TaskError: a key or a value is not allowed.
    """
    base = table.get("base")
    task = registry.tasks.find(_text("base", base)).build() if base is not None else None
    if not isinstance(task, AnyTask):
        return settings_from_dict(table)
    changes = {key: value for key, value in table.items() if key not in ("base", "steps", "eval_every")}
    task = task.with_(**changes).with_budget(table.get("steps"))
    return task.evaluated_every(table["eval_every"]) if "eval_every" in table else task


def settings_from_dict(table: Table) -> TaskSettings:
    """Parse a `[task]` table; raise TaskError with the key that is wrong."""
    known = ["base", *(field.name for field in fields(TaskSettings))]
    unknown = next((key for key in table if key not in known), None)
    if unknown is not None:
        hint = did_you_mean(unknown, known)
        raise TaskError(f"task: unknown key '{unknown}'{hint}; its keys are {', '.join(known)}")
    base = _base(table)
    changes = {key: _parse(key, value, base) for key, value in table.items() if key != "base"}
    if base is not None:
        budget = None if "eval_every" in changes else changes.pop("steps", None)
        return replace(base, **changes).with_budget(budget)
    missing = next((key for key in ("dataset", "model", "steps") if key not in changes), None)
    if missing is not None:
        raise TaskError(f"task: '{missing}' is missing; give it, or a base such as base = \"mnist1d-mlp\"")
    name = f"{changes['dataset'].kind}-{changes['model'].kind}"
    return TaskSettings(**{"name": name, **changes})


def _base(table: Table) -> TaskSettings | None:
    if "base" not in table:
        return None
    base = registry.tasks.find(_text("base", table["base"])).build()
    if isinstance(base, AnyTask):
        raise TaskError(f"task '{base.name}' is made in Python, and has no settings of a network and its data by name")
    return base


def _parse(key: str, value: Any, base: TaskSettings | None) -> Any:
    """Parse the value of one key; `TaskSettings` itself checks numbers."""
    parsers: Mapping[str, Callable[[], Any]] = {
        "name": lambda: _text(key, value),
        "dataset": lambda: choice_of(key, value, base.dataset if base else None),
        "model": lambda: choice_of(key, value, base.model if base else None),
        "pretrained": lambda: beginning_of(value),
        "optimizer": lambda: optimizer_of(value, base.optimizer if base else None),
        "augment": lambda: augmentations_of(value),
        "mix": lambda: mixtures_of(value),
        "groups": lambda: Groups.of(value),
    }
    return parsers[key]() if key in parsers else value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TaskError(f"task: {key} = {value!r} must be a text")
    return value


def _kind_and_options(key: str, value: Any) -> tuple[str | None, dict[str, Any]]:
    """Read a name alone, or a table of `kind` (None if absent) and options; lists become tuples."""
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping):
        raise TaskError(f"task: {key} = {value!r} must be a name or a table with a kind")
    options = {name: registry.frozen(option) for name, option in value.items() if name != "kind"}
    return (_text(f"{key}.kind", value["kind"]) if "kind" in value else None), options


def choice_of(key: str, value: Any, base: Choice | None = None) -> Choice:
    """Read a data set or a model: a name, or a table of its kind and options; the kind may be that of the base.

    Raises:
        TaskError: it is none.
    """
    if isinstance(value, Choice):
        return value
    kind, options = _kind_and_options(key, value)
    if kind is None and base is not None:
        return Choice(base.kind, {**base.options, **options})
    if kind is None:
        raise TaskError(f"task: {key} has no kind")
    if key == "model" and kind.startswith("torchvision:"):
        kind, options = "torchvision", {"name": kind.removeprefix("torchvision:"), **options}
    return Choice(kind, options)


def optimizer_of(value: Any, base: OptimizerSpec | None = None) -> OptimizerSpec:
    """Read an optimizer as `choice_of` reads a model; raise TaskError unless it is one."""
    if isinstance(value, OptimizerSpec):
        return value
    kind, options = _kind_and_options("optimizer", value)
    if kind is not None:
        return optimizer_named(kind, options)
    if base is None:
        raise TaskError("task: optimizer has no kind")
    return optimizer_with(base, options)


def augmentations_of(value: Any) -> tuple[Augmentation, ...]:
    """Read a list of augmentations, each a value, a name or a table; raise TaskError unless it is one."""
    return tuple(_listed("augment", value, augmentation_named))


def mixtures_of(value: Any) -> tuple[Mixture, ...]:
    """Read a list of mixtures, each a value, a name or a table; raise TaskError unless it is one."""
    return tuple(_listed("mix", value, mixture_named))


def _listed(key: str, value: Any, named: Callable[[str, Mapping[str, Any]], T]) -> Iterator[T]:
    if not isinstance(value, list | tuple):
        raise TaskError(f"task: {key} = {value!r} must be a list of names or tables with a kind")
    for each in value:
        if callable(each):
            yield each
            continue
        kind, options = _kind_and_options(key, each)
        if kind is None:
            raise TaskError(f"task: {key} has a table without a kind: {dict(each)!r}")
        yield named(kind, options)
