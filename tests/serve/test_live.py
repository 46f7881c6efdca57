"""Studies in a real browser, as they are trained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from lrbench.store import NewRun, Score, Segment, Store
from tests.report.made_studies import FAILED, FIVE, MISSING, SCORES, Place, same_everywhere, write_study
from tests.serve.conftest import WIDTHS

HOSTILE = "<script>alert(1)</script>"
Open = Callable[..., Page]


def test_a_study_started_from_a_terminal_appears_and_is_followed_to_its_end(
    opened: Open, address: str, tmp_path: Path
) -> None:
    home = opened(address)
    expect(home.get_by_text("No study is in this store yet.")).to_be_visible()
    file = tmp_path / "trial.toml"
    file.write_text(
        'task = "mnist1d-mlp"\nsteps = 60\nseeds = 2\n[policies]\nflat = "FIX(k0=0.1)"\nlow = "FIX(k0=0.001)"\n'
    )

    command = [
        sys.executable,
        "-m",
        "lrbench",
        "run",
        str(file),
        "--store",
        str(tmp_path / "runs.db"),
        "--workers",
        "1",
    ]
    subprocess.run(command, check=True, capture_output=True)

    home.get_by_role("link", name="trial").click()
    expect(home.locator("#state")).to_have_text("complete")
    expect(home.get_by_role("heading", name="mnist1d-mlp")).to_be_visible()
    expect(home.locator("table.policies tbody summary").first).to_have_text("flat")


def test_home_shows_state_leader_and_verdicts_and_is_filtered(opened: Open, address: str, store: Store) -> None:
    write_study(store, FIVE, same_everywhere(SCORES), "done")
    write_study(store, {"flat": FIVE["flat"]}, lambda place: MISSING if place.seed else 0.5, "to do")
    page = opened(address, WIDTHS[1])
    done = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="done"))

    expect(done).to_contain_text("complete")
    expect(done).to_contain_text("In the lead: falling top1 0.701 ±0.002")
    expect(done).to_contain_text("3 good")
    expect(done).to_contain_text("15 runs · 3 diverged")
    page.get_by_label("State").select_option("stopped")
    expect(page.locator("#studies a")).to_have_text(["to do"])
    page.get_by_label("State").select_option("")
    page.get_by_label("Filter").fill("fall")
    expect(page.locator("#studies a")).to_have_text(["done"])


def test_a_study_shows_what_is_trained_by_whom_and_what_failed(opened: Open, address: str, store: Store) -> None:
    outcomes: dict[str, float | str | None] = {"flat": FAILED, "falling": 0.7, "wave": MISSING}
    write_study(store, {name: FIVE[name] for name in outcomes}, lambda place: outcomes[place.name])
    key = next(slot.run for slot in store.study("a-study")[1] if slot.policy == "wave" and slot.seed == 0)
    with store.lease() as lease:
        lease.claim([key])
        lease.begin([NewRun(key, "a-task", "a-task", FIVE["wave"], "", 0, 100, {})])
        page = opened(f"{address}studies/1")
        expect(page.locator("#state")).to_have_text("running")
        expect(page.locator("#workers")).to_contain_text("holds 1 run, of which 1 is begun")
        expect(page.locator("#running")).to_contain_text("wave, seed 0")

        lease.append({key: Segment(20, 0.1, 100, (Score(20, 2.0, 2.0, 0.25, 2.0, 0.25),))})

        expect(page.locator("#running")).to_contain_text("20 of 100")
        expect(page.locator("#running-plot .scatterlayer .trace")).to_have_count(1)
        expect(page.locator("#race")).to_contain_text("wave0 of 3")
        page.locator("#failures-title").click()
        expect(page.locator("#failures li").first).to_contain_text("flat, seed")
        expect(page.locator("#failures pre").first).to_have_text("ValueError: no luck")
    expect(page.locator("#state")).to_have_text("stopped")


def test_what_the_reader_chose_stays_as_runs_end(opened: Open, address: str, store: Store) -> None:
    policies = {name: FIVE[name] for name in ("falling", "wave", "flat")}
    write_study(store, policies, same_everywhere({"falling": 0.7, "wave": 0.69, "flat": MISSING}))
    page = opened(f"{address}studies/1")
    names = page.locator("table.policies tbody summary")
    page.get_by_role("button", name="policy", exact=True).click()
    page.get_by_role("button", name="policy", exact=True).click()
    expect(names).to_have_text(["wave", "falling"])
    page.get_by_role("checkbox", name="falling").uncheck()
    names.first.click()

    write_study(store, policies, same_everywhere({"falling": MISSING, "wave": MISSING, "flat": 0.4}))

    expect(names).to_have_text(["wave", "flat", "falling"])
    expect(page.get_by_role("checkbox", name="falling")).not_to_be_checked()
    expect(page.locator("table.policies details[open] summary")).to_have_text(["wave"])


def test_before_a_look_the_ranking_claims_nothing_and_says_so(opened: Open, address: str, store: Store) -> None:
    write_study(store, FIVE, lambda place: 0.5 if place.seed == 0 else MISSING)
    page = opened(address)

    expect(page.get_by_text("claims nothing yet")).to_be_visible()
    page.get_by_role("link", name="a-study").click()
    expect(page.get_by_text("Nothing is claimed yet").first).to_be_visible()


def test_the_report_of_a_study_is_opened_from_its_page(opened: Open, address: str, store: Store) -> None:
    write_study(store, FIVE, same_everywhere(SCORES))
    page = opened(f"{address}studies/1", WIDTHS[1])
    page.get_by_text("Export and manage").click()

    page.get_by_role("link", name="Report, with all pictures").click()

    expect(page.get_by_role("heading", name="How this was measured")).to_be_visible()
    expect(page.get_by_role("img", name="What a score costs")).to_be_visible()
    expect(page.locator("table.policies tbody summary")).to_have_count(len(FIVE))


def test_names_stay_text(opened: Open, address: str, store: Store) -> None:
    def outcome(place: Place) -> float | str:
        return MISSING if place.seed else 0.5

    write_study(store, {HOSTILE: "FIX(k0=0.1)", "<img src=x>": "FIX(k0=0.2)"}, outcome, HOSTILE, tasks=(HOSTILE,))
    page = opened(address)

    page.get_by_role("link", name=HOSTILE).click()

    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(page.locator("table.policies tbody summary")).to_have_text([HOSTILE, "<img src=x>"])
    expect(page.locator("#race .name")).to_have_text(["<img src=x>", HOSTILE])
    assert page.locator("#content script, #content img").count() == 0


def test_no_width_makes_a_page_scroll_sideways(opened: Open, address: str, store: Store) -> None:
    long = "a-policy-whose-name-goes-" + "on-and-" * 30
    write_study(store, {long: FIVE["flat"], **FIVE}, lambda place: MISSING if place.seed else 0.5, long)

    for path in ("", "studies/1"):
        page = opened(f"{address}{path}")
        expect(page.locator("#studies .leader, table.policies tbody summary").first).to_be_visible()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
