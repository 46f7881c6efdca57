"""The addresses of the live page, and the server that answers them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from lrbench.errors import LRBenchError, StoreError
from lrbench.report.page.render import FOLDER as REPORT
from lrbench.report.page.render import templates
from lrbench.serve.events import event_stream
from lrbench.serve.guard import PLOTLY_POLICY, Access, Guard
from lrbench.serve.home import HomeWatch, Summaries
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


def make_app(store: Store, access: Access) -> Starlette:
    """Make the application that shows a store."""
    pages, summaries = templates(FOLDER / "pages"), Summaries(store)

    def page(name: str, **context: Any) -> Response:
        text = pages.get_template(name).render(version=__version__, store=store.name, **context)
        return HTMLResponse(text, headers={"Content-Security-Policy": PLOTLY_POLICY})

    def home(request: Request) -> Response:
        return page("home.html.j2")

    def home_events(request: Request) -> Response:
        return event_stream(store, HomeWatch(store, summaries))

    def study(request: Request) -> Response:
        entry = store.entry(request.path_params["study"])
        listed = store.studies()
        above = next((one for one in listed if one.id == entry.parent), None)
        parts = [one for one in listed if one.parent == entry.id or (above is not None and one.parent == above.id)]
        return page("study.html.j2", study=entry, above=above, parts=[one for one in parts if one.id != entry.id])

    def study_events(request: Request) -> Response:
        return event_stream(store, StudyWatch(store, store.entry(request.path_params["study"]).id, pages))

    return Starlette(
        routes=[
            Route("/", home),
            Route("/events", home_events),
            Route("/studies/{study:int}", study),
            Route("/studies/{study:int}/events", study_events),
            Route("/favicon.ico", lambda request: FileResponse(FILES["icon.svg"])),
            Route("/static/plotly.js", _plotly),
            Route("/static/{name}", _static),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={StoreError: _answered(404), LRBenchError: _answered(400)},
    )


def _answered(status: int) -> Callable[[Request, Exception], Response]:
    """Answer an error by its sentence."""
    return lambda request, error: PlainTextResponse(str(error), status)


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    return FileResponse(FILES[name]) if name in FILES else PlainTextResponse("There is no such file.", 404)


def _plotly(request: Request) -> Response:
    from plotly.offline import get_plotlyjs

    return Response(get_plotlyjs(), media_type="text/javascript", headers={"Cache-Control": YEAR})
