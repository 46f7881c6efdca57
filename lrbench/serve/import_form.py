"""The form of an import, and the arguments of `lrbench import` that it asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lrbench.errors import StudyError
from lrbench.files import user_path

FIELDS = ("metric", "better", "margin", "target", "pattern", "wide")
"""The fields of the form of an import that are an option each."""


def import_arguments(given: Mapping[str, Any]) -> list[str]:
    """Return the arguments of `lrbench import` that a form asks for.

    Raises:
        StudyError: it names no file or folder of this machine.
    """
    texts = {key: text.strip() for key, text in given.items() if isinstance(text, str) and text.strip()}
    path = user_path(texts.get("source", "")).absolute()
    if "source" not in texts or not os.path.exists(path):
        raise StudyError(f"the server's machine has no file or folder '{texts.get('source', '')}'")
    options = [f"--{key}={texts[key]}" for key in FIELDS if key in texts]
    options += [f"--column={line.strip()}" for line in texts.get("columns", "").splitlines() if line.strip()]
    options += [f"--as={texts['name']}"] if "name" in texts else []
    options += [f"--{texts['paired']}"] if texts.get("paired") in ("paired", "unpaired") else []
    return [*options, "--", str(path)]
