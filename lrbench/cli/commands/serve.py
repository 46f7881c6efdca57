"""`lrbench serve`: a store in the browser, live."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from lrbench.cli.options import LabOptions, TerminalOptions, load_plugins, whole_number, with_groups
from lrbench.cli.stdout import say, stdout
from lrbench.errors import LRBenchError

if TYPE_CHECKING:
    import uvicorn

    from lrbench.store import Store


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
    write: Annotated[
        bool,
        typer.Option("--write", help="Let the page start studies and change the store; the address has a token."),
    ] = False,
    *,
    options: LabOptions,
    terminal: TerminalOptions,
) -> None:
    """Show a store in the browser: its studies, and how they are trained, live.

    The page is for this machine alone, and changes nothing without --write. How to train is how the studies train that
    are started on the page, one after another.

    \b
    Examples:
      lrbench serve
      lrbench serve --store runs.db --port 9000
      lrbench serve --write --data-root ~/data --workers 4
    """
    try:
        import uvicorn

        from lrbench.serve.app import beside, make_app
        from lrbench.serve.guard import Access
        from lrbench.serve.jobs import Jobs
    except ImportError as error:
        raise LRBenchError(f"`lrbench serve` needs {error.name}: pip install 'lrbench[serve]'") from error

    load_plugins(options.plugin)
    from lrbench.store import open_store

    with open_store(options.store, must_exist=not write) as store, _listening(host, port) as listener:
        access = Access.of(host, listener.getsockname()[1], may_write=write)
        jobs = Jobs(beside(store, "studies"), _training(options), options.store, _plugins(options)) if write else None
        config = uvicorn.Config(
            make_app(store, access, jobs), log_level="error", server_header=False, timeout_graceful_shutdown=1
        )
        say(f"Serving {store.name} at {access.address}, until Ctrl-C")
        stdout().flush()
        logging.getLogger("uvicorn.error").addFilter(_is_no_cancelled_stream)
        with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_served(uvicorn.Server(config), listener, store))


async def _served(server: uvicorn.Server, listener: socket.socket, store: Store) -> None:
    """Serve until a signal, and end the process: no thread that still reads the store for a page is waited for."""
    await server.serve([listener])
    store.close()
    os._exit(0)


def _is_no_cancelled_stream(record: logging.LogRecord) -> bool:
    """Pass over that a page was still open when the server ended: its stream of events is cut off then."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError) and "graceful shutdown" not in str(record.msg)


def _training(options: LabOptions) -> list[str]:
    """Return the options of `lrbench run` for the studies that are started on the page."""
    named = ["--device", options.device, "--workers", str(options.workers), "--engine", options.engine]
    named += ["--gpus-per-worker", str(options.gpus_per_worker)]
    root = [] if options.data_root is None else ["--data-root", str(options.data_root)]
    return [*named, *root, *(["--download"] if options.download else [])]


def _plugins(options: LabOptions) -> list[str]:
    return [text for file in options.plugin or [] for text in ("--plugin", str(file))]


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
