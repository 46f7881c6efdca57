"""The leaders of studies, computed apart from the list of studies."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Page, expect

from lrbench.serve.home import LATEST, HomeWatch, Leaders, LeadersWatch
from lrbench.store import NewRun, Store, open_store
from tests.report.made_studies import FIVE, MISSING, SCORES, same_everywhere, write_study

Open = Callable[..., Page]


def computed(leaders: Leaders, count: int) -> None:
    deadline = time.monotonic() + 60
    while leaders.version < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_each_leader_is_computed_once_for_what_the_store_has_and_sent_once_to_a_browser(store: Store) -> None:
    write_study(store, FIVE, same_everywhere(SCORES), "done")
    write_study(store, {"flat": FIVE["flat"]}, lambda place: MISSING if place.seed else 0.5, "begun")
    write_study(store, {"flat": FIVE["flat"]}, same_everywhere({"flat": MISSING}), "not begun")
    leaders = Leaders(store)
    home, browser = HomeWatch(store, leaders), LeadersWatch(leaders)

    ((_, listed),) = home.events()
    computed(leaders, 2)

    assert {one["name"]: one["ranked"] for one in listed["studies"]} == {
        "done": True,
        "begun": True,
        "not begun": False,
    }
    ((_, first),) = browser.events()
    assert {one["id"]: one["leaders"][0]["name"] for one in first} == {1: "falling", 2: "flat"}
    assert list(browser.events()) == []
    write_study(store, {"flat": FIVE["flat"]}, lambda place: 0.5 if place.seed else MISSING, "begun")
    list(home.events())
    computed(leaders, 3)
    assert [one["id"] for _, fresh in browser.events() for one in fresh] == [2]
    leaders.close()
    assert leaders.version == 3


def test_a_leader_that_takes_long_is_not_waited_for(tmp_path: Path) -> None:
    with open_store(tmp_path / "runs.db") as store, closing(sqlite3.connect(tmp_path / "runs.db")) as other:
        write_study(store, FIVE, same_everywhere(SCORES), "done")
        store.close()
        other.execute("PRAGMA journal_mode = DELETE")
        leaders, studies, totals = Leaders(store), store.studies(), store.totals()
        other.execute("BEGIN EXCLUSIVE")  # to read the store takes a minute from now on
        leaders.ask(studies, totals, held=())
        time.sleep(0.5)
        began = time.monotonic()
        leaders.close()
        assert time.monotonic() - began < 10
        assert leaders.version == 0
        other.rollback()
        computed(leaders, 1)


def test_between_whole_looks_the_studies_in_training_are_added_up_and_the_others_are_owed(store: Store) -> None:
    for name in ("trained", "other", *map(str, range(LATEST))):
        write_study(store, {"flat": FIVE["flat"]}, same_everywhere({"flat": MISSING}), name)
    home = HomeWatch(store, Leaders(store), pause=math.inf)

    def begun() -> dict[str, int]:
        ((_, listed),) = home.events()
        return {one["name"]: one["statuses"].get("running", 0) for one in listed["studies"][LATEST:]}

    begun()
    with store.lease() as lease:
        for study in (1, 2):
            key = store.study(study)[1][0].run
            lease.claim([key])
            lease.begin([NewRun(key, "a-task", "a-task", FIVE["flat"], "", 0, 100, {})])
            if study == 2:
                lease.release([key])
        assert begun() == {"trained": 1, "other": 0}
        seen, home.pause = home.marker(), 0.0
        assert home.marker() != seen
        assert begun() == {"trained": 1, "other": 1}
        home.pause = math.inf
    assert begun() == {"trained": 1, "other": 1}
    begun()
    assert home.marker() == home.marker()


def test_the_leader_of_a_study_in_training_is_computed_first(store: Store) -> None:
    for name in ("a", "b", "c"):
        write_study(store, {name: FIVE["flat"]}, same_everywhere({name: 0.5}), name)
    leaders = Leaders(store)

    leaders.ask(store.studies(), store.totals(), held={1})
    computed(leaders, 3)

    assert list(leaders.known) == [1, 3, 2]


def test_a_study_is_listed_before_its_leader_is_known(opened: Open, address: str, store: Store) -> None:
    write_study(store, FIVE, same_everywhere(SCORES), "done")
    page = opened("about:blank")
    page.route("**/events", lambda route: route.fulfill(body=FIRST, content_type="text/event-stream"))

    page.goto(address)

    expect(page.locator("#studies li")).to_contain_text("The leader is being computed")
    page.unroute("**/events")
    page.reload()
    expect(page.locator("#studies li")).to_contain_text("In the lead: falling")
    expect(page.locator("#studies li")).not_to_contain_text("being computed")


FIRST = (
    'event: studies\ndata: {"jobs": [], "studies": [{"id": 1, "name": "done", "address": "done", "kind": "study", '
    '"parent": null, "held": 0, "ranked": true, "statuses": {"finished": 15}, "steps": 1500, "seconds": 1, '
    '"created": 1}]}\n\n'
)
