"""The examples in docstrings show what happens, and every LR function has one."""

import doctest
from importlib import import_module
from inspect import getdoc, getmembers, isfunction
from pkgutil import iter_modules

import pytest

from lrbench.policy import functions

MODULES = [
    f"{package}.{module.name}"
    for package in ("lrbench.policy", "lrbench.metrics")
    for module in iter_modules(import_module(package).__path__)
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_give_what_they_show(module: str) -> None:
    assert doctest.testmod(import_module(module)).failed == 0


@pytest.mark.parametrize("module", ["confidence", "curves", "robustness"])
def test_every_metric_of_a_run_shows_a_value(module: str) -> None:
    found = import_module(f"lrbench.metrics.{module}")
    public = {name: part for name, part in getmembers(found, isfunction) if part.__module__ == found.__name__}

    assert [name for name, part in public.items() if name[0] != "_" and f">>> {name}(" not in _shown(part)] == []


def _shown(function: object) -> str:
    """The docstring of a function, with calls that are rounded as if they stood alone."""
    return (getdoc(function) or "").replace(">>> round(", ">>> ")


@pytest.mark.parametrize("name", functions())
def test_every_function_shows_a_value(name: str) -> None:
    examples = doctest.DocTestParser().get_examples(functions()[name].__doc__ or "")

    assert any(f"{name}(" in example.source and example.want for example in examples)
