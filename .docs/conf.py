"""The configuration of the documentation site.

Sphinx, since it is kept up: Material for MkDocs is in maintenance, with fixes until November 2026 (its issue 8523). Its
API reference is cross-linked and checked, and its search needs no server. MyST, since the pages stay the Markdown that
GitHub shows; furo, since it fits a phone and asks no other server for fonts or scripts.
"""

import re
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from lrbench import __version__

project = "lrbench"
author = "the authors of lrbench"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "lrbench"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style, pygments_dark_style = "friendly", "monokai"
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False


def name_each(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Give each of several attributes or arguments that a docstring describes together an entry of its own."""
    entries = re.sub(
        r"(?m)^(\s+)(\w+(?:, \w+)+): (.*(?:\n\1\s+\S.*)*)",
        lambda found: "\n".join(f"{found[1]}{one}: {found[3]}" for one in found[2].split(", ")),
        "\n".join(lines),
    )
    lines[:] = entries.split("\n")


def setup(app: Sphinx) -> None:
    app.add_lexer("csv", TextLexer)
    app.connect("autodoc-process-docstring", name_each, priority=400)  # before napoleon, whose entries have one name
