"""The register of modifiers, and their text: `PSWA(period=1.0, p=0.5)`."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from lrbench.engine.modifier import Watcher
from lrbench.errors import TaskError
from lrbench.policy.kind import short_repr
from lrbench.policy.parameter import Parameter, build_declared, check_declared, parameters_of
from lrbench.registry import Registry

MAX_TEXT = 2000
"""The length of the longest text that is read, in characters."""

AnyModifier = TypeVar("AnyModifier", bound=type[Watcher])

MODIFIERS: Registry[type[Watcher]] = Registry("modifier", TaskError, "lrbench.modifiers")


def register_modifier(modifier: AnyModifier) -> AnyModifier:
    """Register a modifier (a class decorator): text, study files and listings know it by its class's name.

    The class is a frozen dataclass, a `Modifier` where it changes training and a `Watcher` where it does not. A
    specifier declares each setting; listings show the first line of the docstring.

    Raises:
        TaskError: the class is not so, or another class has the name.
    """
    if not (isinstance(modifier, type) and issubclass(modifier, Watcher)):
        raise TaskError(f"register_modifier takes a subclass of Modifier or Watcher, not {short_repr(modifier)}")
    name = modifier.__name__
    params = vars(modifier).get("__dataclass_params__")
    if params is None or not params.frozen:
        raise TaskError(f"{name} must be a frozen dataclass: write @dataclass(frozen=True) under @register_modifier")
    doc = modifier.__doc__ or ""
    if sys.flags.optimize < 2 and (not doc or doc.startswith(f"{name}(")):  # python -OO drops docstrings
        raise TaskError(f"{name} must say what it does in a docstring")
    check_declared(modifier, TaskError)
    MODIFIERS.add(name, modifier, modifier.__module__)
    return modifier


def modifiers() -> Mapping[str, type[Watcher]]:
    """List every registered modifier by name: those that change training (`Modifier`) and those that only watch."""
    return MODIFIERS


def settings_named(name: str) -> tuple[Parameter, ...]:
    """List the declared settings of the modifier called `name`; raise TaskError where there is none."""
    return parameters_of(MODIFIERS.find(name))


def description(name: str) -> str:
    """Read the first line of the docstring of the modifier called `name`; raise TaskError where there is none."""
    return (inspect.getdoc(MODIFIERS.find(name)) or "").partition("\n")[0]


def modifier_named(name: str, options: Mapping[str, Any]) -> Watcher:
    """Build the modifier called `name` with these settings; the others have their defaults.

    Raises:
        TaskError: the modifier or a setting is unknown, one is missing, or a value is not allowed.
    """
    return build_declared(MODIFIERS.find(name), "setting", options, TaskError)


def parse_modifier(text: str) -> Watcher:
    """Parse a modifier, so that `parse_modifier(str(modifier)) == modifier`. Nothing in the text is executed.

    The text is a name and settings by name, `PSWA(period=1.0, p=0.5)`; a bare name has every default.

    Raises:
        TaskError: the text has another form, an unknown modifier or setting, or a value that is not allowed.
    """
    if not isinstance(text, str):
        raise TaskError(f"a modifier is described by text, not {short_repr(text)}")
    if len(text) > MAX_TEXT:
        raise TaskError(f"a modifier's text has at most {MAX_TEXT} characters, not {len(text)}")
    form = (
        f"a modifier is written NAME(setting=value, ...), for example PSWA(period=1.0, p=0.5), not {short_repr(text)}"
    )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise TaskError(form) from None
    if isinstance(tree, ast.Name):
        return modifier_named(tree.id, {})
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise TaskError(form)
    name, options = tree.func.id, dict[str, Any]()
    if tree.args or any(keyword.arg is None for keyword in tree.keywords):
        raise TaskError(f"{name}: write every setting by its name, NAME(setting=value, ...)")
    for keyword in tree.keywords:
        setting = str(keyword.arg)
        if setting in options:
            raise TaskError(f"{name}: {setting} is given twice")
        options[setting] = _literal(keyword.value)
    return modifier_named(name, options)


class _NoLiteral:
    """A value in a text that is no literal; no setting allows it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return _NoLiteral(ast.unparse(node))
