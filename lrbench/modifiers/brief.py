"""Brief names of variants: what modifiers and settings of axes are called in tables."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lrbench.errors import TaskError
from lrbench.modifiers import parse_modifier
from lrbench.policy.parameter import parameters_of

JOINT = " + "

_SETTING = re.compile(r"\w+=")


def is_setting(name: str) -> bool:
    """Tell whether a variant is a setting of axes, `batch_size=32`, by its name."""
    return _SETTING.match(name) is not None


def variant_noun(names: Iterable[str]) -> str:
    """Return what variants are: "modifier", "setting", or one or the other."""
    nouns = dict.fromkeys("setting" if is_setting(name) else "modifier" for name in names if name)
    return " or ".join(nouns)


def brief_variant(name: str) -> str:
    """Shorten the name of a variant by the settings that have their defaults: `PSWA(p=0.1)`, `PLP + EMA(decay=0.9)`.

    A name that a study file gives a modifier stays as it is.
    """
    return JOINT.join(map(_brief_modifier, name.split(JOINT)))


def _brief_modifier(text: str) -> str:
    try:
        modifier = parse_modifier(text)
    except TaskError:
        return text
    settings = [(setting, getattr(modifier, setting.name)) for setting in parameters_of(type(modifier))]
    changed = [(setting.name, value) for setting, value in settings if setting.required or value != setting.default]
    given = ", ".join(f"{name}={value!r}" for name, value in changed)
    return f"{type(modifier).__name__}({given})" if given else type(modifier).__name__
