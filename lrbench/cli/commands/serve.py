"""`lrbench serve`: a store in the browser, live."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Annotated

import typer

from lrbench.cli.options import StoreOptions, TerminalOptions, load_plugins, whole_number, with_groups
from lrbench.cli.stdout import say, stdout
from lrbench.errors import LRBenchError


@with_groups
def serve(
    context: typer.Context,
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", parser=whole_number(0, 65_535), help="The port; 0 for any that is free."),
    ] = 8765,
    host: Annotated[
        str, typer.Option("--host", metavar="NAME", help="Listen here; beyond this machine, the page needs a token.")
    ] = "127.0.0.1",
    *,
    options: StoreOptions,
    terminal: TerminalOptions,
) -> None:
    """Show a store in the browser: its studies, and how they are trained, live.

    The page is for this machine alone, and changes nothing.

    \b
    Examples:
      lrbench serve
      lrbench serve --store runs.db --port 9000
    """
    try:
        import uvicorn

        from lrbench.serve.app import make_app
        from lrbench.serve.guard import Access
    except ImportError as error:
        raise LRBenchError(f"`lrbench serve` needs {error.name}: pip install 'lrbench[serve]'") from error

    load_plugins(options.plugin)
    with options.opened() as store, _listening(host, port) as listener:
        access = Access.of(host, listener.getsockname()[1], may_write=False)
        config = uvicorn.Config(
            make_app(store, access), log_level="error", server_header=False, timeout_graceful_shutdown=1
        )
        say(f"Serving {store.name} at {access.address}, until Ctrl-C")
        stdout().flush()
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """Open the socket of the server.

    Raises:
        LRBenchError: another program has the port, or this machine has no such name.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise LRBenchError(
            f"cannot listen on port {port} of {host} ({error.strerror or error}): name another by --port, or 0 for any"
        ) from error
