"""How far a study is, counted from its runs."""

from __future__ import annotations

from pathlib import Path

from lrbench.store import NewRun, RunProgress, Segment, open_store
from lrbench.study.progress import StudyProgress, shared_prefixes
from tests.report.made_studies import FAILED, FIVE, MISSING, STEPS, same_everywhere, write_study


def test_runs_that_diverged_or_failed_have_nothing_to_come_and_count_what_they_trained(tmp_path: Path) -> None:
    outcomes: dict[str, float | str | None] = {"wild": None, "flat": 0.5, "falling": FAILED, "wave": MISSING}
    with open_store(tmp_path / "runs.db") as store:
        write_study(store, {name: FIVE[name] for name in outcomes}, same_everywhere(outcomes), seeds=(0,))
        key = next(slot.run for slot in store.study("a-study")[1] if slot.policy == "wave")
        with store.lease() as lease:
            lease.claim([key])
            lease.begin([NewRun(key, "a-task", "a-task", FIVE["wave"], "", 0, 100, {})])
            lease.append({key: Segment(20, 0.1, 100, ())})

            one = StudyProgress.of(store.entry("a-study"), store)

    assert (one.total, one.ended, one.failed, one.over, one.is_over) == (4, 2, 1, 3, False)
    assert (one.steps, one.trained, one.remaining, one.done) == (400, 30 + 100 + 0 + 20, 80, 320)
    assert [holder.runs for holder in one.coordinators] == [1]
    assert one.to_json()["steps"] == {"nominal": 400, "trained": 150}


def test_iterations_that_policies_share_are_counted_once(tmp_path: Path) -> None:
    parted = [f"FIX(k0=0.1).then(FIX(k0=0.01), at={at})" for at in (60, 80)]
    policies = {text: text for text in ("FIX(k0=0.1)", *parted, "FIX(k0=0.2)")}
    with open_store(tmp_path / "runs.db") as store:
        write_study(store, policies, lambda place: MISSING, seeds=(0, 1))
        record, slots = store.study("a-study")
        begun = {
            slot.run: RunProgress("running", 30, STEPS)
            for slot in slots
            if slot.policy != "FIX(k0=0.2)" and slot.seed == 0
        }
        shared = shared_prefixes(record)
        far = StudyProgress.counted(store.entry("a-study"), record, slots, begun, (), shared)

    assert sorted(shared.values()) == [0, 60, 80]
    assert far.distinct == 2 * (100 + 40 + 20 + 100)
    assert far.distinct - far.distinct_left == 30
    assert (far.done, far.steps) == (3 * 30, 8 * 100)
