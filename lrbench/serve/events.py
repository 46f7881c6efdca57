"""Server-sent events: what a page shows is sent again once the store has changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import StreamingResponse

from lrbench.errors import LRBenchError
from lrbench.report.page.render import script_json

SHORTEST_PAUSE = 1.0
"""The shortest time in seconds between two looks at a store."""

PAUSE_FOR_WORK = 3
"""The pause after a look, as a multiple of the time that it took."""

SECONDS_BETWEEN_BEATS = 15.0
"""The time after which a line is sent that says nothing, so that a browser that has gone is noticed."""

Event = tuple[str, Any]
"""The name of an event, and its data as JSON has them."""


class Watch(Protocol):
    """What a page shows, for one browser."""

    def marker(self) -> object:
        """Return a value that differs once something has changed."""

    def events(self) -> Iterator[Event]:
        """Yield what differs from what was yielded before."""


def event_stream(watch: Watch) -> StreamingResponse:
    """Answer with the events of a watch, now and whenever something has changed, until the browser leaves."""
    return StreamingResponse(_events(watch), media_type="text/event-stream")


async def _events(watch: Watch) -> AsyncIterator[str]:
    seen, sent = None, time.monotonic()
    while True:
        began = time.monotonic()
        try:
            if (marker := await run_in_threadpool(watch.marker)) != seen:
                async for name, data in iterate_in_threadpool(watch.events()):
                    sent = time.monotonic()
                    yield f"event: {name}\ndata: {script_json(data)}\n\n"
                seen = marker
        except LRBenchError as error:
            seen = None
            yield f"event: trouble\ndata: {script_json(str(error))}\n\n"
        if time.monotonic() - sent > SECONDS_BETWEEN_BEATS:
            sent = time.monotonic()
            yield ": beat\n\n"
        await asyncio.sleep(max(SHORTEST_PAUSE, PAUSE_FOR_WORK * (time.monotonic() - began)))
