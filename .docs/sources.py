"""The sources of the site: the pages of the repository, laid out for Sphinx with the links between them."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import api
import gallery
from examples import Example, with_output

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
GUIDE = ROOT / "lrbench" / "guide"
STUDIES = ROOT / "studies"
DEVELOPMENT = {
    ROOT / "lrbench" / "ARCHITECTURE.md": "architecture.md",
    ROOT / ".github" / "CONTRIBUTING.md": "contributing.md",
    ROOT / "CHANGELOG.md": "changelog.md",
}
REPORTS = "reports"
"""The folder of the site that has the reports of studies."""

LINK = re.compile(r"```.*?```|`[^`\n]*`|(?<=]\()([^)\s]+)(?=\))", re.DOTALL)
"""A target of a link, as the first group, or code, in which there is none."""


def places() -> dict[Path, str]:
    """Map each file of the repository that the site has to its place there."""
    files = [*GUIDE.glob("*.md"), *STUDIES.iterdir(), *(ROOT / "figures").rglob("*")]
    kept = {file: str(file.relative_to(GUIDE.parent if GUIDE in file.parents else ROOT)) for file in sorted(files)}
    return {**kept, README: "index.md", STUDIES / "README.md": "studies/index.md", **DEVELOPMENT}


def targets(page: Path) -> Iterator[tuple[Path, str]]:
    """List the files of the repository that a page links to, each with its anchor."""
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        if match[1] and not match[1].startswith("http"):
            name, _, anchor = match[1].partition("#")
            yield (page.parent / name).resolve() if name else page, anchor


def relinked(page: Path, placed: Mapping[Path, str]) -> str:
    """Return the text of a page with its links as they lead on the site.

    Raises:
        LookupError: a link leads to a file that the site does not have.
    """
    found = targets(page)

    def lead(match: re.Match[str]) -> str:
        if not match[1] or match[1].startswith("http"):
            return match[0]
        file, anchor = next(found)
        if file not in placed:
            raise LookupError(f"{page.relative_to(ROOT)} links to {match[1]}, which the site does not have")
        place = os.path.relpath(placed[file], Path(placed[page]).parent)
        return f"{place}#{anchor}" if anchor else place

    return LINK.sub(lead, page.read_text(encoding="utf-8"))


def in_order(folder: Path, index: Path) -> list[Path]:
    """List the pages of a folder in the order of the last links to them on another page; others come at the end."""
    linked = {file: number for number, (file, _) in enumerate(targets(index))}
    pages = sorted(page for page in folder.glob("*.md") if page != index)
    return sorted(pages, key=lambda page: linked.get(page, math.inf))


def toctree(caption: str, documents: Iterable[str]) -> str:
    return "\n".join(["", ":::{toctree}", f":caption: {caption}", ":hidden:", "", *documents, ":::", ""])


def report_section(page: Path, place: str) -> str:
    """Write the part of a page that has the reports of the studies whose tables of runs it links to."""
    linked = dict.fromkeys(file for file, _ in targets(page) if file.suffix == ".csv")
    tables = [file.stem for file in linked if file.with_suffix(".toml").is_file()]
    if not tables:
        return ""
    files = {name: os.path.relpath(f"{REPORTS}/{name}.html", Path(place).parent) for name in tables}
    links = ", ".join(f'<a href="{file}">{name}</a>' for name, file in files.items())
    first, file = next(iter(files.items()))
    return f"""
## The report

<p>All policies to sort and filter, with their curves and learning rates; on a page of its own: {links}. It is made from
the table of runs, which has the last losses of a run only.</p>
<iframe class="report" src="{file}" title="The report of {first}" loading="lazy"></iframe>
"""


def lay_out(folder: Path, printed: Mapping[Example, str]) -> None:
    """Write the sources of the site into a folder, with what examples print below them."""
    placed = places()
    texts = {place: relinked(file, placed) for file, place in placed.items() if file.suffix == ".md"}
    for example, output in printed.items():
        place = placed[example.page]
        texts[place] = with_output(texts[place], example, output)
    for page in STUDIES.glob("*.md"):
        texts[placed[page]] += report_section(page, placed[page])
    texts |= api.pages() | {"gallery.md": gallery.page()}
    texts["index.md"] += "".join(
        (
            toctree("Guide", (placed[page] for page in in_order(GUIDE, README))),
            toctree("Findings", ["gallery.md", "studies/index.md"]),
            toctree("Reference", ["api/index"]),
            toctree("Development", DEVELOPMENT.values()),
        )
    )
    texts["studies/index.md"] += toctree("Studies", (page.name for page in in_order(STUDIES, STUDIES / "README.md")))
    for file, place in placed.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        if file.is_file() and place not in texts:
            shutil.copyfile(file, folder / place)
    for place, text in texts.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
