"""Policies of LRBench: its dicts, strings and piecewise lists, with its conventions translated.

The text forms are those of LRBench/utility.py: `k1_0.006+k0_0.001+lrPolicy_UPCOS+l_2000`, lists as `l_150+300`, and
piecewise `POLICY-POLICY-AT-5000`. Two functions mean something else there than in the paper, and here:

- COS has the period 2l there and l here: l is doubled.
- POLY falls from k1 to k0 there and from k0 to k1 here: the two are swapped. Without k1, where LRBench fails, it is
  Caffe's, which falls from k0 to 0.

LRBench's sawtooth gives k0 instead of the peak at each restart; that defect is not translated.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lrbench.errors import PolicyError, did_you_mean
from lrbench.policy.budget import read_number, read_whole
from lrbench.policy.composition import Piecewise
from lrbench.policy.function import LRBENCH, PAPER, Decaying, Named, build, functions
from lrbench.policy.kind import short_repr
from lrbench.policy.policy import MAX_TEXT, Policy

KEYS = ("lrPolicy", "k0", "k1", "gamma", "p", "l")
_BETWEEN_VALUES = re.compile(r"(?<![\d.][eE])\+")
_BETWEEN_POLICIES = re.compile(r"-(?=[A-Za-z])")


Description = Mapping[str, Any]
"""One policy as LRBench's dict: `{'lrPolicy': 'SIN', 'k0': 0.01, 'k1': 0.06, 'l': 2000}`."""


def from_lrbench(source: Description | str | Sequence[Description], boundaries: Sequence[int] = ()) -> Policy:
    """Read the policy of LRBench's dict, string or list of dicts.

    Args:
        source: LRBench's dict, the same as its text, or a list of dicts.
        boundaries: for a list, the iterations where the second and each further policy starts.

    Raises:
        PolicyError: it is none of these, or its parameters are not allowed.
    """
    if isinstance(source, str):
        return _from_text(source)
    if isinstance(source, Mapping):
        return _from_parts([source], boundaries)
    if isinstance(source, list | tuple) and source and all(isinstance(item, Mapping) for item in source):
        return _from_parts(source, boundaries)
    raise PolicyError(f"LRBench describes a policy by a dict, a string or a list of dicts, not {short_repr(source)}")


def _from_parts(parts: Sequence[Mapping[str, Any]], boundaries: Sequence[Any]) -> Policy:
    policies = tuple(_from_dict(part) for part in parts)
    if len(boundaries) != len(policies) - 1:
        raise PolicyError(
            f"LRBench's piecewise policy of {len(policies)} parts needs {len(policies) - 1} boundaries, "
            f"not {len(boundaries)}"
        )
    return Piecewise(policies=policies, at=tuple(boundaries)) if boundaries else policies[0]


def _from_dict(description: Mapping[str, Any]) -> Policy:
    given = {key: value for key, value in description.items() if value is not None}
    for key in given:
        if key not in KEYS:
            hint = did_you_mean(str(key), KEYS)
            raise PolicyError(f"LRBench has no parameter {short_repr(key)}{hint}: it has {', '.join(KEYS)}")
    name = given.pop("lrPolicy", None)
    if not isinstance(name, str) or name not in _TAKES:
        raise PolicyError(f"LRBench has no lrPolicy {short_repr(name)}{did_you_mean(str(name), _TAKES)}")
    used = {key: value for key, value in given.items() if key in _TAKES[name]}
    return build(name, _TRANSLATE.get(name, dict)(used))


def _from_text(text: str) -> Policy:
    if len(text) > MAX_TEXT:
        raise PolicyError(f"a policy's text has at most {MAX_TEXT} characters, not {len(text)}")
    if "-k0F-" in text:
        raise PolicyError("LRBench's fixedPiecewiseLR strings are not supported: write the parts with their boundaries")
    policies, at, boundaries = text.strip().partition("-AT-")
    parts = [_dict_from_text(part) for part in _BETWEEN_POLICIES.split(policies)]
    return _from_parts(parts, [_value(boundary) for boundary in _BETWEEN_VALUES.split(boundaries)] if at else [])


def _dict_from_text(text: str) -> dict[str, Any]:
    description: dict[str, Any] = {}
    name = ""
    for item in _BETWEEN_VALUES.split(text):
        before, underscore, value = item.partition("_")
        if underscore:
            name = before
            if name in description:
                raise PolicyError(f"LRBench's text gives {name} twice")
            description[name] = _value(value)
        elif name == "l":
            steps = description["l"]
            description["l"] = [*(steps if isinstance(steps, list) else [steps]), _value(item)]
        else:
            raise PolicyError(f"LRBench's text is made of name_value, joined by '+', not {short_repr(item)}")
    return description


def _value(text: str) -> float | int | str | None:
    try:
        return int(text) if text.isdecimal() and len(text) < 20 else float(text)
    except ValueError:
        return None if text in ("", "None") else text


def _cosine(given: dict[str, Any]) -> dict[str, Any]:
    half_cycle = read_whole(given.get("l"))
    return given if half_cycle is None else {**given, "l": 2 * half_cycle}


def _polynomial(given: dict[str, Any]) -> dict[str, Any]:
    if "k0" not in given or "k1" not in given:
        return given
    start, end = read_number(given["k1"]), read_number(given["k0"])
    if start is not None and end is not None and start < end:
        raise PolicyError(
            f"LRBench's POLY goes from k1={given['k1']} to k0={given['k0']}, and must not rise: swap them if it falls"
        )
    return {**given, "k0": given["k1"], "k1": given["k0"]}


def _steps(given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "l": [given["l"]]} if read_whole(given.get("l")) is not None else given


_TRANSLATE: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "COS": _cosine,
    "POLY": _polynomial,
    "NSTEP": _steps,
}


def _takes(name: str, policy_class: type[Named]) -> frozenset[str]:
    """Return the parameters that LRBench's function uses; it ignores others. Its decaying ones have no floor."""
    names = frozenset(parameter.name for parameter in policy_class.parameters)
    return names - {"k1"} if issubclass(policy_class, Decaying) and name != "POLY" else names


_TAKES = {name: _takes(name, cls) for name, cls in functions().items() if cls.source.startswith((PAPER, LRBENCH))}
