"""The log of a study as text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from lrbench.serve.log import RunLog
from lrbench.store import NewRun, Score, Segment, Store
from lrbench.study.study_runs import StudyRuns
from tests.report.made_studies import FAILED, FIVE, MISSING, STEPS, same_everywhere, write_study
from tests.serve.conftest import WIDTHS

Open = Callable[..., Page]


def new_lines(log: RunLog, store: Store) -> list[str]:
    runs = StudyRuns.of(1, store)
    return log.lines(store.progress(1), {slot.run: slot for slot in runs.slots}, runs.record, runs.labels)


def test_the_log_has_each_evaluation_and_each_end_once(store: Store) -> None:
    write_study(store, FIVE, same_everywhere(dict.fromkeys(FIVE, 0.5) | {"flat": MISSING, "wave": FAILED}), seeds=(0,))
    log = RunLog(store, 1)

    lines = new_lines(log, store)

    assert len(lines) == len(set(lines)) > 5
    assert [line for line in lines if ", seed 0: iteration 20, epoch 2.00, LR 0.1" in line]
    assert [line for line in lines if "wave, seed 0: failed after iteration" in line]
    assert not [line for line in lines if line.startswith("flat")]
    assert new_lines(log, store) == []


def test_a_line_is_added_for_each_evaluation_and_for_the_end(store: Store) -> None:
    write_study(store, {"falling\nfast": FIVE["falling"]}, lambda place: MISSING, seeds=(0,))
    key = store.study("a-study")[1][0].run
    log = RunLog(store, 1)
    assert new_lines(log, store) == []
    with store.lease() as lease:
        lease.claim([key])
        lease.begin([NewRun(key, "a-task", "a-task", FIVE["falling"], "", 0, STEPS, {})])
        assert new_lines(log, store) == []
        lease.append({key: Segment(20, 0.1, 100, (Score(20, 2.5, 2.25, 0.25, 2.0, 0.5),))})
        (first,) = new_lines(log, store)
        lease.append({key: Segment(40, 0.1, 100, (Score(40, 1.5, 1.25, 0.5, 2.0, 0.5),))})
        (second,) = new_lines(log, store)
        lease.fail([key], "Traceback:\n  here\nValueError: no luck")
        (third,) = new_lines(log, store)
    assert "\n" not in first
    assert first.endswith("train loss 2.5, val loss 2.25, val top1 0.2500")
    assert ": iteration 40, epoch 4.00, LR 0." in second
    assert third.endswith(", seed 0: failed after iteration 40: ValueError: no luck")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_log_grows_on_the_page(opened: Open, address: str, store: Store, width: int) -> None:
    write_study(store, {"flat": FIVE["flat"]}, lambda place: MISSING if place.seed else 0.5)
    keys = {slot.seed: slot.run for slot in store.study("a-study")[1]}
    page = opened(f"{address}studies/1", width)
    page.get_by_text("Log", exact=True).click()
    expect(page.get_by_role("log")).to_contain_text("flat, seed 0: finished after iteration 100, test top1 0.4900")
    with store.lease() as lease:
        lease.claim([keys[1]])
        lease.begin([NewRun(keys[1], "a-task", "a-task", FIVE["flat"], "", 1, STEPS, {})])
        lease.append({keys[1]: Segment(20, 0.1, 100, (Score(20, 2.5, 2.25, 0.25, 2.0, 0.5),))})
        expect(page.get_by_role("log")).to_contain_text("flat, seed 1: iteration 20, epoch 2.00, LR 0.1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(
        "(log => log.scrollTop + log.clientHeight >= log.scrollHeight - 5)(document.getElementById('log'))"
    )
