"""How soon the live page shows a store of 100,000 runs in studies of 1,000 runs each, beside a store of one of them.

Asked over HTTP, as a browser does: the list of studies, and how far a study is, from the request to the event.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import uvicorn
from harness import Candidate, Comparison, Settings, Size, alternate

from cases.store import SEEDS, fill
from lrbench.serve.app import make_app
from lrbench.serve.guard import Access
from lrbench.store import Store, open_store

RUNS = {Size.FULL: (1_000, 100_000), Size.QUICK: (1_000, 10_000), Size.TOY: (100, 200)}
ROUNDS = {Size.FULL: 5, Size.QUICK: 3, Size.TOY: 1}
EVENTS = {"the list of studies": ("events", "studies"), "a study": ("studies/1/events", "progress")}


def compare(settings: Settings) -> list[Comparison]:
    sizes, rounds = RUNS[settings.size], settings.rounds_or(ROUNDS)
    compared = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        addresses = {}
        for runs in sizes:
            store = stack.enter_context(open_store(Path(folder) / f"{runs}.db"))
            for number in range(runs // sizes[0]):
                fill(store, sizes[0] // SEEDS, number=number)
            addresses[runs] = stack.enter_context(_served(store))
        for what, (path, event) in EVENTS.items():

            def asking(runs: int, path: str = path, event: str = event) -> Candidate:
                return lambda: {"seconds": _seconds_until(event, f"{addresses[runs]}{path}")}

            names = {runs: f"{what} at {runs:,} runs" for runs in sizes}
            measured = alternate({names[runs]: asking(runs) for runs in sizes}, rounds, warm_up=True)
            compared.append(measured.compare(names[sizes[1]], names[sizes[0]]))
    return compared


@contextmanager
def _served(store: Store) -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        access = Access.of("127.0.0.1", listener.getsockname()[1], may_write=False)
        server = uvicorn.Server(
            uvicorn.Config(make_app(store, access), log_level="critical", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield access.address
        finally:
            server.should_exit = True
            thread.join()


def _seconds_until(event: str, address: str) -> float:
    """Return the seconds from a request to the first event of a name."""
    began = time.perf_counter()
    with urllib.request.urlopen(address, timeout=600) as answer:
        for line in answer:
            if line.strip() == f"event: {event}".encode():
                return time.perf_counter() - began
    raise RuntimeError(f"{address} ended without the event {event}")
