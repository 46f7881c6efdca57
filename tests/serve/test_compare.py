"""Policies of any studies side by side, and the management of studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lrbench.errors import StudyError
from lrbench.serve.compare import Pick, choices, compared
from lrbench.store import Store, open_store
from tests.report.made_studies import FIVE, MISSING, SCORES, same_everywhere, write_study
from tests.serve.conftest import WIDTHS

HOSTILE = "<img src=x onerror=alert(1)>"
Open = Callable[..., Page]


def two_studies(store: Store) -> None:
    write_study(store, FIVE, same_everywhere(SCORES), "first")
    write_study(store, {"other": FIVE["flat"]}, lambda place: 0.6 + 0.001 * place.seed, "second", seeds=(1, 2, 3))


def test_policies_of_two_studies_are_paired_where_they_share_seeds(store: Store) -> None:
    two_studies(store)

    document = compared(store, [Pick(1, "a-task", "falling"), Pick(2, "a-task", "other")])

    assert [row["name"] for row in document["rows"]] == ["falling (first)", "other (second)"]
    assert [len(curve["val"]["x"]) for curve in document["curves"]] == [5, 5]
    (difference,) = document["differences"]
    assert difference["how"] == "Paired by seed: the same initial weights and batches."
    gap = next(row for row in difference["rows"] if row["metric"] == "val top1")
    assert (gap["seeds"], gap["mean"]) == (2, pytest.approx(0.6 - 0.7))


def test_what_has_no_run_is_no_choice_and_is_refused(store: Store) -> None:
    write_study(store, FIVE, lambda place: MISSING if place.name == "flat" else 0.5, "first")

    assert {"task": "a-task", "label": "flat"} not in choices(store, 1)
    with pytest.raises(StudyError, match="study 'first' has no policy 'flat' on 'a-task'"):
        compared(store, [Pick(1, "a-task", "flat")])


def test_two_policies_are_picked_and_compared_and_the_address_keeps_them(
    opened: Open, address: str, store: Store
) -> None:
    two_studies(store)
    page = opened(f"{address}compare", WIDTHS[1])
    page.get_by_label("Study").select_option("first")
    page.get_by_label("Policy").select_option(label="falling")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#compare-val .scatterlayer .trace")).not_to_have_count(0)
    page.get_by_label("Study").select_option("second")
    page.get_by_label("Policy").select_option(label="other")
    page.get_by_role("button", name="Add").click()

    expect(page.get_by_role("heading", name="other (second) minus falling (first)")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[1]
    page.reload()
    expect(page.get_by_role("heading", name="other (second) minus falling (first)")).to_be_visible()


def test_a_study_is_renamed_and_deleted_on_its_page(opened: Open, writing: str, store: Store) -> None:
    two_studies(store)
    page = opened(writing)
    page.get_by_role("link", name="second").click()
    page.get_by_text("Export and manage").click()
    expect(page.locator(".manage[open]")).to_contain_text("frees 3 runs")
    expect(page.locator("#state")).to_have_text("complete")
    page.get_by_label("Another name").fill("third")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator("h1")).to_have_text("third")
    expect(page.locator("#state")).to_have_text("complete")

    page.get_by_text("Export and manage").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Yes, delete it").click()

    expect(page.locator("#studies a")).to_have_text(["first"])
    assert len(store.statuses()) == 15


def test_another_store_is_merged_and_what_is_none_is_a_sentence(
    opened: Open, writing: str, store: Store, tmp_path: Path
) -> None:
    with open_store(tmp_path / "other.db") as other:
        write_study(other, FIVE, same_everywhere(SCORES), HOSTILE)
    page = opened(writing)
    page.get_by_text("Merge another store").click()
    page.get_by_role("button", name="Merge").click()
    expect(page.locator("#merged")).to_have_text("Choose the file of a store first.")

    page.get_by_label("Its file").set_input_files(tmp_path / "other.db")
    page.get_by_role("button", name="Merge").click()

    expect(page.locator("#merged")).to_have_text("1 study and 15 runs are new.")
    expect(page.locator("#studies a")).to_have_text([HOSTILE])
