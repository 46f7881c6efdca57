"""The pages of the API: every public name of lrbench once, with its docstring."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sphinx.pycode import ModuleAnalyzer

from lrbench.policy import functions

PACKAGES = (
    *("lrbench", "lrbench.policy", "lrbench.tasks", "lrbench.metrics", "lrbench.modifiers", "lrbench.report"),
    *("lrbench.store", "lrbench.errors"),
)
"""What is listed, in this order: a name is on the page of the first that has it."""

KINDS = {
    "formula": ("Learning-rate functions", ".. autoclass:: {}"),
    "class": ("Classes", ".. autoclass:: {}\n   :members:\n   :show-inheritance:"),
    "function": ("Functions", ".. autofunction:: {}"),
    "data": ("Other names", ".. py:data:: {}"),
}
"""The heading and the directive of each kind of name."""


def public(module: ModuleType) -> dict[str, object]:
    """Return what a module offers by name: what its `__all__` lists, else its own classes."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", [name for name in own if inspect.isclass(getattr(module, name))])
    found = {name: getattr(module, name) for name in names if not name.startswith("__")}
    return {name: value for name, value in found.items() if not inspect.ismodule(value)}


def kind(value: object) -> str:
    if inspect.isclass(value):
        return "formula" if value in functions().values() else "class"
    return "function" if inspect.isroutine(value) else "data"


def documented(package: str, name: str) -> str:
    """Return what is written below a name that is neither class nor function, where its package has it from."""
    source = ast.parse(Path(str(import_module(package).__file__)).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    homes = [str(node.module) for node in imports if any(one.name == name for one in node.names)]
    lines = [line for home in homes for line in ModuleAnalyzer.for_module(home).find_attr_docs().get(("", name), [])]
    return "".join(f"\n   {line}" for line in lines)


def _page(package: str, values: Mapping[str, object], elsewhere: Mapping[str, str]) -> str:
    parts = [f"{package}\n{'=' * len(package)}", f".. automodule:: {package}\n   :no-members:"]
    for one, (heading, directive) in KINDS.items():
        names = [name for name, value in values.items() if kind(value) == one]
        if one == "formula":
            names.sort(key=list(functions()).index)
        parts += [f"{heading}\n{'-' * len(heading)}"] if names else []
        for name in names:
            written = f"\n{documented(package, name)}" if one == "data" else ""
            parts.append(directive.format(f"{package}.{name}") + written)
    if elsewhere:
        parts.append(f"It also has {', '.join(f':py:obj:`{name} <{full}>`' for name, full in elsewhere.items())}.")
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """Write the pages of the API, by their places."""
    homes: dict[int, str] = {}
    written = {}
    for package in PACKAGES:
        values = public(import_module(package))
        elsewhere = {name: homes[id(value)] for name, value in values.items() if id(value) in homes}
        own = {name: value for name, value in values.items() if name not in elsewhere}
        homes |= {id(value): f"{package}.{name}" for name, value in own.items()}
        written[f"api/{package}.rst"] = _page(package, own, elsewhere)
    head = "API\n===\n\nEvery public name, by the package that has it.\n\n.. toctree::\n   :titlesonly:\n\n"
    return written | {"api/index.rst": head + "".join(f"   {package}\n" for package in PACKAGES)}
