"""What a command says on a terminal of how to see more, in one dim line."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lrbench.cli.errors import Session
from lrbench.cli.output import console_for
from lrbench.cli.stdout import stdout

if TYPE_CHECKING:
    from lrbench.store import Store


def say_where_to_go_on(store: Store, given: str | None, commands: Sequence[Sequence[str]], session: Session) -> None:
    """Where the numbers are, and commands that show more of them; nothing but on a terminal.

    Args:
        given: what `--store` said, which the commands then have to say too.
        commands: each as its arguments, without `lrbench`.
    """
    console = console_for(stdout(), session)
    if console is None:
        return
    where = [] if given is None else ["--store", given]
    more = " · ".join(shlex.join(["lrbench", *command, *where]) for command in commands)
    console.print(f"Stored in {store.name} · {more}", style="dim", markup=False, soft_wrap=True)
