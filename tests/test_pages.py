"""The README, the guide and the pages of findings: what they show and point to is there, and says how it was made."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FINDINGS = sorted((ROOT / "studies").glob("*.md"))
GUIDE = sorted((ROOT / "lrbench" / "guide").glob("*.md"))
FOR_WHO_BUILDS = [ROOT / "lrbench" / "ARCHITECTURE.md", ROOT / ".github" / "CONTRIBUTING.md"]
PAGES = [ROOT / "README.md", *FINDINGS, *GUIDE, *FOR_WHO_BUILDS]
SHIPPED = sorted((ROOT / "studies").glob("*.csv"))
PICTURES = sorted(file for file in (ROOT / "figures").rglob("*") if file.is_file())


def targets(page: Path) -> list[str]:
    """What a page's links and pictures lead to, but for other sites."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"]\(([^)\s]+)\)", prose)
    return [target for target in found if not target.startswith("http")]


def anchors(page: Path) -> set[str]:
    """By which its headings are linked to, as GitHub forms them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading_in_it(page: Path) -> None:
    for target in targets(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_file(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", FOR_WHO_BUILDS, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`([\w./]+/|[\w./]*\w\.(?:py|toml|md))`", text)

    assert named
    assert [name for name in named if not (ROOT / name).exists() and not (ROOT / "lrbench" / name).exists()] == []


@pytest.mark.parametrize("page", FINDINGS, ids=lambda page: page.name)
def test_under_every_picture_of_a_study_stands_the_command_that_makes_it(page: Path) -> None:
    shown = re.findall(r"!\[[^]]*]\(\.\./([^)]+)\)\n\n(.*?)(?:\n\n|\Z)", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(shown) == page.read_text(encoding="utf-8").count("![")
    for picture, below in shown:
        assert re.search(rf"`lrbench (plot|show) [^`]*-o\s+{re.escape(picture)}`", below), picture


@pytest.mark.parametrize("file", [*SHIPPED, *PICTURES], ids=lambda file: file.name)
def test_every_table_of_runs_and_every_picture_is_on_a_page(file: Path) -> None:
    assert file in {(page.parent / target).resolve() for page in PAGES for target in targets(page)}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda file: file.name)
def test_pictures_are_small(picture: Path) -> None:
    assert picture.stat().st_size < 300_000
