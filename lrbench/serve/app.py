"""The addresses of the live page, and the server that answers them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lrbench.errors import LRBenchError, PolicyError, StoreError
from lrbench.report.page.render import FOLDER as REPORT
from lrbench.report.page.render import script_json, templates
from lrbench.serve.compose import NamedPolicies, composed, described, study_file
from lrbench.serve.events import event_stream
from lrbench.serve.guard import PLOTLY_POLICY, Access, Guard
from lrbench.serve.home import HomeWatch, Summaries
from lrbench.serve.jobs import Jobs
from lrbench.serve.live import StudyWatch
from lrbench.version import __version__

if TYPE_CHECKING:
    from starlette.requests import Request

    from lrbench.store import Store

FOLDER = Path(__file__).parent
FILES = {
    file.name: file
    for folder in (REPORT, FOLDER / "static")
    for file in folder.iterdir()
    if file.suffix in (".js", ".css", ".svg")
}
"""The scripts, styles and pictures of the pages, those of the report among them."""

YEAR = "public, max-age=31536000, immutable"

MOST_BYTES = 2**20
"""The largest body of a request."""


def make_app(store: Store, access: Access, jobs: Jobs | None = None) -> Starlette:
    """Make the application that shows a store.

    Args:
        jobs: what trains the studies that are started on the page; None where it only shows.
    """
    pages, summaries = templates(FOLDER / "pages"), Summaries(store)
    named = NamedPolicies(beside(store, "policies.toml"))

    def page(name: str, **context: Any) -> Response:
        shared = {"version": __version__, "store": store.name, "may_write": jobs is not None}
        text = pages.get_template(f"{name}.html.j2").render(page=name, **shared, **context)
        return HTMLResponse(text, headers={"Content-Security-Policy": PLOTLY_POLICY})

    def home(request: Request) -> Response:
        return page("home")

    def home_events(request: Request) -> Response:
        return event_stream(HomeWatch(store, summaries, jobs))

    def study(request: Request) -> Response:
        entry = store.entry(request.path_params["study"])
        listed = store.studies()
        above = next((one for one in listed if one.id == entry.parent), None)
        parts = [one for one in listed if one.parent == entry.id or (above is not None and one.parent == above.id)]
        return page("study", study=entry, above=above, parts=[one for one in parts if one.id != entry.id])

    def study_events(request: Request) -> Response:
        return event_stream(StudyWatch(store, store.entry(request.path_params["study"]).id, pages, jobs))

    def compose(request: Request) -> Response:
        return page("compose", data=script_json({**described(), "named": named.listed()}))

    def policy(request: Request) -> Response:
        given = request.query_params
        steps, epoch = (_whole(given.get(name, "")) for name in ("steps", "epoch"))
        try:
            return JSONResponse(composed(given.get("text", ""), steps, epoch))
        except PolicyError as error:
            return JSONResponse({"error": str(error)})

    def save(given: dict[str, Any]) -> object:
        named.save(given["name"], str(given.get("text")))
        return named.listed()

    def forget(given: dict[str, Any]) -> object:
        named.forget(given["name"])
        return named.listed()

    def started(queue: Jobs) -> list[Route]:
        return [
            _change("/named", save),
            _change("/named/forget", forget),
            _change("/plan", lambda given: queue.plan(*study_file(given))),
            _change("/run", lambda given: queue.start(*study_file(given))),
            _change("/resume", lambda given: queue.resume(given["name"])),
            _change("/stop", lambda given: queue.stop(given["name"])),
        ]

    @asynccontextmanager
    async def living(app: Starlette) -> AsyncIterator[None]:
        yield
        if jobs is not None:
            await run_in_threadpool(jobs.close)

    return Starlette(
        lifespan=living,
        routes=[
            Route("/", home),
            Route("/events", home_events),
            Route("/studies/{study:int}", study),
            Route("/studies/{study:int}/events", study_events),
            Route("/compose", compose),
            Route("/policy", policy),
            *([] if jobs is None else started(jobs)),
            Route("/favicon.ico", lambda request: FileResponse(FILES["icon.svg"])),
            Route("/static/plotly.js", _plotly),
            Route("/static/{name}", _static),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={StoreError: _answered(404), LRBenchError: _answered(400)},
    )


def beside(store: Store, name: str) -> Path:
    """Return the path of what the page keeps beside a store, such as `runs.db.policies.toml`."""
    own = store.checkpoints.path
    return own.with_name(f"{own.name.removesuffix('.checkpoints')}.{name}")


def _change(path: str, act: Callable[[dict[str, Any]], object]) -> Route:
    """Make the address of a change, whose request has an object of JSON with the texts that it is about."""

    async def endpoint(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise LRBenchError(f"a request may have {MOST_BYTES:,} bytes")
        try:
            given = json.loads(body)
        except ValueError:
            given = None
        if not isinstance(given, dict) or not isinstance(given.get("name"), str):
            raise LRBenchError("a change is an object of JSON that has a name")
        return JSONResponse(await run_in_threadpool(act, given))

    return Route(path, endpoint, methods=["POST"])


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _answered(status: int) -> Callable[[Request, Exception], Response]:
    """Answer an error by its sentence."""
    return lambda request, error: PlainTextResponse(str(error), status)


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    return FileResponse(FILES[name]) if name in FILES else PlainTextResponse("There is no such file.", 404)


def _plotly(request: Request) -> Response:
    from plotly.offline import get_plotlyjs

    return Response(get_plotlyjs(), media_type="text/javascript", headers={"Cache-Control": YEAR})
