"""Validation of the tables of a study file: the first mistake, as one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lrbench.errors import StudyError, did_you_mean
from lrbench.policy.kind import short_repr

M = TypeVar("M", bound=BaseModel)

LONGEST_VALUE = 60


def validated(model: type[M], table: Mapping[str, Any], where: str) -> M:
    """Validate a table, and return it as a value of `model`.

    Raises:
        StudyError: a key is unknown or missing, or a value is not allowed by the field's description.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise StudyError(f"{where}: {_sentence(model, table, first['type'], str(first['loc'][0]))}") from error


def toml_repr(value: object) -> str:
    """Write a value as a study file does, or Python where no file can, shortened where it is long."""
    try:
        text = "None" if value is None else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = short_repr(value)
    text = text.replace("NaN", "nan").replace("Infinity", "inf") if isinstance(value, float) else text
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _sentence(model: type[BaseModel], table: Mapping[str, Any], kind: str, key: str) -> str:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if kind == "extra_forbidden":
        return f"unknown key {key!r}{did_you_mean(key, fields)}; allowed are {', '.join(fields)}"
    allowed = fields[key].description
    if kind == "missing":
        return f"{key} is missing, it must be {allowed}"
    return f"{key} = {toml_repr(table[key])} must be {allowed}"
