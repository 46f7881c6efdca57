"""Study files: TOML, checked whole before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lrbench.errors import DataError, PolicyError, StudyError, TaskError, did_you_mean
from lrbench.files import MOST_TOML, read_regular, toml_tables, utf8_text
from lrbench.metrics import BASE_LR_SCALES
from lrbench.study.file_policies import count_policies, policies_of
from lrbench.study.limits import END_OF_SEEDS, MOST_RUNS, check_runs, seeds_of
from lrbench.study.study import Study
from lrbench.study.validation import toml_repr, validated

if TYPE_CHECKING:
    from lrbench.study.study import StudyPolicy
    from lrbench.study.variant import Variant
    from lrbench.tasks import Task

Seed = Annotated[int, Field(ge=0, lt=END_OF_SEEDS)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Table = dict[str, Any]


class StudyFile(BaseModel):
    """The keys of a study file. A field's description says what is allowed, in error messages too."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    description: Annotated[str, Field(description="a text")] = ""
    task: Annotated[str | Table | None, Field(description="the name of a task or a [task] table")] = None
    tasks: Annotated[
        list[str | Table] | None, Field(min_length=1, description="a list of names of tasks, or [[tasks]] tables")
    ] = None
    seeds: Annotated[
        Annotated[int, Field(ge=1)] | Annotated[list[Seed], Field(min_length=1)],
        Field(description="a number of seeds from 1 on, or a list of whole numbers from 0 on"),
    ] = 5
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False, description="a finite number from 0 on")] = 0.01
    target: Annotated[float | None, Field(allow_inf_nan=False, description="a finite number")] = None
    confirm: Annotated[
        int, Field(ge=0, le=MOST_RUNS, description=f"a number of fresh seeds from 0 on, at most {MOST_RUNS:,}")
    ] = 0
    base_lr_scales: Annotated[
        bool | Annotated[list[Factor], Field(min_length=1)],
        Field(description="true, false or a list of positive factors"),
    ] = False
    policies: Annotated[list[Table], Field(min_length=1, description="at least one [[policies]] table")]
    modifiers: Annotated[list[Table], Field(description="[[modifiers]] tables")] = []


def load_study(
    path: str | Path,
    *,
    data_root: Path | str | None = None,
    download: bool = False,
    steps: int | None = None,
    seeds: int | None = None,
) -> Study:
    """Read a study file, check all of it, and load the data of its tasks.

    Args:
        path: a TOML file, or the name of a study that ships with lrbench. The study is called as the file is,
            without its suffix.
        data_root: the folder that holds the data sets, laid out as torchvision does.
        download: fetch data sets that are not there.
        steps: the training budget of every task in iterations, in place of what the file or the task says.
        seeds: train with seeds 0, 1, ..., `seeds` - 1, in place of what the file says.

    Raises:
        StudyError: the file cannot be read or used; one sentence that names the file, the key and what is allowed.
    """
    file = find_study(path)
    raw = read_toml(file)
    where = str(file)
    if "search" in raw and "policies" not in raw:
        raise StudyError(f"{where} describes a search: call `lrbench search {file}`")
    study = validated(StudyFile, raw, where)
    scales = _scales(study, where)
    trained = seeds_of(study.seeds if seeds is None else seeds, where)
    wanted = _task_tables(study, where)
    others = [len(trained), len(wanted), 1 + sum(scale != 1 for scale in scales)]
    check_runs(where, [count_policies(study.policies, file, most=MOST_RUNS), *others, 1 + _count_grids(study, where)])
    policies = policies_of(study.policies, file, most=MOST_RUNS)
    variants = _variants(study, where)
    check_runs(where, [len(policies), *others, 1 + len(variants)])
    try:
        tasks = [task_of(task, data_root=data_root, download=download, steps=steps) for task in wanted]
    except (TaskError, DataError) as error:
        raise StudyError(f"{where}: {error}") from error
    for task in tasks:
        check_scores({"margin": study.margin, "target": study.target}, task, where)
        _check_policies(policies, task, where)
    try:
        return Study(
            name=utf8_text(file.stem),
            tasks=tuple(tasks),
            policies=policies,
            seeds=trained,
            margin=study.margin,
            target=study.target,
            confirm=study.confirm,
            base_lr_scales=scales,
            modifiers=variants,
        )
    except (StudyError, TaskError) as error:
        raise StudyError(f"{where}: {error}") from error


def find_study(path: str | Path) -> Path:
    """The file at `path`, or that of the shipped study of this name.

    Raises:
        StudyError: there is neither, or the system does not let it be looked at.
    """
    file = Path(path)
    try:
        os.stat(file)
        return file
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror or error}") from error
    shipped = _shipped_studies()
    if str(path) in shipped:
        return shipped[str(path)]
    nearest = did_you_mean(file.stem, shipped)
    raise StudyError(f"there is no study file {path}, and no study of that name ships with lrbench{nearest}")


def study_names() -> Mapping[str, str]:
    """The studies that ship with lrbench, each with its one-line description."""
    return {name: str(read_toml(file).get("description", "")) for name, file in _shipped_studies().items()}


def read_toml(file: Path) -> Table:
    """The tables of a TOML file.

    Raises:
        StudyError: it is not a file, cannot be read, or is not TOML in UTF-8.
    """
    try:
        return toml_tables(read_regular(file, MOST_TOML))
    except OSError as error:
        what = "is a folder" if isinstance(error, IsADirectoryError) else f"cannot be read: {error.strerror or error}"
        raise StudyError(f"{file} {what}; a study is a TOML file") from error
    except ValueError as error:
        raise StudyError(f"{file} {error}") from error


def _shipped_studies() -> Mapping[str, Path]:
    for folder in (Path(str(files("lrbench"))) / "studies", Path(__file__).parents[2] / "studies"):
        if folder.is_dir():
            return {file.stem: file for file in sorted(folder.glob("*.toml"))}
    return {}


def _scales(study: StudyFile, where: str) -> tuple[float, ...]:
    if isinstance(study.base_lr_scales, bool):
        return BASE_LR_SCALES if study.base_lr_scales else ()
    if len(set(study.base_lr_scales)) < len(study.base_lr_scales):
        raise StudyError(f"{where}: base_lr_scales = {toml_repr(study.base_lr_scales)} must name every factor once")
    return tuple(study.base_lr_scales)


def _variants(study: StudyFile, where: str) -> tuple[Variant, ...]:
    if not study.modifiers:
        return ()
    from lrbench.study.file_modifiers import variants_of

    return variants_of(study.modifiers, where)


def _count_grids(study: StudyFile, where: str) -> int:
    if not study.modifiers:
        return 0
    from lrbench.study.file_modifiers import count_variants

    return count_variants(study.modifiers, where)


def _task_tables(study: StudyFile, where: str) -> list[str | Table]:
    if study.task is not None and study.tasks is not None:
        raise StudyError(f"{where}: give either task or tasks, not both")
    if study.task is not None:
        return [study.task]
    if study.tasks is not None:
        return study.tasks
    raise StudyError(f'{where}: task is missing, say what is trained: task = "mnist1d-mlp"')


def task_of(task: str | Table, *, data_root: Path | str | None, download: bool, steps: int | None) -> Task:
    """The task of a name or of a [task] table, with its data."""
    from lrbench.tasks import make_task, settings_from_dict
    from lrbench.tasks.registry import tasks

    settings = tasks.find(task).build() if isinstance(task, str) else settings_from_dict(task)
    return make_task(settings.with_budget(steps), data_root=data_root, download=download)


def check_scores(scores: Mapping[str, float | None], task: Task, where: str) -> None:
    """Refuse scores, by their keys, that an accuracy cannot have.

    Raises:
        StudyError: the task is judged by accuracy, and one of them is not a fraction.
    """
    if task.metric is not None:
        return
    for key, value in scores.items():
        if value is not None and not 0 <= value <= 1:
            raise StudyError(f"{where}: {key} = {toml_repr(value)} must be from 0 to 1: accuracy is a fraction")


def _check_policies(policies: tuple[StudyPolicy, ...], task: Task, where: str) -> None:
    for policy in policies:
        try:
            policy.policy.bind(task.steps, task.steps_per_epoch)
        except PolicyError as error:
            raise StudyError(f"{where}: policy '{policy.name}' on task '{task.name}': {error}") from error
