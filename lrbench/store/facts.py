"""Results of runs as JSON text, in which NaN and the infinities are the texts "nan", "inf" and "-inf"."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_text(facts: Mapping[str, Any]) -> str:
    """Write facts as JSON."""
    return json.dumps(_spelled(facts), allow_nan=False)


def from_text(text: str) -> dict[str, Any]:
    """Read what `to_text` wrote."""
    return {name: _read(value) for name, value in json.loads(text).items()}


def _spelled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _spelled(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(member) for member in value]
    return str(float(value)) if isinstance(value, float) and not math.isfinite(value) else value


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _read(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_read(member) for member in value]
    return NOT_FINITE.get(value, value) if isinstance(value, str) else value
