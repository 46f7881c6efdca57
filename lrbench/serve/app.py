"""The addresses of the live page, and the server that answers them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lrbench.errors import LRBenchError, PolicyError, StoreError
from lrbench.report.page.render import FOLDER as REPORT
from lrbench.report.page.render import script_json, templates
from lrbench.serve.compare import Pick, choices, compared
from lrbench.serve.compose import NamedPolicies, checked_name, composed, described
from lrbench.serve.events import event_stream
from lrbench.serve.guard import PLOTLY_POLICY, Access, Guard
from lrbench.serve.guide import rendered, titles
from lrbench.serve.home import HomeWatch, Leaders, LeadersWatch
from lrbench.serve.jobs import Jobs
from lrbench.serve.live import AnswerWatch, StudyWatch
from lrbench.serve.run_table import begun, evaluations
from lrbench.serve.study_form import described_study, file_of, placed, study_file, study_form
from lrbench.store import open_store
from lrbench.version import __version__

if TYPE_CHECKING:
    from starlette.requests import Request

    from lrbench.store import Merged, Store

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

MOST_OF_A_STORE = 2**33
"""The largest file of a store that is merged, in bytes."""


def make_app(store: Store, access: Access, jobs: Jobs | None = None) -> Starlette:
    """Make the application that shows a store.

    Args:
        jobs: what trains the studies that are started on the page; None where it only shows.
    """
    pages, leaders = templates(FOLDER / "pages"), Leaders(store)
    named = NamedPolicies(beside(store, "policies.toml"))

    def page(name: str, status: int = 200, **context: Any) -> Response:
        shared = {"version": __version__, "store": store.name, "may_write": jobs is not None}
        text = pages.get_template(f"{name}.html.j2").render(page=name, **shared, **context)
        return HTMLResponse(text, status, headers={"Content-Security-Policy": PLOTLY_POLICY})

    def answered(status: int, sentence: str = "") -> Callable[[Request, Exception], Response]:
        """Answer an error by its sentence: a browser that opens a page by a page, from which others are reached."""

        def answer(request: Request, error: Exception) -> Response:
            text = sentence or str(error)
            is_opened = "text/html" in request.headers.get("accept", "")
            return page("error", status, sentence=text) if is_opened else PlainTextResponse(text, status)

        return answer

    def home(request: Request) -> Response:
        return page("home")

    def home_events(request: Request) -> Response:
        return event_stream(HomeWatch(store, leaders, jobs), LeadersWatch(leaders))

    def study(request: Request) -> Response:
        entry = store.entry(request.path_params["study"])
        listed = store.studies()
        above = next((one for one in listed if one.id == entry.parent), None)
        parts = [one for one in listed if one.parent == entry.id or (above is not None and one.parent == above.id)]
        others = [one for one in parts if one.id != entry.id]
        own = store.count_own_runs(entry.id) if jobs is not None else 0
        return page("study", study=entry, above=above, parts=others, toml=file_of(store.study(entry.id)[0]), own=own)

    def report(request: Request) -> Response:
        from lrbench.report.frames import study_frames
        from lrbench.report.page.render import report_page, security_policy
        from lrbench.report.plots.search import search_behind

        number = store.entry(request.path_params["study"]).id
        text = report_page(study_frames(number, store), search_behind(number, store))
        return HTMLResponse(text, headers={"Content-Security-Policy": security_policy()})

    def table(request: Request) -> Response:
        from lrbench.study.export import csv_of, export, export_curves

        number, what = request.path_params["study"], request.path_params["what"]
        if what not in ("runs", "curves"):
            raise LRBenchError(f"there is no table '{what}': there are runs and curves")
        frame = (export if what == "runs" else export_curves)(number, store)
        headers = {"Content-Disposition": f'attachment; filename="study-{number}-{what}.csv"'}
        return Response(csv_of(frame), media_type="text/csv", headers=headers)

    def compare(request: Request) -> Response:
        listed = [{"id": one.id, "name": one.address} for one in store.studies() if one.kind != "search"]
        return page("compare", data=script_json({"studies": listed}))

    def rows(request: Request) -> Response:
        return JSONResponse(choices(store, request.path_params["study"]))

    def begun_runs(request: Request) -> Response:
        return JSONResponse(begun(store, request.path_params["study"]))

    def run(request: Request) -> Response:
        return JSONResponse(evaluations(store, request.path_params["study"], request.path_params["key"]))

    def differences(request: Request) -> Response:
        return Response(script_json(compared(store, _picks(request))), media_type="application/json")

    def guide(request: Request) -> Response:
        name = request.path_params.get("name", "serve")
        return page("guide", shown=name, titles=titles(), text=rendered(name))

    def rename(given: dict[str, Any]) -> object:
        number, name = _number(given), checked_name(given["name"])
        entry = store.entry(number)
        store.rename_study(number, name)
        if jobs is not None and entry.is_latest:
            jobs.rename(entry.name, name)
        return None

    def delete(given: dict[str, Any]) -> object:
        number = _number(given)
        entry = store.entry(number)
        freed = store.delete_study(number)
        if jobs is not None and store.find(entry.name) is None:
            jobs.forget(entry.name)
        return freed

    def study_events(request: Request) -> Response:
        number = store.entry(request.path_params["study"]).id
        answer = AnswerWatch(store, number, pages)
        return event_stream(StudyWatch(store, number, answer, jobs), answer)

    def compose(request: Request) -> Response:
        made_of = described() | ({} if jobs is None else described_study())
        return page("compose", data=script_json({**made_of, "named": named.listed()}))

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

    def check(given: dict[str, Any]) -> object:
        form = study_form(given)
        return {"errors": form.errors, "text": form.text}

    def plan(queue: Jobs, given: dict[str, Any]) -> object:
        try:
            return queue.plan(*study_file(given))
        except LRBenchError as error:
            return {"errors": placed(str(error))}

    def import_runs(queue: Jobs, given: dict[str, Any], *more: str) -> object:
        try:
            return queue.import_runs(given, *more)
        except LRBenchError as error:
            return {"error": str(error)}

    async def merge(request: Request) -> Response:
        with TemporaryDirectory(prefix="lrbench-") as folder:
            file = Path(folder) / "other.db"
            with file.open("wb") as written:
                async for part in request.stream():
                    if written.tell() + len(part) > MOST_OF_A_STORE:
                        raise LRBenchError(f"a store that is merged may have {MOST_OF_A_STORE:,} bytes")
                    written.write(part)
            return JSONResponse((await run_in_threadpool(_merged, store, file))._asdict())

    def started(queue: Jobs) -> list[Route]:
        return [
            Route("/merge", merge, methods=["POST"]),
            _change("/import", lambda given: import_runs(queue, given)),
            _change("/import/preview", lambda given: import_runs(queue, given, "--dry-run")),
            _change("/named", save),
            _change("/named/forget", forget),
            _change("/check", check),
            _change("/plan", lambda given: plan(queue, given)),
            _change("/run", lambda given: queue.start(*study_file(given))),
            _change("/resume", lambda given: queue.resume(given["name"])),
            _change("/rename", rename),
            _change("/delete", delete),
            _change("/stop", lambda given: queue.stop(given["name"])),
        ]

    @asynccontextmanager
    async def living(app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(leaders.close)
        if jobs is not None:
            await run_in_threadpool(jobs.close)

    return Starlette(
        lifespan=living,
        routes=[
            Route("/", home),
            Route("/events", home_events),
            Route("/studies/{study:int}", study),
            Route("/studies/{study:int}/events", study_events),
            Route("/studies/{study:int}/report.html", report),
            Route("/studies/{study:int}/rows", rows),
            Route("/studies/{study:int}/begun", begun_runs),
            Route("/studies/{study:int}/runs/{key}", run),
            Route("/studies/{study:int}/{what}.csv", table),
            Route("/compare", compare),
            Route("/compared", differences),
            Route("/guide", guide),
            Route("/guide/{name}", guide),
            Route("/compose", compose),
            Route("/policy", policy),
            *([] if jobs is None else started(jobs)),
            Route("/favicon.ico", lambda request: FileResponse(FILES["icon.svg"])),
            Route("/static/plotly.js", _plotly),
            Route("/static/{name}", _static),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={
            404: answered(404, "There is no such page."),
            StoreError: answered(404),
            LRBenchError: answered(400),
        },
    )


def beside(store: Store, name: str) -> Path:
    """Return the path of what the page keeps beside a store, such as `runs.db.policies.toml`."""
    own = store.checkpoints.path
    return own.with_name(f"{own.name.removesuffix('.checkpoints')}.{name}")


def _merged(store: Store, file: Path) -> Merged:
    """Merge the file of another store.

    Raises:
        StoreError: it is no store, or has something that lrbench did not write.
    """
    try:
        with open_store(file, must_exist=True) as other:
            return store.merge(other)
    except StoreError as error:
        raise LRBenchError(str(error).replace(str(file), "that was given")) from error


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
            json.dumps(given, ensure_ascii=False).encode()  # half of a surrogate pair cannot be stored
        except ValueError:
            given = None
        if not isinstance(given, dict) or not isinstance(given.get("name"), str):
            raise LRBenchError("a change is an object of JSON that has a name")
        return JSONResponse(await run_in_threadpool(act, given))

    return Route(path, endpoint, methods=["POST"])


def _picks(request: Request) -> list[Pick]:
    """Read the rows to compare, each as NUMBER/TASK/LABEL with its parts quoted."""
    found = []
    for text in request.query_params.getlist("row"):
        study, *rest = (unquote(part) for part in text.split("/"))
        if len(rest) != 2 or not study.isdecimal():
            raise LRBenchError("a row to compare is the number of a study, a task and a label")
        found.append(Pick(_whole(study), *rest))
    return found


def _number(given: dict[str, Any]) -> int:
    return _whole(str(given.get("study")))


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    return FileResponse(FILES[name]) if name in FILES else PlainTextResponse("There is no such file.", 404)


def _plotly(request: Request) -> Response:
    from plotly.offline import get_plotlyjs

    return Response(get_plotlyjs(), media_type="text/javascript", headers={"Cache-Control": YEAR})
