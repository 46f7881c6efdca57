"""Server-sent events: what a page shows is sent again once the store has changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
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


def event_stream(*watches: Watch) -> StreamingResponse:
    """Answer with the events of watches, now and whenever something has changed, until the browser leaves.

    Each watch looks at its own pace, so that one that takes long holds up no other.
    """
    return StreamingResponse(_events(watches), media_type="text/event-stream")


async def _events(watches: Sequence[Watch]) -> AsyncIterator[str]:
    found: asyncio.Queue[str | BaseException] = asyncio.Queue(maxsize=1)
    looking = [asyncio.create_task(_look(watch, found)) for watch in watches]
    try:
        while True:
            try:
                text = await asyncio.wait_for(found.get(), SECONDS_BETWEEN_BEATS)
            except TimeoutError:
                text = ": beat\n\n"
            if isinstance(text, BaseException):
                raise text
            yield text
    finally:
        for task in looking:
            task.cancel()


async def _look(watch: Watch, found: asyncio.Queue[str | BaseException]) -> None:
    """Put the events of a watch into a queue; what ends it is the last of them."""
    seen = None
    try:
        while True:
            began = time.monotonic()
            try:
                if (marker := await run_in_threadpool(watch.marker)) != seen:
                    async for name, data in iterate_in_threadpool(watch.events()):
                        await found.put(f"event: {name}\ndata: {script_json(data)}\n\n")
                    seen = marker
            except LRBenchError as error:
                seen = None
                await found.put(f"event: trouble\ndata: {script_json(str(error))}\n\n")
            await asyncio.sleep(max(SHORTEST_PAUSE, PAUSE_FOR_WORK * (time.monotonic() - began)))
    except Exception as error:
        await found.put(error)
