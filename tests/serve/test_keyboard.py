"""The whole way through the pages by keyboard alone: compose, train, compare, delete."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from lrbench.store import Store
from tests.serve.conftest import WIDTHS

Open = Callable[..., Page]

FOCUSED = """() => {
  const one = document.activeElement;
  return (one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent).trim();
}"""


def reach(page: Page, name: str, key: str = "Tab") -> None:
    """Move the focus by the keyboard to what a screen reader calls by a name."""
    seen: list[str] = []
    while name not in seen:
        assert len(seen) < 200, f"no Tab leads to {name}: {seen}"
        page.keyboard.press(key)
        seen.append(page.evaluate(FOCUSED))


def type_into(page: Page, name: str, text: str, key: str = "Tab") -> None:
    reach(page, name, key)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_study_is_composed_trained_compared_and_deleted_by_keyboard(
    opened: Open, writing: str, store: Store, width: int
) -> None:
    page = opened(writing, width)
    reach(page, "Compose")
    page.keyboard.press("Enter")
    expect(page.locator("#curve .scatterlayer .trace")).to_have_count(1)

    reach(page, "Function of row 1")
    page.keyboard.type("FIX")
    type_into(page, "k0 learning rate", "0.1")
    expect(page.get_by_label("Its text")).to_have_value("FIX(k0=0.1)")
    expect(page.locator("#code")).to_contain_text("0.1")
    type_into(page, "Name of the policy above", "flat")
    page.keyboard.press("Enter")
    type_into(page, "Its text", "FIX(k0=0.001)", "Shift+Tab")
    type_into(page, "Name of the policy above", "low")
    page.keyboard.press("Enter")
    expect(page.locator("#chosen li")).to_have_text(["flat FIX(k0=0.1) Remove", "low FIX(k0=0.001) Remove"])
    type_into(page, "Name", "trial")
    type_into(page, "Seeds", "2")
    type_into(page, "Iterations or epochs", "2ep")
    reach(page, "What does it cost?")
    page.keyboard.press("Enter")
    expect(page.locator("#cost")).to_have_text("4 runs, of which the store has 0; 496 of 496 iterations to train.")
    reach(page, "Run")
    page.keyboard.press("Enter")

    expect(page.locator("#studies").get_by_role("link", name="trial")).to_be_visible()
    reach(page, "trial")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("complete")
    expect(page.locator("table.policies tbody summary").first).to_have_text("flat")
    assert store.totals()[1].statuses == {"finished": 4}

    reach(page, "Compare")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/compare"))
    expect(page.get_by_role("combobox", name="Policy")).to_contain_text("flat")
    reach(page, "Add")
    page.keyboard.press("Enter")
    reach(page, "Policy", "Shift+Tab")
    page.keyboard.press("ArrowDown")
    reach(page, "Add")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="low (trial) minus flat (trial)")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    reach(page, "Studies")
    page.keyboard.press("Enter")
    expect(page.locator("#studies").get_by_role("link", name="trial")).to_be_visible()
    reach(page, "trial")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("complete")
    reach(page, "Export and manage")
    page.keyboard.press("Enter")
    reach(page, "Delete")
    page.keyboard.press("Enter")
    reach(page, "Yes, delete it", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No study is in this store yet.")).to_be_visible()
    assert store.statuses() == {}
