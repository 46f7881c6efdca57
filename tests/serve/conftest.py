"""A server of its own for each test, and pages that may ask nothing of any other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Dialog, Page, expect

from lrbench.serve.app import beside, make_app
from lrbench.serve.guard import Access
from lrbench.serve.jobs import Jobs
from lrbench.store import Store, open_store
from tests.browser import browser

__all__ = ["browser"]

WIDTHS = (1280, 390)
expect.set_options(timeout=180_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "runs.db") as opened:
        yield opened


@contextmanager
def server(store: Store, *, may_write: bool = False, port: int = 0) -> Iterator[str]:
    """Serve a store from a thread, and give the address, with its token where it has one."""
    with closing(socket.create_server(("127.0.0.1", port))) as listener:
        access = Access.of("127.0.0.1", listener.getsockname()[1], may_write=may_write)
        jobs = Jobs(beside(store, "studies"), ["--workers", "1"], store.name) if may_write else None
        config = uvicorn.Config(make_app(store, access, jobs), log_level="error", timeout_graceful_shutdown=1)
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield access.address
        finally:
            running.should_exit = True
            thread.join()


@pytest.fixture
def address(store: Store) -> Iterator[str]:
    """Where the store is shown; nothing can be changed there."""
    with server(store) as address:
        yield address


@pytest.fixture
def writing(store: Store) -> Iterator[str]:
    """Where studies can be started, with the token."""
    with server(store, may_write=True) as address:
        yield address


@pytest.fixture
def opened(browser: Browser, address: str, writing: str) -> Iterator[Callable[[str], Page]]:
    """Open pages; in the end, before the servers are closed, none may have said anything, nor asked another server."""
    noise: list[str] = []
    asked: list[str] = []
    with ExitStack() as stack:

        def dismissed(dialog: Dialog) -> None:
            noise.append(dialog.message)
            dialog.dismiss()

        def open_page(address: str, width: int = WIDTHS[0]) -> Page:
            context = stack.enter_context(browser.new_context(viewport={"width": width, "height": 800}))
            context.set_default_timeout(180_000)
            context.on("console", lambda message: noise.append(message.text))
            context.on("weberror", lambda error: noise.append(str(error.error)))
            context.on("dialog", dismissed)
            context.on("request", lambda request: asked.append(request.url))
            page = context.new_page()
            page.goto(address)
            return page

        yield open_page
    assert noise == []
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))] == []
