"""Study files: TOML, checked whole before anything is trained."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lrbench import files
from lrbench.errors import DataError, StudyError, TaskError, did_you_mean
from lrbench.files import utf8_text
from lrbench.garbage import without_collection
from lrbench.metrics.goal import By, texts_of
from lrbench.policy.budget import Length
from lrbench.study.file_modifiers import count_variants, variants_of
from lrbench.study.file_policies import count_policies, policies_of
from lrbench.study.limits import StudySettings, check_runs, split_seeds
from lrbench.study.study import Study, given_tasks
from lrbench.study.validation import toml_repr, validated

Table = dict[str, Any]


class StudyFile(StudySettings):
    """The keys of a study file. The description of a field lists what is allowed, in error messages too.

    Attributes:
        description: one line for `lrbench list studies`
        task: the task that is trained; either `task` or `tasks`
        tasks: several tasks, each of which trains every policy
        policies: the policies to compare; each table has one of five forms
        modifiers: every policy is trained without and with each
    """

    description: Annotated[str, Field(description="a text")] = ""
    task: Annotated[str | Table | None, Field(description="the name of a task or a [task] table")] = None
    tasks: Annotated[
        list[str | Table] | None, Field(min_length=1, description="a list of names of tasks, or [[tasks]] tables")
    ] = None
    policies: Annotated[
        list[str | Table] | dict[str, str | Table],
        Field(min_length=1, description="at least one [[policies]] table, a list of texts, or a table of them by name"),
    ]
    modifiers: list[str | list[str] | Table] | dict[str, str | list[str] | Table] = Field(
        default=[], description="[[modifiers]] tables, a list of texts, or a table of them by name"
    )


@without_collection()
def load_study(
    path: str | Path,
    *,
    data_root: Path | str | None = None,
    download: bool = False,
    steps: Length | None = None,
    at: Sequence[Length] | None = None,
    seeds: int | str | None = None,
    confirm: int | None = None,
    budget: str | None = None,
    by: By = (),
) -> Study:
    """Read a study file, check all of it, and load the data of its tasks.

    Args:
        path: a TOML file, or the name of a study that ships with lrbench. The study has the name of the file without
            its suffix.
        data_root: the folder that holds the data sets, laid out as torchvision does.
        download: fetch data sets that are not there.
        steps: the training budget of every task in iterations, in place of the file's or the task's.
        at: the horizons, in place of the file's.
        seeds: train with seeds 0, 1, ..., `seeds` - 1, or with "5..40" until decided, in place of the file's.
        confirm: on how many fresh seeds the winner and its closest rivals are trained again, in place of the file's.
        budget: the most runs or iterations of the study, such as "200 runs", in place of the file's.
        by: the goals, in place of the file's.

    Raises:
        StudyError: the file cannot be read or used; one sentence that names the file, the key and what is allowed.
    """
    from lrbench.tasks import task_of

    file = find_study(path)
    raw = read_toml(file)
    where = str(file)
    if "search" in raw and "policies" not in raw:
        raise StudyError(f"{where} describes a search: call `lrbench search {file}`")
    raw |= settings_given(at, confirm, budget, by)
    if seeds is not None:
        raw = {key: value for key, value in raw.items() if key != "until_decided"} | {"seeds": seeds}
    if "seeds" in raw:
        numbers, first = split_seeds(raw["seeds"], where)
        raw |= {"seeds": numbers} | ({} if first is None else {"until_decided": first})
    study = validated(StudyFile, raw, where)
    given = given_tasks(study.task, study.tasks, where)
    budgets = len(given) * max(1, len(study.horizons))
    others = [len(study.seeds), budgets, 1 + sum(scale != 1 for scale in study.base_lr_scales)]
    settings_of_axes = math.prod(map(len, study.axes.values())) if study.axes else 0
    variants = 1 + count_variants(study.modifiers, where) + settings_of_axes
    check_runs(where, [count_policies(study.policies, where), *others, variants])
    policies = policies_of(study.policies, where, file.parent)
    modifiers = variants_of(study.modifiers, where)
    check_runs(where, [len(policies), *others, 1 + len(modifiers) + settings_of_axes])
    wanted = study.steps if steps is None else steps
    settings = {key: getattr(study, key) for key in StudySettings.model_fields if key != "steps"}
    try:
        tasks = [task_of(task, data_root=data_root, download=download, steps=wanted) for task in given]
        return Study(name=utf8_text(file.stem), tasks=tasks, policies=policies, modifiers=modifiers, **settings)
    except (StudyError, TaskError, DataError) as error:
        raise StudyError(f"{where}: {error}") from error


def settings_given(at: Sequence[Length] | None, confirm: int | None, budget: str | None, by: By) -> Table:
    """Return the settings that are given in place of a study's own, by their keys."""
    asked = {"horizons": at, "confirm": confirm, "budget": budget, "by": texts_of(by) or None}
    return {key: value for key, value in asked.items() if value is not None}


def task_in(path: str | Path) -> Table:
    """Read the one task of a study or search file, at the budget that the file has; its policies are not looked at.

    Raises:
        StudyError: the file cannot be read, or has no task or several.
    """
    file = find_study(path)
    raw, where = read_toml(file), str(file)
    given = given_tasks(raw.get("task"), raw.get("tasks"), where)
    if len(given) > 1:
        raise StudyError(f"{where} has {len(given)} tasks: give a file with one, or the name of a task")
    task = {"base": given[0]} if isinstance(given[0], str) else given[0]
    if not isinstance(task, Mapping):
        raise StudyError(f"{where}: task = {toml_repr(task)} must be the name of a task or a [task] table")
    return {**task, **({"steps": raw["steps"]} if "steps" in raw else {})}


def find_study(path: str | Path) -> Path:
    """Return the file at `path`, or that of the shipped study of this name.

    Raises:
        StudyError: there is neither, or the system denies access.
    """
    file = Path(path)
    try:
        os.stat(file)
        return file
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror or error}") from error
    shipped = files.shipped("studies")
    if str(path) in shipped:
        return shipped[str(path)]
    nearest = did_you_mean(file.stem, shipped)
    raise StudyError(f"there is no study file {path}, and no study of that name ships with lrbench{nearest}")


def study_names() -> Mapping[str, str]:
    """List the studies that ship with lrbench, each with its one-line description."""
    return {name: str(read_toml(file).get("description", "")) for name, file in files.shipped("studies").items()}


def read_toml(file: Path) -> Table:
    """Read a TOML file.

    Raises:
        StudyError: it is not a file, cannot be read, or is not TOML in UTF-8.
    """
    try:
        return files.read_toml(file)
    except ValueError as error:
        raise StudyError(f"{file} {error}") from error
