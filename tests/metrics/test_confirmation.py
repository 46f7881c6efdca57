from collections.abc import Callable, Sequence

import numpy as np
import pytest

from lrbench.errors import StudyError
from lrbench.metrics import PolicyRuns, RunRecord, confirm, finalists
from lrbench.metrics.confirmation import explained
from lrbench.metrics.statistics import t_interval

MakeRun = Callable[..., RunRecord]
FRESH = 100


def contender(run: MakeRun, name: str, vals: Sequence[float | None], first_seed: int = 0) -> PolicyRuns:
    runs = tuple(run(first_seed + s, val) for s, val in enumerate(vals))
    return PolicyRuns(name, f"FIX(k0={len(name)})", runs)


def names(contenders: list[PolicyRuns]) -> list[str]:
    return [contender.name for contender in contenders]


@pytest.fixture
def study(run: MakeRun) -> list[PolicyRuns]:
    return [
        contender(run, "far", [0.50, 0.51, 0.49, 0.50]),
        contender(run, "close", [0.88, 0.91, 0.90, 0.89]),
        contender(run, "winner", [0.90, 0.92, 0.89, 0.91]),
        contender(run, "near", [0.89, 0.90, 0.91, 0.87]),
        contender(run, "wild", [0.99, 0.99, None, 0.99]),
    ]


def test_finalists_are_the_winner_and_those_not_significantly_worse(study: list[PolicyRuns]) -> None:
    assert names(finalists(study, at_most=10)) == ["winner", "close", "near"]


def test_at_most_so_many_are_confirmed(study: list[PolicyRuns]) -> None:
    assert names(finalists(study, at_most=2)) == ["winner", "close"]


def test_a_policy_that_diverged_is_no_finalist(study: list[PolicyRuns]) -> None:
    assert "wild" not in names(finalists(study, at_most=10))


def test_a_study_where_everything_diverged_has_no_finalists(run: MakeRun) -> None:
    assert finalists([contender(run, "wild", [None, None])], at_most=3) == []


def test_confirming_nobody_is_refused(study: list[PolicyRuns]) -> None:
    with pytest.raises(StudyError, match="at least 1 policy must be confirmed, but 0 were asked for"):
        finalists(study, at_most=0)


def test_the_fresh_figures_are_reported_with_the_searchs_beside_them(run: MakeRun, study: list[PolicyRuns]) -> None:
    fresh = [contender(run, "winner", [0.86, 0.88], FRESH), contender(run, "close", [0.89, 0.89], FRESH)]
    first, second = confirm(study, fresh, margin=0.01)
    assert (first.card.name, second.card.name) == ("winner", "close"), "the fresh seeds choose nothing"
    assert first.card.val.mean == pytest.approx(0.87)
    assert first.search.mean == pytest.approx(0.905)
    assert first.shrinkage == pytest.approx(0.035)
    assert (first.card.n, first.search.n) == (2, 4)


def test_a_finalist_that_the_fresh_seeds_tell_to_avoid_stands_last(run: MakeRun, study: list[PolicyRuns]) -> None:
    for worse in ([0.50, 0.51, 0.49], [0.9, None, 0.9]):
        fresh = [contender(run, "winner", worse, FRESH), contender(run, "close", [0.89, 0.90, 0.89], FRESH)]
        first, last = confirm(study, fresh, margin=0.01)
        assert (first.card.name, last.card.name) == ("close", "winner")
        assert (first.refused, last.refused) == (False, True)
        assert next(explained([first, last])) == "Finalists that the fresh seeds tell to avoid stand last."


def test_a_tolerated_divergence_makes_no_finalist_stand_last(run: MakeRun, study: list[PolicyRuns]) -> None:
    fresh = [
        contender(run, "winner", [0.9, None, 0.9, 0.91], FRESH),
        contender(run, "close", [0.89, 0.90, 0.89, 0.9], FRESH),
    ]
    assert [one.card.name for one in confirm(study, fresh, margin=0.01, tolerated=0.5)] == ["winner", "close"]
    assert [one.card.name for one in confirm(study, fresh, margin=0.01)] == ["close", "winner"]


def test_the_interval_of_a_finalist_that_fresh_seeds_choose_is_at_a_level_for_all(
    run: MakeRun, study: list[PolicyRuns]
) -> None:
    scores = [0.86, 0.88, 0.87]
    fresh = [contender(run, name, scores, FRESH) for name in ("winner", "close", "near")]
    for one in confirm(study, fresh, margin=0.01):
        assert one.simultaneous == t_interval(scores, 1 - 0.05 / 3)
        assert one.to_json()["simultaneous"]["high"] == one.simultaneous.high
    (alone,) = confirm(study, fresh[:1], margin=0.01)
    assert alone.simultaneous == alone.card.val


def test_a_confirmation_as_json_is_the_entry_with_the_search_beside_it(run: MakeRun, study: list[PolicyRuns]) -> None:
    (confirmed,) = confirm(study, [contender(run, "winner", [0.86, 0.88], FRESH)], margin=0.01)
    entry = confirmed.to_json()
    assert entry["metrics"]["val_top1"]["mean"] == pytest.approx(0.87)
    assert entry["search"]["mean"] == pytest.approx(0.905)
    assert entry["shrinkage"] == pytest.approx(0.035)


def test_a_finalist_without_a_fresh_run_has_no_shrinkage(study: list[PolicyRuns]) -> None:
    (confirmed,) = confirm(study, [PolicyRuns("winner", "FIX(k0=6)", ())], margin=0.01)
    assert confirmed.shrinkage is None


def test_seeds_of_the_search_are_not_fresh(run: MakeRun, study: list[PolicyRuns]) -> None:
    with pytest.raises(StudyError, match="winner must be confirmed on fresh seeds, but the search used 3 already"):
        confirm(study, [contender(run, "winner", [0.9, 0.9], first_seed=3)], margin=0.01)


def test_a_stranger_can_not_be_confirmed(run: MakeRun, study: list[PolicyRuns]) -> None:
    with pytest.raises(StudyError, match="stranger cannot be confirmed"):
        confirm(study, [contender(run, "stranger", [0.9, 0.9], FRESH)], margin=0.01)


def test_the_winners_luck_of_a_search_shows_as_shrinkage(run: MakeRun) -> None:
    # Ten identical policies, 3 seeds, sd .01: the highest of ten normal means stands 1.54 / sqrt 3 = .89 sd too high.
    rng = np.random.default_rng(0)
    shrinkages = []
    for _ in range(60):
        search = [contender(run, f"{i}", list(rng.normal(0.9, 0.01, 3))) for i in range(10)]
        (winner,) = finalists(search, at_most=1)
        fresh = contender(run, winner.name, list(rng.normal(0.9, 0.01, 5)), FRESH)
        (confirmed,) = confirm(search, [fresh], margin=0.005)
        assert confirmed.shrinkage is not None
        shrinkages.append(confirmed.shrinkage)
    # The standard error of the mean of 60 is .0008.
    assert np.mean(shrinkages) == pytest.approx(0.0089, abs=0.0024)
