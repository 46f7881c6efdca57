"""The guide as HTML."""

import re

import pytest

from lrbench.errors import LRBenchError
from lrbench.files import shipped
from lrbench.serve.guide import rendered, titles


def test_every_page_is_rendered_and_links_to_pages_that_are_there() -> None:
    assert titles()["serve"] == "The live page"
    for name in titles():
        html = str(rendered(name))
        assert html.startswith("<h1")
        for link in re.findall(r'href="([^"]*)"', html):
            page = re.fullmatch(r"/guide/([\w-]+)(#[\w-]+)?", link)
            assert link.startswith(("http", "#")) or (page is not None and page[1] in titles())


def test_html_in_a_page_is_text(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    page = tmp_path_factory.mktemp("guide") / "bad.md"
    page.write_text("# T\n\n<script>alert(1)</script> [x](javascript:alert(1)) ![p](https://evil.example/p.png)\n")
    monkeypatch.setattr("lrbench.serve.guide.guide_pages", lambda: {"bad": page})

    html = str(rendered("bad"))

    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html


def test_a_page_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(LRBenchError, match="there is no page of the guide named 'serv'"):
        rendered("serv")
    assert set(titles()) == set(shipped("guide", ".md"))
