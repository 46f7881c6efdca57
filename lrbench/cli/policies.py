"""The policies that a command line names: a catalog or a study, an entry of one, or a policy as text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.errors import PolicyError, StudyError, did_you_mean, unknown_name

if TYPE_CHECKING:
    from lrbench.policy import Policy
    from lrbench.study.file import StudyFile


def named_policies(text: str) -> Mapping[str, Policy]:
    """Find the policies that an argument names, by the names to show.

    Args:
        text: `lrbench13` or `my_catalog.toml` for a whole catalog, `quickstart` or `my_study.toml` for all policies of
            a study, `lrbench13/TRI` for one of them, `lrs.csv` for the LR of each iteration, else a policy as text.

    Raises:
        PolicyError: it is none of these.
        StudyError: it is a study file that says something that is not allowed.
    """
    from lrbench.policy import catalogs, functions, parse
    from lrbench.study.file import study_names

    whole = _collection(text)
    if whole is not None:
        return whole
    name, slash, key = text.partition("/")
    known = (*catalogs(), *study_names())
    if slash and "(" not in name:
        entries = _collection(name)
        if entries is None:
            raise PolicyError(unknown_name("catalog or study", name, known))
        if key not in entries:
            hint = did_you_mean(key, entries) or f"; it has {', '.join(entries)}"
            raise PolicyError(f"'{name}' has no policy '{key}'{hint}")
        return {key: entries[key]}
    if text in functions():
        raise PolicyError(f"'{text}' is a function, which needs its numbers: `lrbench show {text}` has an example")
    if "(" not in text:
        hint = did_you_mean(text, (*known, *functions())) or f"; there are {', '.join(known)}"
        raise PolicyError(
            f"'{text}' is neither a catalog or study{hint}, nor an entry such as 'lrbench13/TRI', "
            "nor a policy such as 'FIX(k0=0.1)'"
        )
    policy = parse(text)
    return {str(policy): policy}


def one_policy(text: str) -> Policy:
    """Find the one policy that an argument names.

    Raises:
        PolicyError: it is none, or a whole catalog or study.
    """
    found = named_policies(text)
    if len(found) != 1:
        raise PolicyError(
            f"'{text}' has {len(found)} policies and one is wanted: name it as '{text}/{next(iter(found))}'"
        )
    return next(iter(found.values()))


def budgets(text: str) -> frozenset[int]:
    """List the budgets in iterations of the tasks of a study; none where `text` is not a study.

    Raises:
        TaskError: one of its tasks is unknown, or says something that is not allowed.
    """
    file = _study_file(text)
    if file is None:
        return frozenset()
    from lrbench.tasks import task_from_dict

    study = _read(file)
    wanted = study.tasks or ([] if study.task is None else [study.task])
    tables = ({"base": task} if isinstance(task, str) else task for task in wanted)
    steps = (task_from_dict(table).with_budget(study.steps).steps for table in tables)
    return frozenset(each for each in steps if isinstance(each, int))


def _collection(name: str) -> Mapping[str, Policy] | None:
    """Find the policies of the catalog or the study of this name or in this file; None where it is neither."""
    from lrbench.policy import TABLE, catalog, catalogs, load_catalog, load_lrs

    if name in catalogs():
        return {key: entry.policy for key, entry in catalog(name).items()}
    file = _study_file(name)
    if file is not None:
        from lrbench.study.file_policies import policies_of

        entries = policies_of(_read(file).policies, str(file), file.parent)
        for entry in entries:
            if entry.auto_peak:
                raise StudyError(
                    f"{file}: the peak of '{entry.name}' comes from a range test, which `lrbench run` trains first: "
                    "its learning rates are not known yet"
                )
        return {entry.name: entry.policy for entry in entries}
    if name.endswith(".toml"):
        return {key: entry.policy for key, entry in load_catalog(name).items()}
    if name.endswith(".csv"):
        return {Path(name).stem: TABLE(values=load_lrs(name))}
    return None


def _study_file(name: str) -> Path | None:
    """Find the file of a study, which has policies where a catalog has entries; None where there is none."""
    from lrbench.study.file import find_study, read_toml, study_names

    if name in study_names():
        return find_study(name)
    file = Path(name)
    return file if file.suffix == ".toml" and os.path.isfile(file) and "policies" in read_toml(file) else None


def _read(file: Path) -> StudyFile:
    from lrbench.study.file import StudyFile, read_toml
    from lrbench.study.validation import validated

    return validated(StudyFile, read_toml(file), str(file))
