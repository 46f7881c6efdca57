"""The first sentence and the attributes of a docstring."""

from __future__ import annotations

import inspect
import re


def first_sentence(declared: object) -> str:
    """Return the first sentence of a docstring; empty where there is none."""
    text = " ".join((inspect.getdoc(declared) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[.)]) (?=[A-Z])", text)[0]


def attributes(declared: type) -> dict[str, str]:
    """Return the entries under `Attributes:` in the docstrings of a class and its bases, by name."""
    found: dict[str, str] = {}
    for base in reversed(declared.__mro__):
        lines = inspect.cleandoc(base.__doc__ or "").partition("\nAttributes:\n")[2].partition("\n\n")[0]
        for entry in re.findall(r"^    (\w.*(?:\n     .*)*)", lines, re.MULTILINE):
            names, _, meaning = " ".join(entry.split()).partition(": ")
            found |= dict.fromkeys(names.split(", "), meaning)
    return found
