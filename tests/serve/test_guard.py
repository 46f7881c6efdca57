"""Who may ask a server, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect
from starlette.routing import Route
from starlette.testclient import TestClient

from lrbench.serve.app import make_app
from lrbench.serve.guard import Access, is_loopback
from lrbench.serve.jobs import Jobs
from lrbench.store import Store
from tests.report.made_studies import FIVE, same_everywhere, write_study
from tests.serve.conftest import server

HOME = "http://127.0.0.1:8765"
OTHER = "http://evil.example"


def client(store: Store, access: Access) -> TestClient:
    return TestClient(make_app(store, access), base_url=HOME, follow_redirects=False)


@pytest.fixture
def reader(store: Store) -> Iterator[TestClient]:
    with client(store, Access.of("127.0.0.1", 8765, may_write=False)) as reader:
        yield reader


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "10.0.0.7:8765", "127.0.0.1.evil.example", "[", ""]
)
def test_a_name_that_is_not_the_server_s_is_refused(reader: TestClient, host: str) -> None:
    assert reader.get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1", "[::1]:8765", "LOCALHOST"])
def test_the_names_of_loopback_are_the_server_s(reader: TestClient, host: str) -> None:
    assert reader.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": OTHER},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_a_page_from_elsewhere_is_refused(reader: TestClient, headers: dict[str, str]) -> None:
    assert reader.get("/", headers=headers).status_code == 403


def test_a_link_from_elsewhere_opens_the_page(reader: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert reader.get("/", headers=headers).status_code == 200


def test_no_answer_lets_another_page_read_frame_or_script_it(reader: TestClient) -> None:
    for path in ("/", "/static/home.js", "/studies/7", "/nothing"):
        headers = reader.get(path).headers
        assert "access-control-allow-origin" not in headers
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script-src 'self';" in headers["content-security-policy"]


def test_a_server_that_only_shows_changes_nothing(reader: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert reader.request(method, "/studies/1", headers={"Origin": HOME}).status_code == 403


def test_a_server_that_may_write_answers_nobody_without_its_token(store: Store) -> None:
    access = Access.of("127.0.0.1", 8765, may_write=True)
    with client(store, access) as stranger:
        assert stranger.get("/").status_code == 401
        assert stranger.get("/?token=guess").status_code == 401
        assert stranger.get("/", headers={"Cookie": f"{access.cookie}=guess"}).status_code == 401
        assert stranger.post("/", headers={"Origin": HOME}).status_code == 401

        first = stranger.get(access.address.removeprefix(HOME))

        assert (first.status_code, first.headers["location"]) == (303, "/")
        assert "HttpOnly" in first.headers["set-cookie"]
        assert stranger.get("/").status_code == 200
        assert stranger.post("/studies/1").status_code == 403  # a form of another page sends cookies, and no Origin


def test_nothing_is_changed_without_the_token_nor_by_another_page(store: Store, tmp_path: Path) -> None:
    access = Access.of("127.0.0.1", 8765, may_write=True)
    app = make_app(store, access, Jobs(tmp_path / "studies", [], None))
    changes = [route.path for route in app.routes if isinstance(route, Route) and "POST" in (route.methods or ())]
    assert {"/run", "/delete", "/rename", "/merge", "/named"} <= set(changes)
    with TestClient(app, base_url=HOME, follow_redirects=False) as stranger:
        for path in changes:
            assert stranger.post(path, headers={"Origin": HOME}, content="{}").status_code == 401
        stranger.get(access.address.removeprefix(HOME))
        for path in changes:
            for headers in ({}, {"Origin": OTHER}, {"Origin": "null"}, {"Origin": HOME, "Host": "evil.example"}):
                assert stranger.post(path, headers=headers, content="{}").status_code in (403, 421)
            assert stranger.get(path).status_code == 405
            assert stranger.post(path, headers={"Origin": HOME}, content=b"{").status_code == 400
            half = stranger.post(path, headers={"Origin": HOME}, content=b'{"name": "\\ud800"}')
            assert half.status_code == 400, "half of a surrogate pair"


STRANGE = """async address => {
  const given = JSON.stringify({ name: "", study: 1 });
  const ask = (path, more) => fetch(address + path, { credentials: "include", ...more }).then(() => path, () => "");
  const read = await ask("?", {});
  const changed = await ask("delete", { method: "POST", mode: "no-cors", body: given });
  const form = document.createElement("form");
  Object.assign(form, { method: "post", enctype: "text/plain", target: "frame", action: address + "delete" });
  form.append(Object.assign(document.createElement("input"), { name: given.slice(0, -1) + ',"x":"', value: '"}' }));
  const frame = Object.assign(document.createElement("iframe"), { name: "frame" });
  document.body.append(frame, form);
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve));
  form.submit();
  await loaded;
  return read + changed;
}"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_strange_page_in_the_browser_that_has_the_token_can_do_nothing(
    browser: Browser, store: Store, host: str
) -> None:
    """At 127.0.0.1 the browser sends the cookie too: a port makes no other site."""
    write_study(store, {"flat": FIVE["flat"]}, same_everywhere({"flat": 0.5}))
    with server(store, may_write=True) as address, browser.new_context() as context:
        context.route(f"http://{host}:9999/", lambda route: route.fulfill(content_type="text/html", body="<body>"))
        own = context.new_page()
        own.goto(address)
        asked = list[str]()
        context.on("request", lambda request: asked.append(request.method))
        page = context.new_page()
        page.goto(f"http://{host}:9999/")

        assert page.evaluate(STRANGE, own.url) == ""

        assert asked.count("POST") == 2
        assert [one.name for one in store.studies()] == ["a-study"]


def test_a_page_that_stayed_open_while_its_server_was_started_anew_says_what_it_needs_and_goes_on(
    browser: Browser, store: Store
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        with server(store, may_write=True) as address:
            page.goto(address)
            expect(page.get_by_text("No study is in this store yet.")).to_be_visible()
        expect(page.locator("#trouble")).to_have_text("The server does not answer; this page shows what it last heard.")
        with server(store, may_write=True, port=urlsplit(address).port or 0) as anew:
            expect(page.locator("#trouble")).to_contain_text("it has the token; this page shows what it last heard.")
            write_study(store, {"flat": FIVE["flat"]}, same_everywhere({"flat": 0.5}))
            context.new_page().goto(anew)
            expect(page.get_by_role("link", name="a-study")).to_be_visible()
            expect(page.locator("#trouble")).to_be_hidden()


def test_beyond_loopback_the_token_is_demanded_and_addresses_are_names(store: Store) -> None:
    access = Access.of("0.0.0.0", 8765, may_write=False)
    with client(store, access) as stranger:
        assert stranger.get("/", headers={"Host": "10.0.0.7:8765"}).status_code == 401
        assert stranger.get("/", headers={"Host": "evil.example"}).status_code == 421
        bearer = {"Host": "10.0.0.7:8765", "Authorization": f"Bearer {access.token}"}
        assert stranger.get("/", headers=bearer).status_code == 200
    assert [is_loopback(host) for host in ("127.0.0.2", "::1", "localhost", "0.0.0.0", "name")] == [1, 1, 1, 0, 0]


def test_an_unknown_study_is_a_sentence(reader: TestClient, store: Store) -> None:
    write_study(store, {"flat": FIVE["flat"]}, same_everywhere({"flat": 0.5}))

    answer = reader.get("/studies/7")

    assert (answer.status_code, "has no study '7'" in answer.text) == (404, True)
    assert reader.get("/studies/1").status_code == 200
    for path, sentence in (("/studies/7", "has no study"), ("/nothing", "There is no such page.")):
        opened = reader.get(path, headers={"Accept": "text/html"})
        assert (opened.status_code, sentence in opened.text, '<a href="/compose"' in opened.text) == (404, True, True)
    assert reader.get("/static/..%2fapp.py").status_code == 404


def test_the_runs_of_a_study_are_a_table(reader: TestClient, store: Store) -> None:
    write_study(store, {"=1+1": FIVE["flat"]}, same_everywhere({"=1+1": 0.5}))

    answer = reader.get("/studies/1/runs.csv")

    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.count("a-task,main,'=1+1,FIX(k0=0.1)") == 3
    assert reader.get("/studies/1/curves.csv").text.count("'=1+1") == 15
    assert reader.get("/studies/1/secrets.csv").status_code == 400
