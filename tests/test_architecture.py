"""The order of the folders, as ARCHITECTURE.md lists them: each imports only from those above it."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import lrbench

ROOT = Path(lrbench.__file__).parent

ORDER = (
    *(
        "version",
        "lazy_names",
        "signatures",
        "errors",
        "registry",
        "files",
        "garbage",
        "streams",
        "reproducible",
        "display",
    ),
    *("policy", "schedule_check", "tasks", "metrics", "store", "engine", "modifiers"),
    *("study", "imports", "training"),
    *("lr_range", "advice", "policy_search", "report", "progress", "api", "serve", "cli"),
)
"""What stands directly in `lrbench/`, lowest first; `lrbench/__init__.py` and `__main__.py` stand above all of it."""


def module_name(file: Path) -> str:
    parts = ("lrbench", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): ast.parse(file.read_text(encoding="utf-8")) for file in ROOT.rglob("*.py")}


def imported(nodes: Iterator[ast.AST] | list[ast.stmt]) -> Iterator[str]:
    """The modules of lrbench that import statements name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_no_folder_imports_from_one_below_it() -> None:
    against = {
        f"{module} imports {other}"
        for module, tree in MODULES.items()
        if part(module) in ORDER
        for other in imported(ast.walk(tree))
        if part(other) and ORDER.index(part(other)) > ORDER.index(part(module))
    }
    assert not against


def test_everything_in_the_package_has_a_place_in_the_order() -> None:
    assert {part(module) for module in MODULES} - {"", "__main__"} == set(ORDER)


def test_the_architecture_page_lists_the_parts_in_this_order() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("\n## ")[1]

    assert tuple(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == ORDER


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {module: set(imported(tree.body)) - {module} for module, tree in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_the_report_imports_neither_the_engine_nor_training() -> None:
    reached = {
        f"{module} imports {other}"
        for module, tree in MODULES.items()
        if part(module) == "report"
        for other in imported(ast.walk(tree))
        if part(other) in ("engine", "training")
    }
    assert not reached
