import re
from collections.abc import Mapping
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from lrbench.cli import COMMANDS, app


def shown(*arguments: str) -> str:
    return CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).stdout


def every_command() -> Mapping[str, Any]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group.commands


@pytest.mark.parametrize("name", [name for commands in COMMANDS.values() for name in commands])
def test_no_word_of_a_help_is_broken_at_80_columns_and_no_type_is_named(name: str) -> None:
    help_of_command = shown(name)
    command = every_command()[name]
    words = set((command.help or "").replace("\b", "").split())
    for parameter in command.params:
        words |= {
            *(parameter.help or "").replace("\\[", "[").split(),
            *([parameter.metavar] if parameter.metavar else []),
        }
        words |= set(parameter.opts) if parameter.param_type_name == "option" else set()

    assert words <= set(re.split(r"[\s│]+", help_of_command))
    assert not re.search(r"bool|<\w+>|list\[", help_of_command.lower())


def test_the_help_of_all_commands_names_each_under_its_title() -> None:
    help_of_all = shown()

    assert "bool" not in help_of_all.lower()
    for title, commands in COMMANDS.items():
        panel = help_of_all.partition(title)[2].partition("╰")[0]
        assert all(re.search(rf"^│ {name} ", panel, re.MULTILINE) for name in commands)


def test_the_commands_that_train_share_their_options() -> None:
    options = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in every_command().items()
        if name in COMMANDS["Train and rank"]
    }

    shared = set.intersection(*options.values())
    assert {"--steps", "--seeds", "--device", "--workers", "--engine", "--store", "--plugin", "--json"} <= shared
