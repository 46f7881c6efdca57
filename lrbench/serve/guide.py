"""The pages of the guide as HTML, without a network."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from markupsafe import Markup

from lrbench.errors import LRBenchError, unknown_name
from lrbench.files import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from markdown_it.token import Token

ELSEWHERE = ("http:", "https:")
PUNCTUATION = re.compile(r"[^\w -]")


def guide_pages() -> dict[str, Path]:
    """List the files of the guide by the names of their pages."""
    return shipped("guide", ".md")


def titles() -> dict[str, str]:
    """List the titles of the guide's pages by their names."""
    return {name: _text(file).partition("\n")[0].lstrip("# ") for name, file in guide_pages().items()}


def rendered(page: str) -> Markup:
    """Render a page of the guide; HTML in it is text, and it links to nothing but the guide and the web.

    Raises:
        LRBenchError: there is no such page.
    """
    known = guide_pages()
    if page not in known:
        raise LRBenchError(unknown_name("page of the guide", page, known))
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(_text(known[page]))
    for token in _all(tokens):
        if token.type == "link_open":
            token.attrSet("href", _address(str(token.attrGet("href")), known))
        elif token.type == "image":  # the pictures do not ship
            token.type, token.content, token.children = "text", token.content, None
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", PUNCTUATION.sub("", inline.content.lower()).replace(" ", "-"))
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))


def _address(link: str, known: dict[str, Path]) -> str:
    """Return where a link leads: to a page of this server, to the web, or nowhere."""
    path, _, place = link.partition("#")
    name = path.rpartition("/")[2].removesuffix(".md")
    if link.startswith(ELSEWHERE):
        return link
    if not path or (path.endswith(".md") and name in known):
        return (f"/guide/{name}" if path else "") + (f"#{place}" if place else "")
    return "#"


def _all(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
