"""Names of a package that are loaded when they are first used, so that importing the package costs nothing."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make the `__getattr__`, `__dir__` and `__all__` of a package from its imports under `if TYPE_CHECKING`.

    The names are those that type checkers take for public: `from package.module import name as name`.
    """
    source = Path(str(sys.modules[package].__file__)).read_text(encoding="utf-8")
    nodes = ast.walk(ast.parse(source))
    imports = [(node.module, one) for node in nodes if isinstance(node, ast.ImportFrom) for one in node.names]
    home_of = {one.name: str(module) for module, one in imports if one.asname == one.name}

    def load(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = home_of[name]
        return import_module(f"{package}.{name}") if home == package else getattr(import_module(home), name)

    public = sorted(home_of)
    return load, lambda: sorted({*vars(sys.modules[package]), *public}), public
