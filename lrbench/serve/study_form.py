"""The form of a study: what it has to fill in, the study file that it asks for, and what is wrong in which field."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from lrbench.errors import LRBenchError, StudyError
from lrbench.metrics import METRICS
from lrbench.metrics.goal import goals_of, metrics_by_goal
from lrbench.modifiers import Modifier, description, modifiers, parse_modifier, settings_named
from lrbench.policy import parse
from lrbench.serve.compose import checked_name, declared, toml
from lrbench.study.file_modifiers import variants_of
from lrbench.study.horizons import name_at
from lrbench.study.limits import StudySettings, split_seeds
from lrbench.study.validation import validated
from lrbench.study.variant import Variant, with_controls
from lrbench.tasks.registry import tasks

if TYPE_CHECKING:
    from lrbench.store import StudyRecord

LISTS = ("horizons", "base_lr_scales")
"""The keys whose values are several, with a comma between them."""

FIELDS = ("seeds", "steps", "margin", "target", "confirm", "budget", "tolerated_divergence", *LISTS)
"""The keys of a study file that are a field each; `by`, modifiers, axes and settings of the tasks are rows."""

FIXED = ("name", "dataset", "pretrained", "steps")
"""The settings of a task that are not changed among its settings: `pretrained` would open files that a page names."""

OF_TASKS = (
    *("model", "optimizer", "groups", "batch_size", "eval_every", "augment", "precision", "divergence_factor"),
    *("validation", "split_seed", "stratified", "metric", "curve_samples", "clip_norm", "clip_value", "micro_batch"),
    *("label_smoothing", "mix", "compile", "train_samples"),
)
"""The settings of a task that may be changed, the other fields of `TaskSettings`, which would load torch; another name
is an option of the optimizer."""

MOST_OF_A_NAME = 2000
"""The most characters of the name of a policy, a setting or an axis."""

NOUNS = {"modifier": "modifiers", "task": "tasks", "policy": "policies"}
"""The fields of what error messages name in the singular."""

PLACE = re.compile(r"(?:study '[^']*': )?(\w+)(?: =|:| [\d'])")
"""The beginning of a sentence about a field."""


@dataclass
class StudyForm:
    """A study as it is asked for.

    Attributes:
        name: of the study and its file.
        table: the keys of the file.
        errors: by field, a sentence about what cannot be used there.
    """

    name: str = ""
    table: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The study file."""
        return study_text(self.table)

    def put(self, key: str, read: Callable[[], Any], name: str | None = None) -> None:
        """Put the value of a field into the table, or what is wrong with it among the errors."""
        try:
            value = read()
        except LRBenchError as error:
            self.errors[name or key] = str(error)
        else:
            if value not in ((), [], {}, None):
                self.table[key] = value


def described_study() -> dict[str, Any]:
    """Describe all that studies can be made of, from the declarations of tasks, modifiers and goals."""
    goals = {name: one.help for name, one in metrics_by_goal().items()}
    return {
        "tasks": [{"name": name, "about": one.description} for name, one in tasks.items()],
        "modifiers": [
            {
                "name": name,
                "about": description(name),
                "group": "change training" if issubclass(kind, Modifier) else "only watch",
                "parameters": list(map(declared, settings_named(name))),
            }
            for name, kind in modifiers().items()
        ],
        "goals": [{"name": name, "about": about} for name, about in goals.items()],
        "settings": [*OF_TASKS, "weight_decay", "momentum"],
        "allowed": {key: StudySettings.model_fields[key].description for key in FIELDS},
    }


def study_form(asked: Mapping[str, Any]) -> StudyForm:
    """Read a form, which names registered things only."""
    form = StudyForm()
    try:
        form.name = checked_name(asked.get("name"))
    except LRBenchError as error:
        form.errors["name"] = str(error)
    settings, axes, by = (_rows(asked.get(key)) for key in ("settings", "axes", "by"))
    form.put("tasks", lambda: _tasks(asked.get("tasks"), settings))
    if len(form.table.get("tasks", ())) == 1:
        form.table = {"task": form.table["tasks"][0]}
    for key in FIELDS:
        form.put(key, partial(_setting, key, str(asked.get(key) or "").strip()))
    form.put("by", lambda: _goals(by))
    form.put("modifiers", lambda: _modifiers(asked.get("modifiers")))
    form.put("axes", lambda: _axes(axes))
    form.put("policies", lambda: _policies(asked.get("policies")))
    return form


def study_file(asked: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and the text of the study file that a form asks for.

    Raises:
        StudyError: something in the form cannot be used.
    """
    form = study_form(asked)
    if form.errors:
        raise StudyError(next(iter(form.errors.values())))
    return form.name, form.text


def placed(sentence: str) -> dict[str, str]:
    """Return a sentence by the field that it is about, or by an empty text."""
    found = PLACE.match(sentence)
    name = NOUNS.get(found[1], found[1]) if found else ""
    return {name if name in (*FIELDS, *NOUNS.values(), "by", "axes") else "": sentence}


def value_of(text: str) -> Any:
    """Read a value as a study file has it; a text may stand without quotes."""
    try:
        found = tomllib.loads(f"value = {text}")
        return found["value"] if found.keys() == {"value"} and _is_plain(found["value"]) else text
    except (ValueError, RecursionError):
        return text


def _values_of(text: str) -> list[Any]:
    """Read several values, with a comma between them."""
    listed = value_of(f"[{text}]")
    return listed if isinstance(listed, list) else [value_of(part.strip()) for part in text.split(",")]


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return all(map(_is_plain, value.values())) if isinstance(value, dict) else isinstance(value, str | int | float)


def _rows(given: object) -> list[tuple[str, str]]:
    """Read rows of a name and a text; those without either are passed over."""
    rows = given if isinstance(given, list) else []
    pairs = ((one[0], one[1]) for one in rows if isinstance(one, list) and len(one) == 2)
    return [(str(name).strip(), str(text).strip()) for name, text in pairs if str(name).strip() or str(text).strip()]


def _tasks(given: object, settings: list[tuple[str, str]]) -> list[Any]:
    names = given if isinstance(given, list) else []
    if not names:
        raise StudyError("the study has no task yet: choose at least one")
    for name in names:
        if not isinstance(name, str) or name not in tasks:
            raise StudyError(f"task = {toml(str(name))} must be one of {', '.join(tasks)}")
    changes: dict[str, Any] = {}
    for key, text in sorted(settings, key=lambda row: row[0] != "optimizer"):
        of = changes if key in OF_TASKS else changes.setdefault("optimizer", {})
        if isinstance(of, str):
            of = changes["optimizer"] = {"kind": of}
        if not key or not text or key in of or key in FIXED:
            raise StudyError(f"the setting {toml(key)} = {text or 'nothing'} of the tasks must be one of theirs, once")
        of[key] = value_of(text)
    return [{"base": name, **changes} if changes else name for name in names]


def _setting(key: str, text: str) -> Any:
    if not text:
        return None
    value = value_of(text)
    if key in LISTS and not isinstance(value, bool | list):
        value = _values_of(text)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        numbers, first = split_seeds(value, "study") if key == "seeds" else (value, None)
        validated(StudySettings, {key: numbers} | ({} if first is None else {"until_decided": first}), "study")
    except StudyError as error:
        raise StudyError(str(error).removeprefix("study: ")) from error
    return value


def _goals(rows: list[tuple[str, str]]) -> list[str]:
    known = {*metrics_by_goal(), *METRICS}
    for name, _ in rows:
        if name not in known:
            raise StudyError(f"by: there is no goal {toml(name)}")
    return list(map(str, goals_of([f"{name}:{margin}" if margin else name for name, margin in rows])))


def _modifiers(given: object) -> list[Any]:
    """Read modifiers, each a text or a list of texts that are combined."""
    listed = given if isinstance(given, list) else []
    variants_of(listed, "study")
    return listed


def _axes(rows: list[tuple[str, str]]) -> dict[str, list[Any]]:
    axes: dict[str, list[Any]] = {}
    for name, text in rows:
        if not 0 < len(name) <= MOST_OF_A_NAME or not text or name in axes:
            raise StudyError(f"axes: {toml(name)} = [{text}] must be a setting, each once, with at least one value")
        axes[name] = _values_of(text)
    return axes


def _policies(given: object) -> dict[str, str]:
    if not isinstance(given, dict) or not given:
        raise StudyError("the study has no policy yet: add at least one")
    return {checked_name(name, MOST_OF_A_NAME): parse(text).text for name, text in given.items()}


# Study files --------------------------------------------------------------------------------------------------------


def study_text(table: Mapping[str, Any]) -> str:
    """Write a study file: plain keys first, then its tables."""
    rows = [f"{key} = {_toml(value)}\n" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            rows += [f"\n[{key}]\n", *(f"{toml(name)} = {_toml(one)}\n" for name, one in value.items())]
    return "".join(rows)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return toml(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(str(name))} = {_toml(one)}' for name, one in value.items())}}}"
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


def file_of(record: StudyRecord) -> str:
    """Write the study file of a record; a comment names what a record does not know, such as tables of tasks."""
    count = len(record.seeds)
    listed = count if record.seeds == tuple(range(count)) else list(record.seeds)
    of_horizons = {task.name.removesuffix(name_at("", task.steps)) for task in record.tasks}
    at_horizons = len(of_horizons) == 1 and of_horizons != {record.tasks[0].name}
    budgets = {task.steps for task in record.tasks}
    named, lacking = _parsed(record.variants)
    table = {
        **_named(of_horizons if at_horizons else [task.name for task in record.tasks]),
        "steps": budgets.pop() if len(budgets) == 1 and not at_horizons else None,
        "horizons": [task.steps for task in record.tasks] if at_horizons else None,
        "seeds": listed if record.until_decided is None else f"{record.until_decided}..{count}",
        "margin": record.margin,
        "target": record.target,
        "confirm": record.confirm or None,
        "tolerated_divergence": record.tolerated_divergence or None,
        "by": list(record.by) or None,
        "base_lr_scales": list(record.base_lr_scales) or None,
        "modifiers": named or None,
        "policies": {policy.name: policy.policy for policy in record.policies},
    }
    lines = [f"# The store does not know the settings of {toml(name)}.\n" for name in lacking]
    return "".join(lines) + study_text({key: value for key, value in table.items() if value is not None})


def _named(tasks: Iterable[str]) -> dict[str, Any]:
    names = list(tasks)
    return {"task": names[0]} if len(names) == 1 else {"tasks": names}


def _parsed(variants: Iterable[str]) -> tuple[list[Any], list[str]]:
    """Split the names of variants into those that are texts of modifiers, and those of which no more is known."""
    read: dict[str, list[str]] = {}
    unread: list[str] = []
    for name in filter(None, variants):
        parts = name.split(" + ")
        try:
            is_text = Variant.of(map(parse_modifier, parts)).name == name
        except LRBenchError:
            is_text = False
        if is_text:
            read[name] = parts
        else:
            unread.append(name)
    made = {one.name for one in with_controls(variants_of(list(read.values()), "study"))} if read else set()
    return [parts[0] if len(parts) == 1 else parts for parts in read.values()], [
        one for one in unread if one not in made
    ]
