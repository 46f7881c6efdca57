"""What `--help` shows of a command's options and arguments."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class PlainCommand(TyperCommand):
    """A command whose help shows flags and arguments by their names alone."""

    def get_params(self, ctx: Any) -> list[Any]:
        """List the options and arguments, `--help` with them."""
        return without_types(super().get_params(ctx))


def without_types(parameters: list[Any]) -> list[Any]:
    """Leave out the types of flags and arguments: typer shows a `<bool>`, which nobody can give, and a `<str>`."""
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None
        elif parameter.is_flag:
            parameter.metavar = ""
    return parameters
