"""What a docstring says first."""

from __future__ import annotations

import inspect
import re


def first_sentence(declared: object) -> str:
    """Return the first sentence of a docstring; empty where there is none."""
    text = " ".join((inspect.getdoc(declared) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[.)]) (?=[A-Z])", text)[0]
