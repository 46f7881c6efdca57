"""Brief names of variants: what modifiers are called in tables."""

from __future__ import annotations

from lrbench.errors import TaskError
from lrbench.modifiers import parse_modifier
from lrbench.policy.parameter import parameters_of

JOINT = " + "


def brief_variant(name: str) -> str:
    """The name of a variant without the settings that have their defaults: `PSWA(p=0.1)`, `PLP + EMA(decay=0.9)`.

    What is no modifier's text, a name that a study file gives for one, is left as it is.
    """
    return JOINT.join(map(_brief_method, name.split(JOINT)))


def _brief_method(text: str) -> str:
    try:
        modifier = parse_modifier(text)
    except TaskError:
        return text
    settings = parameters_of(type(modifier))
    told = [setting for setting in settings if setting.required or getattr(modifier, setting.name) != setting.default]
    given = ", ".join(f"{setting.name}={getattr(modifier, setting.name)!r}" for setting in told)
    return f"{type(modifier).__name__}({given})" if given else type(modifier).__name__
