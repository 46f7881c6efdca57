"""Training methods that ride on any policy: those that change training, and those that only watch."""

from lrbench.engine.modifier import Memory, Modifier, Watcher
from lrbench.engine.setting import Setting, choice, count, flag, number
from lrbench.modifiers.registry import (
    description,
    modifier_named,
    modifiers,
    parse_modifier,
    register_modifier,
    settings_named,
)
from lrbench.policy.kind import Bounds

__all__ = [
    "Bounds",
    "Memory",
    "Modifier",
    "Setting",
    "Watcher",
    "choice",
    "count",
    "description",
    "flag",
    "modifier_named",
    "modifiers",
    "number",
    "parse_modifier",
    "register_modifier",
    "settings_named",
]
