"""What `--help` shows of a command's options."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class PlainCommand(TyperCommand):
    """A command whose help shows flags by their names alone."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options and arguments, `--help` with them."""
        return flags_without_types(super().get_params(ctx))


def flags_without_types(parameters: list[Any]) -> list[Any]:
    """Leave out the type of the value that a flag stands for: typer shows a `<bool>`, which nobody can give."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters
