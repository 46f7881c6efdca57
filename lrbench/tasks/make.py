"""From settings to a task: load the data, build the value."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from lrbench.errors import DataError, LRBenchError, TaskError, one_line
from lrbench.policy.budget import Length
from lrbench.policy.kind import short_repr
from lrbench.reproducible import surroundings_kept
from lrbench.tasks import registry
from lrbench.tasks.any_task import AnyTask
from lrbench.tasks.cache import load_cached
from lrbench.tasks.data import Data
from lrbench.tasks.initial_weights import begun
from lrbench.tasks.limits import MOST_STEPS
from lrbench.tasks.models.registered import RegisteredModel
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.settings import Choice, TaskSettings
from lrbench.tasks.table import Table, choice_of, settings_from_dict, task_from_dict
from lrbench.tasks.task import Task
from lrbench.tasks.validation import Validation

DEFAULT_DATA_ROOT = Path("data")

TaskLike: TypeAlias = AnyTask | str | Table
"""A task, the name of a registered one, or a table as a study file has it."""


def load_task(
    task: str | Table, *, data_root: Path | str | None = None, download: bool = False, **overrides: Any
) -> Task:
    """Load a registered task by its name, or the task of a table.

    Args:
        data_root: the folder of the datasets, laid out as torchvision does; `data` by default.
        download: fetch a dataset that is not there.
        overrides: keys of a `[task]` table: `steps=500`, `optimizer="Adam"`, `model={"hidden": [50]}`.

    Raises:
        TaskError: a name or a setting is unknown.
        DataError: the data is missing.
    """
    settings = settings_from_dict({**({"base": task} if isinstance(task, str) else task), **overrides})
    return make_task(settings, data_root=data_root, download=download)


def task_of(
    task: TaskLike, *, data_root: Path | str | None = None, download: bool = False, steps: Length | None = None
) -> AnyTask:
    """Return a task as it is, or load the one of a name or of a `[task]` table.

    Args:
        data_root, download: as for `load_task`.
        steps: the budget in iterations or as a length, where it is not the task's own; see `Task.with_budget`.

    Raises:
        TaskError: there is no task of this name, or the table or the budget cannot be used.
        DataError: its data is missing.
    """
    if isinstance(task, AnyTask):
        return task.with_budget(steps)
    if not isinstance(task, str | Mapping):
        raise TaskError(f"task = {short_repr(task)} must be a Task, the name of a registered one or a table")
    found = task_from_dict({"base": task} if isinstance(task, str) else task).with_budget(steps)
    return found if isinstance(found, AnyTask) else make_task(found, data_root=data_root, download=download)


def make_task(settings: TaskSettings, *, data_root: Path | str | None = None, download: bool = False) -> Task:
    """Load the data of settings, and make the task.

    Raises:
        TaskError, DataError: they cannot be trained.
    """
    data = load_data(
        settings.dataset,
        settings.validation,
        split_seed=settings.split_seed,
        stratified=settings.stratified,
        train_samples=settings.train_samples,
        data_root=data_root,
        download=download,
    )
    steps, every = settings.steps, settings.eval_every
    model: Callable[[], nn.Module] = RegisteredModel.named(settings.model.kind, data, settings.model.options)
    if settings.pretrained is not None:
        model = begun(model, settings.pretrained, _root(data_root), download=download)
    task = Task(
        name=settings.name,
        model=model,
        data=data,
        optimizer=settings.optimizer,
        groups=settings.groups,
        batch_size=settings.batch_size,
        steps=MOST_STEPS if isinstance(steps, str) else steps,
        eval_every=every if isinstance(every, int) else 0,
        augment=settings.augment,
        metric=settings.metric,
        precision=settings.precision,
        divergence_factor=settings.divergence_factor,
        curve_samples=settings.curve_samples,
        clip_norm=settings.clip_norm,
        clip_value=settings.clip_value,
        micro_batch=settings.micro_batch,
        label_smoothing=settings.label_smoothing,
        mix=settings.mix,
        compile=settings.compile,
    )
    if isinstance(steps, str):
        task = task.with_(steps=task.in_iterations(steps), eval_every=every if isinstance(every, int) else None)
    return task.evaluated_every(every) if isinstance(every, str) else task


def load_data(
    dataset: str | Table | Choice,
    validation: Validation | None = None,
    *,
    split_seed: int = 0,
    stratified: bool = False,
    train_samples: int | None = None,
    data_root: Path | str | None = None,
    download: bool = False,
) -> Data:
    """Load a registered data set and split it; the arguments are keys of a `[task]` table.

    Args:
        dataset: its name, or a table of its kind and options, such as {"kind": "image_folder", "path": "photos"}.
        validation: the fraction (float) or number (int) of train samples held out, drawn with `split_seed`, in the
            same proportion of every class if `stratified`; a fifth unless given.
        train_samples: how many of the other samples are trained on, drawn likewise; all unless given. A data set that
            has a validation split of its own takes none of these.
        data_root, download: as for `load_task`.

    Raises:
        TaskError: there is no such data set, or it has no such option.
        DataError: the data is missing, or cannot be split like this.
    """
    chosen = choice_of("dataset", dataset)
    entry = registry.datasets.find(chosen.kind)
    options = entry.complete(chosen.options, "dataset")
    try:
        raw = read_dataset(entry, options, _root(data_root), download=download)
        how: dict[str, Any] = {"split_seed": split_seed, "stratified": stratified, "train_samples": train_samples}
        return Data.from_raw(raw, validation, **how)
    except LRBenchError as error:
        prefix = "" if "dataset '" in str(error) else f"dataset '{entry.name}': "
        raise DataError(f"{prefix}{error}") from error


def _root(data_root: Path | str | None) -> Path:
    return DEFAULT_DATA_ROOT if data_root is None else Path(data_root)


def read_dataset(
    entry: registry.Registration[Callable[..., RawData]], options: dict[str, Any], root: Path, *, download: bool
) -> RawData:
    """Read a dataset through the cache, or from its function alone where it declares no sources."""

    def decode() -> RawData:
        raw = entry.build(root, download, **options)
        if not isinstance(raw, RawData):
            raise DataError(f"dataset '{entry.name}' returns a {type(raw).__name__} where RawData is needed")
        return raw

    with _one_sentence(entry.name):
        if entry.sources is None:
            return decode()
        sources = entry.sources(root, download=download, **options)
        identity = {"dataset": entry.name, "version": entry.version, "options": options}
        place = str(root.resolve()) if sources else None
        return load_cached(entry.name, {**identity, "root": place}, sources, decode)


@contextmanager
def _one_sentence(dataset: str) -> Iterator[None]:
    """Raise every error of a dataset, a user's own included, as a DataError of one sentence."""
    try:
        with surroundings_kept():
            yield
    except LRBenchError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(f"dataset '{dataset}' fails: {one_line(f'{type(error).__name__}: {error}')}") from error
