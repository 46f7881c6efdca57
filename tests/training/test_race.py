"""Seeds until decided: rounds of training, each for the policies that more seeds can help."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lrbench.errors import StudyError
from lrbench.metrics.looks import Looks
from lrbench.store import Store, open_store
from lrbench.study.results import results
from lrbench.study.study import Study
from lrbench.study.study_runs import StudyRuns
from lrbench.tasks import Task
from lrbench.training.backlog import Backlog
from lrbench.training.listener import NullListener
from lrbench.training.plan import PlannedRun
from lrbench.training.runner import run as train

Make = Callable[..., Study]

POLICIES = ("FIX(k0=0.1)", "FIX(k0=0.08)", "POLY(k0=0.1, p=1, l=1dur)", "FIX(k0=0.00001)")
TERMS = {"seeds": "3..8", "margin": 0.05}


class Rounds(NullListener):
    """Note how many runs each round asks for, and raise an error after so many runs have ended."""

    def __init__(self, error_after: int | None = None) -> None:
        self.asked: list[int] = []
        self._left = error_after

    def planned(self, backlog: Backlog) -> None:
        self.asked.append(len(backlog.plan.runs))

    def ended(self, run: PlannedRun, status: str) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                raise RuntimeError("pulled the plug")


def seeds_of_rows(store: Store) -> dict[str, int]:
    """How many seeds each policy of the study was trained with."""
    evidence = StudyRuns.of("small", store)
    return {policy: count for (policy, _), count in evidence.over(evidence.tasks[0]).items()}


def test_seeds_are_added_for_the_policies_that_they_can_help(study: Make, store: Store) -> None:
    rounds = Rounds()
    counts = train(study(*POLICIES, **TERMS), store, listener=rounds, workers=1)
    given = seeds_of_rows(store)
    labels = {card.name: card.verdict.label for card in results("small", store).tasks[0].scorecards if card.verdict}
    assert rounds.asked[0] == 4 * 3
    assert rounds.asked == sorted(rounds.asked)
    assert labels["FIX(k0=0.00001)"] == "avoid"
    assert given["FIX(k0=0.00001)"] < max(given.values()) <= 8
    assert set(given.values()) <= set(Looks.between(3, 8).seeds)
    assert counts.total == counts.trained == sum(given.values())
    assert (counts.cached, counts.failed) == (0, 0)


def test_a_race_that_is_over_trains_nothing_again(study: Make, store: Store) -> None:
    first = train(study(*POLICIES, **TERMS), store, workers=1)
    again = train(study(*POLICIES, **TERMS), store, workers=1)
    assert (again.total, again.trained, again.cached, again.steps_trained) == (first.total, 0, first.total, 0)


@pytest.mark.parametrize("after", [2, 16])
def test_a_race_that_was_cut_off_goes_on_as_if_it_never_had_been(
    after: int, study: Make, store: Store, tmp_path: Path
) -> None:
    with open_store(tmp_path / "undisturbed.db") as other:
        train(study(*POLICIES, **TERMS), other, workers=1)
        expected, given = results("small", other).to_json(), seeds_of_rows(other)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(study(*POLICIES, **TERMS), store, listener=Rounds(after), workers=1)
    train(study(*POLICIES, **TERMS), store, workers=1)
    assert seeds_of_rows(store) == given
    assert without_seconds(results("small", store).to_json()) == without_seconds(expected)


def test_runs_of_other_studies_change_no_round(study: Make, store: Store, tmp_path: Path) -> None:
    with open_store(tmp_path / "undisturbed.db") as other:
        expected = Rounds()
        train(study(*POLICIES, **TERMS), other, listener=expected, workers=1)
    train(study(POLICIES[0], name="before", seeds=6), store, workers=1)
    rounds = Rounds()
    train(study(*POLICIES, **TERMS), store, listener=rounds, workers=1)
    assert rounds.asked == expected.asked


def test_each_task_has_its_own_race_at_its_share_of_the_error_rate(study: Make, store: Store, task: Task) -> None:
    short = task.with_(name="short", steps=20)
    train(study(*POLICIES, tasks=(task, short), **TERMS), store, workers=1)
    evidence = StudyRuns.of("small", store)
    assert evidence.alpha == pytest.approx(0.025)
    for one in evidence.tasks:
        given = evidence.over(one)
        assert min(given.values()) >= 3
        assert max(given.values()) <= 8
    assert len(evidence.runs) < 2 * 4 * 8


def test_the_winner_of_a_race_is_confirmed_on_seeds_after_its_last_also_when_it_was_cut_off(
    study: Make, store: Store, task: Task, tmp_path: Path
) -> None:
    asked = study(*POLICIES, tasks=(task, task.with_(name="short", steps=20)), confirm=2, **TERMS)
    with open_store(tmp_path / "undisturbed.db") as other:
        runs = train(asked, other, workers=1).trained
        expected = [one.confirmed for one in results("small", other).tasks]
    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(asked, store, listener=Rounds(runs - 1), workers=1)
    train(asked, store, workers=1)
    evidence = StudyRuns.of("small", store)
    assert {slot.seed for slot in evidence.slots if slot.stage == "confirm"} == {8, 9}
    for of_task, before in zip(results("small", store).tasks, expected, strict=True):
        assert [(one.card.name, one.card.val) for one in of_task.confirmed] == [
            (one.card.name, one.card.val) for one in before
        ]
        assert {one.card.n for one in of_task.confirmed} == {2}
        labels = {card.name: card.verdict.label for card in of_task.scorecards if card.verdict}
        kept = [one.card.name for one in of_task.confirmed if not one.refused]
        assert kept[0] == next(name for name in (*_good(labels), *labels) if name in kept)


def _good(labels: Mapping[str, str]) -> list[str]:
    return [name for name, label in labels.items() if label == "good"]


def test_other_base_rates_are_trained_with_the_first_seeds(study: Make, store: Store) -> None:
    train(study(*POLICIES, base_lr_scales=(0.5, 1.0), **TERMS), store, workers=1)
    evidence = StudyRuns.of("small", store)
    scaled = [slot.seed for slot in evidence.slots if slot.stage == "scale"]
    assert sorted(set(scaled)) == [0, 1, 2]
    assert len(scaled) == 4 * 3


def test_looks_are_those_of_the_first_run_when_seeds_are_added(study: Make, store: Store) -> None:
    train(study(*POLICIES, seeds=3, margin=0.05), store, workers=1)
    before = {card.name: card.verdict for card in results("small", store).tasks[0].scorecards}
    train(study(*POLICIES, seeds=[5, 0, 1, 2, 3], margin=0.05), store, workers=1)
    evidence, after = StudyRuns.of("small", store), results("small", store).tasks[0]
    assert evidence.looks == Looks.planned(3)
    assert evidence.record.seeds == (0, 1, 2, 5, 3)
    assert after.looks == (3, 4)
    for card in after.scorecards:
        earlier = before[card.name]
        assert earlier is not None
        if earlier.label != "undecided":
            assert card.verdict is not None
            assert (card.verdict.label, card.verdict.look) == (earlier.label, 3)


def test_a_study_that_is_not_through_claims_nothing(study: Make, store: Store) -> None:
    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(study(*POLICIES, seeds=5, margin=0.05), store, listener=Rounds(9), workers=1, engine="serial")
    answer = results("small", store).tasks[0]
    assert answer.looks == ()
    reasons = {card.verdict.reason for card in answer.scorecards if card.verdict}
    assert {card.verdict.label for card in answer.scorecards if card.verdict} == {"undecided"}
    waiting = r"verdicts begin at 5 seeds, (of which it has [2-4]|which no other policy has yet)"
    assert all(
        re.fullmatch(f"{waiting}|[01] finished runs? with a value, at least 2 are needed", one) for one in reasons
    )


@pytest.mark.parametrize(
    "seeds", ["1..5", "5..4", "5..", "5-40", "", {"from": 5}, {"from": 5, "to": 40, "by": 1}, {"from": 1, "to": 4}]
)
def test_a_range_of_seeds_that_cannot_be_is_refused(seeds: object, study: Make) -> None:
    with pytest.raises(StudyError, match=re.escape('such as "5..40" or { from = 5, to = 40 }')):
        study(*POLICIES, seeds=seeds)


@pytest.mark.parametrize("unit", ["runs", "steps"])
def test_a_race_ends_before_the_round_that_would_go_over_its_budget(
    unit: str, study: Make, store: Store, task: Task, tmp_path: Path
) -> None:
    with open_store(tmp_path / "whole.db") as other:
        whole = Rounds()
        train(study(*POLICIES, **TERMS), other, listener=whole, workers=1)
        expected = results("small", other).to_json()
    of_a_run = 1 if unit == "runs" else task.steps
    before, beyond = whole.asked[-2:]
    rounds = Rounds()
    counts = train(study(*POLICIES, **TERMS, budget={unit: beyond * of_a_run - 1}), store, listener=rounds, workers=1)
    assert rounds.asked == whole.asked[:-1]
    assert (counts.total, counts.next_budget) == (before, f"{beyond * of_a_run} {unit}")
    assert f"ended by the budget: the next round needs {beyond * of_a_run} {unit}" in counts.sentence
    assert len(StudyRuns.of("small", store).runs) == before

    counts = train(study(*POLICIES, **TERMS, budget=f"{beyond * of_a_run} {unit}"), store, workers=1)
    assert (counts.total, counts.trained, counts.next_budget) == (beyond, beyond - before, None)
    assert without_seconds(results("small", store).to_json()) == without_seconds(expected)


def test_a_smaller_budget_trains_nothing_of_a_round_that_a_larger_one_began(study: Make, store: Store) -> None:
    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(study(*POLICIES, **TERMS), store, listener=Rounds(13), workers=1)
    counts = train(study(*POLICIES, **TERMS, budget="12 runs"), store, workers=1)
    assert (counts.total, counts.trained, counts.cached) == (12, 0, 12)
    assert counts.next_budget is not None


def test_a_budget_keeps_room_for_the_confirmation(study: Make, store: Store) -> None:
    rounds = Rounds()
    train(study(*POLICIES, **TERMS, confirm=2, budget="18 runs"), store, listener=rounds, workers=1)
    assert rounds.asked[0] == 4 * 3
    assert rounds.asked[1] <= 3 * 2
    assert len(rounds.asked) == 2
    assert results("small", store).tasks[0].confirmed


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"seeds": "3..8", "budget": "11 runs"}, "less than the 12 runs that 3 seeds of every policy take"),
        ({"seeds": 3, "budget": "11 runs"}, "less than the 12 runs that its plan takes"),
        ({"seeds": 3, "budget": {"steps": 359}}, "less than the [0-9]+ steps that its plan takes"),
        ({"seeds": 3, "confirm": 2, "budget": "17 runs"}, "less than the 18 runs that its plan takes with the confirm"),
    ],
)
def test_a_budget_without_room_for_the_first_runs_is_refused(
    terms: dict[str, Any], words: str, study: Make, store: Store
) -> None:
    with pytest.raises(StudyError, match=f"^study 'small': budget = \"[0-9]+ (runs|steps)\" is {words}"):
        train(study(*POLICIES, **terms), store, workers=1)
    assert not store.studies()


@pytest.mark.parametrize("budget", ["200", "0 runs", "2.5 steps", 200, {"hours": 2}, {"runs": 1, "steps": 2}])
def test_a_budget_that_is_none_is_refused(budget: object, study: Make) -> None:
    with pytest.raises(StudyError, match=r"budget = .* must be a number of runs or of iterations from 1 on, such as"):
        study(*POLICIES, **TERMS, budget=budget)


def without_seconds(document: dict[str, Any]) -> dict[str, Any]:
    for policy in document["policies"]:
        for measured in ("seconds", "evaluating"):
            policy["metrics"].pop(measured)
    return document


def test_a_race_goes_on_until_the_first_goal_is_decided(study: Make, store: Store) -> None:
    train(study(*POLICIES, **TERMS, by=["flops", "top1"]), store, workers=1)
    assert set(seeds_of_rows(store).values()) == {3}
    cards = results("small", store).tasks[0].scorecards
    assert {card.verdicts["flops"].label for card in cards} == {"good"}


def test_a_race_for_what_base_lrs_leave_trains_them_with_every_seed(study: Make, store: Store) -> None:
    terms = {"seeds": "3..5", "margin": 0.05, "base_lr_scales": (0.1, 1)}
    train(study(*POLICIES[:2], **terms, by="base_lr_retention:0.0001"), store, workers=1)
    (more_than_begun,) = set(seeds_of_rows(store).values())
    cards = results("small", store).tasks[0].scorecards
    assert more_than_begun > 3
    assert {card.metrics["base_lr_retention"].n for card in cards} == {more_than_begun}
