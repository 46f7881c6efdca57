"""Results of runs as JSON text, in which NaN and the infinities are the texts "nan", "inf" and "-inf"."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_text(facts: Mapping[str, Any]) -> str:
    """Write facts as JSON."""
    return json.dumps(_spelled(facts), allow_nan=False)


def from_text(text: str) -> dict[str, Any]:
    """Read what `to_text` wrote."""
    (facts,) = from_texts([text])
    return dict(facts)


def from_texts(texts: Iterable[str]) -> Iterator[Any]:
    """Read texts that `to_text` wrote, which together share the memory of their names; "null" is None."""
    joined = f"[{','.join(texts)}]"
    is_spelled = any(f'"{name}"' in joined for name in NOT_FINITE)
    return (_read(facts) if is_spelled else facts for facts in json.loads(joined))


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
