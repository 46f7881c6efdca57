"""The evaluations of a run as a table."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from lrbench.errors import StoreError
from lrbench.policy import parse
from lrbench.serve.run_table import begun, evaluations
from lrbench.store import NewRun, Score, Segment, Store
from tests.report.made_studies import EVALUATIONS, FIVE, MISSING, STEPS, same_everywhere, write_study
from tests.serve.conftest import WIDTHS

Open = Callable[..., Page]


def test_each_evaluation_has_its_epoch_and_the_rate_of_the_iteration_before_it(store: Store) -> None:
    write_study(store, {"falling": FIVE["falling"]}, same_everywhere({"falling": 0.8}))
    ((_, key), *others) = begun(store, 1)[0]["runs"]
    lrs = parse(FIVE["falling"]).bind(STEPS, 10).lrs(0, STEPS)

    found = evaluations(store, 1, key)

    assert (found["status"], found["objective"], len(others)) == ("finished", "top1", 2)
    assert [row[:3] for row in found["rows"]] == [[step, step / 10, lrs[step - 1]] for step in EVALUATIONS]
    assert found["rows"][-1][3:] == [1.2, 1.2, 0.8, 0.79]


def test_a_reactive_policy_has_no_rates_and_an_unknown_run_is_a_sentence(store: Store) -> None:
    reacting = "CHANGEONPLATEAU(policies=[FIX(k0=0.1), FIX(k0=0.03)], first=1)"
    write_study(store, {"a": reacting}, same_everywhere({"a": 0.8}))
    write_study(store, {"b": FIVE["flat"]}, same_everywhere({"b": 0.8}), "other")

    ((_, key), *_) = begun(store, 1)[0]["runs"]

    assert {row[2] for row in evaluations(store, 1, key)["rows"]} == {None}
    for study, run in ((2, key), (1, "none")):
        with pytest.raises(StoreError, match=f"study {study} has no run '{run}' that was begun"):
            evaluations(store, study, run)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_evaluations_of_a_run_are_a_table_that_grows_as_it_is_trained(
    opened: Open, address: str, store: Store, width: int
) -> None:
    write_study(store, FIVE, lambda place: 0.5 if place.name == "falling" else MISSING)
    key = next(slot.run for slot in store.study("a-study")[1] if slot.policy == "wave" and slot.seed == 2)
    with store.lease() as lease:
        lease.claim([key])
        lease.begin([NewRun(key, "a-task", "a-task", FIVE["wave"], "", 2, STEPS, {})])
        lease.append({key: Segment(20, 0.1, 100, (Score(20, 2.0, 2.0, 0.25, 2.0, 0.25),))})
        page = opened(f"{address}studies/1", width)
        expect(page.locator("#run-table")).to_be_hidden()
        page.get_by_text("Evaluations of a run").click()
        expect(page.locator("#run-table tbody tr")).to_have_count(5)
        expect(page.locator("#run-state")).to_have_text("finished, 100 of 100 iterations; test top1 0.49 after 100")
        page.get_by_label("Policy", exact=True).select_option("wave")
        expect(page.get_by_label("Seed", exact=True)).to_have_text("2")
        expect(page.locator("#run-table tbody tr")).to_have_count(1)

        lease.append({key: Segment(40, 0.1, 100, (Score(40, 1.5, 1.5, 0.5, 2.0, 0.25),))})

        expect(page.locator("#run-table tbody tr")).to_have_count(2)
        expect(page.locator("#run-table tbody tr").last).to_contain_text("1.50.5")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    table = page.locator("#run-table").bounding_box()
    assert table is not None
    assert table["width"] <= width
